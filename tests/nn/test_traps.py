"""Mistakes that other implementations of group normalization have made, each as an expectation here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from formula import formula, split

from gridnorm.nn import group_norm, group_norm_backward, instance_norm, layer_norm

bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
RNG = np.random.default_rng


def largest(a: np.ndarray, b: Any) -> float:
    return float(np.abs(a.astype(np.float64) - b).max())


@pytest.mark.parametrize(("channels", "number"), [(48, 16), (12, 4), (21, 7), (10, 2), (33, 3)])
def test_group_sizes_that_are_no_power_of_two(channels: int, number: int) -> None:
    """Neighbouring groups differ by orders of magnitude: one value of the wrong group would show."""
    x = RNG(0).normal(size=(2, channels, 3)) * 100.0 ** (split(channels, number) % 4)[:, None]
    y = group_norm(x, number)
    assert largest(y, formula(x, split(channels, number))[0]) <= 1e-12
    parts = [group_norm(p.copy(), 1) for p in np.split(x, number, axis=1)]
    assert np.array_equal(y, np.concatenate(parts, axis=1))


def test_one_group_is_not_one_channel() -> None:
    x = RNG(0).normal(size=(1, 2, 3, 3)) + np.array([0.0, 10.0])[:, None, None]
    y = group_norm(x, 1)
    assert y[0, 0].max() < 0 < y[0, 1].min()  # instance normalization would centre each
    assert abs(y.mean()) <= 1e-14 and abs(y.var() - 1) <= 1e-5


def test_statistics_leave_the_group_axis() -> None:
    x = RNG(0).normal(size=(3, 6, 4))
    _, mean, _ = group_norm(x, 2, return_stats=True)
    assert largest(mean, x.reshape(3, 2, 12).mean(axis=2)) <= 1e-15


def test_every_axis_may_be_given_from_either_end() -> None:
    x = RNG(0).normal(size=(2, 6, 6, 6))
    for axis in (1, 2, 3):
        a, b = (group_norm(x, 3, channel_axis=k) for k in (axis, axis - 4))
        assert np.array_equal(a, b)
        assert largest(a, formula(x, split(6, 3), channel_axis=axis)[0]) <= 1e-13


@pytest.mark.parametrize("size", [300.0, 20000.0])
def test_squares_of_half_precision_do_not_run_over(size: float) -> None:
    x = (RNG(0).normal(size=(2, 8, 16, 16)) * size).clip(-60000, 60000).astype(np.float16)
    y, mean, rstd = group_norm(x, 2, return_stats=True)
    wanted, m, r = formula(x, split(8, 2))
    assert largest(y, wanted) <= 2**-9 and largest(rstd / r, 1.0) <= 1e-6 and largest(mean / m, 1.0) <= 1e-5
    dx, dweight, dbias = group_norm_backward(np.ones_like(x), x, mean, rstd)
    assert np.isfinite(dx).all() and np.isfinite(dweight).all()
    assert np.array_equal(dbias, np.full(8, 512.0))  # a count kept in half precision stops at 2048 = 8·256


def test_counts_beyond_half_precision() -> None:
    x = (RNG(0).normal(size=(1, 2, 300, 300)) + 2).astype(np.float16)  # 90 000 values
    assert largest(group_norm(x, 1), formula(x, [0, 0])[0]) <= 2**-9


@pytest.mark.parametrize("eps", [1e-12, 1e-8, 1e-20])
@pytest.mark.parametrize("dtype", [np.float16, bfloat16])
def test_eps_that_half_precision_rounds_to_zero(dtype: Any, eps: float) -> None:
    x = RNG(0).normal(size=(2, 4, 9)).astype(dtype)
    x[0, :2] = 1.5
    y, mean, rstd = group_norm(x, 2, eps=eps, return_stats=True)
    assert not y[0, :2].astype(np.float32).any()
    assert largest(y, formula(x, split(4, 2), eps=eps)[0]) <= 2**-7
    assert abs(rstd[0, 0] * np.sqrt(eps) - 1) <= 1e-6
    dx, *_ = group_norm_backward(np.zeros_like(x), x, mean, rstd)
    assert not dx.astype(np.float32).any()


def test_70000_does_not_fit_half_precision() -> None:
    """Given as float16 it is infinite before it comes here: NaN, but in its own group and sample only."""
    with np.errstate(over="ignore"):
        x = np.where(np.arange(24).reshape(2, 4, 3) == 4, 70000.0, 1.0).astype(np.float16)
    y, mean, rstd = group_norm(x, 2, return_stats=True)
    assert np.isnan(y[0, :2]).all() and np.isnan([mean[0, 0], rstd[0, 0]]).all()
    assert not y[0, 2:].any() and not y[1].any()
    full = group_norm(np.where(np.isinf(x), np.float32(70000), x), 2)
    assert np.isfinite(full).all()


@pytest.mark.parametrize("size", [1e18, 1e25, 1e30, 1e35])
def test_squares_of_single_precision_do_not_run_over(size: float) -> None:
    x = (RNG(0).normal(size=(2, 6, 40)) * size).astype(np.float32)
    x[1] = RNG(1).normal(size=(6, 40))
    dy = RNG(2).normal(size=x.shape).astype(np.float32)
    y, mean, rstd = group_norm(x, 2, return_stats=True)
    wanted, m, r = formula(x, split(6, 2))
    assert largest(y, wanted) <= 2e-6
    assert largest(rstd / r, 1.0) <= 2e-7
    assert np.abs(mean - m).max() <= 1e-7 * size
    dx, dweight, _ = group_norm_backward(dy, x, mean, rstd)
    exact = group_norm_backward(dy.astype(np.float64), x.astype(np.float64), m, r)
    assert largest(dx[0] * size, exact[0][0] * size) <= 2e-6 and largest(dx[1], exact[0][1]) <= 2e-6
    assert largest(dweight, exact[1]) <= 1e-4
    rms = group_norm(x, 2, center=False)
    assert largest(rms, formula(x, split(6, 2), center=False)[0]) <= 2e-6


def test_tiny_values() -> None:
    x = (RNG(0).normal(size=(2, 6, 40)) * 1e-30).astype(np.float32)
    assert largest(group_norm(x, 2, eps=0.0), formula(x, split(6, 2), eps=0.0)[0]) <= 2e-6
    assert np.abs(group_norm(x, 2)).max() <= 1e-26  # eps rules
    rms, mean, _ = group_norm(x + x.dtype.type(1e-30), 2, eps=0.0, center=False, return_stats=True)
    assert largest(rms, formula(x + x.dtype.type(1e-30), split(6, 2), eps=0.0, center=False)[0]) <= 2e-6
    assert not mean.any()
    _, mean, rstd = group_norm(x, 2, eps=0.0, return_stats=True)
    dy = RNG(2).normal(size=x.shape).astype(np.float32)
    dx = group_norm_backward(dy, x, mean, rstd)[0]
    exact = group_norm_backward(dy.astype(np.float64), x.astype(np.float64), mean, rstd.astype(np.float64))[0]
    assert largest(dx * 1e-30, exact * 1e-30) <= 2e-6


def test_one_huge_value_among_small_ones() -> None:
    for outlier in (1e4, 1e6, 1e8):
        x = RNG(0).normal(size=(1, 4, 500)).astype(np.float32)
        x[0, 0, 0] = outlier
        y = group_norm(x, 1)
        wanted = formula(x, np.zeros(4, int))[0]
        # One square is all of the sum: the others are added to it in float32.
        assert np.abs(y - wanted).max() <= 2e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, bfloat16, np.float32, np.float64])
def test_a_bad_value_stays_in_its_group(dtype: Any, bad: float) -> None:
    x, dy = (RNG(k).normal(size=(3, 6, 5)).astype(dtype) for k in (0, 1))
    labels = np.array([0, 1, 0, 1, 0, -1])
    clean = group_norm(x, groups=labels, return_stats=True)
    clean_dx = group_norm_backward(dy, x, *clean[1:], groups=labels)[0]
    x[1, 2, 3] = bad
    y, mean, rstd = group_norm(x, groups=labels, return_stats=True)
    dx, dweight, dbias = group_norm_backward(dy, x, mean, rstd, groups=labels)
    hit = np.zeros(x.shape, bool)
    hit[1, labels == 0] = True
    for mine, theirs in ((y, clean[0]), (dx, clean_dx)):
        assert np.isnan(mine[hit].astype(np.float64)).all()
        assert mine[~hit].tobytes() == theirs[~hit].tobytes()
    assert np.isnan(mean[1, 0]) and np.isnan(rstd[1, 0]) and np.isnan(mean).sum() == 1
    assert np.isnan(dweight).tolist() == (labels == 0).tolist() and np.isfinite(dbias).all()


def test_a_bad_gradient_stays_in_its_group() -> None:
    x, dy = (RNG(k).normal(size=(3, 6, 5)).astype(np.float32) for k in (0, 1))
    _, mean, rstd = group_norm(x, 2, return_stats=True)
    dy[2, 1, 0] = np.nan
    dx, dweight, dbias = group_norm_backward(dy, x, mean, rstd)
    assert np.isnan(dx).sum() == 15 and np.isnan(dx[2, :3]).all()
    assert np.isnan(dweight).tolist() == np.isnan(dbias).tolist() == [False, True] + [False] * 4


@pytest.mark.parametrize("size", [127, 128, 129, 150, 1025])
def test_gradients_do_not_change_at_some_batch_size(size: int) -> None:
    x, dy = (RNG(k).normal(size=(size, 6)).astype(np.float32) for k in (0, 1))
    _, mean, rstd = group_norm(x, 1, return_stats=True)
    _, dweight, dbias = group_norm_backward(dy, x, mean, rstd)
    v, g = x.astype(np.float64), dy.astype(np.float64)
    xhat = (v - v.mean(axis=1, keepdims=True)) / np.sqrt(v.var(axis=1, keepdims=True) + 1e-5)
    assert largest(dweight, (g * xhat).sum(axis=0)) <= 1e-6 * size**0.5
    assert largest(dbias, g.sum(axis=0)) <= 1e-6 * size**0.5


@pytest.mark.parametrize("shape", [(1, 32, 31, 33), (2, 4, 1, 17), (3, 8, 63, 5), (1, 2, 2163), (1, 1, 1, 3)])
def test_widths_that_fill_no_tile(shape: tuple[int, ...]) -> None:
    x = (RNG(0).normal(size=shape) + 3).astype(np.float32)
    number = shape[1] if shape[1] < 4 else shape[1] // 4
    assert largest(group_norm(x, number), formula(x, split(shape[1], number))[0]) <= 4e-6


def test_known_values() -> None:
    x = np.arange(16.0, dtype=np.float32).reshape(1, 4, 2, 2)
    y = group_norm(x, 2, eps=1e-3)
    row = (np.arange(8) - 3.5) / np.sqrt(5.25 + 1e-3)
    assert abs(row[0] + 1.5274) <= 1e-4
    assert largest(y, np.tile(row, 2).reshape(1, 4, 2, 2)) <= 1e-6
    two = np.array([[1.0, 3.0, 10.0, 30.0]])
    assert largest(group_norm(two, 2, eps=0.0), [[-1, 1, -1, 1]]) <= 1e-15


def test_offset_data_against_float64() -> None:
    """A mean of −2.3 beside a deviation of 0.5, in every type, with a fused activation."""
    x = (RNG(0).normal(size=(4, 32, 16, 16)) * 0.5 - 2.3).astype(np.float32)
    for dtype, tolerance in ((np.float32, 2e-6), (np.float16, 4e-3), (bfloat16, 3e-2)):
        v = x.astype(dtype)
        y = group_norm(v, 16, activation="silu")
        assert largest(y, formula(v, split(32, 16), activation="silu")[0]) <= tolerance


def test_a_larger_batch_adds_no_error() -> None:
    x = RNG(0).uniform(size=(1, 8, 64, 64, 18)).astype(np.float32)
    assert largest(group_norm(x, 2), formula(x, split(8, 2))[0]) <= 1e-6


def test_instance_norm_at_one_position_erases_the_signal() -> None:
    x = RNG(0).normal(size=(4, 6, 1, 1))
    with pytest.warns(UserWarning, match="every group holds one value"):
        y = instance_norm(x, bias=np.arange(6.0))
    assert np.array_equal(y[..., 0, 0], np.tile(np.arange(6.0), (4, 1)))
    assert layer_norm(x).std() > 0.9


def test_two_values_per_group() -> None:
    """The Jacobian is (nearly) zero: x̂ is ±1 whatever the values are."""
    x, dy = RNG(0).normal(size=(5, 4)), RNG(1).normal(size=(5, 4))
    y, mean, rstd = group_norm(x, 2, eps=0.0, return_stats=True)
    assert largest(np.abs(y), 1.0) <= 1e-12
    assert np.abs(group_norm_backward(dy, x, mean, rstd)[0] / rstd.max()).max() <= 1e-11


def test_small_variances_beside_large_ones() -> None:
    """Quiet channels nearly vanish in a group of loud ones; groups by variance keep them."""
    deviations = np.array([10.0, 10, 10, 0.1, 10, 10, 10, 0.1])
    x = RNG(0).normal(size=(4, 8, 400)) * deviations[:, None]
    quiet = deviations < 1
    assert group_norm(x, 2)[:, quiet].std(axis=2).max() < 0.02
    assert abs(group_norm(x, groups=quiet.astype(int))[:, quiet].std() - 1) < 0.01


@pytest.mark.parametrize("bad", [1e200, -1e300, np.inf, np.nan])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_equal_values_are_exactly_the_bias_whatever_is_masked(bad: float, place: tuple[int, int]) -> None:
    x = np.full((2, 4, 6), 0.1)
    mask = np.ones(x.shape, bool)
    mask[:, *place] = False
    x[:, *place] = bad
    y = group_norm(x, 2, bias=np.arange(4.0), eps=1e-5, mask=mask)
    assert np.array_equal(y[mask], np.broadcast_to(np.arange(4.0)[:, None], x.shape)[mask])
