"""Robust local regression computed at the items themselves, on one covariate or several: R's ``loess`` without knots.

The windows hold a share of the points of a segment, whatever their weight; the fit is local to degree 0 or 1. On
several covariates, which are brought to one scale, the fit may be computed on a lattice instead and interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gridnorm.core.engines.numpy.lattice import Lattice, lattice_of
from gridnorm.core.engines.numpy.observed import Floats, Mask, observed
from gridnorm.core.segments import IntArray, Segments

CELLS = 1 << 14  # of the matrices of kernel weights that are held at once: what a cache holds
KEPT = 1 << 22  # of those that are kept from one round to the next
_TRIM = 0.1  # of the covariates at either end, for their scale
_FLAT = 1e-9  # of its largest variance: what a window varies by at least in a direction, or there is no slope
_ROUNDING = 1e-13  # of the median size of the values: what residuals are too small to be weighed
_SURE, _LOST = 0.001, 0.999  # of six median residuals: fully trusted, and not at all (Cleveland's lowess)


class Local(NamedTuple):
    """A local fit at some places, and what an item there weighs in it per unit of its own weight; both (place,)."""

    value: Floats
    pull: Floats


Fitter = Callable[[Floats, Floats], Local]  # of values and weights of the points


def loess(
    values: Floats,
    covariate: Floats,
    segments: Segments,
    weights: Floats | None,
    use: Mask | None,
    *,
    span: float,
    iterations: int,
    degree: int,
    zero_weights: str,
    lattice: bool = False,
) -> tuple[IntArray, Floats, Floats]:
    """Count (batch, segment), the fit at every item with covariates (batch, item), and its degrees of freedom.

    ``zero_weights="keep"`` counts items of weight 0 among those that windows hold, as R does; ``"exclude"`` does not.
    Degrees of freedom are the trace of the smoothing of the last round, (batch, segment). ``lattice`` computes fits on
    two covariates on a lattice, from which they are interpolated.
    """
    known = np.asarray(np.isfinite(covariate).all(axis=2))
    mask = observed(values, use, weights if zero_weights == "exclude" else None)[:, :, 0] & known
    n = np.zeros((values.shape[0], segments.n_segments), np.int64)
    freedom = np.zeros(n.shape)
    fitted = np.full(mask.shape, np.nan)
    bounds = segments.offsets.tolist()
    for b in range(mask.shape[0]):
        for g in range(segments.n_segments):
            items = segments.order[bounds[g] : bounds[g + 1]]
            places = items[known[b, items]]
            inside = mask[b, places]
            points = places[inside]
            n[b, g] = points.size
            if not points.size:
                continue
            w = np.ones(points.size) if weights is None else weights[b, points]
            w = np.where(np.isnan(w), 0.0, w)
            how = (span, iterations, degree, lattice)
            fitted[b, places], freedom[b, g] = _robust(covariate[b, places], inside, values[b, points, 0], w, how)
    return n, fitted, freedom


def _robust(
    places: Floats, inside: Mask, y: Floats, w: Floats, how: tuple[float, int, int, bool]
) -> tuple[Floats, float]:
    """The fit at ``places``, (place, k), after all rounds, and its degrees of freedom; points are those ``inside``."""
    span, iterations, degree, lattice = how
    n = y.size
    held = min(n, max(int(np.floor(n * span + 1e-5)), 1))
    at = places[inside]
    if places.shape[1] == 1:
        fitter = partial(_on_line, at[:, 0], held=held, degree=degree)
        places = places[:, 0]
    else:
        scale, middle = np.array([_spread(column) for column in at.T]), at.mean(axis=0)
        at, places = (at - middle) / scale, (places - middle) / scale
        grid = lattice_of(at, places, held / n) if lattice else None
        fitter = partial(_in_space, at, held=held, degree=degree, grid=grid)
    there = fitter(places)
    own = there if inside.all() else fitter(places[inside])
    trust, rounding = np.ones(n), _ROUNDING * float(np.median(np.abs(y)))
    for _ in range(iterations - 1):
        trust = _trust(np.abs(y - own(y, w * trust).value), rounding)
    last = there(y, w * trust)
    with np.errstate(invalid="ignore"):  # ∞ · 0, of windows that weigh nothing
        return last.value, float(np.nansum(last.pull[inside] * w * trust))


def _trust(size: Floats, rounding: float) -> Floats:
    """Bisquare weights of residuals by six times their median; weights of the items do not enter."""
    known = size[np.isfinite(size)]
    m = known.size // 2
    if not known.size:
        return np.ones(size.size)
    ordered = np.sort(known)
    limit = 6 * ordered[m] if known.size % 2 else 3 * (ordered[m] + ordered[known.size - m - 1])
    limit = max(limit, rounding)
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = (1 - (size / limit) ** 2) ** 2
    return np.where(size <= _SURE * limit, 1.0, np.where(size <= _LOST * limit, bent, 0.0))


def _spread(column: Floats) -> float:
    """Standard deviation of the middle of a covariate, as R's loess scales several; 1 where all are equal."""
    ordered = np.sort(column)
    cut = int(np.ceil(_TRIM * ordered.size))
    middle = ordered[cut : ordered.size - cut]
    found = float(middle.std(ddof=1)) if middle.size > 1 else 0.0
    return found if found > 0 else 1.0


