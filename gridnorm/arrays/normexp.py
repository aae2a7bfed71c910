"""The normal + exponential model of intensities: fit and posterior signal.

An observed intensity is background ``B ~ N(mu, sigma**2)`` plus signal ``S ~ Exp(mean alpha)``. `fit` estimates
``(mu, log sigma, log alpha)``; `signal` replaces each intensity by ``E[S | B + S]``, which is always positive.

Sources: Silver, Ritchie & Smyth, Biostatistics 10 (2009); Ritchie et al., Bioinformatics 23 (2007);
Nelder & Mead, Computer Journal 7 (1965). Peer: limma's ``normexp.fit`` and ``normexp.signal``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridnorm.arrays.nelder_mead import nelder_mead
from gridnorm.core.segments import distinct
from gridnorm.errors import FitError, OptionError

FloatArray = NDArray[np.float64]

_CHUNK = 24576  # values a pass: one pass for most arrays, scratch of 768 KB stays in the second-level cache
_MIN_VALUES, _MIN_DISTINCT = 4, 3
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_OTHER_METHOD = "Use another background method, such as subtract or none, for this array"
_TAIL = -5.0  # below it the continued fraction is used, above it erfc


class NormexpFit(NamedTuple):
    """Estimates of the normal + exponential model.

    ``mu`` is in units of intensity, ``log_sigma`` and ``log_alpha`` are natural logarithms of such.
    ``evaluations`` counts evaluations of the (approximate or exact) likelihood.
    """

    mu: float
    log_sigma: float
    log_alpha: float
    minus_two_log_likelihood: float
    evaluations: int


def fit(x: ArrayLike, method: str = "saddle") -> NormexpFit:
    """Fit the normal + exponential model to intensities; missing values are ignored.

    Parameters
    ----------
    x
        Intensities, background subtracted or raw, any shape. Order does not matter, not even in the last bit.
    method
        ``"saddle"``: saddle-point approximation of the likelihood, minimized by Nelder-Mead with the start and
        the stop rule of R's ``optim``, so that the estimates are those of limma's default. ``"mle"``: the exact
        likelihood, by damped Newton steps from there.

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
    if method not in ("saddle", "mle"):
        raise OptionError("unknown method of the normexp fit", found=repr(method), expected="'saddle' or 'mle'")
    values, counts = _distinct(np.asarray(x, dtype=np.float64))
    with np.errstate(all="ignore"):
        objective = _Saddle(values, counts)
        par, best, evaluations = nelder_mead(objective, _start(values, counts))
        if method == "mle" and best < 1e35:
            par, best, more = _newton(values, counts, par)
            evaluations += more
    if not (best < 1e35 and math.exp(par[1]) > 0 and math.isfinite(math.exp(-par[2]))):
        raise FitError(
            "normexp cannot be fitted: the likelihood has no finite optimum",
            found=f"mu {par[0]:.6g}, log sigma {par[1]:.6g}, log alpha {par[2]:.6g}",
            expected="a positive spread of the background and a positive mean signal",
            hint=_OTHER_METHOD,
        )
    return NormexpFit(par[0], par[1], par[2], best, evaluations)


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
    near = (t >= _TAIL) & (t < 9)
    out[near] += sigma * _phi_over_cdf(t[near])
    far = t < _TAIL
    out[far] = sigma * _tail_fraction(-t[far])
    return out


# ---- the normal distribution -----------------------------------------------------------------------------------


def log_normal_cdf(t: FloatArray) -> FloatArray:
    """Natural logarithm of the standard normal distribution function, relative error below 1e-13 everywhere.

    SciPy has the same as ``log_ndtr``; importing it would cost more than a whole array does.
    """
    out = np.full(t.shape, np.nan)
    low = t < _TAIL
    u = -t[low]
    out[low] = -0.5 * u * u - _HALF_LOG_2PI - np.log(u + _tail_fraction(u))
    mid = (t >= _TAIL) & (t < 0)
    out[mid] = np.log(0.5 * _erfc(t[mid] * -math.sqrt(0.5)))
    high = t >= 0
    out[high] = np.log1p(-0.5 * _erfc(t[high] * math.sqrt(0.5)))
    return out


def _phi_over_cdf(t: FloatArray) -> FloatArray:
    """phi(t) / Phi(t) for t >= -5."""
    return math.sqrt(2 / math.pi) * np.exp(-0.5 * t * t) / _erfc(t * -math.sqrt(0.5))


def _tail_fraction(u: FloatArray) -> FloatArray:
    """phi(u) / Phi(-u) - u for u >= 5: Laplace's continued fraction 1/(u + 2/(u + 3/(u + ...)))."""
    c = u.copy()
    for k in range(34, 1, -1):  # 34 levels: below 1e-16 at u = 5, faster beyond
        np.divide(k, c, out=c)
        c += u
    return np.asarray(1.0 / c)


