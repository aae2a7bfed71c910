"""Lowess kernels at the edges: gaps and sums at the limits of numbers, ties, windows and segments without a slope."""

from __future__ import annotations

import numpy as np
import pytest
from lowess_cases import assert_same, draw, fit, x86

from gridnorm.core.engines import numpy as twin
from gridnorm.core.engines.cuda import curves as verbs
from gridnorm.core.engines.cuda import lowess as launches
from gridnorm.core.engines.numpy import lowess_seeds
from gridnorm.core.segments import Segments


@x86
@pytest.mark.parametrize("seed", [2011, 2225, 3749])
def test_seeds_follow_sums_of_a_64_bit_significand(device, seed):
    """With x on a grid the last bit of R's running sum decides which items become seeds: here a double's is wrong."""
    n, npts = 480, 200
    x = np.sort(np.round(np.random.default_rng(seed).exponential(2, (1, n)), 2))
    w = 1.0 + np.arange(n)[None] % 3
    found, expected = (fit(b, x, np.sin(x), w, Segments.single(n), iterations=1) for b in (verbs, twin))
    assert_same(found, expected, 1.0)
    sums = np.cumsum(np.sort(np.diff(x[0])))[::-1]
    wrong = np.array([(sums[:npts] / (npts - np.arange(npts))).min()])
    assert not np.array_equal(x[0, np.unique(lowess_seeds.seeds_of(x[0], np.array([0, n]), wrong)[0])], found[1].x)


@x86
def test_seeds_of_subnormal_and_huge_gaps(device, small):
    rng = np.random.default_rng(21)
    for scale in (1e-320, 1e-310) if small else (1e-320, 1e-310, 1e-305, 1e-30, 1e150):
        x = rng.normal(10, 3, (1, 450)) * scale
        y, w = rng.normal(size=x.shape), rng.uniform(0.1, 1, x.shape)
        found, expected = (fit(b, x, y, w, Segments.single(450), iterations=1) for b in (verbs, twin))
        assert_same(found, expected, np.abs(y).max())
        assert found[1].x.size < 250


def tiny_then_large(gap, large):
    """300 steps of about ``gap``, then steps of ``large`` and more: x of one batch entry."""
    start = np.arange(301) * gap
    return np.concatenate([start, large + np.arange(200.0) * (1 + large)])[None]


@x86
def test_seeds_where_a_sum_of_gaps_outgrows_its_significand(device, small):
    """Gaps that together fall on or below the last of 64 bits, and a sum that rounds up to the next power of two."""
    n = 501
    w, y = 1.0 + np.arange(n)[None] % 3, np.random.default_rng(32).normal(size=(1, n))
    just_below_two = 27 + (np.arange(1, 301) > 209)  # 8191 units of 2^-65; 2 less that is 2 - 2^-52 as a double
    units = np.concatenate([[0], np.cumsum(just_below_two)])
    rounding = np.concatenate([units * 2.0**-65, 2 + np.arange(200.0) * 3])[None]
    assert rounding[0, 301] - rounding[0, 300] == 2 - 2.0**-52
    for x in (*(tiny_then_large(2.0**k, 1.0) for k in ((-72,) if small else (-70, -71, -72, -73, -100))), rounding):
        found, expected = (fit(b, x, y, w, Segments.single(n), iterations=1) for b in (verbs, twin))
        assert_same(found, expected, np.abs(y).max())


def test_zeros_of_both_signs_are_one_value(device, small):
    """+0 before -0 makes a gap of -0, which must not count as the widest when seeds are chosen."""
    rng = np.random.default_rng(33)
    x = np.concatenate([rng.normal(0, 1, (1, 400)), [[0.0, -0.0] * 40]], axis=1)
    y, w = rng.normal(size=x.shape), rng.uniform(0.1, 1, x.shape)
    for weights in (None, w):
        found, expected = (fit(b, x, y, weights, Segments.single(x.size), iterations=1) for b in (verbs, twin))
        assert_same(found, expected, np.abs(y).max())
        assert_same(found, fit(verbs, x + 0.0, y, weights, Segments.single(x.size), iterations=1))


def test_a_window_of_everything(device):
    """At span 1 the weight held may stay below the target by rounding: the window ends with the items."""
    x, y, w = draw(np.random.default_rng(34), 1, 61, "uniform")
    found, expected = (fit(b, x, y, w, Segments.single(61), span=1.0) for b in (verbs, twin))
    assert_same(found, expected, np.nanmax(np.abs(y)))


@pytest.mark.parametrize("x", [[3.0] * 5, [1e9, 1e9, 1e9 + 1e-6, 1e9 + 1e-6, 1e9 + 1e-6], [1.0, 2.0, 4.0, 4.0, 5.0]])
def test_a_weighted_line_through_few_items_and_weights_beyond_their_limits(device, x):
    y = np.array([[1.0, 2.0, 0.5, 3.0, 1.5]])
    for w in ([1.0, 2.0, 3.0, 4.0, 5.0], [1e7, 1e-9, 1.0, 2e5, 0.0]):
        found, expected = (fit(b, np.array([x]), y, np.array([w]), Segments.single(5)) for b in (verbs, twin))
        assert_same(found, expected, 3.0)


@pytest.mark.parametrize("weights", ["none", "uniform"])
def test_long_windows_of_one_x(device, small, monkeypatch, weights):
    monkeypatch.setattr(launches, "LARGE_THREADS", 64 if small else 512)
    rng = np.random.default_rng(35)
    x = np.repeat([1.0, 2.0, 2.5], [500, 100, 500])[None]
    y, w = rng.normal(size=x.shape), None if weights == "none" else rng.uniform(0.1, 1, x.shape)
    found, expected = (fit(b, x, y, w, Segments.single(1100)) for b in (verbs, twin))
    assert_same(found, expected, np.abs(y).max())


def test_degenerate_x_and_y(device):
    n = 60
    y = np.random.default_rng(27).normal(size=(1, n))
    ramp = np.arange(n)[None] / 7.0
    for x, values in (
        (np.full((1, n), 3.0), y),
        (np.repeat([[1.0, 2.0]], n // 2, axis=1), y),
        (np.where(ramp > 4, -0.0, 0.0), y),
        (ramp, np.full((1, n), 4.5)),
        (ramp * 1e-200, y),
        (ramp, np.where(ramp == 0, 1e12, y)),
    ):
        for w in (None, 0.1 + ramp % 1):
            found, expected = (fit(b, x, values, w, Segments.single(n)) for b in (verbs, twin))
            assert_same(found, expected, np.abs(values).max())
