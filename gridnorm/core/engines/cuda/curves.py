"""Curves over a covariate on the device: fit lowess, evaluate between knots, choose among curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import in_batches, launch, strided
from gridnorm.core.engines.cuda.loading import instance
from gridnorm.core.engines.cuda.lowess import Found, Settings, curves, row_bytes
from gridnorm.core.engines.cuda.plan import Placed, blocks, check_view, placed, strides
from gridnorm.core.engines.knots import Knots
from gridnorm.core.segments import Segments

INSTANCE = instance("curves.cu")
_COPY_THREADS, _THREADS = 64, 256


def lowess_fit(
    values: Any,
    covariate: Any,
    segments: Segments,
    weights: Any,
    use: Any,
    *,
    span: float,
    iterations: int,
    zero_weights: str,
) -> tuple[Any, Knots]:
    """Count (batch, segment) and the knots of one lowess curve per (batch, segment).

    As NumPy's ``lowess_fit``: the same knots, and y to the bit where a segment has at most 1024 observed
    items. Batches are cut to the free memory; the result does not depend on where.
    """
    xp = current_device().xp
    items = {"covariate": covariate[:, :, 0], "weights": weights, "use": use}
    check_view(values, segments, items, xp)
    settings = Settings(span, iterations, zero_weights == "exclude")
    where = placed(segments)
    batch = values.shape[0]
    n = xp.zeros((batch, segments.n_segments), xp.int64)
    parts: list[Knots] = []

    def run(start: int, stop: int) -> None:
        part = slice(start, stop)
        found = curves(
            where,
            values[part, :, 0],
            covariate[part, :, 0],
            None if weights is None else weights[part],
            None if use is None else use[part],
            settings,
        )
        packed = _packed(found, where)
        n[part] = found.n
        parts.append(packed)  # last: a batch that ran out of memory is done again

    in_batches(batch, row_bytes(where, weights is not None), run)
    return n, join(parts)


def _packed(found: Found, where: Placed) -> Knots:
    """The knots without the gaps between segments."""
    xp = current_device().xp
    count = found.count.ravel()
    offsets = _offsets(count)
    batch, items = found.x.shape
    first = xp.arange(batch, dtype=xp.int64)[:, None] * items + where.offsets[None, :-1]
    total = int(offsets[-1])
    knots = Knots(xp.empty(total), xp.empty(total), offsets)
    _copy(found.x, found.y, first.ravel(), offsets[:-1], count, knots)
    return knots


def _copy(x: Any, y: Any, first: Any, place: Any, count: Any, out: Knots) -> None:
    """Copy ``count`` knots each from ``first`` to ``place``."""
    launch(INSTANCE, "curves_copy", blocks(count.size, 1), (_COPY_THREADS,), [x, y, first, place, count, out.x, out.y])


def _offsets(count: Any) -> Any:
    xp = current_device().xp
    offsets = xp.zeros(count.size + 1, xp.int64)
    if count.size:
        offsets[1:] = xp.cumsum(count)
    return offsets


def join(parts: list[Knots]) -> Knots:
    """Curves of several calls behind one another."""
    xp = current_device().xp
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Knots(xp.empty(0), xp.empty(0), xp.zeros(1, xp.int64))
    offsets = _offsets(xp.concatenate([xp.diff(part.offsets) for part in parts]))
    return Knots(xp.concatenate([p.x for p in parts]), xp.concatenate([p.y for p in parts]), offsets)


def interpolate(knots: Knots, covariate: Any, segments: Segments) -> Any:
    """Curve of each item's segment at its covariate, (batch, item): linear between knots, ends held.

    NaN where the covariate is NaN or the segment has no curve, and beside a NaN knot.
    """
    xp = current_device().xp
    x = covariate[:, :, 0]
    check_view(covariate, segments, {}, xp)
    where = placed(segments)
    out = xp.empty(x.shape)
    batch, items = x.shape
    per_row = -(-items // _THREADS)
    launch(
        INSTANCE,
        "curves_interpolate",
        blocks(batch * per_row, 1),
        (_THREADS,),
        [
            *(knots.x, knots.y, knots.offsets, strided(x), *strides(x)),
            *(where.codes, np.int64(items), np.int64(segments.n_segments), np.int32(per_row), out),
        ],
    )
    return out


def select_curves(chosen: list[tuple[Knots, int]]) -> Knots:
    """New curves, one per (knots, curve number)."""
    xp = current_device().xp
    sources = {id(knots): knots for knots, _ in chosen}
    bounds = {key: _on_host(knots.offsets) for key, knots in sources.items()}
    first = np.array([bounds[id(knots)][i] for knots, i in chosen], np.int64)
    count = np.array([bounds[id(knots)][i + 1] for knots, i in chosen], np.int64) - first
    place = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    out = Knots(xp.empty(int(place[-1])), xp.empty(int(place[-1])), xp.asarray(place))
    origin = np.array([id(knots) for knots, _ in chosen], np.int64)
    for key, knots in sources.items():
        own = np.flatnonzero(origin == key)
        begin, to, number = (xp.asarray(v[own]) for v in (first, place[:-1], count))
        _copy(knots.x, knots.y, begin, to, number, out)
    return out


def _on_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array
