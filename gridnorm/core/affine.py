"""A line through points of several coordinates, and the affine model that it stands for: x_k = a_k + b_k z.

The line is found by principal components that are weighted anew in every round (IWPCA): a point counts by one over its
distance from the line, so that the sum of distances becomes least and points far off hardly count. The slopes b follow
from its direction. The offsets a are some point of it: which one the points cannot tell, and a constraint must.

Sources: Bengtsson and Hössjer, BMC Bioinformatics 7:100 (2006); Bengtsson, Jönsson and Vallon-Christersson, BMC
Bioinformatics 5:177 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.weights import check_weights
from gridnorm.errors import FitError, OptionError

FloatArray = NDArray[np.float64]

DIAGONAL, ZERO = "diagonal", "zero"
SHARE = 0.05  # of the points, aroma.light's constraint of normalizeAffine
MOST_SHARE = 0.5
FEWEST = 3  # points; two lie on a line whatever they are
LEAST_SLOPE = 1e-6  # beside the largest one; less is the rounding of a coordinate that does not change
SAME_SLOPES = 1.1  # largest over smallest slope, below which the diagonal says nothing of the offsets
_NEAREST = 1e-6  # distance at which the weight of a point stops to grow, in units of the spread of all points
_STILL = 1e-9  # change of a round that is none, in the same units
_ROUNDS = 1000
_ROUND = 1e-9  # share of the variance along the line by which it must exceed that across it


class Line(NamedTuple):
    """A line in k coordinates.

    Attributes
    ----------
    centre, direction
        float64 (k,): a point of the line, the weighted mean of the points, and its direction of length 1, whose
        coordinates have a sum of 0 or more.
    n
        Points that the line was fitted to.
    rounds, converged
        How often the points were weighted anew, and whether the line had come to rest.
    """

    centre: FloatArray
    direction: FloatArray
    n: int
    rounds: int
    converged: bool


class Affine(NamedTuple):
    """The model x_k = offset_k + slope_k · z.

    ``offset`` float64 (k,) in the unit of the points; ``slope`` float64 (k,), of which only ratios are known: their
    geometric mean is 1.
    """

    offset: FloatArray
    slope: FloatArray
    line: Line

    @property
    def alike(self) -> bool:
        """Whether the slopes are too much alike to tell, by the diagonal, where on the line the offsets are."""
        return bool(self.slope.max() < SAME_SLOPES * self.slope.min())

    def undone(self, points: Any) -> FloatArray:
        """(x_k − offset_k) / slope_k, of shape (n, k)."""
        return np.asarray((np.asarray(points, np.float64) - self.offset) / self.slope)


def fit_line(points: Any, weights: Any = None, use: Any = None) -> Line:
    """The line with the least sum of distances from the points (L1), by IWPCA.

    Parameters
    ----------
    points
        (n, k) with k of 2 or more. A point that lacks a coordinate (NaN or infinite) is left out.
    weights
        (n,), 0 to 1e30: how much a point counts, beside what its distance says. NaN and 0 leave it out.
    use
        bool (n,): points that may be in the fit; None: all.

    Returns
    -------
    Line

    Raises
    ------
    OptionError
        Shapes that do not fit, wrong weights.
    FitError
        Fewer than 3 points, or points without a direction: all in one place, or as wide across as along.

    Examples
    --------
    >>> z = np.array([0.0, 1.0, 2.0, 4.0])
    >>> fit_line(np.stack([1 + 3 * z, 2 + 4 * z], axis=1)).direction
    array([0.6, 0.8])
    """
    x, prior = _given(points, weights, use)
    return _line(x, prior)


def _line(x: FloatArray, prior: FloatArray) -> Line:
    """``fit_line`` of points (k, n) in rows, of which sums are quick."""
    n = x.shape[1]
    if n < FEWEST:
        raise FitError("too few points for a line", found=str(n), expected=f"{FEWEST} or more")
    centre = _mean(x, prior)
    spread = float(np.sqrt((prior * ((x - centre) ** 2).sum(axis=0)).sum() / prior.sum()))
    if not 0 < spread < np.inf:
        what = "the points are too far apart for a line" if spread else "the points have no direction"
        raise FitError(what, found=None if spread else "all of them in one place")
    direction = _axis(x - centre, prior)
    rounds, converged = 0, False
    while rounds < _ROUNDS and not converged:
        rounds += 1
        off = _across(x - centre, direction)
        weight = prior / np.maximum(np.sqrt((off**2).sum(axis=0)), _NEAREST * spread)
        weight /= weight.max()
        before = centre, direction
        centre = _mean(x, weight)
        direction = _axis(x - centre, weight)
        # Along the line the centre may move as it likes.
        moved = _across(centre - before[0], direction) / spread
        converged = bool(max(np.abs(moved).max(), np.abs(direction - before[1]).max()) <= _STILL)
    return Line(centre[:, 0], direction[:, 0], n, rounds, converged)


def fit_affine(
    points: Any,
    constraint: float | str = SHARE,
    weights: Any = None,
    use: Any = None,
    names: Sequence[str] | None = None,
) -> Affine:
    """Offsets and slopes of coordinates that measure one quantity.

    Parameters
    ----------
    points, weights, use
        As ``fit_line``.
    constraint
        Which point of the line the offsets are. A share, more than 0 and at most 0.5: the largest offsets with which at
        most this share of the points in the fit has a coordinate that does not exceed its offset. ``"diagonal"``: the
        point of the line nearest to the diagonal x_1 = … = x_k. ``"zero"``: the one whose coordinates have a mean of 0,
        which says nothing of the offsets but how they differ.
    names
        What messages call the coordinates.

    Returns
    -------
    Affine

    Raises
    ------
    OptionError
        As ``fit_line``; a constraint that is none.
    FitError
        As ``fit_line``; coordinates that do not rise together; slopes so alike (within 1.1) that the nearest point to
        the diagonal is not known.

    Notes
    -----
    The constraint by a share takes the middle between two neighbouring points, so that no point is left with next to
    nothing. Peers: aroma.light's ``normalizeAffine`` (a share) and ``calibrateMultiscan`` (the diagonal).

    Examples
    --------
    >>> z = np.arange(100.0)
    >>> found = fit_affine(np.stack([10 + z, 30 + 4 * z], axis=1), "diagonal")
    >>> found.slope.round(6), (found.slope[1] / found.slope[0]).round(6)
    (array([0.5, 2. ]), np.float64(4.0))
    """
    _check_constraint(constraint)
    x, prior = _given(points, weights, use)
    line = _line(x, prior)
    low, high = float(line.direction.min()), float(line.direction.max())
    if low <= LEAST_SLOPE * high:
        k = int(line.direction.argmin())
        what = "does not change with the others" if low >= -LEAST_SLOPE * high else "falls where others rise"
        raise FitError(
            f"{names[k] if names else f'coordinate {k + 1}'} {what}",
            found=f"slope {low / high:.3g} of the largest",
            expected="slopes above 0",
        )
    slope = line.direction / np.exp(np.log(line.direction).mean())
    if constraint == DIAGONAL:
        at = _nearest_to_diagonal(line, high / low)
    elif constraint == ZERO:
        at = -float(line.centre.mean() / line.direction.mean())
    else:
        assert not isinstance(constraint, str)
        at = _largest(((x.T - line.centre) / line.direction).min(axis=1), constraint)
    return Affine(line.centre + at * line.direction, slope, line)


def _given(points: Any, weights: Any, use: Any) -> tuple[FloatArray, FloatArray]:
    """The points in a fit as rows of coordinates (k, n), and their weights."""
    x = np.asarray(points, np.float64)
    if x.ndim != 2 or x.shape[1] < 2:
        raise OptionError("points need two coordinates or more", found=f"shape {x.shape}", expected="(n, k), k ≥ 2")
    for name, part in (("weights", weights), ("use", use)):
        if part is not None and np.shape(part) != x.shape[:1]:
            raise OptionError(
                f"{name} of another length than the points",
                found=f"shape {np.shape(part)}",
                expected=f"({x.shape[0]},)",
            )
    prior = np.ones(x.shape[0]) if weights is None else np.asarray(weights, np.float64)
    check_weights(prior)
    kept = np.isfinite(x).all(axis=1) & (prior > 0)
    if use is not None:
        kept &= np.asarray(use, np.bool_)
    x, prior = x[kept], prior[kept]
    # Sums over points in an order of their own: that in which they were given does not reach the last digit.
    order = np.lexsort((prior, *x.T))
    return np.ascontiguousarray(x[order].T), prior[order]


def _check_constraint(given: float | str) -> None:
    share = not isinstance(given, str | bool) and 0 < given <= MOST_SHARE
    if not share and given not in (DIAGONAL, ZERO):
        raise OptionError(
            "unknown constraint of an affine fit", found=repr(given),
            expected=f"a share, more than 0 and at most {MOST_SHARE}, {DIAGONAL} or {ZERO}",
        )  # fmt: skip


def _mean(x: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray((weight * x).sum(axis=1, keepdims=True) / weight.sum())


def _axis(centred: FloatArray, weight: FloatArray) -> FloatArray:
    """The first principal axis, (k, 1) of length 1; einsum sums in one order whatever the number of threads."""
    values, axes = np.linalg.eigh(np.einsum("in,jn->ij", centred * weight, centred))
    if not values[-1] - values[-2] > _ROUND * values[-1]:
        raise FitError("the points have no direction", found="as wide across as along")
    axis = axes[:, -1:]
    total = axis.sum()
    # Of an axis that sums to 0 the first coordinate that is not 0 is positive.
    return np.asarray(axis * np.sign(total if total else axis[np.flatnonzero(axis)[0], 0]))


def _across(centred: FloatArray, direction: FloatArray) -> FloatArray:
    """What is left of points when their part along the line is taken out."""
    return np.asarray(centred - direction * (centred * direction).sum(axis=0))


def _nearest_to_diagonal(line: Line, ratio: float) -> float:
    """Where on the line, from its centre, the diagonal is nearest."""
    if ratio < SAME_SLOPES:
        raise FitError(
            "the slopes are too much alike to tell the offsets", found=f"largest {ratio:.3g} times the smallest",
            expected=f"{SAME_SLOPES:g} times or more",
        )  # fmt: skip
    centre, direction = (part - part.mean() for part in (line.centre, line.direction))
    return float(-(centre @ direction) / (direction @ direction))


def _largest(reached: FloatArray, share: float) -> float:
    """How far the offsets may go along the line, where each point loses a coordinate at what it is ``reached`` at."""
    places, counts = np.unique(reached, return_counts=True)
    most = int(np.floor(share * reached.size * (1 + 1e-12)))  # 0.07 · 100 is 7
    lost = int(np.searchsorted(np.cumsum(counts), most, side="right"))  # places that may be passed
    if lost == 0:
        return float(places[0] - (places[1] - places[0]) / 2 if places.size > 1 else places[0])
    return float((places[lost - 1] + places[lost]) / 2)
