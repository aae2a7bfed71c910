"""Segments as rows: blocks hold every segment once, and sums follow from a row alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.core.engines.numpy import rows
from gridnorm.core.engines.numpy.moments import around, sums
from gridnorm.core.engines.numpy.rows import (
    PIECE,
    dots,
    of_segments,
    places,
    put,
    quiet,
    take,
    to_segments,
    window,
)
from gridnorm.core.segments import Segments

SEGMENTS = {
    "one": Segments.single(12),
    "equal": Segments.uniform(12, 4),
    "each": Segments.uniform(12, 12),
    "ragged": Segments.from_labels([2, 0, 0, 1, 2, 0, 1, 0, 0, 3, 2, 0]),
    "two runs": Segments.from_labels([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3]),
    "with empty ones": Segments.from_codes(np.array([4, 0, 0, 4, 2, 2, 2, 0, 4, 4, 0, 2]), range(6)),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("block", [1, 7, 30, 1 << 19])
@pytest.mark.parametrize("shape", [(5, 12, 3), (1, 12, 1), (5, 12, 1)])
def test_every_element_is_in_one_block(
    name: str, block: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BLOCK", block)
    segments = SEGMENTS[name]
    view = np.arange(math.prod(shape), dtype=float).reshape(shape)
    copied, seen = np.full(shape, -1.0), np.zeros(shape, int)
    numbers = np.full((shape[0], segments.n_segments), -1)
    for place in places(shape, segments):
        part = take(view, place)
        assert part.shape[1] == place.size * shape[2]
        assert part.size <= max(block, part.shape[1])
        put(copied, place, part)
        put(seen, place, take(seen, place) + 1)
        own = of_segments(np.tile(np.arange(segments.n_segments), (shape[0], 1)), place)
        # Each row holds the items of its segment in their order.
        items = part.reshape(-1, place.size, shape[2])[:, :, 0] // shape[2] % shape[1]
        for row, segment in zip(items.astype(int), own, strict=True):
            assert row.tolist() == segments.order[segments.offsets[segment] : segments.offsets[segment + 1]].tolist()
        to_segments(numbers, place, own)
    assert np.array_equal(copied, view) and (seen == 1).all()
    filled = segments.sizes > 0
    assert (numbers[:, filled] == np.flatnonzero(filled)).all() and (numbers[:, ~filled] == -1).all()


@pytest.mark.parametrize("shape", [(0, 12, 3), (2, 12, 0), (2, 0, 3), (0, 0, 0)])
def test_nothing_has_no_blocks(shape: tuple[int, ...]) -> None:
    segments = SEGMENTS["ragged"] if shape[1] else Segments.from_codes(np.zeros(0, np.int64), range(2))
    assert list(places(shape, segments)) == []


def test_a_window_is_the_memory_itself() -> None:
    view = np.arange(120.0).reshape(5, 12, 2)
    for name in ("one", "equal", "each"):
        for place in places(view.shape, SEGMENTS[name]):
            part = window(view, place)
            assert part is not None and np.shares_memory(part, view) and np.array_equal(part, take(view, place))
    assert all(window(view, place) is None for place in places(view.shape, SEGMENTS["ragged"]) if place.size > 1)
    strided = np.zeros((5, 12, 4))[:, :, ::2]
    assert all(window(strided, place) is None for place in places(strided.shape, SEGMENTS["equal"]))


@pytest.mark.parametrize("length", [1, 2, 31, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 77])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dots(length: int, dtype: Any) -> None:
    rng = np.random.default_rng(length)
    a, b = (rng.normal(size=(3, length)).astype(dtype) for _ in range(2))
    exact = np.array([math.fsum(r) for r in a.astype(float)]), np.array([math.fsum(r) for r in a.astype(float) * b])
    size = np.abs(a).sum(axis=1), np.abs(a * b).sum(axis=1)
    for found, wanted, scale in zip((dots(a), dots(a, b)), exact, size, strict=True):
        assert np.abs(found - wanted).max() <= (2e-6 if dtype == np.float32 else 1e-14) * scale.max()
    for row in range(3):
        assert dots(a, b)[row] == dots(a[row : row + 1].copy(), b[row : row + 1].copy())[0]
    assert dots(a[None], b[None]).shape == (1, 3)


def test_long_sums_do_not_lose_digits() -> None:
    """A running float32 sum would be off by a percent; here only pieces are float32."""
    a = np.full((1, 1 << 22), np.float32(0.1))
    # Equal values round the same way in every piece; how often depends on the width of the processor's lanes.
    assert abs(dots(a)[0] / (a.size * float(np.float32(0.1))) - 1) <= 1e-6
    assert abs(dots(a, a)[0] / (a.size * float(np.float32(0.1)) ** 2) - 1) <= 1e-6


def test_quiet_restores_numpys_settings() -> None:
    before, size = np.geterr(), np.getbufsize()
    with pytest.raises(ZeroDivisionError), quiet():
        rows.loops_of(10_000)
        assert np.getbufsize() != size
        np.float32(1e38) * np.float32(10)
        raise ZeroDivisionError
    assert np.geterr() == before and np.getbufsize() == size


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.integers(1, 60),
    st.sampled_from([0.0, 1.0, 1e3, 1e6]),
    st.sampled_from([1.0, 1e-3]),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_around(
    length: int, offset: float, deviation: float, dtype: Any, center: bool, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(4, length)) * deviation + offset).astype(dtype)
    w = (rng.random((4, length)) + 0.01).astype(dtype) if weighted else None
    kept = x.copy()
    with quiet():
        found = around(x, w, center=center)
    v, u = x.astype(np.longdouble), np.ones(x.shape) if w is None else w.astype(np.longdouble)
    mean = (v * u).sum(1) / u.sum(1) if center else np.zeros(4)
    variance = (u * (v - mean[:, None]) ** 2).sum(1) / u.sum(1)
    eps = np.finfo(dtype).eps
    assert np.array_equal(x, kept) and np.array_equal(found.left, x - found.shift[:, None])
    # Rounding of the deviations, not of the offset, but for what the comparison itself can tell.
    tolerance = 8 * eps * deviation * (1 if center else 0) + 4 * np.finfo(np.longdouble).eps * offset
    assert np.abs(found.shift.astype(np.longdouble) + found.rest - mean).max() <= tolerance
    tolerance = 40 * eps * variance.max() + (8 * eps * (offset + deviation)) ** 2
    assert np.abs(found.variance - variance).max() <= tolerance


@pytest.mark.parametrize("value", [0.0, 0.1, 333333.3, 1e30, -1e-38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_around_equal_values_is_exact(dtype: Any, value: float) -> None:
    for length in (1, 3, 1000, 5000):
        x = np.full((2, length), value, dtype)
        w = np.full((2, length), 0.3, dtype)
        for weights in (None, w):
            with quiet():
                found = around(x, weights)
            assert not found.left.any() and not found.rest.any() and not found.variance.any()
            assert (found.shift == dtype(value)).all()


@pytest.mark.parametrize("size", [1e25, 1e30, 1e-30])
def test_around_without_a_mean_where_squares_are_no_float32(size: float) -> None:
    x = ((np.random.default_rng(0).normal(size=(3, 50)) + 1) * size).astype(np.float32)
    with quiet():
        found = around(x, center=False)
    wanted = (x.astype(np.float64) ** 2).mean(axis=1)
    assert not found.shift.any() and not found.rest.any() and np.array_equal(found.left, x)
    assert np.abs(found.variance / wanted - 1).max() <= 1e-6


def test_around_confines_what_is_not_finite() -> None:
    x = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    with quiet():
        clean = around(x)
    x[1, 2], x[3, 0] = np.nan, np.inf
    with quiet():
        found = around(x)
    assert np.isnan(found.variance).tolist() == np.isnan(found.shift).tolist() == [False, True, False, True]
    for row in (0, 2):
        assert found.variance[row] == clean.variance[row] and np.array_equal(found.left[row], clean.left[row])
    w = np.ones((4, 9), np.float32)
    w[0] = 0
    with quiet():
        assert np.isnan(around(np.ones((4, 9), np.float32), w).shift).tolist() == [True, False, False, False]


def test_sums() -> None:
    values = np.random.default_rng(0).normal(size=(3, 12, 5)).astype(np.float32)
    for segments in SEGMENTS.values():
        wanted = np.zeros((3, segments.n_segments))
        for g in range(segments.n_segments):
            wanted[:, g] = values[:, segments.codes == g].sum(axis=(1, 2), dtype=np.float64)
        found = sums(values, segments)
        assert found.dtype == np.float64 and np.abs(found - wanted).max() <= 1e-5
    values[1, 3, 2] = np.nan
    broken = np.isnan(sums(values, SEGMENTS["equal"]))
    assert broken[1, 1] and broken.sum() == 1


def test_numpys_buffer_is_what_it_was_afterwards() -> None:
    before = np.getbufsize()
    with rows.quiet():
        rows.loops_of(10_000)
        assert np.getbufsize() != before
    assert np.getbufsize() == before
    with pytest.raises(ZeroDivisionError), rows.quiet():
        rows.loops_of(10_000)
        1 / 0  # noqa: B018
    assert np.getbufsize() == before
