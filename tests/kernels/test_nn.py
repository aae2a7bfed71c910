"""``gridnorm.nn`` on device arrays: the kernels, executed on the CPU, on arrays that refuse what CuPy's refuse."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import cudashim
import numpy as np
import pytest
import strict

from gridnorm import nn
from gridnorm.core.engines.cuda.device import current_device, use_device
from gridnorm.errors import OptionError

RNG = np.random.default_rng(6)
X, DY = (RNG.normal(2, 3, (3, 8, 5, 4)).astype(np.float32) for _ in range(2))
W, B = (RNG.normal(size=8).astype(np.float32) for _ in range(2))
MASK = RNG.random((3, 1, 5, 4)) < 0.8
TOLERANCE = 4e-6  # of float32 results of about 1; gradients are relative to the largest


@pytest.fixture(autouse=True)
def refusing(skip_without: Callable[[str, str], None]) -> Iterator[None]:
    if cudashim.MODE != "fast":
        pytest.skip("about arrays, not about memory or races")
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    with use_device(strict.StrictDevice()):
        yield


pytestmark = pytest.mark.shim

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


def to_device(value: Any) -> Any:
    return current_device().xp.asarray(value) if isinstance(value, np.ndarray) else value


def moved(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: to_device(value) for name, value in arguments.items()}


def check(found: Any, expected: Any) -> None:
    """Device results are device results, and near NumPy's."""
    assert isinstance(found, current_device().xp.ndarray)
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found.held, expected, rtol=0, atol=TOLERANCE * scale)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("name", CALLS)
def test_group_norm_and_its_gradients(name: str) -> None:
    arguments = CALLS[name]
    expected = nn.group_norm(X, **arguments, return_stats=True)
    found = nn.group_norm(to_device(X), **moved(arguments), return_stats=True)
    for one, other in zip(found, expected, strict=True):
        check(one, other)
    rest = dict(arguments)
    weight = rest.pop("weight", None)
    wanted = nn.group_norm_backward(DY, X, *expected[1:], weight, **rest)
    got = nn.group_norm_backward(to_device(DY), to_device(X), *found[1:], to_device(weight), **moved(rest))
    for one, other in zip(got, wanted, strict=True):
        check(one, other)


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives(name: str) -> None:
    rest = dict(CALLS[name])
    weight = rest.pop("weight", None)
    _, mean, rstd = nn.group_norm(X, weight=weight, **rest, return_stats=True)
    groups = rest.get("groups")
    dw = None if rest.get("affine") == "group" or groups is not None else W
    call = (X[::-1].copy(), dw, None, DY, X, mean, rstd, weight)
    wanted = nn.group_norm_double_backward(*call, **rest)
    got = nn.group_norm_double_backward(*(to_device(a) for a in call), **moved(rest))
    for one, other in zip(got, wanted, strict=True):
        check(one, other)


def test_channels_last_in_place_and_residual() -> None:
    last = np.ascontiguousarray(np.moveaxis(X, 1, -1))
    check(nn.group_norm(to_device(last), 4, channel_axis=-1), nn.group_norm(last, 4, channel_axis=-1))
    expected = nn.group_norm(X, 2, residual=DY, return_residual=True)
    for one, other in zip(
        nn.group_norm(to_device(X), 2, residual=to_device(DY), return_residual=True), expected, strict=True
    ):
        check(one, other)
    place = to_device(X.copy())
    nn.group_norm(place, 2, out=place)
    check(place, nn.group_norm(X, 2))


def test_identities_hold_to_the_bit() -> None:
    x = to_device(X)
    np.testing.assert_array_equal(nn.group_norm(x, 1).held, nn.layer_norm(x).held)
    np.testing.assert_array_equal(nn.group_norm(x, 8).held, nn.instance_norm(x).held)
    np.testing.assert_array_equal(nn.group_norm(x, 2).held[:1], nn.group_norm(to_device(X[:1]), 2).held)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training: bool) -> None:
    running = [np.ones(8, np.float32), np.full(8, 2.0, np.float32)]
    theirs = [to_device(a.copy()) for a in running]
    expected = nn.batch_norm(X, *running, W, B, training, return_stats=True)
    found = nn.batch_norm(to_device(X), *theirs, to_device(W), to_device(B), training, return_stats=True)
    for one, other in zip((*found, *theirs), (*expected, *running), strict=True):
        check(one, other)
    wanted = nn.batch_norm_backward(DY, X, *expected[1:], W, training=training)
    got = nn.batch_norm_backward(to_device(DY), to_device(X), *found[1:], to_device(W), training=training)
    for one, other in zip(got, wanted, strict=True):
        check(one, other)


def test_segment_norm() -> None:
    x, labels = X.reshape(-1, 4), np.arange(120) % 7
    expected = nn.segment_norm(x, labels, return_stats=True)
    found = nn.segment_norm(to_device(x), labels, return_stats=True)
    for one, other in zip(found, expected, strict=True):
        check(one, other)
    wanted = nn.segment_norm_backward(x, x, *expected[1:], segments=labels)
    got = nn.segment_norm_backward(to_device(x), to_device(x), *found[1:], segments=labels)
    for one, other in zip(got, wanted, strict=True):
        check(one, other)


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
def test_every_norm_has_every_option(forward: Any, backward: Any, options: dict[str, Any]) -> None:
    lies = "normalized_shape" in options or "segments" in options
    tables = {"scale": DY if lies else DY[:, :, 0, 0], "shift": DY[:1, :, :1] if lies else DY[:, :1, 0, 1]}
    weights = np.broadcast_to(MASK + 0.5, X.shape)  # what is masked might leave a segment one value
    rest = {**tables, "sample_weight": weights, "activation": "silu"}
    y, *stats, total = forward(X, residual=DY, return_residual=True, return_stats=True, **options, **rest)
    found = forward(
        to_device(X), residual=to_device(DY), return_residual=True, return_stats=True, **options, **moved(rest)
    )
    for one, other in zip(found, (y, *stats, total), strict=True):
        check(one, other)
    wanted = backward(DY, total, *stats, **options, **rest)
    got = backward(to_device(DY), found[-1], *found[1:-1], **options, **moved(rest))
    for one, other in zip(got, wanted, strict=True):
        check(one, other)


def test_a_layer_moves_to_the_device() -> None:
    layer = nn.GroupNorm(2, 8).to(to_device(X))
    y = layer(to_device(X))
    check(y, nn.group_norm(X, 2))
    layer.backward(to_device(DY))
    assert isinstance(layer.grads["weight"], current_device().xp.ndarray)
    assert isinstance(layer.to(X).weight, np.ndarray)


def test_arrays_of_two_kinds_are_refused() -> None:
    with pytest.raises(OptionError, match="arrays of different libraries cannot be mixed"):
        nn.group_norm(to_device(X), 2, W)
    with pytest.raises(OptionError, match="arrays of different libraries cannot be mixed"):
        nn.group_norm(X, 2, to_device(W))


def test_one_value_a_group_is_the_bias_here_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = nn.group_norm(to_device(X[:, :, :1, :1]), 8, bias=to_device(B))
    np.testing.assert_array_equal(y.held, np.broadcast_to(B[:, None, None], (3, 8, 1, 1)))
