"""limma's numbers: its bounds of integration, and the rule and the tolerance of its quadrature.

limma divides two integrals. The one above is ``∫ u φ((u − m)/S) Φ(v̂/τ) du / S`` over signals u from max(0, m − 4S) to
m + 4S with m = F − B; to 1000 where that is below 0. The one below is ``∫ φ((v − B)/s_b) Φ((F − v)/s_f) dv / s_b`` over
backgrounds v from max(0, B − 4 s_b) to B + 4 s_b. Both are QUADPACK's with R's default tolerance: the rule of Gauss and
Kronrod with 21 points, and halves where its estimate of the error is too large. All of this was found by running limma.

Source of the rule: Piessens et al., QUADPACK (1983).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Integrand = Callable[..., FloatArray]

DEVIATIONS = 4.0
FARTHEST = 1000.0  # the upper bound of signals where four deviations above F − B are below 0
TOLERANCE = float(np.finfo(np.float64).eps) ** 0.25  # of R's integrate, absolute and relative
HALVES = 100  # of R's integrate
_SMALLEST = -37.0  # below it the normal distribution function is no normal number
_NODES = (
    0.995657163025808080735527280689003, 0.973906528517171720077964012084452, 0.930157491355708226001207180059508,
    0.865063366688984510732096688423493, 0.780817726586416897063717578345042, 0.679409568299024406234327365114874,
    0.562757134668604683339000099272694, 0.433395394129247190799265943165784, 0.294392862701460198131126603103866,
    0.148874338981631210884826001129720, 0.0,
)  # fmt: skip
_WEIGHTS = (
    0.011694638867371874278064396062192, 0.032558162307964727478818972459390, 0.054755896574351996031381300244580,
    0.075039674810919952767043140916190, 0.093125454583697605535065465083366, 0.109387158802297641899210590325805,
    0.123491976262065851077958109585166, 0.134709217311473325928054001771707, 0.142775938577060080797094273138717,
    0.147739104901338491374841515972068, 0.149445554002916905664936468389821,
)  # fmt: skip


def limmas_mean(foreground: FloatArray, background: FloatArray, error: FloatArray, below: FloatArray) -> FloatArray:
    """The mean signal as limma has it; parameters as in `posterior_mean`.

    Returns
    -------
    (spot,); NaN where both integrals are 0.

    Examples
    --------
    >>> one = np.ones(3)
    >>> limmas_mean(np.array([98.0, 100.0, 150.0]), 100 * one, 3 * one, 4 * one).round(3)
    array([ 3.342,  3.988, 50.   ])
    """
    scale = np.hypot(error, below)
    net = foreground - background
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        high = net + DEVIATIONS * scale
        above = integrals(
            _weighted_signal,
            np.maximum(0.0, net - DEVIATIONS * scale),
            np.where(high < 0, FARTHEST, high),
            (foreground, background, error, below, net, scale),
        )
        low = np.maximum(0.0, background - DEVIATIONS * below)
        under = integrals(_background, low, background + DEVIATIONS * below, (foreground, background, error, below))
        return np.asarray(above / scale / (under / below))


def _weighted_signal(
    u: FloatArray, fore: FloatArray, back: FloatArray, error: FloatArray, below: FloatArray, net: FloatArray,
    scale: FloatArray,
) -> FloatArray:  # fmt: skip
    mean = ((fore - u) * below**2 + back * error**2) / scale**2
    return np.asarray(u * _phi((u - net) / scale) * _cdf(mean * scale / (error * below)))


def _background(v: FloatArray, fore: FloatArray, back: FloatArray, error: FloatArray, below: FloatArray) -> FloatArray:
    return np.asarray(_phi((v - back) / below) * _cdf((fore - v) / error))


def _cdf(t: FloatArray) -> FloatArray:
    """The normal distribution function; SciPy's is 0 a little sooner than R's."""
    from scipy.special import log_ndtr, ndtr

    return np.asarray(np.where(t < _SMALLEST, np.exp(log_ndtr(t)), ndtr(t)))


def _phi(t: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi))


def integrals(integrand: Integrand, low: FloatArray, high: FloatArray, given: tuple[FloatArray, ...]) -> FloatArray:
    """One integral a spot, as R's ``integrate`` has it with its defaults.

    Parameters
    ----------
    integrand
        A function of nodes (node, spot), and of what is ``given`` (spot,).
    low, high
        Bounds, (spot,).

    Examples
    --------
    >>> integrals(lambda x, k: x**k, np.zeros(2), np.ones(2), (np.array([1.0, 3.0]),)).round(15)
    array([0.5 , 0.25])
    """
    whole = _panel(integrand, low, high, given)
    found = whole.value.copy()
    # An estimate as large as the spread of the values tells nothing, however small both are.
    doubted = ~_close(whole) | ((whole.doubt == whole.spread) & (whole.doubt > 0))
    again = np.flatnonzero(doubted)
    if again.size:
        few = tuple(one[again] for one in given)
        middle = (low[again] + high[again]) / 2
        left, right = _panel(integrand, low[again], middle, few), _panel(integrand, middle, high[again], few)
        both = _Panel(left.value + right.value, left.doubt + right.doubt, left.spread)
        found[again] = both.value
        for k in again[~_close(both)].tolist():
            found[k] = _in_more(integrand, float(low[k]), float(high[k]), tuple(one[k] for one in given))
    return found


class _Panel(NamedTuple):
    """Integrals, (spot,), how far they may be wrong, and how the values spread."""

    value: FloatArray
    doubt: FloatArray
    spread: FloatArray


def _close(panel: _Panel) -> NDArray[np.bool_]:
    return np.asarray(panel.doubt <= np.maximum(TOLERANCE, TOLERANCE * np.abs(panel.value)))


def _panel(integrand: Integrand, low: FloatArray, high: FloatArray, given: tuple[FloatArray, ...]) -> _Panel:
    """QUADPACK's rule of 21 points and its estimate of the error."""
    nodes, kronrod, gauss = _rule()
    half = (high - low) / 2
    values = integrand((low + high) / 2 + half * nodes[:, None], *given)
    found = (kronrod[:, None] * values).sum(axis=0)
    spread = np.abs(half) * (kronrod[:, None] * np.abs(values - found / 2)).sum(axis=0)
    size = np.abs(half) * (kronrod[:, None] * np.abs(values)).sum(axis=0)
    doubt = np.abs(half * (found - (gauss[:, None] * values).sum(axis=0)))
    uneven = (spread > 0) & (doubt > 0)
    doubt[uneven] = spread[uneven] * np.minimum(1.0, (200 * doubt[uneven] / spread[uneven]) ** 1.5)
    return _Panel(half * found, np.maximum(doubt, 50 * float(np.finfo(np.float64).eps) * size), spread)


def _in_more(integrand: Integrand, low: float, high: float, given: tuple[Any, ...]) -> float:
    """Where two panels do not do: QUADPACK itself."""
    from scipy.integrate import IntegrationWarning, quad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IntegrationWarning)
        found = quad(integrand, low, high, args=given, epsabs=TOLERANCE, epsrel=TOLERANCE, limit=HALVES)
    return float(found[0])


@lru_cache(maxsize=1)
def _rule() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes on (−1, 1), weights of Kronrod, and those of Gauss, which are 0 at the nodes between his."""
    nodes, weights = np.array(_NODES), np.array(_WEIGHTS)
    own = np.zeros(21)
    own[1::2] = np.polynomial.legendre.leggauss(10)[1]
    return np.concatenate([-nodes, nodes[-2::-1]]), np.concatenate([weights, weights[-2::-1]]), own
