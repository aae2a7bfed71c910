"""Median, median absolute deviation and quantiles of every segment: ``segment_median.cu``."""

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
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

MAD_CONSISTENT = 1.4826  # makes the MAD estimate the standard deviation of normal data
THREADS, WEIGHTED_THREADS, SELECT_THREADS = 128, 256, 256  # as in segment_median.cu; the last: at most
SMALLEST, WARP, BLOCK = 64, 512, 2048  # elements that are sorted in shared memory: at least, by a warp, by a block
_LONGEST = 2**31 - 1  # elements of a segment: counted in 32 bits
_KEY, _WEIGHTED = 8, 20  # bytes of shared memory an element: key; key, weight and position
_WINDOW = 3  # numbers that a search keeps of a chunk


@dataclass(frozen=True, eq=False)
class _Class:
    """Segments of up to ``room`` elements, a power of two; their numbers are the device's."""

    room: int
    parts: int  # chunks of BLOCK elements that hold the largest of them
    listed: Any

    def bytes_each(self, count: int, weighted: bool) -> int:
        """Scratch of one batch entry."""
        if self.room <= BLOCK:
            return 0
        chunk = 2 * (8 + 8) * BLOCK if weighted else 8 * BLOCK + 4 * _WINDOW * count
        return int(self.listed.size) * self.parts * chunk


