"""The unweighted curve: Cleveland's lowess as R has it, for many segments at once; and items as their own knots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gridnorm.core.engines.numpy.lowess_windows import (
    KEPT_CELLS,
    LONG_WINDOW,
    Bools,
    Floats,
    Ints,
    Part,
    chunks,
    clear_padding,
    dot,
    first_true,
    follow,
    packed,
    ranges,
    rows,
    scratch,
    ties,
    window_index,
)


def points(x: Floats, y: Floats, offsets: Ints, chosen: Bools) -> Part:
    """The items themselves as knots; equal x share the mean of their y."""
    segments = np.flatnonzero(chosen)
    if not segments.size:
        return Part(segments, segments, np.empty(0), np.empty(0))
    sizes = np.diff(offsets)[segments]
    x, y = packed(x, offsets, segments), packed(y, offsets, segments)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    first, last = ties(x, starts)
    fresh = np.flatnonzero(first == np.arange(x.size))
    mean = np.add.reduceat(y, fresh) / (last[fresh] - fresh + 1)
    return Part(segments, np.diff(np.searchsorted(fresh, starts)), x[fresh], mean)


def curves(x: Floats, y: Floats, offsets: Ints, chosen: Bools, span: float, iterations: int) -> Part:
    """Unweighted lowess of the chosen segments."""
    segments = np.flatnonzero(chosen)
    if not segments.size:
        return Part(segments, segments, np.empty(0), np.empty(0))
    x, y = packed(x, offsets, segments), packed(y, offsets, segments)
    sizes = np.diff(offsets)[segments]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    widths = np.minimum(sizes, np.maximum(2, (span * sizes + 1e-7).astype(np.int64)))
    last = ties(x, offsets)[1]
    anchors, counts = _anchors(x, offsets, last)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    left = _lefts(x, offsets, widths, anchors, bounds)
    fit = np.empty(anchors.size)
    for chunk in chunks(counts, widths):
        start = np.concatenate([[0], np.cumsum(sizes[chunk])])
        which = ranges(bounds[chunk], counts[chunk])
        moved = np.repeat(start[:-1] - offsets[chunk], counts[chunk])
        fit[which] = _chunk(
            packed(x, offsets, chunk),
            packed(y, offsets, chunk),
            start,
            _Windows(
                anchors[which] + moved,
                left[which] + moved,
                np.repeat(widths[chunk], counts[chunk]),
                np.repeat(np.arange(chunk.size), counts[chunk]),
                last[anchors[which]] + moved,
            ),
            iterations,
        )
    return Part(segments, counts, x[anchors], fit)


def _anchors(x: Floats, offsets: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Items at which lowess evaluates the curve: each the last one within 1 % of the range from its predecessor."""
    following = np.empty(x.size, np.int64)
    for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        own = x[a:b]
        following[a:b] = own.searchsorted(own + 0.01 * (own[-1] - own[0]), "right") + (a - 1)
    np.maximum(following, last + 1, out=following)
    return follow(following, offsets)


def _lefts(x: Floats, offsets: Ints, widths: Ints, anchors: Ints, bounds: Ints) -> Ints:
    """First item of the window of each anchor: the window moves right while its next item is nearer than its first."""
    guess = np.empty(anchors.size, np.int64)
    centre = x[anchors]
    for g, (a, b, k) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), widths.tolist(), strict=True)):
        own = slice(bounds[g], bounds[g + 1])
        guess[own] = a + (x[a : b - k] + x[a + k : b]).searchsorted(2 * centre[own])
    count = np.diff(bounds)
    width = np.repeat(widths, count)
    end = x.size - 1

    def stays(i: Ints, query: Ints) -> Bools:
        at = centre[query]
        result: Bools = at - x[i] <= x[np.minimum(i + width[query], end)] - at
        return result

    return first_true(stays, np.repeat(offsets[:-1], count), np.repeat(offsets[1:], count) - width, guess)


class _Windows(NamedTuple):
    """Evaluated items of a chunk, ascending: their windows, segment, and the last item of equal x."""

    item: Ints
    left: Ints
    length: Ints
    segment: Ints
    last: Ints


