"""Curves over a covariate: sort, fit lowess, evaluate between knots."""

from __future__ import annotations

import numpy as np

from gridnorm.core.engines.knots import Knots
from gridnorm.core.engines.numpy.lowess import lowess
from gridnorm.core.engines.numpy.observed import Floats, Mask, compress, gather, observed
from gridnorm.core.segments import IntArray, Segments


def lowess_fit(
    values: Floats,
    covariate: Floats,
    segments: Segments,
    weights: Floats | None,
    use: Mask | None,
    *,
    span: float,
    iterations: int,
    zero_weights: str,
) -> tuple[IntArray, Knots]:
    """Count (batch, segment) and the knots of one lowess curve per (batch, segment).

    ``zero_weights="clamp"`` keeps items of weight 0 in the fit with a very small weight, as limma does;
    ``"exclude"`` leaves them out.
    """
    mask = observed(values, use, weights if zero_weights == "exclude" else None) & np.isfinite(covariate)
    mask = gather(mask, segments)
    y, x = gather(values, segments), gather(covariate, segments)
    w = None if weights is None else gather(weights[:, :, None], segments)
    n = np.zeros((y.shape[0], segments.n_segments), np.int64)
    parts: list[Knots] = []
    for b in range(y.shape[0]):
        xs, offsets = compress(x[b], mask[b], segments.offsets)
        order = _order(xs, offsets)
        ys = y[b][mask[b]][order]
        ws = None if w is None else w[b][mask[b]][order]
        n[b] = np.diff(offsets)
        parts.append(lowess(xs[order], ys, offsets, ws, span=span, iterations=iterations))
    return n, join(parts)


def _order(x: Floats, offsets: IntArray) -> IntArray:
    """Positions that sort ``x`` inside each segment, stable."""
    order = np.empty(x.size, np.int64)
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        order[start:stop] = x[start:stop].argsort(kind="stable")
        order[start:stop] += start
    return order


def join(parts: list[Knots]) -> Knots:
    """Curves of several calls behind one another."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Knots(np.empty(0), np.empty(0), np.zeros(1, np.int64))
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return Knots(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]), offsets)


def interpolate(knots: Knots, covariate: Floats, segments: Segments) -> Floats:
    """Curve of each item's segment at its covariate, (batch, item): linear between knots, ends held.

    NaN where the covariate is NaN or the segment has no curve.
    """
    x = gather(covariate, segments)
    out = np.full(x.shape, np.nan)
    starts, groups = segments.offsets.tolist(), segments.n_segments
    bounds = knots.offsets.tolist()
    for b in range(x.shape[0]):
        for g in range(groups):
            first, last = bounds[b * groups + g], bounds[b * groups + g + 1]
            if first < last and starts[g] < starts[g + 1]:
                part = slice(starts[g], starts[g + 1])
                out[b, part] = _between(x[b, part], knots.x[first:last], knots.y[first:last])
    if segments.contiguous:
        return out
    items = np.empty_like(out)
    items[:, segments.order] = out
    return items


def _between(x: Floats, knot_x: Floats, knot_y: Floats) -> Floats:
    # Of a single knot np.interp makes a constant, whatever x is.
    y = np.where(np.isnan(x), np.nan, knot_y[0]) if knot_x.size == 1 else np.interp(x, knot_x, knot_y)
    if np.isnan(knot_y).any():
        # A NaN knot spoils the stretches beside it, not the finite knots themselves.
        at = np.minimum(np.searchsorted(knot_x, x), knot_x.size - 1)
        y = np.where(knot_x[at] == x, knot_y[at], y)
    return y


def select_curves(chosen: list[tuple[Knots, int]]) -> Knots:
    """New curves, one per (knots, curve number)."""
    bounds = [(knots, int(knots.offsets[i]), int(knots.offsets[i + 1])) for knots, i in chosen]
    offsets = np.zeros(len(bounds) + 1, np.int64)
    np.cumsum([stop - start for _, start, stop in bounds], out=offsets[1:])
    if not bounds:
        return Knots(np.empty(0), np.empty(0), offsets)
    x = np.concatenate([knots.x[start:stop] for knots, start, stop in bounds])
    return Knots(x, np.concatenate([knots.y[start:stop] for knots, start, stop in bounds]), offsets)
