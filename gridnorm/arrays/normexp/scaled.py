"""The fit in units of the channel's own noise: the optimum itself, whatever the scanner's gain.

The search of `saddle` starts, steps and stops by rules that are not free of the unit, so that a channel times 4 is not
fitted by the parameters times 4. Here intensities are first measured in a unit that they bring along, and Newton steps
on the exact likelihood go on until the next one would not be seen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp.normal import HALF_LOG_2PI, TAIL, erfc, tail_fraction
from gridnorm.arrays.normexp.values import OTHER_METHOD, total
from gridnorm.errors import FitError

FloatArray = NDArray[np.float64]

# In units: a sigma of 0 would mean that the darkest spot has no signal at all, and an alpha of less than the spread of
# the darkest spots is no signal that could be told from the background.
LEAST_SIGMA, LEAST_ALPHA = 0.05, 1.0
_BRIGHT = 9.0  # above it Phi is 1 to the last bit
_STEPS = 100
_SEEN = 1e-7  # what a step that lowers -2 log L by less than this does is rounding
_SHORT = 1e-4  # the last step, in sigma and in logarithms; the error that it leaves is its square
_LONGEST = 2.0  # the longest step, in sigma and in logarithms
_LOW, _HIGH, _NEXT = 0.01, 0.05, 0.1  # the quantiles that tell how far the darkest values spread
# Distances from the 5 % to the 10 % quantile that this is at most: 2.8 on real arrays of two colours, 1.9 of normal
# values. A hundredth of damaged spots far below all others is no noise.
FARTHEST = 4.0


class Optimum(NamedTuple):
    """``mu, log sigma, log alpha`` in the unit of the intensities, -2 log L there, and how it was found."""

    par: tuple[float, float, float]
    minus_two_log_likelihood: float
    evaluations: int
    converged: bool


def dark_spread(values: FloatArray, counts: FloatArray | None) -> float:
    """How far the lowest intensities spread: from their 1 % to their 5 % quantile.

    At most four times the way from there to the 10 % quantile, where that is not 0. Unlike the sigma of a fit it cannot
    vanish: where the two are equal the 5 % quantile of what is higher takes the place of the second. Intensities times
    a number spread by that number more, and a constant changes nothing.

    Parameters
    ----------
    values, counts
        Sorted distinct values, at least two, and how often each occurs (None: all once).

    Examples
    --------
    >>> dark_spread(np.arange(101.0), None), dark_spread(np.array([0.0, 3.0, 8.0]), np.array([70.0, 20.0, 10.0]))
    (4.0, 3.0)
    """
    low = _quantile(values, counts, _LOW)
    high = _quantile(values, counts, _HIGH)
    spread, beyond = high - low, _quantile(values, counts, _NEXT) - high
    if spread > 0:
        return min(spread, FARTHEST * beyond) if beyond > 0 else spread
    above = int(np.searchsorted(values, low, side="right"))
    if above == values.size:
        return float(values[-1] - values[0])
    return _quantile(values[above:], None if counts is None else counts[above:], _HIGH) - low


def fit_scaled(values: FloatArray, counts: FloatArray | None) -> Optimum:
    """The optimum of the exact likelihood, for sorted distinct values and how often each occurs.

    Raises
    ------
    FitError
        The values span more than double precision does.
    """
    unit, centre = dark_spread(values, counts), _quantile(values, counts, _HIGH)
    z = (values - centre) / unit
    if not (unit > 0 and math.isfinite(float(z[-1] - z[0]))):
        raise FitError(
            "normexp cannot be fitted: the spread of the lowest values is not a number in double precision",
            found=f"values from {values[0]:.6g} to {values[-1]:.6g}",
            hint="Rescale the intensities, or use another background method",
        )
    n = float(z.size if counts is None else counts.sum())
    sums = (n, total(z, counts))
    par, best, evaluations, converged = _search(z, counts, sums, _start(z, counts, sums))
    if not math.isfinite(best):
        raise FitError(
            "normexp cannot be fitted: the likelihood has no finite optimum",
            found=f"mu {centre + unit * par[0]:.6g}",
            hint=OTHER_METHOD,
        )
    scale = math.log(unit)
    found = (float(centre + unit * par[0]), float(par[1]) + scale, float(par[2]) + scale)
    return Optimum(found, best + 2 * n * scale, evaluations, converged)


def _quantile(values: FloatArray, counts: FloatArray | None, share: float) -> float:
    """Linear between order statistics, as NumPy's default."""
    if counts is None:
        at = share * (values.size - 1)
        low = math.floor(at)
        pair = values[low], values[min(low + 1, values.size - 1)]
    else:
        rank = np.cumsum(counts)
        at = share * (float(rank[-1]) - 1)
        low = math.floor(at)
        here = np.searchsorted(rank, [low, min(low + 1, rank[-1] - 1)], side="right")
        pair = values[here[0]], values[here[1]]
    return float(pair[0] + (pair[1] - pair[0]) * (at - low))


