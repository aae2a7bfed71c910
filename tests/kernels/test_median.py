"""``segment_median.cu`` against NumPy: not near, equal."""

from __future__ import annotations

import re
from typing import Any

import groupings as g
import numpy as np
import pytest

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device, current_device
from gridnorm.core.engines.cuda.launch import launch
from gridnorm.core.engines.cuda.median import (
    BLOCK,
    SELECT_THREADS,
    SMALLEST,
    THREADS,
    WARP,
    WEIGHTED_THREADS,
    mad,
    median,
    quantiles,
)
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, OptionError

RNG = np.random.default_rng(10)
PROBABILITIES = np.array([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.999, 1.0])


def check(
    values: np.ndarray, segments: Segments, weights: Any = None, use: Any = None, dtype: str | None = None
) -> None:
    """All three verbs, and their counts, equal NumPy's."""
    xp = current_device().xp
    placed = values if xp is np else xp.asarray(values)
    w, u = (None if a is None else xp.asarray(a) for a in (weights, use))
    got = [*median(placed, segments, w, u, dtype=dtype), *mad(placed, segments, w, u, dtype=dtype)]
    plain = (g.from_bfloat16(values) if dtype == "bfloat16" else values).astype(np.float64)
    wanted = [*numpy_engine.median(plain, segments, weights, use), *numpy_engine.mad(plain, segments, weights, use)]
    if weights is None:
        got += quantiles(placed, segments, u, xp.asarray(PROBABILITIES), dtype=dtype)
        wanted += numpy_engine.quantiles(plain, segments, use, PROBABILITIES)
    for one, two in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(g.host(one), two)


@pytest.mark.parametrize("dtype", loading.TYPES)
@pytest.mark.parametrize(("sizes", "kind"), g.SHAPES)
def test_every_shape_of_segments(device: Device, small: bool, dtype: str, sizes: str, kind: str) -> None:
    g.once_a_mode(small, dtype)
    if small and kind == "contiguous":
        pytest.skip("shapes are few under ThreadSanitizer")
    segments = g.segments_of(g.SIZES[sizes], kind)
    shape = (2, segments.n_items)
    weights, use = RNG.choice([0.0, 0.1, 1.7, np.nan], shape), RNG.uniform(size=shape) < 0.8
    for width in (1,) if small else (1, 3):
        values = RNG.normal(2.0, 3.0, (*shape, width)).astype(np.float32)
        if dtype == "bfloat16":
            values = g.bfloat16_bits(values)
            check(values, segments, None, None, dtype)
        else:
            values = g.spoil(values.astype(dtype))
            check(values, segments)
        check(values, segments, weights, use, dtype if dtype == "bfloat16" else None)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("weighted", [False, True])
def test_segments_too_large_for_shared_memory(device: Device, small: bool, dtype: str, weighted: bool) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([BLOCK + 1, 3] if small else [3 * BLOCK, 3, 20_001], "arbitrary")
    values = g.spoil(RNG.normal(2.0, 3.0, (1, segments.n_items, 1)).astype(dtype))
    weights = RNG.choice([0.0, 0.1, 0.2, 1.7], values.shape[:2]) if weighted else None
    check(values, segments, weights, RNG.uniform(size=values.shape[:2]) < 0.9)


@pytest.mark.parametrize("weighted", [False, True])
def test_sizes_around_every_border(device: Device, small: bool, weighted: bool) -> None:
    """Of a warp, a block, a chunk and a run of chunks; one chunk in the middle has no value."""
    if small:
        pytest.skip("no other kernel than before")
    borders = [1, SMALLEST, WARP, BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]
    segments = g.segments_of([size + more for size in borders for more in (-1, 0, 1)])
    values = RNG.normal(size=(1, segments.n_items, 1)).round(2)
    start = int(segments.offsets[-2])
    values[:, start + BLOCK : start + 2 * BLOCK] = np.nan
    check(values, segments, RNG.choice([0.1, 0.2, 0.7], values.shape[:2]) if weighted else None)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 15])
def test_one_segment_of_a_million(device: Device, small: bool, digits: int, weighted: bool) -> None:
    if small:
        pytest.skip("shapes are small under ThreadSanitizer")
    values = RNG.normal(size=(1, 1_000_000, 1)).round(digits)
    check(values, g.segments_of([values.size]), RNG.choice([0.1, 0.2, 1.7], values.shape[:2]) if weighted else None)