def _on_line(at: Floats, places: Floats, held: int, degree: int) -> Fitter:
    """Fits over one covariate: every window is a run of the sorted points."""
    order = np.argsort(at, kind="stable")
    x = at[order]
    seen, back = np.unique(places, return_inverse=True)
    ends = x[held:] + x[: x.size - held]
    first = np.searchsorted(ends, 2 * seen, "left")
    reach = np.maximum(seen - x[first], x[first + held - 1] - seen)
    step = max(1, CELLS // held)
    runs = [slice(k, k + step) for k in range(0, seen.size, step)]
    windows = sliding_window_view(x, held)

    def kernel(run: slice) -> tuple[Floats, Floats]:
        away = windows[first[run]] - seen[run, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.abs(away) / reach[run, None]
            part = 1 - part * part * part
            part = part * part * part
        part[reach[run] == 0] = 1.0  # of places where all that is held is of one covariate
        return away, part

    kept = [kernel(run) for run in runs] if seen.size * held <= KEPT else None
    flat = [(place, np.flatnonzero(at == seen[place])) for place in np.flatnonzero(reach == 0).tolist()]

    def fit(y: Floats, w: Floats) -> Local:
        value, pull = np.empty(seen.size), np.empty(seen.size)
        ys, ws = (sliding_window_view(column[order], held) for column in (y, w))
        for k, run in enumerate(runs):
            away, part = kernel(run) if kept is None else kept[k]
            value[run], pull[run] = _line(away, part * ws[first[run]], ys[first[run]], degree)
        for place, tied in flat:  # all that is tied, not the first of them that a window holds
            value[place], pull[place] = (v[0] for v in _line(np.zeros((1, tied.size)), w[tied][None], y[tied][None], 0))
        return Local(value[back], pull[back])

    return fit


def _line(away: Floats, w: Floats, y: Floats, degree: int) -> tuple[Floats, Floats]:
    """Local mean or line at 0 of each row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = w.sum(axis=1)
        middle = np.vecdot(w, y) / total
        if degree == 0:
            return middle, 1 / total
        centre = np.vecdot(w, away) / total
        apart = away - centre[:, None]
        weighed = w * apart
        square = np.vecdot(weighed, apart)
        slope = np.vecdot(weighed, y - middle[:, None]) / square
        sloped = square > 0
        pull = np.where(sloped, 1 / total + centre * centre / square, 1 / total)
        return np.where(sloped, middle - centre * slope, middle), pull


def _in_space(at: Floats, places: Floats, held: int, degree: int, grid: Lattice | None) -> Fitter:
    """Fits over several covariates, which are centred: by sums over all points, moved to each place."""
    seen = places if grid is None else grid.vertices
    n, k = at.shape
    step = max(1, CELLS // n)
    runs = [slice(j, j + step) for j in range(0, len(seen), step)]
    pairs = [(i, j) for i in range(k) for j in range(i, k)] if degree else []

    def kernel(run: slice) -> Floats:
        square = np.zeros((len(seen[run]), n))
        for column in range(k):
            away = seen[run, column, None] - at[:, column]
            square += away * away
        reach = np.partition(square, held - 1, axis=1)[:, held - 1, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            square /= reach
            square[square > 1] = 1.0
            part = 1 - square * np.sqrt(square)
            return np.where(reach > 0, part * part * part, ~(square > 0))

    kept = [kernel(run) for run in runs] if len(seen) * n <= KEPT else None

    def fit(y: Floats, w: Floats) -> Local:
        columns = [np.ones(n), y]
        if degree:
            columns += [*at.T, *(at * y[:, None]).T, *(at[:, i] * at[:, j] for i, j in pairs)]
        terms = np.stack(columns, axis=1) * w[:, None]
        sums = np.concatenate([(kernel(run) if kept is None else kept[j]) @ terms for j, run in enumerate(runs)])
        found = _plane(sums, seen, pairs) if degree else _level(sums)
        return found if grid is None else Local(grid.at(found.value, places), grid.at(found.pull, places))

    return fit


def _level(sums: Floats) -> Local:
    with np.errstate(divide="ignore", invalid="ignore"):
        return Local(sums[:, 1] / sums[:, 0], 1 / sums[:, 0])


def _plane(sums: Floats, seen: Floats, pairs: list[tuple[int, int]]) -> Local:
    """Local planes at the places, from weighted sums of 1, y, x, xy and the products of x."""
    k = seen.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / sums[:, :1]
    centre, middle = mean[:, 2 : 2 + k], mean[:, 1]
    along = mean[:, 2 + k : 2 + 2 * k] - centre * middle[:, None]
    spread = np.empty((len(seen), k, k))
    for column, (i, j) in enumerate(pairs):
        spread[:, i, j] = spread[:, j, i] = mean[:, 2 + 2 * k + column] - centre[:, i] * centre[:, j]
    away = seen - centre
    inverse = _inverse(spread)
    turned = np.einsum("pij,pj->pi", inverse, away)
    value = middle + np.vecdot(turned, along)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Local(value, (1 + np.vecdot(turned, away)) / sums[:, 0])


def _inverse(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverses of covariances; directions without any spread have no slope."""
    out = np.full(spread.shape, np.nan)
    known = np.isfinite(spread).all(axis=(1, 2))
    if known.any():
        out[known] = np.linalg.pinv(spread[known], rcond=_FLAT, hermitian=True)
    return out
