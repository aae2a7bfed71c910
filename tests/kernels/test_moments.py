"""``segment_moments.cu`` against NumPy in float64."""

from __future__ import annotations

from typing import Any

import groupings as g
import numpy as np
import pytest

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device, current_device
from gridnorm.core.engines.cuda.moments import THREADS, chunk_length, moments, sums
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, OptionError

RNG = np.random.default_rng(8)
# Largest error of mean and deviation, in deviations: sums of a thread are float32 but for float64.
TOLERANCE = {"float64": 1e-13, "float32": 2e-7, "float16": 2e-7, "bfloat16": 2e-7}


def compute(
    values: np.ndarray, segments: Segments, weights: Any = None, use: Any = None, **options: Any
) -> list[np.ndarray]:
    """The kernels' answer as NumPy arrays."""
    xp = current_device().xp
    given = [None if a is None else xp.asarray(a) for a in (weights, use)]
    placed = values if xp is np else xp.asarray(values)
    return [g.host(a) for a in moments(placed, segments, *given, **options)]


def check(values: np.ndarray, segments: Segments, weights: Any, use: Any, ddof: int, dtype: str) -> None:
    if dtype == "bfloat16":
        finite = np.where(np.isfinite(values), values, 0).astype(np.float32)
        plain = g.from_bfloat16(g.bfloat16_bits(finite))
        got = compute(g.bfloat16_bits(finite), segments, weights, use, ddof=ddof, dtype=dtype)
    else:
        plain = values.astype(dtype)
        got = compute(plain, segments, weights, use, ddof=ddof)
    if weights is not None and dtype != "float64":
        weights = weights.astype(np.float32).astype(np.float64)
    n, mean, deviation = numpy_engine.moments(plain.astype(np.float64), segments, weights, use, ddof)
    np.testing.assert_array_equal(got[0], n)
    scale = np.nanmax(deviation, initial=1.0)
    np.testing.assert_allclose(got[1], mean, rtol=0, atol=TOLERANCE[dtype] * scale)
    np.testing.assert_allclose(got[2], deviation, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize(("sizes", "kind"), g.SHAPES)
def test_every_shape_of_segments(device: Device, small: bool, dtype: str, sizes: str, kind: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of(g.SIZES[sizes], kind)
    shape = (2, segments.n_items)
    weights, use = RNG.choice([0.0, 0.5, 1.7, np.nan], shape), RNG.uniform(size=shape) < 0.8
    for width in (1,) if small else (1, 3):
        values = g.spoil(RNG.normal(2.0, 3.0, (*shape, width)))
        check(values, segments, None, None, 0, dtype)
        check(values, segments, weights, use, 1, dtype)


@pytest.mark.parametrize("dtype", loading.TYPES)
def test_a_segment_of_many_chunks(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    chunk = chunk_length(dtype)
    sizes = [chunk + 1, 1] if small else [chunk, 34 * chunk + 5, 1, chunk + 1]  # 35 chunks: more than a warp's lanes
    segments = g.segments_of(sizes, "arbitrary")
    values = g.spoil(RNG.normal(2.0, 3.0, (1, segments.n_items, 1)))
    check(values, segments, None, None, 1, dtype)
    if not small:
        check(values, segments, RNG.uniform(0, 2, values.shape[:2]), None, 0, dtype)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e6])
def test_float32_keeps_its_digits_on_a_large_offset(device: Device, offset: float) -> None:
    """Error of mean and deviation ≤ 4e-6 deviations up to mean/deviation = 1e6."""
    segments = g.segments_of([20, 400, 6000], "arbitrary")
    values = (RNG.normal(size=(2, segments.n_items, 1)) + offset).astype(np.float32)
    got = compute(values, segments)
    _, mean, deviation = numpy_engine.moments(values.astype(np.float64), segments, None, None)
    assert np.abs(got[1] - mean).max() <= 4e-6
    assert np.abs(got[2] / deviation - 1).max() <= 4e-6


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_equal_values_have_exactly_no_deviation(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 100, 5000])
    values = np.full((1, segments.n_items, 1), 0.1).astype(dtype)
    _, mean, deviation = compute(values, segments)
    np.testing.assert_array_equal(mean, np.float64(values[0, 0, 0]))
    np.testing.assert_array_equal(deviation, 0.0)


