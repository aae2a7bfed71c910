"""Number, mean and standard deviation of every segment: ``segment_moments.cu``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import in_batches, launch, strided
from gridnorm.core.engines.cuda.loading import Instance, variant
from gridnorm.core.engines.cuda.plan import (
    Placed,
    blocks,
    check_view,
    dtype_of,
    in_elements,
    optional,
    placed,
    strides,
)
from gridnorm.core.segments import IntArray, Segments

THREADS, SMALL = 128, 512  # as in moments.cuh
SMALL_TILE = 16
LANES = ((128, 8), (SMALL, 32))  # most elements of a segment that so many threads share


def chunk_length(dtype: str) -> int:
    """Elements of one block."""
    return THREADS * (16 if dtype == "float64" else 32)


def kept_bytes(elements: int, itemsize: int, weighted: bool) -> int:
    """Shared memory that holds so many elements, and their weights."""
    return elements * (itemsize + (max(itemsize, 4) if weighted else 0))


@dataclass(frozen=True, eq=False)
class _Plan:
    """Segments by class; arrays of the device."""

    small: list[tuple[int, Any]]  # threads per segment, segments
    chunk_segment: Any
    chunk_part: Any
    merged: Any  # segments of several chunks, their first chunk and how many
    first_chunk: Any
    chunk_count: Any


def _plan(where: Placed, width: int, chunk: int) -> _Plan:
    sizes = where.segments.sizes * width
    small, below = [], -1
    for most, lanes in LANES:
        chosen = np.flatnonzero((sizes > below) & (sizes <= most))
        if chosen.size:
            small.append((lanes, where.listed(chosen)))
        below = most
    large = np.flatnonzero(sizes > SMALL)
    count: IntArray = -(-sizes[large] // chunk)
    first = np.concatenate([[0], np.cumsum(count)])[:-1].astype(np.int64)
    part = np.arange(int(count.sum())) - np.repeat(first, count)
    several = count > 1
    return _Plan(
        small,
        where.listed(np.repeat(large, count)),
        where.listed(part),
        where.listed(large[several]),
        where.listed(first[several]),
        where.listed(count[several]),
    )


def moments(
    values: Any, segments: Segments, weights: Any, use: Any, ddof: int = 0, *, dtype: str | None = None
) -> tuple[Any, Any, Any]:
    """Count, mean and standard deviation, each (batch, segment).

    As NumPy's ``moments``, for values of float16, bfloat16, float32 or float64 with any strides. Sums of
    half and float32 values are float32 around K = the rounded mean; the mean comes as the float64 K + δ.

    Parameters
    ----------
    dtype
        ``"bfloat16"`` for uint16 values that hold its bits.
    """
    xp = current_device().xp
    check_view(values, segments, {"weights": weights, "use": use}, xp)
    kind = dtype_of(values, dtype)
    inst = variant("segment_moments.cu", kind)
    real = xp.float64 if kind == "float64" else xp.float32
    batch, _, width = values.shape
    shape = (batch, segments.n_segments)
    n, mean, deviation = xp.zeros(shape, xp.int64), xp.full(shape, xp.nan), xp.full(shape, xp.nan)
    if not batch or not width or not segments.n_items:
        return n, mean, deviation
    values = in_elements(values, xp)
    weights = None if weights is None else weights.astype(real, copy=False)
    where = placed(segments)
    chunk = chunk_length(kind)
    plan: _Plan = where.plan(("moments", width, chunk), lambda: _plan(where, width, chunk))

    def run(start: int, stop: int) -> None:
        part = slice(start, stop)
        _launch(
            inst,
            plan,
            where,
            values[part],
            None if weights is None else weights[part],
            None if use is None else use[part],
            ddof,
            (n[part], mean[part], deviation[part]),
        )

    in_batches(batch, 32 * int(plan.chunk_part.size), run)
    return n, mean, deviation


def _launch(
    inst: Instance,
    plan: _Plan,
    where: Placed,
    values: Any,
    weights: Any,
    use: Any,
    ddof: int,
    out: tuple[Any, Any, Any],
) -> None:
    batch, _, width = values.shape
    steps = strides(values)
    # Elements are counted along whichever lies closer in memory, so that neighbouring threads read neighbours.
    items_inside = width == 1 or abs(steps[1]) < abs(steps[2])
    groups = where.segments.n_segments
    view = [
        *(strided(values), *steps, np.int64(width)),
        *optional(use),
        *optional(weights),
        *(where.order, where.offsets, np.int64(groups), np.int32(items_inside)),
    ]
    weighted = weights is not None or use is not None
    small = kept_bytes(THREADS * SMALL_TILE, values.itemsize, weighted)
    for lanes, chosen in plan.small:
        listed = int(chosen.size)
        grid = blocks(batch * listed, THREADS // lanes)
        rest = [chosen, np.int64(listed), np.int64(batch), np.int32(lanes), np.int64(ddof), *out]
        launch(inst, "segment_moments_small", grid, (THREADS,), [*view, *rest], shared=small)
    chunks = int(plan.chunk_part.size)
    if not chunks:
        return
    merged = int(plan.merged.size)
    parts = current_device().xp.empty((batch, chunks, 4) if merged else (1, 1, 4))
    rest = [plan.chunk_segment, plan.chunk_part, np.int64(chunks), np.int64(ddof), parts, *out]
    large = kept_bytes(THREADS * (16 if values.itemsize == 8 else 32), values.itemsize, weighted)
    launch(inst, "segment_moments_chunk", blocks(batch * chunks, 1), (THREADS,), [*view, *rest], shared=large)
    if merged:
        launch(
            inst,
            "segment_moments_merge",
            blocks(batch * merged, THREADS // 32),
            (THREADS,),
            [
                *(parts, np.int64(chunks), plan.merged, plan.first_chunk, plan.chunk_count),
                *(np.int64(merged), np.int64(batch), np.int64(groups), np.int64(ddof), *out),
            ],
        )


def sums(values: Any, segments: Segments, *, dtype: str | None = None) -> Any:
    """Sum of every segment, float64 (batch, segment). NaN and infinity spread; nothing at all sums to 0."""
    xp = current_device().xp
    check_view(values, segments, {}, xp)
    kind = dtype_of(values, dtype)
    batch, _, width = values.shape
    out = xp.zeros((batch, segments.n_segments))
    if not values.size:
        return out
    values, where = in_elements(values, xp), placed(segments)
    plan: _SumPlan = where.plan(("sums", width, kind), lambda: _sum_plan(where, width, kind))
    inst, parts = variant("segment_moments.cu", kind), int(plan.segment.size)
    steps = strides(values)
    inside = np.int32(width == 1 or abs(steps[1]) < abs(steps[2]))

    def run(start: int, stop: int) -> None:
        number = stop - start
        found = xp.empty((number, parts))
        args = [strided(values[start:stop]), *steps, np.int64(width), where.order, where.offsets, inside]
        args += [plan.segment, plan.part, np.int64(parts), np.int64(number), found]
        launch(inst, "segment_sums", blocks(number * parts, THREADS // 32), (THREADS,), args)
        if plan.joined is None:
            out[start:stop, plan.filled] = found
        else:
            out[start:stop] = sums(found[:, :, None], plan.joined)

    in_batches(batch, 8 * parts, run)
    return out


@dataclass(frozen=True, eq=False)
class _SumPlan:
    """Parts of segments, one warp each; and the segments that they make, unless each has but one."""

    segment: Any
    part: Any
    filled: Any
    joined: Segments | None


def _sum_plan(where: Placed, width: int, kind: str) -> _SumPlan:
    sizes = where.segments.sizes * width
    count: IntArray = -(-sizes // (chunk_length(kind) // 4))
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    number = int(offsets[-1])
    part = np.arange(number) - np.repeat(offsets[:-1], count)
    labels = where.segments.labels
    joined = Segments(np.arange(number), offsets, labels, contiguous=True) if count.max() > 1 else None
    filled = where.listed(np.flatnonzero(count))
    return _SumPlan(where.listed(np.repeat(np.arange(count.size), count)), where.listed(part), filled, joined)
