"""Lowess of many segments: limma's results, a scalar oracle, independence of segments, and edge cases."""

from __future__ import annotations

import gzip
import itertools
import platform
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import lowess_reference as reference
import numpy as np
import pytest

from gridnorm.core.engines.knots import Knots
from gridnorm.core.engines.numpy import lowess_seeds, lowess_weighted
from gridnorm.core.engines.numpy import lowess_windows as module
from gridnorm.core.engines.numpy.lowess import lowess
from gridnorm.errors import OptionError

# Sums in another order than the oracle's; curves of order 1 to 1000.
TOLERANCE = 1e-10


def at_items(knots: Knots, x, offsets):
    """Fitted values: linear between knots; beside a NaN knot NaN, at a finite knot its value."""
    fitted = np.full(x.size, np.nan)
    for g, (a, b) in enumerate(itertools.pairwise(offsets)):
        kx, ky = (v[knots.offsets[g] : knots.offsets[g + 1]] for v in (knots.x, knots.y))
        if a == b:
            continue
        fitted[a:b] = np.interp(x[a:b], kx, ky)
        nearest = np.minimum(np.searchsorted(kx, x[a:b]), kx.size - 1)
        fitted[a:b] = np.where(kx[nearest] == x[a:b], ky[nearest], fitted[a:b])
    return fitted


