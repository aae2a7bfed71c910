"""Local regression of many segments at once: the rules of ``limma::loessFit`` and the unweighted curve.

The geometry of a curve (points evaluated, their windows, tricube weights) depends on x alone. It is built once for a
chunk of whole segments, as matrices of shape (window, evaluated points); a robust pass is then a few sweeps over them.
Sums run down the first axis, that is in ascending order of x and one after the other, so zero padding at the end of
a window changes no bit: the curve of a segment never depends on its neighbours in the call.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridnorm.errors import OptionError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Cells (window x evaluated points) of one matrix of a chunk: cache sized, and reused so that no page faults in twice.
_CELLS = 96_000
# Longer windows are fitted one by one from slices: a large segment needs no such matrices.
LONG_WINDOW = 1_500
# Tricube weights of a large segment are kept between passes up to this many cells, beyond that recomputed.
KEPT_CELLS = 2_000_000
_MIN_WEIGHT, _MAX_WEIGHT = 1e-5, 1e5


@dataclass(frozen=True)
class Knots:
    """Curves given by points between which they are straight.

    Attributes
    ----------
    x, y
        Knots of all segments one after the other, shape (total,); x ascends strictly within a segment.
    offsets
        Segment g owns the knots ``offsets[g]:offsets[g + 1]``, shape (segments + 1,). An empty segment has none.
    """

    x: Floats
    y: Floats
    offsets: Ints


def lowess(
    x: Floats,
    y: Floats,
    offsets: Ints,
    weights: Floats | None = None,
    *,
    span: float = 0.3,
    iterations: int = 4,
    npts: int = 200,
) -> Knots:
    """Fit a robust local line to every segment, by the rules of ``limma::loessFit``.

    A segment of n items with ``span < 1 / n`` keeps y itself (equal x: the mean of their y). Weights that are all
    equal count as none; without weights this is Cleveland's lowess with ``delta`` = 1 % of the segment's range of x.
    With weights and ``n < 4 + 1 / span`` the curve is one weighted straight line, else the weighted lowess of limma.

    Parameters
    ----------
    x, y
        Finite values, shape (items,), x ascending within each segment. They are only read.
    offsets
        Segment g is ``offsets[g]:offsets[g + 1]``, shape (segments + 1,); segments may be empty.
    weights
        Prior weights, shape (items,). NaN counts as 0; values are clamped to [1e-5, 1e5].
    span
        Share of a segment's items (of its weight, with weights) in one window, > 0.
    iterations
        Number of fits, the first one included, >= 1.
    npts
        Approximate number of evaluated points per segment on the weighted path, >= 2.

    Returns
    -------
    Knots
        The evaluated points. The fitted value of an item is the linear interpolation between knots. On the weighted
        path y of a knot is NaN where robustness left a window without weight, as in limma.

    Raises
    ------
    OptionError
        If span, iterations or npts is out of range.

    Notes
    -----
    Cleveland (1979), J. Am. Stat. Assoc. 74, 829; R's ``stats::lowess``, ``limma::loessFit``,
    ``limma::weightedLowess``.

    One thing of limma is no function of x: where a fit is NaN, items of equal x at the last finite knot before it are
    NaN too, except the first of them. Here they all have the knot's value.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(40.0)
    >>> knots = lowess(x, 2 * x + 1, np.array([0, 40]))
    >>> bool(np.allclose(knots.y, 2 * knots.x + 1))
    True
    """
    if not (span > 0 and np.isfinite(span)):
        raise OptionError("span cannot have this value", found=str(span), expected="a positive number")
    if iterations < 1:
        raise OptionError("iterations cannot have this value", found=str(iterations), expected="at least 1")
    if npts < 2:
        raise OptionError("npts cannot have this value", found=str(npts), expected="at least 2")
    offsets = np.asarray(offsets, np.int64)
    sizes = np.diff(offsets)
    as_points = (sizes > 0) & (span < 1 / np.maximum(sizes, 1))
    by_curve = (sizes > 0) & ~as_points
    parts = [_points(x, y, offsets, as_points)]
    if weights is not None:
        from gridnorm.core._numpy import lowess_weighted as weighted  # not needed without weights

        clamped = np.clip(np.where(np.isnan(weights), 0.0, weights), _MIN_WEIGHT, _MAX_WEIGHT)
        unequal = by_curve & _unequal(clamped, offsets)
        by_line = unequal & (sizes < 4 + 1 / span)
        parts.append(weighted.lines(x, y, clamped, offsets, by_line))
        parts.append(weighted.curves(x, y, clamped, offsets, unequal & ~by_line, span, iterations, npts))
        by_curve &= ~unequal
    parts.append(_curves(x, y, offsets, by_curve, span, iterations))
    return assemble(parts, sizes.size)


# --- pieces that both paths use -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Knots of some segments: `segments` with `counts` knots each, whose values stand one after the other."""

    segments: Ints
    counts: Ints
    x: Floats
    y: Floats


