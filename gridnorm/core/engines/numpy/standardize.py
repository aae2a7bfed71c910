"""Standardize every segment and scale every item: forward, with statistics of one's own, and backward.

v → f(((v − mean) · rstd) · gain + offset), rstd = 1/√(variance + eps). The mean is carried as a rounded number and its
rest, so that a large offset of the values costs no digits; sums over a segment are float64 sums of short float32 ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gridnorm.core.engines import activation as activations
from gridnorm.core.engines.numpy import namespace
from gridnorm.core.engines.numpy.moments import around, real
from gridnorm.core.engines.numpy.observed import Floats
from gridnorm.core.engines.numpy.rows import (
    Array,
    Place,
    dots,
    loops_of,
    of_segments,
    places,
    put,
    quiet,
    take,
    to_segments,
    window,
)
from gridnorm.core.segments import Segments


def standardize(
    values: Array,
    segments: Segments,
    *,
    eps: float,
    center: bool = True,
    weights: Array | None = None,
    gain: Array | None = None,
    offset: Array | None = None,
    activation: str | None = None,
    residual: Array | None = None,
    total: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Floats, Array]:
    """Standardize the values of every segment of every batch entry.

    Parameters
    ----------
    values
        (batch, item, width) of any strides.
    eps
        Added to the variance.
    center
        False: the mean is taken as 0, and the mean square as the variance.
    weights
        (batch, item, width), none negative: shares of the values in mean and variance. Values of weight 0 are
        standardized as well.
    gain, offset
        (batch or 1, item), float32 (float64 for float64 values): what a standardized value is multiplied by and what is
        added.
    activation
        ``"silu"``, ``"relu"`` or ``"gelu"``, applied at the end.
    residual, total
        Like the values: what is added to them first, and where that sum goes.
    out
        Where the result goes; ``values`` itself will do. None: a new array, its axes ordered in memory as theirs.

    Returns
    -------
    out
        Like the values.
    mean
        float64 (batch, segment); NaN where a segment has no weight, or a value of positive weight that is not finite.
    rstd
        float32 (float64 for float64 values), (batch, segment); 0 where variance and ``eps`` are 0.
    """
    shape = (values.shape[0], segments.n_segments)
    kind = real(values.dtype)
    mean, rstd = np.full(shape, np.nan), np.full(shape, np.nan, kind)
    result = np.empty_like(values) if out is None else out
    shared = out is not None and any(a is not None and np.may_share_memory(out, a) for a in (values, residual))
    with quiet():
        for place in places(values.shape, segments):
            x = _read(values, residual, total, place)
            # Differences are computed where the result goes, if that lies in one piece and holds nothing still needed.
            room = None if shared or result.dtype != kind else window(result, place)
            given, (x, w, lost) = x, _weighed(x, weights, place)
            found = around(x, w, center=center, into=room)
            if lost is not None:
                found.left[lost] = given[lost]
            scale = _inverse(found.variance, eps).astype(kind, copy=False)
            to_segments(mean, place, found.shift + found.rest)
            to_segments(rstd, place, scale)
            rows = room if room is not None else np.empty_like(x) if found.left is x else found.left
            _finish(found.left, found.rest, scale, gain, offset, activation, place, rows)
            if room is None:
                put(result, place, rows)
    return result, mean, rstd


def standardize_with(
    values: Array,
    segments: Segments,
    mean: Floats,
    rstd: Array,
    *,
    gain: Array | None = None,
    offset: Array | None = None,
    activation: str | None = None,
    residual: Array | None = None,
    total: Array | None = None,
    out: Array | None = None,
) -> Array:
    """The same with a mean and a factor (batch, segment) that are given."""
    result = np.empty_like(values) if out is None else out
    with quiet():
        for place in places(values.shape, segments):
            x = _read(values, residual, total, place)
            scale = of_segments(rstd, place)
            left, rest = _without_mean(x, of_segments(mean, place), scale)
            rows = np.empty_like(x)
            _finish(left, rest, scale, gain, offset, activation, place, rows)
            put(result, place, rows)
    return result


def standardize_backward(
    grad: Array,
    values: Array,
    segments: Segments,
    mean: Floats,
    rstd: Array,
    *,
    center: bool = True,
    weights: Array | None = None,
    gain: Array | None = None,
    offset: Array | None = None,
    activation: str | None = None,
    add_mean: Floats | None = None,
    add_rstd: Floats | None = None,
    reduce_batch: bool = False,
    constant: bool = False,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of ``standardize`` with respect to the values, the gain and the offset.

    Parameters
    ----------
    grad
        Gradient with respect to the result, like the values.
    values
        What was standardized (with a residual: the sum).
    mean, rstd
        As ``standardize`` returned them.
    add_mean, add_rstd
        Gradients with respect to ``mean`` and ``rstd``, float64 (batch, segment), where those are used further.
    reduce_batch
        Sum the gradients of gain and offset over the batch, one entry after the other.
    constant
        Mean and factor were given (``standardize_with``): they do not depend on the values.

    Returns
    -------
    dvalues
        Like the values. With h = grad·f′·gain, standardized values x̂ and shares p of the weights, over each segment:
        rstd·(h − p·Σh − p·x̂·Σ(h·x̂)). Nothing flows through values of weight 0 that are not finite.
    dgain, doffset
        (batch, item), with ``reduce_batch`` (1, item), in the dtype of ``rstd``.
    """
    kind = real(values.dtype)
    batch, items, width = values.shape
    result = np.empty_like(values) if out is None else out
    shared = out is not None and any(np.may_share_memory(out, a) for a in (values, grad))
    entries = 1 if reduce_batch else batch
    found = np.zeros((2, entries, items), np.float64 if reduce_batch else kind)  # of the offset, of the gain
    with quiet():
        for place in places(values.shape, segments):
            x, w, lost = _weighed(_read(values, None, None, place), weights, place)
            scale = of_segments(rstd, place).astype(np.float64)
            room = None if shared or result.dtype != kind else window(result, place)
            left, rest = _without_mean(x, of_segments(mean, place), scale, room)
            g = _read(grad, None, None, place)
            if lost is not None:
                g = np.where(lost, g.dtype.type(0), g)
            if activation is not None:
                z = np.empty_like(x)
                _finish(left, rest, scale, gain, offset, None, place, z)
                g = g * activations.slope(activation, z, namespace)
            by_item = (x.shape[0], place.size, width)
            both = np.empty((2, *by_item[:2]))  # Σg and Σ(g·x̂) of every item
            both[0] = _item_sums(g, None, by_item)
            both[1] = scale[:, None] * (_item_sums(g, left, by_item) - rest[:, None] * both[0])
            a = _of_items(gain, place)
            first, second = _over_items(both, a, scale, place, add_mean, add_rstd)
            _to_items(found, place, both, reduce_batch)
            share = None if w is None else w / dots(w).astype(kind)[:, None]
            if constant or not center:
                first, second = 0.0 * first, 0.0 * second if constant else second
            sums = _Sums(scale, rest, first, second)
            rows = room if room is not None else np.empty_like(x) if left is x else left
            _project(left, g, share, sums, a, by_item, rows)
            if room is None:
                put(result, place, rows)
    doffset, dgain = found.astype(kind, copy=False)
    return result, dgain, doffset


