"""Local regression with prior weights: limma's weightedLowess for many segments at once, and its straight line.

A window here holds a share of the prior weight, not a number of items. All sums that decide something are taken one
item after the other, as limma does, so that its branches are followed to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines.numpy.lowess_seeds import deltas, seeds_of, windows_of
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
    packed,
    ranges,
    rows,
    scratch,
    window_index,
)

_BLOCK = 8192
_SPLIT = 134217729.0  # 2**27 + 1: Dekker's constant, cuts a double into two halves


def lines(x: Floats, y: Floats, weights: Floats, offsets: Ints, chosen: Bools) -> Part:
    """Weighted straight line through each chosen segment: knots at both ends, one where all x are equal."""
    segments = np.flatnonzero(chosen)
    if not segments.size:
        return Part(segments, segments, np.empty(0), np.empty(0))
    x, y, w = (packed(v, offsets, segments) for v in (x, y, weights))
    sizes = np.diff(offsets)[segments]
    starts = np.cumsum(sizes) - sizes
    sum_w = np.add.reduceat(w, starts)
    mean_x = np.add.reduceat(w * x, starts) / sum_w
    mean_y = np.add.reduceat(w * y, starts) / sum_w
    rise = x - np.repeat(mean_x, sizes)
    variance = np.add.reduceat(w * rise * rise, starts)
    covariance = np.add.reduceat(w * rise * (y - np.repeat(mean_y, sizes)), starts)
    # R's least squares drops a slope whose column keeps less than 1e-7 of its length beside the intercept.
    sloped = (x[starts] < x[starts + sizes - 1]) & (variance >= 1e-14 * np.add.reduceat(w * x * x, starts))
    slope = np.where(sloped, covariance / np.where(sloped, variance, 1.0), 0.0)
    ends = np.stack([x[starts], x[starts + sizes - 1]], axis=1)
    values = mean_y[:, None] + slope[:, None] * (ends - mean_x[:, None])
    keep = np.ones(ends.shape, bool)
    keep[:, 1] = ends[:, 1] > ends[:, 0]
    return Part(segments, keep.sum(axis=1), ends[keep], values[keep])


class _Windows(NamedTuple):
    """Seeds (evaluated items, ascending) with their windows ``left:left + length``, reach in x, and segment."""

    seed: Ints
    left: Ints
    length: Ints
    reach: Floats
    segment: Ints


def curves(
    x: Floats, y: Floats, weights: Floats, offsets: Ints, chosen: Bools, span: float, iterations: int, npts: int
) -> Part:
    """Weighted lowess of the chosen segments."""
    segments = np.flatnonzero(chosen)
    if not segments.size:
        return Part(segments, segments, np.empty(0), np.empty(0))
    x, y, w = (packed(v, offsets, segments) for v in (x, y, weights))
    sizes = np.diff(offsets)[segments]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    seeds, counts = seeds_of(x, offsets, deltas(x, offsets, npts))
    left, right, reach = windows_of(x, w, offsets, seeds, counts, span)
    length = right - left + 1
    bounds = np.concatenate([[0], np.cumsum(counts)])
    fit = np.empty(seeds.size)
    for chunk in chunks(counts, np.maximum.reduceat(length, bounds[:-1])):
        start = np.concatenate([[0], np.cumsum(sizes[chunk])])
        which = ranges(bounds[chunk], counts[chunk])
        moved = np.repeat(start[:-1] - offsets[chunk], counts[chunk])
        segment = np.repeat(np.arange(chunk.size), counts[chunk])
        windows = _Windows(seeds[which] + moved, left[which] + moved, length[which], reach[which], segment)
        own_x, own_y, own_w = (packed(v, offsets, chunk) for v in (x, y, w))
        fit[which] = _chunk(own_x, own_y, own_w, start, windows, iterations)
    return _collapsed(segments, counts, x[seeds], fit)


def _collapsed(segments: Ints, counts: Ints, x: Floats, fit: Floats) -> Part:
    """Knots from the seeds: the last item is always a seed, so the last two may share x; they become one."""
    ends = np.cumsum(counts) - 1
    double = ends[(counts > 1) & (x[ends] == x[np.maximum(ends - 1, 0)])]
    fit[double - 1] = 0.5 * (fit[double - 1] + fit[double])
    keep = np.ones(x.size, bool)
    keep[double] = False
    return Part(segments, np.add.reduceat(keep.astype(np.int64), ends + 1 - counts), x[keep], fit[keep])


def _chunk(x: Floats, y: Floats, w: Floats, offsets: Ints, windows: _Windows, iterations: int) -> Floats:
    """Curve of the chunk's segments at the seeds."""
    sizes = np.diff(offsets)
    build = _long_fits if windows.length.max() > LONG_WINDOW else _short_fits
    fits = build(x, y, w, offsets, windows)
    between = _Between.of(x, offsets, windows)
    weight_rows = rows(w, sizes, 0.0)
    half = np.cumsum(weight_rows, axis=1)[:, -1] / 2
    active = np.ones(sizes.size, bool)
    robust: Floats | None = None
    fit = np.empty(windows.seed.size)
    for step in range(iterations):
        new = fits(robust)
        fit = new if active.all() else np.where(active[windows.segment], new, fit)
        if step == iterations - 1:
            break
        residual = np.abs(y - between.values(x, fit))
        scale, mean = _spread(residual, weight_rows, half, sizes)
        active &= ~(scale <= 1e-7 * mean)  # false for a NaN mean: limma then goes on
        if not active.any():
            break
        robust = _bisquare(residual, np.repeat(scale, sizes))
    return fit


