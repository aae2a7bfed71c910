"""Median, median absolute deviation and quantiles of every segment: ``segment_median.cu``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core import kernels
from gridnorm.core._cupy.plan import (
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
WARP_THREADS, RADIX_THREADS = 128, 256  # as in segment_median.cu
SMALLEST, WARP, BLOCK = 64, 512, 2048  # elements that are sorted in shared memory: at least, by a warp, by a block
_LONGEST = 2**31 - 1  # elements of a segment: counted in 32 bits
_KEY, _WEIGHTED = 8, 20  # bytes per element: key; key, weight and position


@dataclass(frozen=True, eq=False)
class _Class:
    """Segments that are sorted in ``room`` places, a power of two; numbers of the engine."""

    room: int
    listed: Any


def _classes(where: Placed, width: int) -> list[_Class]:
    sizes = np.maximum(where.segments.sizes * width, SMALLEST)
    if int(sizes.max()) > _LONGEST:
        raise OptionError("a segment has too many values", found=str(sizes.max()), expected=f"at most {_LONGEST}")
    # frexp gives the exponent exactly, where log2 may round.
    rooms = np.left_shift(1, np.frexp((sizes - 1).astype(np.float64))[1].astype(np.int64))
    return [_Class(room, where.listed(np.flatnonzero(rooms == room))) for room in sorted(set(rooms.tolist()))]


def median(values: Any, segments: Segments, weights: Any, use: Any, *, dtype: str | None = None) -> tuple[Any, Any]:
    """Count and (weighted) median, each (batch, segment); as ``gridnorm.core._numpy.median``, of any strides."""
    n, points = _select(values, segments, weights, use, dtype)
    return n, points[:, :, 0]


def mad(values: Any, segments: Segments, weights: Any, use: Any, *, dtype: str | None = None) -> tuple[Any, Any, Any]:
    """Count, median and median absolute deviation (× 1.4826), each (batch, segment)."""
    n, centre = median(values, segments, weights, use, dtype=dtype)
    _, spread = _select(values, segments, weights, use, dtype, centre=kernels.engine().xp.ascontiguousarray(centre))
    return n, centre, MAD_CONSISTENT * spread[:, :, 0]


def quantiles(
    values: Any, segments: Segments, use: Any, probabilities: Any, *, dtype: str | None = None
) -> tuple[Any, Any]:
    """Count (batch, segment) and quantiles (batch, segment, probability): linear between order statistics (type 7)."""
    xp = kernels.engine().xp
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
    xp = kernels.engine().xp
    check_view(values, segments, {"weights": weights, "use": use}, xp)
    inst = kernels.variant("segment_median.cu", dtype_of(values, dtype))
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

    large = [c.room * int(c.listed.size) for c in classes if c.room > BLOCK]
    kernels.in_batches(batch, _WEIGHTED * max(large, default=0) if weights is not None else 0, run)
    return n, points


def _launch(
    inst: kernels.Instance,
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
    view = [kernels.strided(values), *strides(values), np.int64(width), *optional(use)]
    groups = [centre, where.order, where.offsets, np.int64(where.segments.n_segments)]
    wanted = [probabilities, np.int32(out[1].shape[2])]
    for one in classes:
        listed = int(one.listed.size)
        pairs = batch * listed
        rest = [one.listed, np.int64(listed), np.int64(batch)]
        if one.room <= BLOCK:
            by_warp = one.room <= WARP
            teams = WARP_THREADS // 32 if by_warp else 1
            kernels.launch(
                inst,
                "segment_median_warp" if by_warp else "segment_median_block",
                blocks(pairs, teams),
                (WARP_THREADS,),
                [*view, *optional(weights), *groups, *wanted, *rest, np.int32(one.room), *out],
                shared=teams * one.room * (_KEY if weights is None else _WEIGHTED),
            )
        elif weights is None:
            arguments = [*view, *groups, *wanted, *rest, *out]
            kernels.launch(inst, "segment_median_radix", blocks(pairs, 1), (RADIX_THREADS,), arguments)
        else:
            xp = kernels.engine().xp
            scratch = [xp.empty(pairs * one.room, kind) for kind in (xp.uint64, xp.uint32, xp.float64)]
            arguments = [*view, *optional(weights), *groups, *rest, np.int64(one.room), *scratch, *out]
            kernels.launch(inst, "segment_median_sorted", blocks(pairs, 1), (RADIX_THREADS,), arguments)