class _Sums(NamedTuple):
    """Of the rows of a block: factor, rest of the mean, Σh and Σ(h·x̂)."""

    rstd: Floats
    rest: Floats
    first: Floats
    second: Floats


def _project(
    left: Array, g: Array, share: Array | None, s: _Sums, a: Array | None, by_item: tuple[int, ...], into: Array
) -> None:
    """``into`` becomes rstd·(h − p·Σh − p·x̂·Σ(h·x̂)), x̂ being rstd·(left − rest)."""
    loops_of(left.shape[1])
    kind = left.dtype
    slope = -(s.rstd**2) * s.second
    level = -s.rstd * s.first - slope * s.rest
    if share is None:
        slope, level = slope / left.shape[1], level / left.shape[1]
    # The square of an extreme factor may not be a float32: there it comes in two steps. Times 1 changes no bit of
    # the other rows.
    usual = (s.rstd > 1e-15) & (s.rstd < 1e15)
    if not usual.all():
        step = np.where(usual | ~(s.rstd > 0), 1.0, s.rstd)
        left = np.multiply(left, step.astype(kind)[:, None], out=into)
        slope = slope / step
    np.multiply(left, slope.astype(kind)[:, None], out=into)
    into += level.astype(kind)[:, None]
    if share is not None:
        into *= share
    factor = _with_table(np.multiply, s.rstd[:, None], a)
    into += _times_items(g, factor.astype(kind), by_item)


def _read(values: Array, residual: Array | None, total: Array | None, place: Place) -> Array:
    """Rows of the values, with the residual added and rounded as the values are."""
    kind = real(values.dtype)
    rows = take(values, place)
    if residual is not None:
        added = rows.astype(kind, copy=False) + take(residual, place).astype(kind, copy=False)
        rows = added.astype(values.dtype, copy=False)
        if total is not None:
            put(total, place, rows)
    return np.ascontiguousarray(rows.astype(kind, copy=False))


def _weighed(x: Array, weights: Array | None, place: Place) -> tuple[Array, Array | None, Array | None]:
    """Rows, their weights, and where a value of no weight is not finite: it became 0, so as not to reach a sum."""
    if weights is None:
        return x, None, None
    w = np.ascontiguousarray(take(weights, place).astype(x.dtype, copy=False))
    w = np.where(w > 0, w, x.dtype.type(0))
    lost = (w == 0) & ~np.isfinite(x)
    return (np.where(lost, x.dtype.type(0), x), w, lost) if lost.any() else (x, w, None)


