"""``gridnorm.nn`` on every kind of array: NumPy's results; layers and refusals on device arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import EVERY, Backend, others

from gridnorm import nn
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.errors import GridnormWarning, OptionError

RNG = np.random.default_rng(6)
X, DY = (RNG.normal(2, 3, (3, 8, 5, 4)).astype(np.float32) for _ in range(2))
W, B = (RNG.normal(size=8).astype(np.float32) for _ in range(2))
MASK = RNG.random((3, 1, 5, 4)) < 0.8
on_a_device = pytest.mark.parametrize("backend", EVERY[2:3], indirect=True)

CALLS: dict[str, dict[str, Any]] = {
    "equal groups": {"num_groups": 4, "weight": W, "bias": B},
    "labels": {"groups": [0, 1, 0, 2, 2, 2, 1, 0], "weight": W, "bias": B, "activation": "silu"},
    "passed": {"groups": [0, 0, -1, 1, 1, -1, 1, 0], "weight": W, "bias": B},
    "one group a channel": {"num_groups": 8},
    "per group": {"num_groups": 2, "weight": W[:2], "bias": B[:2], "affine": "group", "activation": "gelu"},
    "rms": {"num_groups": 2, "center": False},
    "masked": {"num_groups": 2, "mask": MASK, "weight": W},
    "weighted": {"num_groups": 2, "sample_weight": MASK + 0.5},
    "modulated": {"num_groups": 2, "weight": W, "bias": B, "scale": DY[:, :, 0, 0], "shift": DY[:, :1, 0, 1]},
}


def check(backend: Backend, found: Any, expected: Any) -> None:
    """Results are near NumPy's; gradients relative to the largest."""
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(np.abs(other).max(initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=0, atol=backend.tolerance(np.float32) * scale)
        assert one.dtype == other.dtype


def both(backend: Backend, function: Any, *args: Any, **options: Any) -> Any:
    """NumPy's results, which those of the backend are near."""
    expected = backend.on_numpy(function, *args, **options)
    found = backend.run(function, *args, **options)
    check(
        backend,
        found if isinstance(found, tuple) else (found,),
        expected if isinstance(expected, tuple) else (expected,),
    )
    return expected


@others
@pytest.mark.parametrize("name", CALLS)
def test_group_norm_and_its_gradients(backend: Backend, name: str) -> None:
    rest = dict(CALLS[name])
    weight = rest.pop("weight", None)
    _, *stats = both(backend, nn.group_norm, X, weight=weight, **rest, return_stats=True)
    both(backend, nn.group_norm_backward, DY, X, *stats, weight, **rest)


@others
@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives(backend: Backend, name: str) -> None:
    rest = dict(CALLS[name])
    weight = rest.pop("weight", None)
    _, mean, rstd = backend.on_numpy(nn.group_norm, X, weight=weight, **rest, return_stats=True)
    dw = None if rest.get("affine") == "group" or rest.get("groups") is not None else W
    both(backend, nn.group_norm_double_backward, X[::-1].copy(), dw, None, DY, X, mean, rstd, weight, **rest)


@others
def test_channels_last_in_place_and_residual(backend: Backend) -> None:
    last = np.ascontiguousarray(np.moveaxis(X, 1, -1))
    both(backend, nn.group_norm, last, 4, channel_axis=-1)
    both(backend, nn.group_norm, X, 2, residual=DY, return_residual=True)
    place = X.copy()
    assert backend.run(nn.group_norm, place, 2, out=place) is place
    check(backend, [place], [backend.on_numpy(nn.group_norm, X, 2)])


def test_identities_hold_to_the_bit(backend: Backend) -> None:
    def of(function: Any, x: Any = X, *rest: Any) -> Any:
        return backend.run(function, x, *rest)

    np.testing.assert_array_equal(of(nn.group_norm, X, 1), of(nn.layer_norm))
    np.testing.assert_array_equal(of(nn.group_norm, X, 8), of(nn.instance_norm))
    np.testing.assert_array_equal(of(nn.group_norm, X, 2)[:1], of(nn.group_norm, X[:1], 2))


@others
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(backend: Backend, training: bool) -> None:
    ours, theirs = (
        {"running_mean": np.ones(8, np.float32), "running_var": np.full(8, 2.0, np.float32)} for _ in range(2)
    )
    rest = {"weight": W, "bias": B, "training": training, "return_stats": True}
    expected = backend.on_numpy(nn.batch_norm, X, **theirs, **rest)
    check(backend, backend.run(nn.batch_norm, X, **ours, **rest), expected)
    check(backend, ours.values(), theirs.values())
    both(backend, nn.batch_norm_backward, DY, X, *expected[1:], W, training=training)


@others
def test_segment_norm(backend: Backend) -> None:
    x, labels = X.reshape(-1, 4), np.arange(120) % 7
    _, *stats = both(backend, nn.segment_norm, x, segments=labels, return_stats=True)
    both(backend, nn.segment_norm_backward, x, x, *stats, segments=labels)


@others
@pytest.mark.parametrize(
    ("forward", "backward", "options"),
    [
        (nn.rms_norm, nn.rms_norm_backward, {"num_groups": 2}),
        (nn.rms_norm, nn.rms_norm_backward, {"groups": [0, 1, 0, 2, 2, -1, 1, 0]}),
        (nn.layer_norm, nn.layer_norm_backward, {"normalized_shape": (5, 4)}),
        (nn.batch_norm, nn.batch_norm_backward, {"training": True, "ghost_size": 2}),
        (nn.segment_norm, nn.segment_norm_backward, {"segments": [0, 0, 0]}),
    ],
    ids=["rms", "rms of labels", "layer", "batch", "segments"],
)
def test_every_norm_has_every_option(backend: Backend, forward: Any, backward: Any, options: dict[str, Any]) -> None:
    lies = "normalized_shape" in options or "segments" in options
    tables = {"scale": DY if lies else DY[:, :, 0, 0], "shift": DY[:1, :, :1] if lies else DY[:, :1, 0, 1]}
    weights = np.broadcast_to(MASK + 0.5, X.shape)  # what is masked might leave a segment one value
    rest = {**options, **tables, "sample_weight": weights, "activation": "silu"}
    _, *stats, total = both(backend, forward, X, residual=DY, return_residual=True, return_stats=True, **rest)
    both(backend, backward, DY, total, *stats, **rest)


def test_one_value_a_group_is_the_bias(backend: Backend) -> None:
    with pytest.warns(GridnormWarning, match="one value"):
        y = backend.run(nn.group_norm, X[:, :, :1, :1], 8, bias=B)
    np.testing.assert_array_equal(y, np.broadcast_to(B[:, None, None], (3, 8, 1, 1)))


@on_a_device
def test_a_layer_moves_to_the_device(backend: Backend) -> None:
    x, dy = backend.asarray(X), backend.asarray(DY)
    layer = nn.GroupNorm(2, 8).to(x)
    check(backend, [backend.to_numpy(layer(x))], [backend.on_numpy(nn.group_norm, X, 2)])
    layer.backward(dy)
    assert isinstance(layer.grads["weight"], current_device().xp.ndarray)
    assert isinstance(layer.to(X).weight, np.ndarray)


@on_a_device
def test_arrays_of_two_kinds_are_refused(backend: Backend) -> None:
    with pytest.raises(OptionError, match="arrays of different libraries cannot be mixed"):
        nn.group_norm(backend.asarray(X), 2, W)
    with pytest.raises(OptionError, match="arrays of different libraries cannot be mixed"):
        nn.group_norm(X, 2, backend.asarray(W))