def test_an_outlier_in_front_costs_no_digits(device: Device) -> None:
    values = RNG.normal(size=(1, 3000, 1)).astype(np.float32)
    values[0, 0] = 1e6
    segments = g.segments_of([3000])
    got = compute(values, segments, None, np.arange(3000)[None] > 0)
    _, mean, deviation = numpy_engine.moments(values[:, 1:].astype(np.float64), g.segments_of([2999]), None, None)
    np.testing.assert_allclose(got[1], mean, rtol=0, atol=1e-7)
    np.testing.assert_allclose(got[2], deviation, rtol=2e-7)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_every_layout_of_the_view(device: Device, small: bool, dtype: str) -> None:
    """Nearly the same numbers everywhere, and the same bits wherever elements are counted in the same order."""
    g.once_a_mode(small, dtype)
    segments = g.segments_of([40, 7, 300], "arbitrary")
    values = g.spoil(RNG.normal(1.0, 2.0, (2, segments.n_items, 5)).astype(dtype))
    first = compute(values, segments)
    for name, view in g.layouts(values, small):
        got = compute(view, segments)
        same = name not in ("items inside", "reversed")
        for one, other in zip(first, got, strict=True):
            np.testing.assert_allclose(other, one, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype], err_msg=name)
            assert not same or np.array_equal(one, other), name


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_side_by_side_or_listed_gives_the_same_bits(device: Device, small: bool, dtype: str) -> None:
    """Contiguous segments take whole 16 bytes at a time; the same items found through an index must sum alike."""
    g.once_a_mode(small, dtype)
    together = g.segments_of([5, 130, 600, 900 if small else 9000])
    order = np.random.default_rng(1).permutation(together.n_items)
    apart = Segments.from_codes(together.codes[order], together.labels)
    values = RNG.normal(size=(1, together.n_items, 1)).astype(dtype)
    # The k-th item of a segment, in the order in which its items come after the shuffle.
    one = compute(values[:, order][:, apart.order], together)
    two = compute(values[:, order], apart)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_results_do_not_depend_on_the_batch(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 9, 1], "arbitrary")
    values = RNG.normal(5.0, 1.0, (4 if small else 1000, segments.n_items, 2)).astype(dtype)
    whole = compute(values, segments)
    for n in (1,) if small else (1, 7, 264):
        for one, part in zip(whole, compute(values[:n], segments), strict=True):
            np.testing.assert_array_equal(one[:n], part)
    long = RNG.normal(5.0, 1.0, (2 if small else 7, 5000, 1)).astype(dtype)
    together = compute(long, g.segments_of([5000]))
    again = compute(long, g.segments_of([5000]))
    alone = compute(long[1:2], g.segments_of([5000]))
    for one, two, three in zip(together, again, alone, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[1:2], three)


def test_one_group_one_item_groups_and_their_uniform_twin_agree(device: Device) -> None:
    values = RNG.normal(size=(2, 6, 8)).astype(np.float32)
    for one, two in [
        (Segments.single(6), Segments.from_labels(["x"] * 6)),
        (Segments.uniform(6, 6), Segments.from_labels(list(range(6)))),
    ]:
        for a, b in zip(compute(values, one), compute(values, two), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(0, 4, 1), (2, 4, 0), (2, 0, 3)])
def test_nothing_gives_no_mean(device: Device, shape: tuple[int, int, int]) -> None:
    segments = Segments.from_codes(np.zeros(shape[1], np.int64), ["a", "b"])
    n, mean, deviation = compute(np.zeros(shape), segments)
    assert n.shape == mean.shape == deviation.shape == (shape[0], 2)
    assert not n.any()
    assert np.isnan(mean).all()
    assert np.isnan(deviation).all()