def _chunk(x: Floats, y: Floats, offsets: Ints, windows: _Windows, iterations: int) -> Floats:
    """Curve of the chunk's segments at the evaluated items."""
    sizes = np.diff(offsets)
    extent = x[offsets[1:] - 1] - x[offsets[:-1]]
    centre = x[windows.item]
    far = np.maximum(centre - x[windows.left], x[windows.left + windows.length - 1] - centre)
    tolerance = 0.001 * extent[windows.segment]
    build = _long_fits if windows.length[0] > LONG_WINDOW else _short_fits
    fits = build(x, y, offsets, windows, centre, far, tolerance)
    between = _between(x, windows.item)
    active = np.ones(sizes.size, bool)
    robust: Floats | None = None
    fit = centre
    for step in range(iterations):
        new = fits(robust)
        _flat_windows(new, y, windows, far, robust)
        fit = new if active.all() else np.where(active[windows.segment], new, fit)
        if step == iterations - 1:
            break
        before, after, share = between
        residual = np.abs(y - (share * fit[after] + (1 - share) * fit[before]))
        scale, mean = _spread(residual, sizes)
        active &= ~(scale < 1e-7 * mean)
        if not active.any():
            break
        robust = _bisquare(residual, np.repeat(scale, sizes))
    return fit


def _between(x: Floats, item: Ints) -> tuple[Ints, Ints, Floats]:
    """Evaluated item before and after each item (the same one at equal x), and the share of the latter."""
    mark = np.zeros(x.size, np.int64)
    mark[item] = 1
    before = np.cumsum(mark) - 1
    centre = x[item]
    rise = x - centre[before]
    inside = rise > 0
    after = before + inside
    gap = centre[after] - centre[before]
    return before, after, rise / np.where(inside, gap, 1.0)


def _spread(residual: Floats, sizes: Ints) -> tuple[Floats, Floats]:
    """Six times the median, and the mean, of the absolute residuals of each segment."""
    values = rows(residual, sizes, np.inf)
    segment = np.arange(sizes.size)
    middle = sizes // 2
    alike = sizes.min() == sizes.max()
    needed = [int(sizes[0] - middle[0] - 1), int(middle[0])]
    ordered = np.partition(values, needed, axis=1) if alike else np.sort(values, axis=1)
    upper = ordered[segment, middle]
    lower = ordered[segment, sizes - middle - 1]
    scale = np.where(sizes % 2 == 0, 3 * (upper + lower), 6 * upper)
    return scale, np.add.reduceat(residual, np.cumsum(sizes) - sizes) / sizes


def _bisquare(residual: Floats, scale: Floats) -> Floats:
    """Robustness weights; with a zero scale, 1 for a zero residual and 0 for any other."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        robust = residual / scale
        robust *= robust
        np.subtract(1.0, robust, out=robust)
        robust *= robust
    robust[residual <= 0.001 * scale] = 1.0
    robust[residual > 0.999 * scale] = 0.0
    return robust


def _flat_windows(fit: Floats, y: Floats, windows: _Windows, far: Floats, robust: Floats | None) -> None:
    """Correct the fits of windows that hold a single x: the (robust) mean of all items of that x."""
    flat = np.flatnonzero(far <= 0)
    if not flat.size:
        return
    bounds = np.stack([windows.left[flat], windows.last[flat] + 1], axis=1).ravel()
    weight = np.ones(y.size) if robust is None else robust
    total = np.add.reduceat(np.append(weight, 0.0), bounds)[::2]
    mean = np.add.reduceat(np.append(weight * y, 0.0), bounds)[::2] / np.where(total > 0, total, 1.0)
    fit[flat] = np.where(total > 0, mean, y[windows.item[flat]])


def _tricube(distance: Floats, far: Floats | float, out: Floats) -> None:
    """Tricube weights of distances (overwritten): 1 up to 0.001 of the window's reach, 0 beyond 0.999."""
    inside = distance <= 0.999 * far
    near = np.flatnonzero(distance <= 0.001 * far)
    distance /= far
    np.multiply(distance, distance, out=out)
    out *= distance
    np.subtract(1.0, out, out=out)
    np.multiply(out, out, out=distance)
    out *= distance
    out *= inside
    out.reshape(-1)[near] = 1.0