def _classes(where: Placed, width: int) -> list[_Class]:
    sizes = np.maximum(where.segments.sizes * width, SMALLEST)
    if int(sizes.max()) > _LONGEST:
        raise OptionError("a segment has too many values", found=str(sizes.max()), expected=f"at most {_LONGEST}")
    # frexp gives the exponent exactly, where log2 may round.
    rooms = np.left_shift(1, np.frexp((sizes - 1).astype(np.float64))[1].astype(np.int64))
    classes = []
    for room in sorted(set(rooms.tolist())):
        chosen = np.flatnonzero(rooms == room)
        classes.append(_Class(room, -(-int(sizes[chosen].max()) // BLOCK), where.listed(chosen)))
    return classes


def median(values: Any, segments: Segments, weights: Any, use: Any, *, dtype: str | None = None) -> tuple[Any, Any]:
    """Count and (weighted) median, each (batch, segment); as NumPy's ``median``, of any strides."""
    n, points = _select(values, segments, weights, use, dtype)
    return n, points[:, :, 0]


def mad(values: Any, segments: Segments, weights: Any, use: Any, *, dtype: str | None = None) -> tuple[Any, Any, Any]:
    """Count, median and median absolute deviation (× 1.4826), each (batch, segment)."""
    n, centre = median(values, segments, weights, use, dtype=dtype)
    _, spread = _select(values, segments, weights, use, dtype, centre=current_device().xp.ascontiguousarray(centre))
    return n, centre, MAD_CONSISTENT * spread[:, :, 0]


def quantiles(
    values: Any, segments: Segments, use: Any, probabilities: Any, *, dtype: str | None = None
) -> tuple[Any, Any]:
    """Count (batch, segment) and quantiles (batch, segment, probability): linear between order statistics (type 7)."""
    xp = current_device().xp
    return _select(values, segments, None, use, dtype, probabilities=xp.ascontiguousarray(probabilities, xp.float64))


def _select(
    values: Any,
    segments: Segments,
    weights: Any,
    use: Any,
    dtype: str | None,
    *,
    centre: Any = None,
    probabilities: Any = None,
) -> tuple[Any, Any]:
    xp = current_device().xp
    check_view(values, segments, {"weights": weights, "use": use}, xp)
    inst = variant("segment_median.cu", dtype_of(values, dtype))
    batch, _, width = values.shape
    shape = (batch, segments.n_segments)
    count = 1 if probabilities is None else int(probabilities.size)
    n, points = xp.zeros(shape, xp.int64), xp.full((*shape, count), xp.nan)
    if not batch or not width or not segments.n_items:
        return n, points
    values = in_elements(values, xp)
    weights = None if weights is None else weights.astype(xp.float64, copy=False)
    where = placed(segments)
    classes: list[_Class] = where.plan(("median", width), lambda: _classes(where, width))

    def run(start: int, stop: int) -> None:
        part = slice(start, stop)
        _launch(
            inst,
            where,
            classes,
            values[part],
            None if weights is None else weights[part],
            None if use is None else use[part],
            None if centre is None else centre[part],
            probabilities,
            (n[part], points[part]),
        )

    in_batches(batch, max(c.bytes_each(count, weights is not None) for c in classes), run)
    return n, points


def _launch(
    inst: Instance,
    where: Placed,
    classes: list[_Class],
    values: Any,
    weights: Any,
    use: Any,
    centre: Any,
    probabilities: Any,
    out: tuple[Any, Any],
) -> None:
    batch, _, width = values.shape
    groups = np.int64(where.segments.n_segments)
    view = [
        *(strided(values), *strides(values), np.int64(width)),
        *optional(use),
        *optional(weights),
        *(centre, where.order, where.offsets, groups),
    ]
    wanted = [probabilities, np.int32(out[1].shape[2])]
    for one in classes:
        listed = int(one.listed.size)
        if one.room <= BLOCK:
            by_warp = one.room <= WARP
            teams = THREADS // 32 if by_warp else 1
            launch(
                inst,
                "segment_median_warp" if by_warp else "segment_median_block",
                blocks(batch * listed, teams),
                (THREADS,),
                [*view, *wanted, one.listed, np.int64(listed), np.int64(batch), np.int32(one.room), *out],
                shared=teams * one.room * (_KEY if weights is None else _WEIGHTED),
            )
            continue
        pairs, parts, members = batch * listed, np.int64(one.parts), [one.listed, np.int64(listed)]
        chunks = _sorted_chunks(inst, [*view, *members, parts], pairs * one.parts, weights is not None)
        if weights is None:
            _search(inst, chunks[0], parts, pairs, wanted, [*members, groups], out)
        else:
            _merge_and_sum(inst, chunks, parts, pairs, [*members, groups], out)


def _sorted_chunks(inst: Instance, arguments: list[Any], chunks: int, weighted: bool) -> tuple[Any, Any]:
    """Sorted keys of every chunk of every (batch, segment) and, if asked for, their weights."""
    xp = current_device().xp
    keys = xp.empty(chunks * BLOCK, xp.uint64)
    weights = xp.empty(chunks * BLOCK) if weighted else None
    shared = BLOCK * (_WEIGHTED if weighted else _KEY)
    launch(inst, "segment_median_chunks", blocks(chunks, 1), (THREADS,), [*arguments, keys, weights], shared=shared)
    return keys, weights


def _search(
    inst: Instance,
    keys: Any,
    parts: np.int64,
    pairs: int,
    wanted: list[Any],
    members: list[Any],
    out: tuple[Any, Any],
) -> None:
    """Order statistics from sorted chunks."""
    xp = current_device().xp
    searches = pairs * int(wanted[1])
    threads = min(SELECT_THREADS, 32 * -(-int(parts) // 32))
    windows = xp.empty(searches * int(parts) * _WINDOW, xp.uint32)
    arguments = [keys, parts, *wanted, *members, windows, *out]
    launch(inst, "segment_median_select", blocks(searches, 1), (threads,), arguments)


def _merge_and_sum(
    inst: Instance,
    chunks: tuple[Any, Any],
    parts: np.int64,
    pairs: int,
    members: list[Any],
    out: tuple[Any, Any],
) -> None:
    """Weighted medians from sorted chunks: pairs of runs are merged until one is left."""
    xp = current_device().xp
    full, spare = chunks, tuple(xp.empty_like(a) for a in chunks)
    run = 1
    while run < parts:
        arguments = [*full, parts, np.int64(run), *spare]
        launch(inst, "segment_median_merge", blocks(pairs * int(parts), 1), (THREADS,), arguments)
        full, spare, run = spare, full, 2 * run
    arguments = [*full, parts, *members, *out]
    launch(inst, "segment_median_weighted", blocks(pairs, 1), (WEIGHTED_THREADS,), arguments)
