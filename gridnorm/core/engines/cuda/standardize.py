"""Standardize every segment with its own mean and variance, in one verb: ``segment_standardize.cu``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.call import Call, per_segment, prepare, real_of, view
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import in_batches, launch
from gridnorm.core.engines.cuda.loading import variant
from gridnorm.core.engines.cuda.moments import LANES, SMALL, SMALL_TILE, THREADS, chunk_length, kept_bytes
from gridnorm.core.engines.cuda.plan import Placed, blocks, placed
from gridnorm.core.segments import Segments

TEAMS, PACKS = 2, 4  # as in segment_standardize.cu
STATIC = 2048  # most static shared memory of segment_standardize_block
BLOCK_BYTES = 1 << 30  # a smaller number makes the kernels share the work on such segments among blocks
# Fewer blocks than this leave most of a card idle; then many blocks share a segment of more chunks than that.
FEW, LONG = 128, 8


def standardize(
    values: Any,
    segments: Segments,
    *,
    eps: float,
    center: bool = True,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    residual: Any = None,
    total: Any = None,
    out: Any = None,
    dtype: str | None = None,
) -> tuple[Any, Any, Any]:
    """((v − mean) · rstd) · gain + offset of each segment's own mean and rstd, then the activation.

    Segments whose values fit into a block's shared memory are read once; results do not depend on it.

    Parameters
    ----------
    values
        (batch, item, width) of float16, bfloat16, float32 or float64, any strides.
    eps
        Added to the variance, ≥ 0. A segment whose variance + eps is 0 has rstd 0.
    center
        False: the mean is 0, the variance that around 0.
    weights
        (batch, item, width), any strides: elements of weight 0 or NaN do not enter the statistics.
    gain, offset
        (batch or 1, item), any strides, or None for 1 and 0.
    activation
        None, ``"silu"``, ``"relu"`` or ``"gelu"``.
    residual, total
        Added to the values and rounded to their type, before everything; and where that sum goes.
    out
        Where the result goes: any strides, ``values`` itself will do. None: a new array that lies as the values do.
    dtype
        ``"bfloat16"`` for uint16 values that hold its bits.

    Returns
    -------
    out, mean, rstd
        mean float64 and rstd (float64 for float64, else float32) are (batch, segment). NaN and infinity of an
        element reach its own segment only. A segment without elements, or without weight, has NaN for both.
    """
    call = prepare(
        values,
        segments,
        second=residual,
        total=total,
        out=out,
        weights=weights,
        gain=gain,
        offset=offset,
        center=center,
        activation=activation,
        eps=eps,
        dtype=dtype,
    )
    xp = current_device().xp
    shape = (values.shape[0], segments.n_segments)
    mean, rstd = xp.full(shape, xp.nan), xp.full(shape, xp.nan, real_of(call.kind, xp))
    if not values.size:
        return call.out, mean, rstd
    where = placed(segments)
    weighted, itemsize, width = weights is not None, values.itemsize, values.shape[2]
    chunk = chunk_length(call.kind)
    room = room_for(shape[0] * shape[1], BLOCK_BYTES, block_bytes(LONG, chunk, itemsize, weighted))
    plan: _Plan = where.plan(
        ("standardize", width, call.kind, weighted, room),
        lambda: _plan(where, width, chunk, itemsize, weighted, room),
    )

    def run(start: int, stop: int) -> None:
        _launch(plan, where, call.part(start, stop), mean[start:stop], rstd[start:stop])

    in_batches(shape[0], 32 * int(plan.chunk_part.size), run)
    return call.out, mean, rstd


def standardize_with(
    values: Any,
    segments: Segments,
    mean: Any,
    rstd: Any,
    *,
    gain: Any = None,
    offset: Any = None,
    activation: str | None = None,
    residual: Any = None,
    total: Any = None,
    out: Any = None,
    dtype: str | None = None,
) -> Any:
    """As ``standardize``, with statistics that are given: mean and rstd (batch, segment). Returns ``out``."""
    call = prepare(
        values,
        segments,
        second=residual,
        total=total,
        out=out,
        gain=gain,
        offset=offset,
        activation=activation,
        dtype=dtype,
    )
    xp = current_device().xp
    batch = values.shape[0]
    mean = per_segment("mean", mean, segments, batch, xp.float64)
    rstd = per_segment("rstd", rstd, segments, batch, real_of(call.kind, xp))
    if values.size:
        _apply(placed(segments), call, mean, rstd)
    return call.out


def room_for(count: int, most: int, few: int) -> int:
    """Shared memory that a block may take for a segment: ``most``, what the card has, and ``few`` for few segments."""
    return min(most, current_device().card().shared_memory - STATIC, few if count < FEW else most)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Segments by class; arrays of the device. Either all segments are read once, or all have statistics first."""

    small: list[tuple[int, Any]]  # threads per segment, segments
    whole: list[tuple[int, Any]]  # most chunks of a segment, segments: one block each
    chunk_segment: Any
    chunk_part: Any
    merged: Any  # segments of several chunks, their first chunk and how many
    first_chunk: Any
    chunk_count: Any