_Fits = Callable[[Floats | None], Floats]


def _short_fits(
    x: Floats, y: Floats, offsets: Ints, windows: _Windows, centre: Floats, far: Floats, tolerance: Floats
) -> _Fits:
    """Function of the robustness weights that fits all windows of a chunk at once."""
    shape = (int(windows.length.max()), max(2, centre.size))
    index = window_index(windows.left, offsets[1:][windows.segment], shape[0])
    if centre.size == 1:  # NumPy sums a single column pairwise: keep two, so that the order is the same everywhere
        index = np.repeat(index, 2, axis=1)
    wx, wy, base = (scratch(name, *shape) for name in ("x", "y", "base"))
    weight, product = scratch("weight", *shape), scratch("product", *shape)
    np.take(x, index, out=wx, mode="clip")
    np.take(y, index, out=wy, mode="clip")
    np.subtract(wx, centre, out=product)
    np.abs(product, out=product)
    with np.errstate(over="ignore", invalid="ignore"):  # in the padding
        _tricube(product, np.where(far > 0, far, 1.0), base)
    clear_padding(base, windows.length)

    def fits(robust: Floats | None) -> Floats:
        if robust is None:
            np.copyto(weight, base)
        else:
            np.take(robust, index, out=weight, mode="clip")
            np.multiply(weight, base, out=weight)
        found = [moment[: centre.size] for moment in _moments(wx, wy, weight, product)]
        return _lines(found, centre, tolerance, y[windows.item])

    return fits


def _long_fits(
    x: Floats, y: Floats, offsets: Ints, windows: _Windows, centre: Floats, far: Floats, tolerance: Floats
) -> _Fits:
    """The same for one segment with long windows, one after the other."""
    width = int(windows.length[0])
    keep = width * centre.size <= KEPT_CELLS
    kept = scratch("kept", centre.size if keep else 1, width)
    weight, product = scratch("weight", width), scratch("product", width)
    left = windows.left.tolist()

    def base(i: int) -> Floats:
        row: Floats = kept[i if keep else 0]
        np.subtract(x[left[i] : left[i] + width], centre[i], out=product)
        np.abs(product, out=product)
        _tricube(product, far[i] if far[i] > 0 else 1.0, row)
        return row

    if keep:
        for i in range(centre.size):
            base(i)

    def fits(robust: Floats | None) -> Floats:
        found = np.empty((5, centre.size))
        for i, start in enumerate(left):
            own = slice(start, start + width)
            row = kept[i] if keep else base(i)
            np.multiply(row, 1.0 if robust is None else robust[own], out=weight)
            found[:, i] = _moments(x[own], y[own], weight, product)
        return _lines(found, centre, tolerance, y[windows.item])

    return fits


def _moments(x: Floats, y: Floats, weight: Floats, product: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Sum of weights, means of x and y, and sums for variance and covariance of windows (first axis).

    `weight` and `product` are overwritten.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total: Floats = np.add.reduce(weight, axis=0)
        mean_x = dot(weight, x) / total
        mean_y = dot(weight, y) / total
        np.subtract(x, mean_x, out=product)
        np.multiply(weight, product, out=weight)
        return total, mean_x, mean_y, dot(weight, product), dot(weight, y)


def _lines(found: Sequence[Floats] | Floats, centre: Floats, tolerance: Floats, fallback: Floats) -> Floats:
    """Weighted lines at the centres of windows from their `_moments`.

    The mean where x varies too little, the item itself where no weight is left.
    """
    total, mean_x, mean_y, squares, products = found
    with np.errstate(divide="ignore", invalid="ignore"):
        sloped = mean_y + (centre - mean_x) * (products / squares)
        fit = np.where(np.sqrt(squares / total) > tolerance, sloped, mean_y)
    result: Floats = np.where(total > 0, fit, fallback)
    return result