def _inverse(variance: Floats, eps: float) -> Floats:
    if eps > 0:
        return 1.0 / np.sqrt(variance + eps)
    return np.where(variance == 0, 0.0, 1.0 / np.sqrt(variance))


def _without_mean(x: Array, mean: Floats, scale: Array, into: Array | None = None) -> tuple[Array, Floats]:
    """``x`` without the rounded mean, and what is left of that; ``x`` itself where the mean is within a deviation."""
    shift = np.where(np.abs(mean) * scale <= 1, 0.0, mean).astype(x.dtype)
    if not shift.any():
        return x, mean
    loops_of(x.shape[1])
    return np.subtract(x, shift[:, None], out=into), mean - shift


def _finish(
    left: Array,
    rest: Floats,
    scale: Array,
    gain: Array | None,
    offset: Array | None,
    activation: str | None,
    place: Place,
    into: Array,
) -> None:
    """``into`` becomes f(((left − rest) · scale) · gain + offset), as one factor and one summand an item."""
    factor = _with_table(np.multiply, scale[:, None], _of_items(gain, place))
    level = _with_table(np.add, -rest[:, None] * factor, _of_items(offset, place))
    by_item = (left.shape[0], place.size, left.shape[1] // place.size)
    _times_items(left, factor.astype(left.dtype, copy=False), by_item, into=into)
    _plus_items(into, level.astype(left.dtype), by_item)
    if activation is not None:
        activations.activate(activation, into, namespace)


def _of_items(table: Array | None, place: Place) -> Array | None:
    """Entries of a table (batch or 1, item) for a block, (entry or 1, segment, item of the segment)."""
    if table is None:
        return None
    part = table[:, place.items] if table.shape[0] == 1 else table[place.batch, place.items]
    return part.reshape(-1, place.n, place.size)


def _with_table(operation: np.ufunc, rows: Array, table: Array | None) -> Array:
    """(row, item or 1) numbers and entries of a table, (row, item)."""
    if table is None:
        return rows
    both = operation(rows.reshape(-1, table.shape[1], rows.shape[1]), table)
    return np.asarray(both).reshape(-1, table.shape[2])


def _over_items(
    both: Floats, table: Array | None, scale: Floats, place: Place, add_mean: Floats | None, add_rstd: Floats | None
) -> tuple[Floats, Floats]:
    """Σh and Σ(h·x̂) of every row, from Σg and Σ(g·x̂) of its items, with what mean and factor are used for further."""
    if table is not None:
        both = (both.reshape(2, -1, *table.shape[1:]) * table).reshape(both.shape)
    first, second = both.sum(axis=2)
    if add_mean is not None:
        first = first - np.where(scale > 0, of_segments(add_mean, place) / scale, 0.0)
    if add_rstd is not None:
        second = second + scale * of_segments(add_rstd, place)
    return first, second


def _to_items(tables: Array, place: Place, both: Floats, reduce_batch: bool) -> None:
    """Into two tables (batch or 1, item); overwrites ``both``, (2, row, item of the segment)."""
    part = both.reshape(2, -1, place.n * place.size)
    if reduce_batch:
        # One entry after the other, wherever a block begins: along an axis that is not the last NumPy adds in order.
        part[:, 0] += tables[:, 0, place.items]
        tables[:, 0, place.items] = np.cumsum(part, axis=1)[:, -1] if part.shape[2] == 1 else part.sum(axis=1)
    else:
        tables[:, place.batch, place.items] = part


def _item_sums(g: Array, x: Array | None, by_item: tuple[int, ...]) -> Array:
    """Sum over the width of each item, (row, item)."""
    if by_item[2] == 1:
        return g if x is None else g * x
    return dots(g.reshape(by_item), None if x is None else x.reshape(by_item))


def _times_items(rows: Array, factor: Array, by_item: tuple[int, ...], into: Array | None = None) -> Array:
    """Rows · factor, one factor a row or an item."""
    one = factor.shape[1] == 1
    loops_of(rows.shape[1] if one else by_item[2])
    if one:
        return np.multiply(rows, factor, out=into)
    wide = _widen(factor, by_item)
    shape = rows.shape if wide.ndim == 2 else by_item
    target = None if into is None else into.reshape(shape)
    return np.multiply(rows.reshape(shape), wide, out=target).reshape(rows.shape)


def _plus_items(rows: Array, summand: Array, by_item: tuple[int, ...]) -> None:
    if summand.shape[1] == 1:
        rows += summand
        return
    wide = _widen(summand, by_item)
    target = rows if wide.ndim == 2 else rows.reshape(by_item)
    target += wide


def _widen(numbers: Array, by_item: tuple[int, ...]) -> Array:
    """(row, item) numbers for an operation on rows; written out where an item is too narrow for an inner loop."""
    width = by_item[2]
    return np.repeat(numbers, width, axis=1) if width < 16 else numbers[:, :, None]