def test_all_left_out_gives_no_mean_and_one_value_no_deviation(device: Device) -> None:
    segments = g.segments_of([2, 2, 2])
    values = np.array([[np.nan, np.inf, 4.0, np.nan, 1.0, 3.0]])[:, :, None]
    n, mean, deviation = compute(values, segments, None, None, ddof=1)
    assert n.tolist() == [[0, 1, 2]]
    np.testing.assert_array_equal(mean, [[np.nan, 4.0, 2.0]])
    np.testing.assert_allclose(deviation, [[np.nan, np.nan, np.sqrt(2)]], rtol=1e-15)


def test_batches_are_cut_to_the_memory(device: Device, monkeypatch: pytest.MonkeyPatch, small: bool) -> None:
    values = RNG.normal(size=(3, 2 * chunk_length("float64") + 1, 1))
    segments = g.segments_of([values.shape[1]])
    if small:
        values = values[:2]
    whole = compute(values, segments)
    monkeypatch.setattr(type(device), "free_bytes", lambda _: 1)
    for one, two in zip(whole, compute(values, segments), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_does_not_fit_is_named(device: Device) -> None:
    segments, xp = g.segments_of([4]), device.xp
    values = xp.zeros((2, 4, 1))
    with pytest.raises(OptionError, match="do not take values of this type; found int32, expected float64"):
        moments(values.astype(xp.int32), segments, None, None)
    with pytest.raises(OptionError, match=r"values do not fit the segments; found shape \(2, 3, 1\)"):
        moments(values[:, :3], segments, None, None)
    with pytest.raises(OptionError, match="weights do not fit the values"):
        moments(values, segments, xp.ones((1, 4)), None)
    with pytest.raises(DeviceError, match="argument use: wrong dtype; found int64, expected bool"):
        moments(values, segments, None, xp.ones((2, 4), xp.int64))


def test_planted_mistakes_would_show_here(device: Device) -> None:
    """One block of a chunk, its elements up to the last of an index: races and reads past the end."""
    segments = g.segments_of([5, 3 * THREADS], "arbitrary")
    check(RNG.normal(size=(1, segments.n_items, 2)), segments, None, None, 0, "float64")


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize("kind", ["contiguous", "arbitrary"])
def test_sums_are_plain(device: Device, small: bool, dtype: str, kind: str) -> None:
    """In float64, over more parts than one; NaN and infinity stay in their own segment; nothing sums to 0."""
    g.once_a_mode(small, dtype)
    segments = g.segments_of([3, 0, 600 if small else 9000, 2], kind)
    values = RNG.normal(2.0, 1.0, (2, segments.n_items, 3)).astype(np.float32)
    given = g.bfloat16_bits(values) if dtype == "bfloat16" else values.astype(dtype)
    wide = (g.from_bfloat16(given) if dtype == "bfloat16" else given).astype(np.float64)
    wanted = np.stack([wide[:, segments.codes == i].sum(axis=(1, 2)) for i in range(4)], axis=1)
    told = {"dtype": dtype} if dtype == "bfloat16" else {}
    for _, view in g.layouts(given, small):
        got = g.host(sums(device.xp.asarray(view) if device.xp is not np else view, segments, **told))
        np.testing.assert_allclose(got, wanted, rtol=1e-13)
    if dtype == "float32":
        values[0, segments.codes == 0], values[1, segments.codes == 3] = np.nan, np.inf
        got = g.host(sums(device.xp.asarray(values), segments))
        assert np.isnan(got[0, 0])
        assert got[1, 3] == np.inf
        assert np.isfinite(got).sum() == 6
    assert sums(device.xp.zeros((0, segments.n_items, 1)), segments).shape == (0, 4)
