"""``batch_norm`` against its definition in float64, its limits, and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend

from gridnorm import nn
from gridnorm.errors import GridnormWarning, OptionError

RNG = np.random.default_rng(3)


def reference(x: np.ndarray, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> np.ndarray:
    axes = (0, *range(2, x.ndim))
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * np.reshape(weight, shape) + np.reshape(bias, shape)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (4, 3, 5, 2), (1, 3, 7)])
def test_training_is_its_definition(backend: Backend, shape: tuple[int, ...]) -> None:
    x, w, b = RNG.normal(3, 2, shape), RNG.normal(size=3), RNG.normal(size=3)
    np.testing.assert_allclose(
        backend.run(nn.batch_norm, x, weight=w, bias=b, training=True), reference(x, w, b), atol=1e-13
    )
    single = backend.run(nn.batch_norm, x.astype(np.float32), weight=w, bias=b, training=True)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, reference(x, w, b), atol=3e-6)


def test_running_statistics_move_towards_the_batch(backend: Backend) -> None:
    x = RNG.normal(5, 2, (7, 2, 4))
    mean, var = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    backend.run(nn.batch_norm, x, running_mean=mean, running_var=var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.75 * np.array([1.0, 2.0]) + 0.25 * x.mean((0, 2)), rtol=1e-14)
    np.testing.assert_allclose(var, 0.75 * np.array([3.0, 4.0]) + 0.25 * x.var((0, 2), ddof=1), rtol=1e-13)


def test_evaluation_uses_the_running_statistics_and_leaves_them(backend: Backend) -> None:
    x, mean, var = RNG.normal(size=(3, 2, 4)), np.array([1.0, -1.0]), np.array([4.0, 0.25])
    y = backend.run(nn.batch_norm, x, mean, var, eps=0.0)
    np.testing.assert_allclose(y, (x - mean[:, None]) / np.sqrt(var)[:, None], rtol=1e-15, atol=1e-15)
    assert mean.tolist() == [1.0, -1.0]
    np.testing.assert_array_equal(backend.run(nn.batch_norm, x[:1], mean, var, eps=0.0), y[:1])


def test_ghost_batches_are_batches_of_their_own(backend: Backend) -> None:
    x = RNG.normal(size=(5, 2, 3))
    y, mean, rstd = backend.run(nn.batch_norm, x, training=True, ghost_size=2, return_stats=True)
    parts = [backend.run(nn.batch_norm, x[i : i + 2], training=True) for i in (0, 2, 4)]
    np.testing.assert_array_equal(y, np.concatenate(parts))
    assert mean.shape == rstd.shape == (3, 2)
    np.testing.assert_allclose(mean[2], x[4:].mean((0, 2)), rtol=1e-14)


def test_masked_samples_stay_out_of_the_statistics(backend: Backend) -> None:
    x = RNG.normal(size=(6, 2, 4))
    mask = np.arange(6)[:, None, None] < 4
    mean, var = np.zeros(2), np.ones(2)
    y = backend.run(
        nn.batch_norm,
        np.where(mask, x, np.nan),
        running_mean=mean,
        running_var=var,
        training=True,
        momentum=1.0,
        mask=mask,
    )
    np.testing.assert_allclose(y[:4], reference(x[:4]), atol=1e-13)
    np.testing.assert_allclose(var, x[:4].var((0, 2), ddof=1), rtol=1e-12)
    assert np.isnan(y[4:]).all()


def test_channels_last_is_the_same(backend: Backend) -> None:
    x = RNG.normal(size=(4, 3, 5, 2))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(
        backend.run(nn.batch_norm, last, training=True, channel_axis=-1).transpose(0, 3, 1, 2), reference(x), atol=1e-13
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("ghost_size", [None, 2])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_gradients_are_central_differences(
    backend: Backend, training: bool, ghost_size: int | None, activation: str | None
) -> None:
    x, w, b, dy = RNG.normal(size=(4, 2, 3)), RNG.normal(size=2), RNG.normal(size=2), RNG.normal(size=(4, 2, 3))
    running = (None, None) if training else (RNG.normal(size=2), RNG.uniform(1, 2, 2))

    def loss(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> float:
        y = backend.on_numpy(nn.batch_norm, x, *running, w, b, training, ghost_size=ghost_size, activation=activation)
        return float((y * dy).sum())

    options = {"ghost_size": ghost_size, "activation": activation}
    _, mean, rstd = backend.run(nn.batch_norm, x, *running, w, b, training, return_stats=True, **options)
    got = backend.run(nn.batch_norm_backward, dy, x, mean, rstd, w, bias=b, training=training, **options)
    for position, (gradient, at) in enumerate(zip(got, (x, w, b), strict=True)):
        numeric = np.empty_like(at)
        for i in np.ndindex(at.shape):
            step = np.zeros_like(at)
            step[i] = 1e-6
            moved = [[a + s * step if k == position else a for k, a in enumerate((x, w, b))] for s in (1, -1)]
            numeric[i] = (loss(*moved[0]) - loss(*moved[1])) / 2e-6
        np.testing.assert_allclose(gradient, numeric, atol=2e-8)


def test_nothing_and_one_value(backend: Backend) -> None:
    mean, var = np.zeros(3), np.ones(3)
    assert backend.run(nn.batch_norm, np.zeros((0, 3, 2)), mean, var, training=True).shape == (0, 3, 2)
    assert mean.tolist() == [0.0] * 3
    with pytest.warns(GridnormWarning, match="one value"):
        y = backend.run(nn.batch_norm, np.array([[7.0]]), bias=np.array([2.0]), training=True)
    assert y.tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": np.ones(3)}, r"weight does not fit; found shape \(3,\), expected \(2,\), one per channel"),
        ({"running_mean": [0.0, 0.0], "running_var": [1.0, 1.0], "training": True}, "moved in place.*found list"),
        ({"running_mean": np.ones(2)}, "running_mean and running_var come together"),
        ({"training": True, "ghost_size": 0}, "ghost_size must be a whole number of at least 1"),
        ({"momentum": 2.0}, "momentum cannot have this value; found 2.0, expected 0…1"),
        ({"eps": -1.0}, "eps cannot have this value"),
        ({"channel_axis": 0}, "an axis is named twice"),
        ({"channel_axis": 9}, "names an axis that x does not have"),
        ({"activation": "tanh"}, "unknown activation; found 'tanh', expected silu, relu, gelu"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        nn.batch_norm(np.ones((3, 2, 4)), **arguments)


def test_a_result_may_lie_over_what_is_read() -> None:
    """Shifted by one sample: the last values would be overwritten before they are read."""
    room = np.zeros((5, 3, 4))
    room[:4] = x = RNG.normal(size=(4, 3, 4))
    wanted = nn.batch_norm(x, training=True)
    assert nn.batch_norm(room[:4], training=True, out=room[1:]) is not None
    np.testing.assert_array_equal(room[1:], wanted)
    with pytest.raises(OptionError, match="out cannot be written to; found a list"):
        nn.batch_norm(x, training=True, out=[0.0])


def test_statistics_may_come_as_lists_and_whole_numbers_are_no_running_ones() -> None:
    x = RNG.normal(size=(4, 2))
    _, mean, rstd = nn.batch_norm(x, training=True, return_stats=True)
    one, two = (nn.batch_norm_backward(x, x, *s) for s in ((mean, rstd), (mean.tolist(), rstd.tolist())))
    np.testing.assert_array_equal(one[0], two[0])
    with pytest.raises(OptionError, match="must be floating-point arrays; found int64"):
        nn.batch_norm(x, np.zeros(2, np.int64), np.ones(2), training=True)