@dataclass(frozen=True, eq=False)
class _Between:
    """How the fits of items follow from those of the seeds."""

    seed: Ints
    before: Ints
    gap: Floats
    wide: Bools

    @classmethod
    def of(cls, x: Floats, offsets: Ints, windows: _Windows) -> _Between:
        """The same for all iterations."""
        seed = windows.seed
        mark = np.zeros(x.size, np.int64)
        mark[seed] = 1
        gap = np.zeros(seed.size)
        gap[:-1] = x[seed[1:]] - x[seed[:-1]]
        least = 1e-7 * (x[offsets[1:] - 1] - x[offsets[:-1]]) / np.diff(offsets)
        return cls(seed, np.cumsum(mark) - 1, gap, gap > least[windows.segment])

    def values(self, x: Floats, fit: Floats) -> Floats:
        """Fits of all items: straight between seeds, the mean of both where they are too close, NaN next to NaN."""
        following = np.append(fit[1:], np.nan)
        end = np.append(x[self.seed[1:]], np.nan)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            slope = np.where(self.wide, (following - fit) / self.gap, 0.0)
            level = np.where(self.wide, following - slope * end, 0.5 * (fit + following))
            result: Floats = slope[self.before] * x + level[self.before]
        result[self.seed] = fit
        return result


def _spread(residual: Floats, weights: Floats, half: Floats, sizes: Ints) -> tuple[Floats, Floats]:
    """Six times the weighted median, and the mean, of the absolute residuals of each segment; NaN sort last."""
    values = rows(residual, sizes, np.nan)
    segment = np.arange(sizes.size)
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = np.where(reached[:, -1] >= half, (reached >= half[:, None]).argmax(axis=1), sizes - 1)
    following = np.minimum(middle + 1, sizes - 1)
    at = values[segment, order[segment, middle]]
    after = values[segment, order[segment, following]]
    exact = (reached[segment, middle] == half) & (following > middle)
    scale = np.where(exact, 3.0 * (at + after), 6.0 * at)
    return scale, np.cumsum(values, axis=1)[segment, sizes - 1] / sizes