def sorted_chunks(values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Chunks as segment_median_chunks leaves them: keys of the first ``found`` values of a row, sorted; then LAST."""
    bits = values.view(np.uint64)
    keys = np.where(bits >> 63 == 1, ~bits, bits | np.uint64(1 << 63))
    keys[np.arange(BLOCK) >= found[:, None]] = np.uint64(2**64 - 1)
    return np.sort(keys, axis=1)


@pytest.mark.parametrize("parts", [1, 33, SELECT_THREADS + 9])
def test_search_by_several_warps(device: Device, parts: int) -> None:
    """More chunks than a warp has lanes, and more than a block has threads."""
    xp = device.xp
    values, found = RNG.normal(size=(parts, BLOCK)).round(3), RNG.integers(0, BLOCK + 1, parts)
    every = np.sort(values[np.arange(BLOCK) < found[:, None]])
    n, result = xp.zeros((1, 1), xp.int64), xp.zeros((1, 1, PROBABILITIES.size))
    launch(
        loading.variant("segment_median.cu", "float64"),
        "segment_median_select",
        (PROBABILITIES.size,),
        (min(SELECT_THREADS, 32 * -(-parts // 32)),),
        [
            *(xp.asarray(sorted_chunks(values, found)), np.int64(parts)),
            *(xp.asarray(PROBABILITIES), np.int32(PROBABILITIES.size)),
            *(xp.zeros(1, xp.int32), np.int64(1), np.int64(1)),
            *(xp.empty(PROBABILITIES.size * parts * 3, xp.uint32), n, result),
        ],
    )
    assert int(n[0, 0]) == every.size
    _, wanted = numpy_engine.quantiles(every[None, :, None], g.segments_of([every.size]), None, PROBABILITIES)
    np.testing.assert_array_equal(g.host(result), wanted)


HARD = {
    "all equal": lambda n: np.full(n, 0.1),
    "two values": lambda n: np.where(np.arange(n) % 2, -1e-300, 7.0),
    "half equal": lambda n: np.where(np.arange(n) % 2, 3.0, np.arange(n)),
    "neighbours": lambda n: (np.float64(1.0).view(np.int64) + np.arange(n) % 1500).view(np.float64),
    "both signs, all magnitudes": lambda n: np.exp(np.linspace(-700, 700, n)) * np.where(np.arange(n) % 3, 1, -1),
    "huge": lambda n: np.where(np.arange(n) % 2, 1.7e308, 1.6e308),
    "zeros of both signs": lambda n: np.where(np.arange(n) % 2, 0.0, -0.0),
}


@pytest.mark.parametrize("size", [WARP - 1, BLOCK, 2 * BLOCK + 1, 2 * BLOCK + 2])
@pytest.mark.parametrize("kind", HARD)
def test_values_that_are_hard_to_select_from(device: Device, small: bool, kind: str, size: int) -> None:
    if small and (size != 2 * BLOCK + 2 or kind != "half equal"):
        pytest.skip("shapes are small under ThreadSanitizer")
    values = HARD[kind](size)[RNG.permutation(size)]
    check(values[None, :, None], g.segments_of([size]))


def test_large_segments_whose_middle_lies_between_two_heaps(device: Device, small: bool) -> None:
    """The two middle values, far apart, are the largest of one heap and the smallest of another."""
    size = BLOCK + 2 if small else 3 * BLOCK
    values = np.where(np.arange(size) < size // 2, RNG.normal(-1e6, 1, size), RNG.normal(1e6, 1, size))
    check(RNG.permutation(values)[None, :, None], g.segments_of([size]))


@pytest.mark.parametrize("size", [5, 8, 10, 100, 129, 300, 1000, 5000])
def test_equal_weights_take_the_branch_that_numpy_takes(device: Device, small: bool, size: int) -> None:
    """A tenth is no binary fraction: whether half the weight is reached hangs on how it is added."""
    if small and size > 300:
        pytest.skip("shapes are small under ThreadSanitizer")
    batch, groups = (1, 1) if small else (3, 1 if size > 300 else 12)
    segments, shape = Segments.uniform(groups * size, groups), (batch, groups * size)
    values = RNG.integers(0, size, (*shape, 1)) / 7
    for weight in (0.1, 0.3, 1.1)[: 1 if small else 3]:
        check(values, segments, np.full(shape, weight))
    check(values, segments, RNG.choice([0.1, 0.2, 0.7], shape))


def test_weighted_ties_across_chunks_take_the_branch_that_numpy_takes(device: Device, small: bool) -> None:
    """Half zeros and half ones, whose weights are as nearly equal as a sum of floats is."""
    n = 2 * (64 if small else BLOCK)
    for seed in range(2 if small else 12):
        rng = np.random.default_rng(seed)
        values = rng.permutation(np.repeat([0.0, 1.0], n // 2))[None, :, None]
        weights = rng.permutation(np.repeat(rng.uniform(0.1, 1, n // 2), 2))
        zero, one = np.flatnonzero(values[0, :, 0] == 0), np.flatnonzero(values[0, :, 0] == 1)
        weights[one] = rng.permutation(weights[zero])
        check(values, Segments.single(n), weights[None, :])
        check(values, Segments.single(n), np.full((1, n), 0.1))
        check(values, Segments.single(n), rng.uniform(0.1, 1, (1, n)))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_every_layout_of_the_view(device: Device, small: bool, dtype: str) -> None:
    g.once_a_mode(small, dtype)
    segments = g.segments_of([40, 7, 90], "arbitrary")
    values = g.spoil(RNG.normal(1.0, 2.0, (2, segments.n_items, 3)).astype(dtype))
    weights = np.broadcast_to(RNG.uniform(size=(1, segments.n_items)), values.shape[:2])
    for _, view in g.layouts(values, small):
        check(view, segments)
        check(view, segments, weights)


@pytest.mark.parametrize("sizes", [[3, 9, 1], pytest.param([BLOCK + 1], marks=pytest.mark.slow)], ids=str)
def test_results_do_not_depend_on_the_batch(device: Device, small: bool, sizes: list[int]) -> None:
    if small and sizes[0] > BLOCK:
        pytest.skip("shapes are small under ThreadSanitizer")
    segments = g.segments_of(sizes, "arbitrary")
    values = device.xp.asarray(RNG.normal(size=(8 if small else 1000, segments.n_items, 1)).astype(np.float32))
    verb = median if sizes[0] > BLOCK else mad
    whole = [g.host(a) for a in verb(values, segments, None, None)]
    for n in (1,) if small else (1, 7, 264):
        for one, part in zip(whole, verb(values[:n], segments, None, None), strict=True):
            np.testing.assert_array_equal(one[:n], g.host(part))


@pytest.mark.parametrize("shape", [(0, 4, 1), (2, 4, 0), (2, 0, 3)])
def test_nothing_has_no_median(device: Device, shape: tuple[int, int, int]) -> None:
    segments = Segments.from_codes(np.zeros(shape[1], np.int64), ["a", "b"])
    values = device.xp.zeros(shape)
    n, centre, spread = (g.host(a) for a in mad(values, segments, None, None))
    assert n.shape == (shape[0], 2)
    assert not n.any()
    assert np.isnan(centre).all()
    assert np.isnan(spread).all()


def test_all_left_out_has_no_median(device: Device, small: bool) -> None:
    values = np.full((1, 8, 1), np.nan)
    values[0, 7] = 2.0
    check(values, g.segments_of([3, 4, 1]))
    check(values, g.segments_of([3, 4, 1]), np.zeros((1, 8)))
    if small:
        return
    large = np.full((1, 2 * BLOCK, 1), np.nan)
    check(large, g.segments_of([2 * BLOCK]))
    check(large, g.segments_of([2 * BLOCK]), np.ones((1, 2 * BLOCK)))


def test_batches_are_cut_to_the_memory(device: Device, monkeypatch: pytest.MonkeyPatch, small: bool) -> None:
    if small:
        pytest.skip("no other kernel than before")
    values = RNG.normal(size=(2, BLOCK + 1, 1))
    monkeypatch.setattr(type(device), "free_bytes", lambda _: 1)
    check(values, g.segments_of([BLOCK + 1]))
    check(values, g.segments_of([BLOCK + 1]), np.ones(values.shape[:2]))


def test_constants_are_those_of_the_kernels() -> None:
    text = loading.source(loading.variant("segment_median.cu", "float64"))
    told = dict(re.findall(r"^#define (\w+) (\d+)", text, flags=re.M))
    ours = {"THREADS": THREADS, "CHUNK": BLOCK, "SELECT_THREADS": SELECT_THREADS, "WEIGHTED_THREADS": WEIGHTED_THREADS}
    assert {name: int(told[name]) for name in ours} == ours


def test_no_kernel_counts_by_atomics() -> None:
    for path in sorted(loading.kernel_folder().glob("*.cu*")):
        code = re.sub(r"//[^\n]*", "", path.read_text("utf-8"))
        assert not re.search(r"\batomic\w*|\b__nv_atomic", code), path.name


def test_what_does_not_fit_is_named(device: Device) -> None:
    segments, xp = g.segments_of([4]), device.xp
    values = xp.zeros((2, 4, 1))
    with pytest.raises(OptionError, match="do not take values of this type; found int64"):
        median(values.astype(xp.int64), segments, None, None)
    with pytest.raises(OptionError, match="use do not fit the values"):
        median(values, segments, None, xp.ones((2, 3), bool))
    with pytest.raises(DeviceError, match="argument use: wrong dtype; found float64, expected bool"):
        median(values, segments, None, xp.ones((2, 4)))


def test_planted_mistakes_would_show_here(device: Device) -> None:
    """One block that sorts and one warp whose segment is the last of an index: races and reads past the end."""
    segments = g.segments_of([WARP + 1, 7], "arbitrary")
    check(RNG.normal(size=(1, segments.n_items, 1)), segments)


@pytest.mark.parametrize("sizes", [(3, 1), (1, 3), (3, 2, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_large_segments_in_any_order_of_their_sizes(device, small, sizes, weighted):
    """The last one short: what is written behind its chunks lies outside of the memory, as the sanitizer sees."""
    if small:
        pytest.skip("no other kernel than before")
    segments = g.segments_of([size * BLOCK + 1 for size in sizes])
    values = np.random.default_rng(3).normal(size=(2, segments.n_items, 1))
    weights = np.random.default_rng(4).uniform(size=values.shape[:2]) if weighted else None
    for one, two in zip(
        median(values, segments, weights, None), numpy_engine.median(values, segments, weights, None), strict=True
    ):
        np.testing.assert_array_equal(g.host(one), two)
