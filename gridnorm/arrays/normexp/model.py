"""The model: its parameters, its fit by one of three searches, and the mean of the signal."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridnorm.arrays.normexp.normal import TAIL, phi_over_cdf, tail_fraction
from gridnorm.arrays.normexp.scaled import dark_spread, fit_scaled
from gridnorm.arrays.normexp.values import OTHER_METHOD, distinct_counts, start_of
from gridnorm.errors import FitError, OptionError

FloatArray = NDArray[np.float64]


class NormexpFit(NamedTuple):
    """Estimates of the normal + exponential model.

    ``mu`` is in units of intensity, ``log_sigma`` and ``log_alpha`` are natural logarithms of such.
    ``evaluations`` counts evaluations of the (approximate or exact) likelihood; ``converged`` is whether the search
    came to the end that it promises. ``spread`` is that of the darkest values, in the unit of the intensities; see
    `dark_spread`.
    """

    mu: float
    log_sigma: float
    log_alpha: float
    minus_two_log_likelihood: float
    evaluations: int
    converged: bool = True
    spread: float = math.nan

    @property
    def sigma(self) -> float:
        """Standard deviation of the background."""
        return math.exp(self.log_sigma)

    @property
    def alpha(self) -> float:
        """Mean of the signal."""
        return math.exp(self.log_alpha)


METHODS = ("scaled", "saddle", "mle")


def fit(x: ArrayLike, method: str = "scaled") -> NormexpFit:
    """Fit the normal + exponential model to intensities; missing values are ignored.

    Parameters
    ----------
    x
        Intensities, background subtracted or raw, any shape. Order does not matter, not even in the last bit.
    method
        ``"scaled"``: the optimum of the exact likelihood, found in units that the values bring along; values times a
        number have estimates times that number. ``"saddle"``: saddle-point approximation of the likelihood, minimized
        by Nelder-Mead with the start and the stop rule of R's ``optim``, so that the estimates are those of limma's
        default. ``"mle"``: the exact likelihood, by damped Newton steps from there.

    Raises
    ------
    FitError
        Fewer than 4 values, fewer than 3 distinct values, infinite values, or a spread that vanishes.
    OptionError
        An unknown ``method``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(200.0) ** 2 / 40
    >>> found = fit(x)
    >>> bool((signal(found, x) > 0).all())
    True
    """
    if method not in METHODS:
        raise OptionError("unknown method of the normexp fit", found=repr(method), expected=", ".join(METHODS))
    values, counts = distinct_counts(np.asarray(x, dtype=np.float64))
    with np.errstate(all="ignore"):
        spread = dark_spread(values, counts)
        if method == "scaled":
            found = fit_scaled(values, counts)
            return NormexpFit(*found.par, found.minus_two_log_likelihood, found.evaluations, found.converged, spread)
        # Not on the path of the main job.
        from gridnorm.arrays.nelder_mead import MAX_EVALUATIONS, nelder_mead
        from gridnorm.arrays.normexp.exact import newton
        from gridnorm.arrays.normexp.saddle import Saddle

        par, best, evaluations = nelder_mead(Saddle(values, counts), start_of(values, counts))
        converged = evaluations <= MAX_EVALUATIONS
        if method == "mle" and best < 1e35:
            par, best, more = newton(values, counts, par)
            evaluations, converged = evaluations + more, True
    if not (best < 1e35 and math.exp(par[1]) > 0 and math.isfinite(math.exp(-par[2]))):
        raise FitError(
            "normexp cannot be fitted: the likelihood has no finite optimum",
            found=f"mu {par[0]:.6g}, log sigma {par[1]:.6g}, log alpha {par[2]:.6g}",
            expected="a positive spread of the background and a positive mean signal",
            hint=OTHER_METHOD,
        )
    return NormexpFit(par[0], par[1], par[2], best, evaluations, converged, spread)


def signal(fit: NormexpFit, x: ArrayLike) -> FloatArray:
    """Posterior mean of the signal for each intensity, in the unit and shape of ``x``; NaN stays NaN.

    ``E[S | x] = m + sigma * phi(t) / Phi(t)`` with ``m = x - mu - sigma**2 / alpha`` and ``t = m / sigma``.
    In the lower tail both terms nearly cancel; the difference is then had from a continued fraction, so that the
    result is positive there too, where limma's formula yields noise and replaces what is negative by 1e-6.

    Examples
    --------
    >>> signal(NormexpFit(100.0, 3.0, 7.0, 0.0, 0), [90.0, 2000.0]).round(3)
    array([  12.79 , 1899.632])
    """
    sigma = math.exp(fit.log_sigma)
    shift = fit.mu + sigma * math.exp(fit.log_sigma - fit.log_alpha)
    m = np.asarray(x, dtype=np.float64) - shift
    t = m / sigma
    out = m.copy()  # above 9 the second term is below the last bit of the first
    near = (t >= TAIL) & (t < 9)
    out[near] += sigma * phi_over_cdf(t[near])
    far = t < TAIL
    out[far] = sigma * tail_fraction(-t[far])
    return out