def _plan(where: Placed, width: int, chunk: int, itemsize: int, weighted: bool, room: int) -> _Plan:
    sizes = where.segments.sizes * width
    small, below = [], 0
    for most, lanes in LANES:
        chosen = np.flatnonzero((sizes > below) & (sizes <= most))
        if chosen.size:
            small.append((lanes, where.listed(chosen)))
        below = most
    large = np.flatnonzero(sizes > SMALL)
    count = -(-sizes[large] // chunk)
    nothing = where.listed(np.zeros(0, np.int64))
    if block_bytes(int(count.max(initial=0)), chunk, itemsize, weighted) <= room:
        whole, below = [], 0
        while below < count.max(initial=0):
            most = max(1, 2 * below)
            chosen = large[(count > below) & (count <= most)]
            if chosen.size:
                most = int(count[(count > below) & (count <= most)].max())
                whole.append((most, where.listed(chosen)))
            below = max(most, 2 * below, 1)
        return _Plan(small, whole, *([nothing] * 5))
    first = np.concatenate([[0], np.cumsum(count)])[:-1].astype(np.int64)
    part = np.arange(int(count.sum())) - np.repeat(first, count)
    several = count > 1
    return _Plan(
        small,
        [],
        where.listed(np.repeat(large, count)),
        where.listed(part),
        where.listed(large[several]),
        where.listed(first[several]),
        where.listed(count[several]),
    )


def block_bytes(chunks: int, chunk: int, itemsize: int, weighted: bool) -> int:
    """Shared memory of ``segment_standardize_block`` for segments of so many chunks."""
    return chunks * (32 + kept_bytes(chunk, itemsize, weighted))


def _launch(plan: _Plan, where: Placed, call: Call, mean: Any, rstd: Any) -> None:
    inst = variant("segment_standardize.cu", call.kind)
    batch, chunk = call.values.shape[0], chunk_length(call.kind)
    itemsize, weighted = call.values.itemsize, call.weights is not None
    chunks = int(plan.chunk_part.size)
    numbers = call.numbers()
    taken = [view(call.values), view(call.second), view(call.total), view(call.weights)]
    affine = [view(call.gain), view(call.offset)]
    listing = [where.order, where.offsets]
    out = None if chunks else view(call.out)
    for lanes, chosen in plan.small:
        listed = int(chosen.size)
        grid = blocks(batch * listed, THREADS // lanes)
        args = [*taken, *affine, *listing, chosen, np.int64(listed), np.int32(lanes), numbers, out, mean, rstd]
        shared = kept_bytes(THREADS * SMALL_TILE, itemsize, weighted)
        launch(inst, "segment_standardize_small", grid, (THREADS,), args, shared=shared)
    for most, chosen in plan.whole:
        listed = int(chosen.size)
        args = [*taken, *affine, *listing, chosen, np.int64(listed), np.int32(most), numbers, out, mean, rstd]
        threads, shared = THREADS * min(most, TEAMS), block_bytes(most, chunk, itemsize, weighted)
        launch(inst, "segment_standardize_block", blocks(batch * listed, 1), (threads,), args, shared=shared)
    if not chunks:
        return
    parts = current_device().xp.empty((batch, chunks, 4))
    args = [*taken, *listing, plan.chunk_segment, plan.chunk_part, np.int64(chunks), numbers, parts, mean, rstd]
    shared = kept_bytes(chunk, itemsize, weighted)
    launch(inst, "segment_standardize_chunk", blocks(batch * chunks, 1), (THREADS,), args, shared=shared)
    merged = int(plan.merged.size)
    args = [parts, np.int64(chunks), plan.merged, plan.first_chunk, plan.chunk_count, np.int64(merged)]
    grid = blocks(batch * merged, THREADS // 32)
    launch(inst, "segment_standardize_merge", grid, (THREADS,), [*args, numbers, mean, rstd])
    if call.total is not None:  # where the sums lie by now
        call = replace(call, values=call.total, second=None, total=None)
    _apply(where, call, mean, rstd)


def _apply(where: Placed, call: Call, mean: Any, rstd: Any) -> None:
    inst = variant("segment_standardize.cu", call.kind)
    batch, items, width = call.values.shape
    tiles = -(-items * width // (THREADS * PACKS * (16 // call.values.itemsize)))
    args = [
        *(view(call.values), view(call.second), view(call.total), view(call.gain), view(call.offset)),
        *(where.codes, mean, rstd, np.int64(tiles), call.numbers(), view(call.out)),
    ]
    launch(inst, "segment_standardize_apply", blocks(batch * tiles, 1), (THREADS,), args)
