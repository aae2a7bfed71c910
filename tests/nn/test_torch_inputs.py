"""The inputs on which PyTorch and Chainer test their own group normalization, on arrays, against PyTorch in float64."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from gridnorm import nn
from gridnorm.errors import OptionError

F = torch.nn.functional
Arrays = list[Any]


def arrays(*shapes: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def double(array: Any) -> Any:
    return None if array is None else torch.tensor(np.asarray(array, np.float64), requires_grad=True)


def close(ours: Any, theirs: Any, tolerance: float) -> None:
    """Within ``tolerance`` of the largest number of what is expected."""
    expected = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert ours.shape == expected.shape
    if expected.size:
        limit = tolerance * max(1.0, float(np.abs(expected).max()))
        assert float(np.abs(ours.astype(np.float64) - expected).max()) <= limit


def check(x: Any, groups: int, weight: Any, bias: Any, eps: float, tolerance: float = 1e-12) -> None:
    """Result, statistics and gradients."""
    y, mean, rstd = nn.group_norm(x, groups, weight, bias, eps, return_stats=True)
    leaves = [double(a) for a in (x, weight, bias)]
    # torch cannot differentiate a bias without a weight here.
    ones = torch.ones(x.shape[1], dtype=torch.float64) if weight is None and bias is not None else leaves[1]
    expected = F.group_norm(leaves[0], groups, ones, leaves[2], eps)
    assert y.dtype == x.dtype
    close(y, expected, tolerance)
    dy = arrays(x.shape, dtype=x.dtype, seed=9)[0]
    found = nn.group_norm_backward(dy, x, mean, rstd, weight, bias=bias)
    given = [leaf for leaf in leaves if leaf is not None]
    gradients = iter(torch.autograd.grad(expected, given, torch.from_numpy(dy.astype(np.float64))))
    for ours, leaf in zip(found, leaves, strict=True):
        if leaf is not None:
            close(ours, next(gradients), 10 * tolerance)


# torch's samples: shape, groups, eps


@pytest.mark.parametrize("parameters", ["both", "weight", "bias", "none"])
@pytest.mark.parametrize(
    ("shape", "groups", "eps"),
    [
        ((1, 6, 3), 2, 0.5),
        ((2, 6, 3), 2, 1e-5),
        ((1, 3), 1, 1e-5),
        ((0, 2), 1, 1e-5),
        ((5, 5, 5), 1, 0.5),
        ((1, 2), 1, 1e-5),
    ],
)
def test_samples_of_the_function(shape: tuple[int, ...], groups: int, eps: float, parameters: str) -> None:
    x, weight, bias = arrays(shape, (shape[1],), (shape[1],))
    keep_weight, keep_bias = parameters in ("both", "weight"), parameters in ("both", "bias")
    check(x, groups, weight if keep_weight else None, bias if keep_bias else None, eps)


def test_a_negative_eps_is_refused() -> None:
    # One of torch's samples has eps -0.5; the square root of a negative number helps nobody.
    (x,) = arrays((2, 6, 3))
    with pytest.raises(OptionError, match=r"eps cannot have this value; found -0\.5"):
        nn.group_norm(x, 2, eps=-0.5)


def test_error_inputs() -> None:
    with pytest.raises(OptionError, match="too few axes"):
        nn.group_norm(np.ones(3), 1)
    with pytest.raises(OptionError, match="6 channels cannot be cut into 4 groups"):
        nn.group_norm(np.ones((2, 6)), 4)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((4, 6, 5), 3),
        ((4, 12), 3),
        ((150, 6), 1),
        ((4, 5, 5), 5),
        ((4, 10), 1),
        ((4, 6, 2, 3), 3),
        ((4, 9, 2, 3), 3),
        ((4, 6, 2, 3), 6),
        ((4, 6, 2, 3), 1),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parameters", [0, 1, 2])
def test_samples_of_the_module(shape: tuple[int, ...], groups: int, dtype: Any, parameters: int) -> None:
    x, *given = arrays(shape, *[(shape[1],)] * parameters, dtype=dtype)
    weight, bias = (*given, None, None)[:2]
    check(x, groups, weight, bias, 1e-3, 1e-12 if dtype == np.float64 else 2e-6)


@pytest.mark.parametrize("shape", [(4, 3, 15), (2, 3, 6, 6), (2, 3, 4, 4, 4)])
@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm(shape: tuple[int, ...], affine: bool) -> None:
    x, weight, bias = arrays(shape, (3,), (3,))
    given = (weight, bias) if affine else (None, None)
    tensors = [None if a is None else torch.from_numpy(a) for a in given]
    close(nn.instance_norm(x, *given), F.instance_norm(torch.from_numpy(x), None, None, *tensors), 1e-13)
    # One sample without a batch axis.
    close(nn.instance_norm(x[0], *given, channel_axis=0, batch_axes=()), nn.instance_norm(x[:1], *given)[0], 0)


@pytest.mark.parametrize(
    ("shape", "normalized"),
    [
        ((4, 5, 5), (5,)),
        ((4, 5, 5), (5, 5)),
        ((2, 2, 3, 4), (2, 3, 4)),
        ((1, 2, 3), (3,)),
        ((0, 5), (5,)),
        ((5,), (5,)),
    ],
)
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(shape: tuple[int, ...], normalized: tuple[int, ...], affine: bool) -> None:
    x, dy, weight, bias = arrays(shape, shape, normalized, normalized)
    w, b = (weight, bias) if affine else (None, None)
    leaves = [double(a) for a in (x, w, b)]
    expected = F.layer_norm(leaves[0], normalized, leaves[1], leaves[2], 1e-3)
    y, mean, rstd = nn.layer_norm(x, normalized, w, b, 1e-3, return_stats=True)
    close(y, expected, 1e-13)
    found = nn.layer_norm_backward(dy, x, mean, rstd, w, bias=b, normalized_shape=normalized)
    given = [leaf for leaf in leaves if leaf is not None]
    for ours, theirs in zip(found, torch.autograd.grad(expected, given, torch.from_numpy(dy)), strict=False):
        close(ours, theirs, 1e-12)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((1, 2, 3, 4), 2), ((2, 3, 10), 3), ((3, 1, 1, 1, 2), 1), ((2, 6, 4, 2, 2), 3), ((1, 256, 1, 1), 32)],
)
def test_groups_have_mean_0_and_variance_1(shape: tuple[int, ...], groups: int) -> None:
    x = np.random.default_rng(1).uniform(size=shape).astype(np.float32) * 10
    y = nn.group_norm(x, groups, eps=0.0).reshape(shape[0], groups, -1).astype(np.float64)
    assert np.abs(y.mean(2)).max() < 1e-5
    assert np.abs(y.var(2) - 1).max() < 1e-5
    scale, shift = np.random.default_rng(2).uniform(size=(2, shape[1])).astype(np.float32) * 2
    wide = (1, -1, *(1 for _ in shape[2:]))
    expected = nn.group_norm(x, groups, eps=0.0) * scale.reshape(wide) + shift.reshape(wide)
    assert np.abs(nn.group_norm(x, groups, scale, shift, 0.0) - expected).max() < 1e-5


def test_an_empty_batch() -> None:
    assert nn.group_norm(np.ones((0, 4, 2, 2), np.float32), 4).shape == (0, 4, 2, 2)


@pytest.mark.slow
def test_many_values_a_group() -> None:
    x = np.random.default_rng(0).uniform(size=(1, 8, 256, 256, 72)).astype(np.float32)
    expected = F.group_norm(torch.from_numpy(x).double(), 4).numpy()
    assert np.abs(nn.group_norm(x, 4) - expected).max() < 2e-6


# Chainer's: forward, backward and double backward

TOLERANCE = {np.float64: (1e-12, 1e-9), np.float32: (3e-6, 1e-3), np.float16: (2e-3, 1e-2)}


def spread_out(shape: tuple[int, ...], groups: int, dtype: Any) -> Any:
    """Values whose groups all have a spread: where one has none, derivatives are huge and compare badly."""
    least = 0.2 if dtype == np.float16 else 0.02
    for seed in range(100):
        x = np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)
        if x.astype(np.float64).reshape(shape[0], groups, -1).std(2).min() >= least:
            return x
    raise AssertionError("no such values")


CHAINER = product([(1, 4, 5, 3), (5, 4, 7), (3, 20)], [1, 2, 4], [np.float16, np.float32, np.float64], [1e-5, 1e-1])


@pytest.mark.parametrize(("shape", "groups", "dtype", "eps"), list(CHAINER))
def test_double_backward(shape: tuple[int, ...], groups: int, dtype: Any, eps: float) -> None:
    x, channels = spread_out(shape, groups, dtype), (shape[1],)
    weight, bias, ddw, ddb = arrays(channels, channels, channels, channels, dtype=dtype, seed=3)
    dy, ddx = arrays(shape, shape, dtype=dtype, seed=4)
    forward, backward = TOLERANCE[dtype]
    y, mean, rstd = nn.group_norm(x, groups, weight, bias, eps, return_stats=True)
    first = nn.group_norm_backward(dy, x, mean, rstd, weight, bias=bias)
    second = nn.group_norm_double_backward(ddx, ddw, ddb, dy, x, mean, rstd, weight, bias=bias)
    leaves = [double(a) for a in (x, weight, bias)]
    grad = double(dy)
    expected = F.group_norm(leaves[0], groups, leaves[1], leaves[2], eps)
    close(y, expected, forward)
    gradients = torch.autograd.grad(expected, leaves, grad, create_graph=True)
    for ours, theirs in zip(first, gradients, strict=True):
        close(ours, theirs, backward / 10)
    seeds = [torch.from_numpy(a.astype(np.float64)) for a in (ddx, ddw, ddb)]
    of_dy, of_x, of_weight = torch.autograd.grad(gradients, (grad, leaves[0], leaves[1]), seeds)
    for ours, theirs in zip(second, (of_dy, of_x, of_weight), strict=False):
        close(ours, theirs, backward)
    assert not second[3].any()  # the bias has no part in the first derivative


# Keras's


def test_known_values() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 2, 2)
    y = nn.group_norm(x, 2, eps=1e-3)
    assert float(y[0, 1, 1, 1]) == pytest.approx(1.5275, abs=1e-3)
    assert float(y[0, 0, 0, 0]) == pytest.approx(-1.5275, abs=1e-3)


@pytest.mark.parametrize("groups", [-1, 0, -2, 1.5, "32", 8, 3])
def test_refused_numbers_of_groups(groups: Any) -> None:
    with pytest.raises(OptionError, match="num_groups must be|groups of one size"):
        nn.group_norm(np.ones((1, 4, 2), np.float32), groups)