def assemble(parts: list[Part], n_segments: int) -> Knots:
    """Knots of all parts, in the order of the segments."""
    counts = np.zeros(n_segments, np.int64)
    for part in parts:
        counts[part.segments] = part.counts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    x, y = np.empty(offsets[-1]), np.empty(offsets[-1])
    for part in parts:
        place = ranges(offsets[part.segments], part.counts)
        x[place] = part.x
        y[place] = part.y
    return Knots(x, y, offsets)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """``start, start + 1, ..., start + count - 1`` of every pair, one after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))


def first_true(test: Callable[[Ints, Ints], Bools], low: Ints, high: Ints, guess: Ints) -> Ints:
    """Smallest i in [low, high] with ``test(i, query)`` for each query; test must turn from false to true once.

    ``test(high)`` is taken as true and i = high is safe to ask. Only queries whose guess is wrong are bisected.
    """
    found = np.clip(guess, low, high)
    query = np.arange(found.size)
    right = ((found == high) | test(found, query)) & ((found == low) | ~test(np.maximum(found - 1, low), query))
    query = np.flatnonzero(~right)
    lo, hi = low[query], high[query]
    while (live := lo < hi).any():
        middle = (lo + hi) // 2
        true = test(middle, query)
        hi = np.where(live & true, middle, hi)
        lo = np.where(live & ~true, middle + 1, lo)
    found[query] = lo
    return found


def follow(following: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """Items reached from the first of each segment by ``i -> following[i]`` while inside it, and their counts."""
    after = following.tolist()
    reached: list[int] = []
    counts: list[int] = []
    for i, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        before = len(reached)
        while i < end:
            reached.append(i)
            i = after[i]
        counts.append(len(reached) - before)
    return np.array(reached, np.int64), np.array(counts, np.int64)


def ties(x: Floats, offsets: Ints) -> tuple[Ints, Ints]:
    """First and last item of the run of equal x that each item belongs to."""
    fresh = np.empty(x.size, bool)
    np.not_equal(x[1:], x[:-1], out=fresh[1:])
    fresh[offsets[:-1]] = True
    starts = np.flatnonzero(fresh)
    run = np.cumsum(fresh) - 1
    return starts[run], np.append(starts[1:] - 1, x.size - 1)[run]


def packed(x: Floats, offsets: Ints, segments: Ints) -> Floats:
    """Values of some segments one after the other; a view where they already are."""
    if segments.size and segments[-1] - segments[0] + 1 == segments.size and (np.diff(segments) == 1).all():
        return x[offsets[segments[0]] : offsets[segments[-1] + 1]]
    return x[ranges(offsets[segments], offsets[segments + 1] - offsets[segments])]


def chunks(counts: Ints, widths: Ints) -> Iterator[Ints]:
    """Groups of segments with similar window widths whose matrices have about `_CELLS` cells; large ones alone."""
    order = np.argsort(widths, kind="stable")
    chunk: list[int] = []
    total = 0
    for g, count, width in zip(order.tolist(), counts[order].tolist(), widths[order].tolist(), strict=True):
        if chunk and ((total + count) * width > _CELLS or width > LONG_WINDOW):
            yield np.array(chunk)
            chunk, total = [], 0
        chunk.append(g)
        total += count
    if chunk:
        yield np.array(chunk)


_local = threading.local()


def scratch(name: str, *shape: int) -> Floats:
    """Array of any content, kept per thread and name so that its memory is not faulted in for every chunk."""
    size = math.prod(shape)
    store: dict[str, Floats] = _local.__dict__.setdefault("store", {})
    held = store.get(name)
    if held is None or held.size < size:
        held = np.empty(size + size // 8)
        if size <= KEPT_CELLS:
            store[name] = held
    return held[:size].reshape(shape)


def dot(a: Floats, b: Floats) -> Floats:
    """Sum of products down the first axis: row after row for matrices, pairwise for vectors; never threaded."""
    result: Floats
    if a.ndim == 1:
        result = np.add.reduce(np.multiply(a, b, out=scratch("dot", a.size)))
    else:
        result = np.einsum("ka,ka->a", a, b)
    return result


def window_index(left: Ints, end: Ints, width: int) -> Ints:
    """Items of every window, shape (width, windows); beyond the segment its last item again."""
    index: Ints = left + np.arange(width)[:, None]
    np.minimum(index, end - 1, out=index)
    return index


def clear_padding(matrix: Floats, lengths: Ints) -> None:
    """Set the cells beyond each window's length to zero."""
    shortest = int(lengths.min())
    tail = matrix[shortest:]
    if tail.size:
        tail[np.arange(shortest, matrix.shape[0])[:, None] >= lengths] = 0.0


def rows(values: Floats, sizes: Ints, fill: float) -> Floats:
    """Segments as rows of a matrix, shape (segments, longest), the rest filled."""
    longest = int(sizes.max())
    if int(sizes.min()) == longest:
        return values.reshape(sizes.size, longest)
    matrix = np.full((sizes.size, longest), fill)
    matrix[np.arange(longest) < sizes[:, None]] = values
    return matrix


# --- the paths without weights --------------------------------------------------------------------------------------


def _unequal(weights: Floats, offsets: Ints) -> Bools:
    """Whether the weights of each segment differ."""
    filled = np.flatnonzero(np.diff(offsets))
    result = np.zeros(offsets.size - 1, bool)
    if filled.size:
        starts = offsets[filled]
        highest = np.maximum.reduceat(weights[: offsets[-1]], starts)
        result[filled] = highest - np.minimum.reduceat(weights[: offsets[-1]], starts) >= 1e-15
    return result


def _points(x: Floats, y: Floats, offsets: Ints, chosen: Bools) -> Part:
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


def _curves(x: Floats, y: Floats, offsets: Ints, chosen: Bools, span: float, iterations: int) -> Part:
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


@dataclass(frozen=True)
class _Windows:
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
    needed = np.unique(np.concatenate([middle, sizes - middle - 1]))
    ordered = np.partition(values, needed, axis=1) if needed.size <= 2 else np.sort(values, axis=1)
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