def one(x, y, w=None, **options):
    """Knots and fitted values of one segment."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    offsets = np.array([0, x.size])
    knots = lowess(x, y, offsets, None if w is None else np.asarray(w, float), **options)
    return knots, at_items(knots, x, offsets)


def draw(rng, n):
    """Random sorted x, y, weights: ties, clusters, outliers, several kinds of weights."""
    kind = rng.integers(4)
    x = rng.uniform(6, 15, n) if kind == 0 else rng.normal(10, 2, n) if kind == 1 else rng.exponential(2, n)
    if kind == 3:
        x = rng.choice([1.0, 2.0, 3.0, 9.0], n) + rng.normal(0, 0.1, n)
    if rng.random() < 0.4:
        x = np.round(x, rng.integers(0, 3))
    y = np.sin(x) + rng.normal(0, 0.3, n)
    if rng.random() < 0.3:
        y[rng.random(n) < 0.1] *= 30
    weights = (rng.uniform(size=n), rng.choice([0.1, 1], n), (rng.random(n) > 0.3) * 1.0, rng.gamma(0.3, 1, n) * 1e3)
    return np.sort(x), y, weights[rng.integers(4)]


def stack(parts):
    """Segments one after the other, with their offsets."""
    offsets = np.concatenate([[0], np.cumsum([len(p[0]) for p in parts])])
    return *(np.concatenate([p[k] for p in parts]) for k in range(3)), offsets


def assert_same_curve(fitted, expected, x):
    """Same numbers and the same NaN; beside a NaN, limma keeps only the first of equal x, no function of x can."""
    finite = np.isfinite(expected)
    first = np.concatenate([[True], x[1:] != x[:-1]])
    np.testing.assert_array_equal(np.isnan(fitted)[first], ~finite[first])
    assert not np.isnan(fitted[finite]).any()
    np.testing.assert_allclose(fitted[finite], expected[finite], rtol=TOLERANCE, atol=TOLERANCE)


def golden_cases():
    with gzip.open(Path(__file__).parents[1] / "golden" / "lowess.tsv.gz", "rt") as file:
        table = np.loadtxt(file, skiprows=1)
    return [table[table[:, 0] == case] for case in np.unique(table[:, 0])]


def test_curves_equal_limma():
    compared = 0
    for rows in golden_cases():
        span, iterations, weighted = rows[0, 1], int(rows[0, 2]), rows[0, 3] == 1
        use = np.isfinite(rows[:, 4]) & np.isfinite(rows[:, 5])
        assert np.isnan(rows[~use, 7]).all()
        x, y, w, expected = rows[use, 4:].T
        if np.isnan(expected).any() and platform.machine() not in ("x86_64", "AMD64"):
            continue  # where a fit is NaN limma's next ones hang on the last bits of the platform's pow
        order = np.argsort(x, kind="stable")
        x, y, w, expected = (np.ascontiguousarray(v[order]) for v in (x, y, w, expected))
        _, fitted = one(x, y, w if weighted else None, span=span, iterations=iterations)
        if span < 1 / x.size:
            expected = np.array([expected[x == value].mean() for value in x])  # equal x share a knot
        assert_same_curve(fitted, expected, x)
        compared += 1
    assert compared >= 110


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_segments_equal_the_scalar_oracle(seed, weighted):
    rng = np.random.default_rng(seed)
    for _ in range(3):
        span, iterations = rng.uniform(0.1, 0.7), int(rng.integers(1, 7))
        least = max(17, int(4.1 / span) + 1)  # below 4 items a window Cleveland's robust passes act on rounding noise
        x, y, w, offsets = stack([draw(rng, int(np.exp(rng.uniform(np.log(least), np.log(500))))) for _ in range(5)])
        fitted = at_items(lowess(x, y, offsets, w if weighted else None, span=span, iterations=iterations), x, offsets)
        for a, b in itertools.pairwise(offsets):
            expected = reference.loess_fit(x[a:b], y[a:b], w[a:b] if weighted else None, span, iterations)
            assert_same_curve(fitted[a:b], expected, x[a:b])


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_many_random_segments_equal_the_scalar_oracle(weighted):
    rng = np.random.default_rng(99)
    for _ in range(150):
        span, iterations = rng.uniform(0.1, 0.7), int(rng.integers(1, 7))
        least = max(17, int(4.1 / span) + 1)
        x, y, w = draw(rng, int(np.exp(rng.uniform(np.log(least), np.log(2000)))))
        fitted = one(x, y, w if weighted else None, span=span, iterations=iterations)[1]
        expected = reference.loess_fit(x, y, w if weighted else None, span, iterations)
        assert_same_curve(fitted, expected, x)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cells", [1, 20_000, 10_000_000])
def test_a_segment_does_not_depend_on_the_others_to_the_bit(monkeypatch, weighted, cells):
    rng = np.random.default_rng(3)
    sizes = [0, 1, 2, 3, 5, 14, 420, 0, 419, 20, 1000, 33, 6000, 421, 8, 0]
    parts = [draw(rng, n) for n in sizes]
    x, y, w, offsets = stack(parts)
    w[offsets[6] : offsets[7]] = 0.5  # one unweighted segment among weighted ones
    parts[6][2][:] = 0.5
    alone = [lowess(px, py, np.array([0, len(px)]), pw if weighted else None) for px, py, pw in parts]
    monkeypatch.setattr(module, "_CELLS", cells)
    together = lowess(x, y, offsets, w if weighted else None)
    np.testing.assert_array_equal(together.offsets, np.cumsum([0, *(k.x.size for k in alone)]))
    np.testing.assert_array_equal(together.x, np.concatenate([k.x for k in alone]))
    np.testing.assert_array_equal(together.y, np.concatenate([k.y for k in alone]))


@pytest.mark.parametrize("weighted", [False, True])
def test_knots_ascend_span_the_segment_and_never_write_to_inputs(weighted):
    rng = np.random.default_rng(4)
    x, y, w, offsets = stack([draw(rng, n) for n in (1, 2, 7, 30, 300, 2500)])
    for values in (x, y, w, offsets):
        values.flags.writeable = False
    knots = lowess(x, y, offsets, w if weighted else None)
    for g, (a, b) in enumerate(itertools.pairwise(offsets)):
        kx = knots.x[knots.offsets[g] : knots.offsets[g + 1]]
        assert (np.diff(kx) > 0).all()
        assert (kx[0], kx[-1]) == (x[a], x[b - 1])


def test_empty_input_has_no_knots():
    none = np.empty(0)
    for weights in (None, none):
        knots = lowess(none, none, np.array([0, 0, 0]), weights)
        assert knots.x.size == knots.y.size == 0
        np.testing.assert_array_equal(knots.offsets, [0, 0, 0])


def test_segments_too_small_for_the_span_keep_y_and_tied_items_share_its_mean():
    knots, fitted = one([1, 2, 2], [5, 1, 4])
    np.testing.assert_array_equal(knots.x, [1, 2])
    np.testing.assert_array_equal(fitted, [5, 2.5, 2.5])
    np.testing.assert_array_equal(one([1.5], [7])[1], [7])
    np.testing.assert_array_equal(one([1, 3], [7, 9])[1], [7, 9])
    np.testing.assert_array_equal(one([1.5], [7], span=1.0)[1], [7])


def test_few_weighted_items_get_a_straight_line():
    x, y, w = np.array([1.0, 2, 3, 4, 6]), np.array([1.0, 2, 4, 3, 7]), np.array([1, 2, 0.5, 1, 0.3])
    slope, level = np.polyfit(x, y, 1, w=np.sqrt(w))
    knots, fitted = one(x, y, w)
    np.testing.assert_array_equal(knots.x, [1, 6])
    np.testing.assert_allclose(fitted, level + slope * x, rtol=1e-12)
    flat = one(np.ones(5), y, w)[0]
    np.testing.assert_allclose(flat.y, [np.average(y, weights=w)], rtol=1e-14)
    # as in R, a slope whose x varies by less than 1e-7 of its length is dropped
    np.testing.assert_allclose(one(1e8 + x, y, w)[0].y, np.average(y, weights=w), rtol=1e-12)


@pytest.mark.parametrize("w", [None, "unequal"])
def test_degenerate_x_and_y(w):
    rng = np.random.default_rng(5)
    n = 60
    w = None if w is None else rng.uniform(0.5, 1, n)
    y = rng.normal(size=n)
    level = one(np.full(n, 3.0), y, w)[0]
    np.testing.assert_array_equal(level.x, [3.0])
    assert abs(level.y[0] - np.average(y, weights=w)) < 0.2  # robust mean of all items
    two = one(np.repeat([1.0, 2.0], n // 2), np.repeat([5.0, -5.0], n // 2), w)[0]
    np.testing.assert_allclose(two.y, [5, -5], rtol=1e-12)
    x = np.sort(rng.uniform(size=n))
    np.testing.assert_allclose(one(x, np.full(n, 4.5), w)[1], 4.5, rtol=1e-13)
    np.testing.assert_allclose(one(x, 3 * x - 7, w)[1], 3 * x - 7, rtol=1e-10)


@pytest.mark.parametrize("w", [None, "unequal"])
def test_huge_outliers_do_not_move_the_curve(w):
    rng = np.random.default_rng(6)
    x = np.sort(rng.uniform(0, 10, 400))
    w = None if w is None else rng.uniform(0.5, 1, 400)
    clean = 2 * x + rng.normal(0, 0.1, 400)
    y = clean.copy()
    y[::20] = 1e12
    assert np.abs(one(x, y, w)[1] - 2 * x).max() < 0.3  # noise of sd 0.1
    assert np.isfinite(one(x * 1e-200, y, w)[1]).all()


def test_weights_are_clamped_and_equal_ones_count_as_none():
    rng = np.random.default_rng(7)
    x, y, w = np.sort(rng.normal(size=100)), rng.normal(size=100), rng.uniform(size=100)
    plain = one(x, y)[0]
    for equal in (1e-9, 0.0, np.nan, 1.0, np.inf):
        np.testing.assert_array_equal(one(x, y, np.full(100, equal))[0].y, plain.y)
    w[:30] = 0.0
    zero = one(x, y, w)[0]
    w[:30] = [np.nan, 1e-5, -1.0] * 10
    np.testing.assert_array_equal(one(x, y, w)[0].y, zero.y)
    w[50] = 1e5
    high = one(x, y, w)[0]
    w[50] = np.inf
    np.testing.assert_array_equal(one(x, y, w)[0].y, high.y)
    assert not np.array_equal(high.y, plain.y)


def test_values_out_of_range_are_refused():
    for options in ({"span": 0}, {"span": np.nan}, {"span": np.inf}, {"iterations": 0}, {"npts": 1}):
        with pytest.raises(OptionError, match=next(iter(options))):
            one([1, 2], [1, 2], **options)


def test_cubes_are_rounded_once():
    values = np.random.default_rng(8).uniform(size=20_000)
    exact = np.array([float(Fraction(v) ** 3) for v in values.tolist()])
    out = np.empty_like(values)
    lowess_weighted._cube(values, out)
    np.testing.assert_array_equal(out, exact)
    lowess_weighted._cube(values, values)
    np.testing.assert_array_equal(values, exact)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other machines fuse products and sums")
def test_weighted_knots_equal_the_oracle_to_the_bit(monkeypatch):
    monkeypatch.setattr(reference, "_cube", lambda v: np.array([float(Fraction(t) ** 3) for t in v.tolist()]))
    rng = np.random.default_rng(14)
    for _ in range(6):
        x, y, w = np.sort(rng.normal(size=60)), rng.normal(size=60), rng.uniform(0.01, 1, 60)
        knots, _ = one(x, y, w)
        np.testing.assert_array_equal(knots.x, x)  # fewer items than npts: all are knots
        np.testing.assert_array_equal(knots.y, reference.weighted_lowess(x, y, w, 0.3, 4))


def test_windows_equal_the_oracle_where_distances_and_sums_tie():
    rng = np.random.default_rng(15)
    for k in range(12):
        n = int(rng.integers(17, 150))
        x = np.sort(rng.integers(0, (20, 60, 1000)[k % 3], n).astype(float))
        w = rng.choice(((0.1, 1.0), (1e-5, 1.0), (0.25, 0.5), (0.3, 0.7))[k % 4], n)
        span = (0.1, 0.25, 0.3, 0.5, 1.0)[k % 5]
        every = np.arange(n)
        left, right, reach = lowess_seeds.windows_of(x, w, np.array([0, n]), every, np.array([n]), span)
        expected = [reference._window(x, w, c, span * np.cumsum(w)[-1]) for c in range(n)]
        np.testing.assert_array_equal(np.stack([left, right, reach], axis=1), expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_robust_passes_stop_where_half_the_residuals_vanish(noise, weighted):
    rng = np.random.default_rng(16)
    x = np.concatenate([np.sort(rng.uniform(0, 1, 40)), np.sort(rng.uniform(9, 10, 60))])
    y = rng.normal(size=100) * np.repeat([1.0, noise], [40, 60])
    w = rng.uniform(0.9, 1, 100) if weighted else None
    fitted = one(x, y, w)[1]
    np.testing.assert_allclose(fitted, reference.loess_fit(x, y, w), rtol=1e-9, atol=1e-13)
    stopped = np.array_equal(fitted, one(x, y, w, iterations=1)[1])
    assert stopped == (noise == 1e-9)  # the scale is about 15 times the noise, the limit 1e-7 times about 0.3


def test_running_sums_are_rounded_from_a_longer_type():
    x = np.sort(np.round(np.random.default_rng(17).normal(10, 2, 1500), 2))
    gaps = np.sort(np.diff(x))
    exact = np.array([float(s) for s in itertools.accumulate(Fraction(v) for v in gaps.tolist())])
    wrong = np.count_nonzero(lowess_seeds._running_sums(gaps) != exact)
    assert wrong < 0.1 * np.count_nonzero(np.cumsum(gaps) != exact)


def test_running_sums_without_an_extended_type_are_exact_after_rounding(monkeypatch):
    values = np.sort(np.random.default_rng(9).gamma(0.3, 1, 1500))
    exact = [float(s) for s in itertools.accumulate(Fraction(v) for v in values.tolist())]
    monkeypatch.setattr(np, "longdouble", np.float64)
    np.testing.assert_array_equal(lowess_seeds._running_sums(values), exact)


def test_sums_down_the_first_axis_are_taken_in_order():
    rng = np.random.default_rng(10)
    for shape in ((1, 2), (128, 2), (700, 3), (1500, 17), (160, 800)):
        w, v = rng.normal(size=shape), rng.normal(size=shape)
        np.testing.assert_array_equal(np.add.reduce(w, axis=0), np.cumsum(w, axis=0)[-1])
        total = module.dot(w, v)
        padded = module.dot(np.vstack([w, np.zeros(shape)]), np.vstack([v, v]))
        np.testing.assert_array_equal(total, padded)
        np.testing.assert_array_equal(total[:2], module.dot(w[:, :2].copy(), v[:, :2].copy()))


def test_bisection_finds_the_turn_whatever_the_guess():
    rng = np.random.default_rng(11)
    turn = rng.integers(0, 50, 200)
    low, high = np.zeros(200, np.int64), np.full(200, 49)
    for guess in (low, high, turn, rng.integers(-5, 60, 200)):
        found = module.first_true(lambda i, query: i >= turn[query], low, high, guess)
        np.testing.assert_array_equal(found, turn)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_segment_needs_no_large_matrices(weighted):
    rng = np.random.default_rng(12)
    n = 100_000
    x = np.sort(rng.normal(size=n))
    y, w = np.tanh(x) + rng.normal(0, 0.1, n), rng.uniform(size=n) if weighted else None
    module._local.__dict__.clear()
    tracemalloc.start()
    knots, fitted = one(x, y, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Bytes of a few vectors, and of the tricube weights that are kept between passes; a matrix of all windows would
    # need 24 000 an item.
    assert peak < 250 * n + 8 * module.KEPT_CELLS
    assert knots.x.size < 250
    assert np.abs(fitted - np.tanh(x))[np.abs(x) < 2].max() < 0.25  # span 0.3 smooths the bend


@pytest.mark.slow
def test_a_million_items_with_heavy_ties_are_fitted():
    rng = np.random.default_rng(13)
    x = np.sort(np.round(rng.normal(size=1_000_000), 1))
    y = 2 * x + rng.normal(0, 0.1, x.size)
    for w in (None, (rng.random(x.size) > 0.3) * 1.0):
        assert np.abs(one(x, y, w)[1] - 2 * x)[np.abs(x) < 3].max() < 0.01  # mean of > 1000 items of sd 0.1


def test_only_numpy_is_loaded():
    code = (
        "import sys, numpy as np; from gridnorm.core.engines.numpy.lowess import lowess;"
        "x = np.arange(50.0); lowess(x, x, np.array([0, 50]), x + 1);"
        "print([m for m in ('scipy', 'pandas', 'statsmodels', 'numba') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