def _start(z: FloatArray, counts: FloatArray | None, sums: tuple[float, float]) -> FloatArray:
    """Zero is the 5 % quantile; what lies below it tells sigma, and the mean tells alpha."""
    below = int(np.searchsorted(z, 0.0))
    sigma = 1.0
    if below:
        c = None if counts is None else counts[:below]
        sigma = math.sqrt(total(z[:below] ** 2, c) / (below if c is None else float(c.sum())))
    alpha = sums[1] / sums[0]
    return np.array([0.0, math.log(max(sigma, LEAST_SIGMA)), math.log(max(alpha, LEAST_ALPHA))])


def _search(
    z: FloatArray, counts: FloatArray | None, sums: tuple[float, float], par: FloatArray
) -> tuple[FloatArray, float, int, bool]:
    """Damped Newton steps in (mu, log sigma, log alpha), the latter two not below their bound."""
    bound = np.array([-math.inf, math.log(LEAST_SIGMA), math.log(LEAST_ALPHA)])
    f, g, hess = _likelihood(z, counts, sums, par)
    damping = 0.0
    for evaluations in range(2, _STEPS + 2):
        free = (par > bound) | (g < 0)
        scale = np.where(free, [math.exp(par[1]), 1.0, 1.0], 0.0)  # mu is measured in sigma
        scaled = hess * np.outer(scale, scale)
        slope = g * scale
        if not np.isfinite(scaled).all():
            return par, math.inf, evaluations, False
        scaled[~free, ~free] = 1.0
        lowest = float(np.linalg.eigvalsh(scaled)[0])
        ridge = max(damping, 0.0 if lowest > 0 else 1e-3 - 1.1 * lowest)
        move = -np.linalg.solve(scaled + ridge * np.eye(3), slope)
        move *= min(1.0, _LONGEST / max(float(np.abs(move).max()), 1e-300))
        level = -float(slope @ move) < _SEEN
        trial = np.maximum(par + scale * move, bound)
        f_new, g_new, hess_new = _likelihood(z, counts, sums, trial)
        better = f_new <= f + (_SEEN if level else 0.0)
        if better and level and ridge <= 1e-3 * lowest and float(np.abs(move).max()) < _SHORT:
            return trial, f_new, evaluations, True
        if not better:
            damping = max(10 * damping, 1e-3 * max(1.0, float(np.abs(scaled).max())))
            continue
        par, f, g, hess = trial, f_new, g_new, hess_new
        damping = 0.0 if damping < 1e-3 else damping / 100
    return par, f, _STEPS + 1, False


def _likelihood(
    z: FloatArray, counts: FloatArray | None, sums: tuple[float, float], par: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """-2 log L with its gradient and Hessian in (mu, log sigma, log alpha).

    ``log f = -log alpha - e/alpha + q + log Phi(t)`` with ``e = x - mu``, ``t = e/sigma - sigma/alpha`` and
    ``q = (sigma/alpha)**2 / 2``. Only the dark values have another Phi than 1: the bright ones enter by their sum.
    """
    mu, sigma, alpha = float(par[0]), math.exp(par[1]), math.exp(par[2])
    n, b, q = sums[0], sigma / alpha, 0.5 * (sigma / alpha) ** 2
    far, dark = (int(k) for k in np.searchsorted(z, [mu + sigma * (TAIL + b), mu + sigma * (_BRIGHT + b)]))
    u = (z[:dark] - mu) / sigma
    t = u - b
    log_cdf, ratio, gap = np.empty_like(t), np.empty_like(t), np.empty_like(t)
    cdf = 0.5 * erfc(t[far:] * -math.sqrt(0.5))
    log_cdf[far:] = np.log(cdf)
    ratio[far:] = np.exp(-0.5 * t[far:] ** 2 - HALF_LOG_2PI) / cdf  # phi / Phi
    gap[far:] = t[far:] + ratio[far:]
    gap[:far] = tail_fraction(-t[:far])
    ratio[:far] = gap[:far] - t[:far]
    log_cdf[:far] = -0.5 * t[:far] ** 2 - HALF_LOG_2PI - np.log(ratio[:far])
    if counts is not None:
        log_cdf *= counts[:dark]
        ratio *= counts[:dark]
    gap *= -ratio  # the second derivative of log Phi
    a = (sums[1] - n * mu) / alpha
    r0, r1 = float(ratio.sum()), float((ratio * u).sum())
    s1, s2 = gap * u, gap * u * u
    s = float(gap.sum()), float(s1.sum()), float(s2.sum())
    f = -n * float(par[2]) - a + n * q + float(log_cdf.sum())
    g = np.array([n / alpha - r0 / sigma, 2 * n * q - r1 - b * r0, -n + a - 2 * n * q + b * r0])
    hess = np.empty((3, 3))
    hess[0, 0] = s[0] / sigma**2
    hess[0, 1] = hess[1, 0] = (s[1] + b * s[0] + r0) / sigma
    hess[0, 2] = hess[2, 0] = -n / alpha - s[0] * b / sigma
    hess[1, 1] = 4 * n * q + s[2] + 2 * b * s[1] + b * b * s[0] + r1 - b * r0
    hess[1, 2] = hess[2, 1] = -4 * n * q - b * (s[1] + b * s[0]) + b * r0
    hess[2, 2] = -a + 4 * n * q + b * b * s[0] - b * r0
    return -2 * f, -2 * g, -2 * hess
