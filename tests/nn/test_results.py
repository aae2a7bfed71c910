"""Where results go, and the limits: ``out``, in place, ``layer_norm``, ``instance_norm``, single values, nothing at all."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from formula import LAYOUTS, far, normal

from gridnorm.errors import GridnormWarning
from gridnorm.nn import group_norm, group_norm_backward, instance_norm, layer_norm

bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
DTYPES = [np.float16, bfloat16, np.float32, np.float64]


@pytest.mark.parametrize("layout", ["C", "F", "last", "reversed", "every second"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 1], [0, 1, 0, -1, 1, 1]])
def test_out_and_in_place(dtype: Any, layout: str, labels: list[int]) -> None:
    x = normal((4, 6, 7, 3), dtype)
    wanted = group_norm(x, groups=labels, weight=np.arange(6.0))
    out = LAYOUTS[layout](np.zeros_like(x))
    assert group_norm(x, groups=labels, weight=np.arange(6.0), out=out) is out
    assert out.tobytes() == wanted.tobytes()
    out[...] = x
    assert group_norm(out, groups=labels, weight=np.arange(6.0), out=out) is out
    assert out.tobytes() == wanted.tobytes()


def test_out_may_overlap_what_is_read() -> None:
    memory = normal((3 * 4 * 300_000 + 7,), np.float32)
    x, out = memory[:-7].reshape(3, 4, -1), memory[7:].reshape(3, 4, -1)  # several blocks
    wanted = group_norm(x.copy(), 2)
    group_norm(x, 2, out=out)
    assert np.array_equal(out, wanted)
    x = normal((8, 4, 100_000), np.float32)
    wanted = group_norm(x.copy(), 2)
    group_norm(x, 2, out=x[::-1])
    assert np.array_equal(x[::-1], wanted)
    x, added = normal((8, 4, 100_000), np.float32), normal((8, 4, 100_000), np.float32, 1)
    wanted = group_norm(x, 2, residual=added.copy())
    group_norm(x, 2, residual=added, out=added[::-1])
    assert np.array_equal(added[::-1], wanted)


def test_arguments_stay_as_they_are() -> None:
    x, weight, scale = normal((4, 6, 5)), normal((6,), seed=1), normal((4, 1), seed=2)
    kept = [a.copy() for a in (x, weight, scale)]
    for a in (x, weight, scale):
        a.flags.writeable = False
    mask = np.broadcast_to(np.arange(5) > 0, x.shape)
    group_norm(x, 3, weight, weight, scale=scale, shift=scale, mask=mask, sample_weight=abs(x), activation="silu")
    group_norm(x, groups=[0, 0, -1, 1, 1, 1], weight=weight, residual=x)
    layer_norm(x, (6, 5))
    assert all(np.array_equal(a, b) for a, b in zip(kept, (x, weight, scale), strict=True))


# Limits


def test_layer_norm_over_the_last_axes() -> None:
    x = normal((2, 3, 4, 5), np.float32)
    weight, bias = normal((4, 5), seed=1), normal((4, 5), seed=2)
    y, mean, rstd, total = layer_norm(
        x, [4, 5], weight, bias, 1e-3, residual=x, return_residual=True, return_stats=True, activation="relu"
    )
    v = (2 * x.astype(np.float64)).reshape(6, 20)
    z = (v - v.mean(1, keepdims=True)) / np.sqrt(v.var(1, keepdims=True) + 1e-3) * weight.ravel() + bias.ravel()
    assert far(y, np.maximum(z, 0).reshape(x.shape)) <= 4e-6
    assert mean.shape == rstd.shape == (2, 3) and np.array_equal(total, x + x)
    assert layer_norm(x, x.shape, return_stats=True)[1].shape == ()
    assert np.array_equal(layer_norm(x, np.int64(5)), layer_norm(x, (5,)))
    assert np.array_equal(layer_norm(x, 5, [1.0, 2, 3, 4, 5]), layer_norm(x, 5, np.arange(1.0, 6)))


def test_layer_norm_of_one_value() -> None:
    x = normal((2, 3, 1))
    with pytest.warns(GridnormWarning, match="one value"):
        y, mean, rstd = layer_norm(x, 1, return_stats=True)
    assert y.shape == (2, 3, 1) and mean.shape == rstd.shape == (2, 3)
    assert not y.any() and np.array_equal(mean, x[..., 0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_layer_norm_writes_to_out(order: Any) -> None:
    x = normal((2, 3, 4, 5), np.float32)
    wanted, out = layer_norm(x, (4, 5)), np.zeros_like(x, order=order)
    assert layer_norm(x, (4, 5), out=out) is out
    assert np.array_equal(out, wanted)
    out[...] = x
    assert layer_norm(out, (4, 5), out=out, return_stats=True)[0] is out
    assert np.array_equal(out, wanted)


def test_one_value_per_group_warns_once_whatever_the_batch() -> None:
    for shape in [(1, 4), (2, 4), (5, 4, 1, 1), (0, 4)]:
        bias = np.array([1.0, -2.0, 3.0, 1e-30])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = group_norm(normal(shape, np.float32), 4, np.full(4, 7.0), bias)
        assert [w.category for w in caught] == [GridnormWarning]
        assert caught[0].filename == __file__, "the warning points at the caller"
        assert np.array_equal(y.reshape(shape[0], 4), np.broadcast_to(bias.astype(np.float32), (shape[0], 4)))
    with pytest.warns(GridnormWarning, match="1 of 2 groups hold one value") as caught:
        instance = group_norm(normal((2, 3), np.float32), groups=[0, 0, 1])
    assert caught[0].filename == __file__ and not instance[:, 2].any()
    for function in (instance_norm, lambda x: layer_norm(x[:, :1])):
        with pytest.warns(GridnormWarning) as caught:
            function(np.ones((2, 4)))
        assert len(caught) == 1 and caught[0].filename == __file__


def test_one_value_per_group_does_not_warn_where_it_means_something() -> None:
    assert abs(group_norm(np.array([[3.0]]), 1, center=False)[0, 0] - 1) < 1e-6
    assert group_norm(np.array([[3.0, 1.0, 2.0]]), groups=[-1, 0, 0])[0, 0] == 3.0


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0), (0, 4, 0), (0, 4, 2, 2), (2, 0, 3), (0, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_normalize(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.zeros(shape, dtype)
    y, mean, rstd = group_norm(x, 2, np.ones(shape[1]), mask=np.True_, residual=x, return_stats=True)
    assert y.shape == shape and y.dtype == dtype
    assert mean.shape == rstd.shape == (shape[0], 2)
    assert np.isnan(mean).all()
    assert instance_norm(x).shape == layer_norm(x, shape[1:]).shape == shape


def _meeting(x: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Calls whose further arguments lie in x."""
    table = x.reshape(4, -1)[:, :32]
    return [
        (group_norm, {"num_groups": 2, "weight": None, "bias": x[0, :, 0, 0]}),
        (group_norm, {"num_groups": 2, "weight": x[0, :, 0, 0], "bias": x[1, :, 0, 0]}),
        (group_norm, {"num_groups": 2, "scale": table, "shift": table[::-1]}),
        (group_norm, {"num_groups": 4, "sample_weight": np.abs(x, out=x)}),
        (layer_norm, {"normalized_shape": 96, "weight": x[0, 0, 0], "bias": x[0, 0, 0]}),
        (layer_norm, {"normalized_shape": 96, "shift": x[::-1]}),
        (layer_norm, {"normalized_shape": 96, "scale": x, "shift": x}),
        (instance_norm, {"bias": x[0, :, 0, 0], "mask": x > 0.2}),
    ]


@pytest.mark.parametrize("which", range(8))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_does_not_disturb_arguments_that_lie_in_x(which: int, dtype: Any) -> None:
    x = normal((4, 32, 96, 96), dtype)  # more than is computed at once
    function, options = _meeting(x)[which]
    wanted = function(x, **options)
    assert function(x, **options, out=x) is x
    np.testing.assert_array_equal(x, wanted)


def test_gradients_in_place_do_not_disturb_arguments_that_lie_in_dy() -> None:
    x, dy = normal((4, 6, 7, 3), np.float32), normal((4, 6, 7, 3), np.float32)
    _, mean, rstd = group_norm(x, 2, return_stats=True)
    weight = dy[0, :, 0, 0]
    wanted = group_norm_backward(dy, x, mean, rstd, weight, scale=dy[:, :, 1, 1])
    found = group_norm_backward(dy, x, mean, rstd, weight, scale=dy[:, :, 1, 1], out=dy)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