def _erfc(x: FloatArray) -> FloatArray:
    return np.fromiter(map(math.erfc, x.tolist()), dtype=np.float64, count=x.size)


# ---- values and start ------------------------------------------------------------------------------------------


def _distinct(x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Sorted distinct values and how often each occurs (None: all once); integer scans shrink a lot by this."""
    x = x[~np.isnan(x)]
    if np.isinf(x).any():
        raise FitError(
            "normexp cannot be fitted: infinite values",
            found=f"{int(np.isinf(x).sum())} of {x.size}",
            expected="finite values, or NaN for missing ones",
        )
    values, place = distinct(x)
    counts = np.bincount(place)
    if x.size < _MIN_VALUES or values.size < _MIN_DISTINCT:
        raise FitError(
            "normexp cannot be fitted: too few different values",
            found=f"{x.size} values that are not missing, {values.size} of them distinct",
            expected=f"at least {_MIN_VALUES} values, {_MIN_DISTINCT} of them distinct",
            hint=_OTHER_METHOD,
        )
    return values, None if values.size == x.size else counts.astype(np.float64)


def _total(v: FloatArray, counts: FloatArray | None) -> float:
    # not a BLAS dot: its result may depend on the number of threads
    return float(v.sum() if counts is None else (v * counts).sum())


def _start(values: FloatArray, counts: FloatArray | None) -> list[float]:
    x = values if counts is None else np.repeat(values, counts.astype(np.int64))
    low, q05, q10, high = (float(q) for q in np.quantile(x, [0, 0.05, 0.1, 1]))
    mu = q05 if q05 > low else q10 if q10 > low else low + 0.05 * (high - low)
    variance = float(np.mean((x[x < mu] - mu) ** 2))
    alpha = float(x.mean()) - mu
    if not 0 < variance < math.inf:  # differences below 1e-162 or above 1e154 have no square
        raise FitError(
            "normexp cannot be fitted: the spread of the lowest values is not a number in double precision",
            found=f"values from {low:.6g} to {high:.6g}",
            hint="Rescale the intensities, or use another background method",
        )
    return [mu, 0.5 * math.log(variance), math.log(alpha if alpha > 0 else 1e-6)]


# ---- saddle-point likelihood -------------------------------------------------------------------------------------


class _Saddle:
    """-2 log likelihood, each density by its saddle-point approximation with the second-order term.

    The saddle-point equation is a quadratic, so no iteration is needed. In units of alpha, with
    ``e = (x - mu)/alpha``, ``r = (sigma/alpha)**2``, ``d = e - r`` and ``w = sqrt(d*d + 4*r)``:

    * ``rho = (d + w) / (2*w)``, written ``2*r / (w*(w - d))`` for d < 0;
    * ``theta = 2*(e - 1) / (e + r + w)``, written ``(e + r - w) / (2*r)`` for e + r < 0;
    * ``log f = -log(2*pi)/2 - log(alpha) + log(rho)/2 + rho**2*(3/4 - 5/6*rho) - theta*(e - r*theta/2)``.

    Neither form cancels. As the values are sorted both cases of d and of e + r are prefixes. Work is done in
    chunks of fixed size, in scratch that is used again; the sum depends on the values and on nothing else.
    """

    def __init__(self, values: FloatArray, counts: FloatArray | None) -> None:
        self.values, self.counts = values, counts
        self.n = float(values.size if counts is None else counts.sum())
        self.scratch = np.empty((4, min(_CHUNK, values.size)))

    def __call__(self, par: list[float]) -> float:
        mu, log_sigma, log_alpha = par
        try:
            scale, r = math.exp(-log_alpha), math.exp(2 * (log_sigma - log_alpha))
        except OverflowError:
            return math.inf
        if r == 0 or scale == 0:
            return math.inf
        d_low = int(np.searchsorted(self.values, mu + r / scale))
        c_low = int(np.searchsorted(self.values, mu - r / scale))
        total = 0.0
        for a in range(0, self.values.size, _CHUNK):
            x = self.values[a : a + _CHUNK]
            k, j = (min(max(at - a, 0), x.size) for at in (d_low, c_low))
            half = self._half_log_density(x, mu, scale, r, k, j)
            if self.counts is not None:
                half *= self.counts[a : a + _CHUNK]
            total += float(half.sum())
        return -2 * (2 * total - self.n * (_HALF_LOG_2PI + log_alpha + 0.5 * math.log(2)))

    def _half_log_density(self, x: FloatArray, mu: float, scale: float, r: float, k: int, j: int) -> FloatArray:
        """Half of log f but for its constants; the first k values have d < 0, the first j have e + r < 0."""
        e, d, w, t = (row[: x.size] for row in self.scratch)
        np.subtract(x, mu, out=e)
        e *= scale
        np.subtract(e, r, out=d)
        np.multiply(d, d, out=w)
        w += 4 * r
        np.sqrt(w, out=w)
        np.add(e, r, out=t)  # t becomes theta / 2
        t[:j] -= w[:j]
        t[:j] *= 0.25 / r
        t[j:] += w[j:]
        # d becomes 2*rho
        np.subtract(w[:k], d[:k], out=d[:k])
        np.divide(4 * r, d[:k], out=d[:k])
        d[k:] += w[k:]
        d /= w
        np.subtract(e[j:], 1.0, out=w[j:])
        np.divide(w[j:], t[j:], out=t[j:])
        np.multiply(t, r, out=w)
        e -= w
        e *= t
        np.multiply(d, -5 / 96, out=t)
        t += 3 / 32
        t *= d
        t *= d
        t -= e
        np.log(d, out=d)
        d *= 0.25
        d += t
        return d


# ---- exact likelihood --------------------------------------------------------------------------------------------


def _exact(
    values: FloatArray, counts: FloatArray | None, par: FloatArray, derivatives: bool
) -> tuple[float, FloatArray, FloatArray]:
    """-2 log L with its gradient and Hessian in (mu, log sigma**2, log alpha); zeros unless asked for."""
    mu, s2, alpha = float(par[0]), math.exp(par[1]), math.exp(par[2])
    s = math.sqrt(s2)
    g, hess = np.zeros(3), np.zeros((3, 3))
    if s == 0 or alpha == 0:
        return math.inf, g, hess
    n = float(values.size if counts is None else counts.sum())
    e = values - mu
    t = (e - s2 / alpha) / s
    q = 0.5 * s2 / alpha**2
    e_sum = _total(e, counts)
    f = -n * math.log(alpha) - e_sum / alpha + n * q + _total(log_normal_cdf(t), counts)
    if not derivatives:
        return -2 * f, g, hess
    low = t < _TAIL
    lam, gap = np.empty_like(t), np.empty_like(t)  # phi/Phi and t + phi/Phi
    lam[~low] = _phi_over_cdf(t[~low])
    gap[~low] = t[~low] + lam[~low]
    gap[low] = _tail_fraction(-t[low])
    lam[low] = gap[low] - t[low]
    slope = -lam * gap
    # first and second derivatives of t; m, v, w stand for mu, log sigma**2, log alpha
    tm, tv, tw = -1 / s, -0.5 * e / s - 0.5 * s / alpha, s / alpha
    tmv, tvv = 0.5 / s, 0.25 * e / s - 0.25 * s / alpha
    lam_sum, slope_sum, slope_v = _total(lam, counts), _total(slope, counts), _total(slope * tv, counts)
    g[:] = (n / alpha + lam_sum * tm, n * q + _total(lam * tv, counts), -n + e_sum / alpha - 2 * n * q + lam_sum * tw)
    hess[0] = (slope_sum * tm * tm, slope_v * tm + lam_sum * tmv, slope_sum * tm * tw - n / alpha)
    hess[1, 1] = n * q + _total(slope * tv * tv, counts) + _total(lam * tvv, counts)
    hess[1, 2] = -2 * n * q + slope_v * tw + lam_sum * 0.5 * tw
    hess[2, 2] = -e_sum / alpha + 4 * n * q + slope_sum * tw * tw - lam_sum * tw
    hess = np.triu(hess) + np.triu(hess, 1).T
    return -2 * f, -2 * g, -2 * hess


def _newton(
    values: FloatArray, counts: FloatArray | None, start: list[float], steps: int = 100
) -> tuple[list[float], float, int]:
    """Minimize the exact -2 log L from the saddle estimate; never worse than it."""
    par = np.array([start[0], 2 * start[1], start[2]])
    f, g, hess = _exact(values, counts, par, True)
    scale = np.array([math.exp(start[1]) + 1e-11 * math.exp(start[2]), 1.0, 1.0])
    damping, evaluations = 0.0, 1
    for _ in range(steps):
        scaled = hess * np.outer(scale, scale)
        if not np.isfinite(scaled).all():
            break
        lowest, _, highest = (float(v) for v in np.linalg.eigvalsh(scaled))
        ridge = max(damping, 0.0 if lowest > 1e-14 * highest else -1.1 * lowest + 1e-3)
        move = -scale * np.linalg.solve(scaled + ridge * np.eye(3), g * scale)
        try:
            f_new = _exact(values, counts, par + move, False)[0]
        except OverflowError:
            f_new = math.inf
        evaluations += 1
        if not f_new <= f:
            damping = max(damping * 10, 1e-3 * max(1.0, abs(lowest)))
            if damping > 1e20:
                break
            continue
        done = f - f_new <= 1e-13 * abs(f) and float(np.abs(move / scale).max()) < 1e-7
        par = par + move
        if done:
            f = f_new
            break
        f, g, hess = _exact(values, counts, par, True)
        evaluations += 1
        damping = 0.0 if damping < 1e-3 else damping / 10
    return [float(par[0]), 0.5 * float(par[1]), float(par[2])], f, evaluations