def _bisquare(residual: Floats, scale: Floats) -> Floats:
    """Robustness weights; 0 for a NaN residual."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = residual / scale
        robust = 1.0 - share * share
        robust *= robust
    return np.where(residual < scale, robust, 0.0)


def _cube(values: Floats, out: Floats) -> None:
    """Cubes rounded once, as C's ``pow(v, 3)`` does; ``v * v * v`` differs in the last bit for a quarter of values.

    By Dekker's exact products, in blocks that stay in the cache. `out` may be `values`.
    """
    flat, result = values.reshape(-1), out.reshape(-1)
    parts = scratch("halves", 6, _BLOCK)
    for k in range(0, flat.size, _BLOCK):
        v = flat[k : k + _BLOCK]
        high, low, upper, lower, square, error = parts[:, : v.size]
        _halves(v, high, low)
        np.multiply(v, v, out=square)
        np.multiply(high, high, out=error)
        error -= square
        np.multiply(high, low, out=upper)
        upper += upper
        error += upper
        low_squared = np.multiply(low, low, out=upper)
        error += low_squared  # v * v = square + error exactly
        error *= v
        _halves(square, upper, lower)
        square *= v
        cube = result[k : k + _BLOCK]  # v itself is not needed any more: it may be overwritten
        np.multiply(upper, high, out=cube)
        cube -= square
        upper *= low
        cube += upper
        high *= lower
        cube += high
        lower *= low
        cube += lower
        cube += error
        cube += square


def _halves(v: Floats, high: Floats, low: Floats) -> None:
    """Cut values into two parts of 26 bits each; `low` serves as work space first."""
    np.multiply(v, _SPLIT, out=low)
    np.subtract(low, v, out=high)
    np.subtract(low, high, out=high)
    np.subtract(v, high, out=low)


def _tricube(
    x: Floats, centre: Floats, reach: Floats, prior: Floats, cube: Callable[[Floats, Floats], None], out: Floats
) -> None:
    """Tricube weights times prior weights; the prior weights alone where the window has no extent."""
    np.subtract(centre, x, out=out)
    np.abs(out, out=out)
    out /= np.where(reach < 1e-7, 1.0, reach)
    cube(out, out)
    np.subtract(1.0, out, out=out)
    cube(out, out)
    out *= prior
    np.copyto(out, prior, where=reach < 1e-7)


def _plain_cube(values: Floats, out: Floats) -> None:
    """Cubes, in place only; the last bit matters where a window may lose all its weight, not in long windows."""
    out *= values * values


_Fits = Callable[[NDArray[np.float64] | None], Floats]


def _short_fits(x: Floats, y: Floats, w: Floats, offsets: Ints, windows: _Windows) -> _Fits:
    """Function of the robustness weights that fits all windows of a chunk at once."""
    shape = (int(windows.length.max()), windows.seed.size)
    index = window_index(windows.left, offsets[1:][windows.segment], shape[0])
    wx, wy, base, weight, spare, product = (
        scratch(name, *shape) for name in ("x", "y", "base", "weight", "spare", "product")
    )
    for values, window in ((x, wx), (y, wy), (w, weight)):
        np.take(values, index, out=window, mode="clip")
    centre = x[windows.seed]
    with np.errstate(over="ignore", invalid="ignore"):  # in the padding
        _tricube(wx, centre, windows.reach, weight, _cube, base)
    clear_padding(base, windows.length)

    def fits(robust: Floats | None) -> Floats:
        factor = base
        if robust is not None:
            np.take(robust, index, out=weight, mode="clip")
            factor = np.multiply(weight, base, out=weight)
        return _local_lines(wx, wy, factor, spare, product, centre, windows.reach)

    return fits


def _long_fits(x: Floats, y: Floats, w: Floats, offsets: Ints, windows: _Windows) -> _Fits:
    """The same for one segment with long windows, one after the other."""
    widest = int(windows.length.max())
    starts = np.concatenate([[0], np.cumsum(windows.length)]).tolist()
    keep = starts[-1] <= KEPT_CELLS
    kept = scratch("kept", starts[-1] if keep else widest)
    weight, spare, product = (scratch(name, widest) for name in ("weight", "spare", "product"))
    centre = x[windows.seed]
    left, length = windows.left.tolist(), windows.length.tolist()

    def base(i: int) -> Floats:
        own = slice(left[i], left[i] + length[i])
        out = kept[starts[i] : starts[i + 1]] if keep else kept[: length[i]]
        _tricube(x[own], centre[i], windows.reach[i], w[own], _plain_cube, out)
        return out

    stored = [base(i) for i in range(centre.size)] if keep else []

    def fits(robust: Floats | None) -> Floats:
        fit = np.empty(centre.size)
        for i, n in enumerate(length):
            own = slice(left[i], left[i] + n)
            factor = stored[i] if keep else base(i)
            if robust is not None:
                factor = np.multiply(factor, robust[own], out=weight[:n])
            fit[i] = _local_lines(x[own], y[own], factor, spare[:n], product[:n], centre[i], windows.reach[i])
        return fit

    return fits


def _local_lines(
    x: Floats, y: Floats, weight: Floats, spare: Floats, product: Floats, centre: Floats, reach: Floats
) -> Floats:
    """Weighted lines of windows (first axis) at their seeds, NaN where no weight is left; parenthesised as in limma."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sum_w = np.add.reduce(weight, axis=0)
        mean_x = dot(weight, x) / sum_w
        mean_y = dot(weight, y) / sum_w
        np.subtract(x, mean_x, out=spare)
        variance = dot(weight, np.multiply(spare, spare, out=product))
        np.subtract(y, mean_y, out=product)
        product *= spare
        slope = dot(weight, product) / variance
        line = slope * centre + (mean_y - slope * mean_x)
    result: Floats = np.where((reach < 1e-7) | (variance < 1e-7), mean_y, line)
    return result
