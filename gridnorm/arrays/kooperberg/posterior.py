"""The mean of what a signal can be, exactly: over all signals of at least 0 above backgrounds of at least 0.

In units of ``S = √(s_f² + s_b²)`` a signal ``x`` has the density ``φ(x − z) Φ(t)`` for x ≥ 0, with ``z = (F − B)/S``;
``Φ(t)``, ``t = α − βx``, is how likely the background that x leaves is at least 0. For nearly all spots Φ is 1
wherever φ is not 0, and the mean is that of a truncated normal distribution. For the others it is integrated.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp.normal import HALF_LOG_2PI, TAIL, phi_over_cdf, tail_fraction

FloatArray = NDArray[np.float64]

CERTAIN = 8.5  # Φ is 1 to the last bit
_LOST = 40.0  # logarithm of what is left out: e⁻⁴⁰ of the highest density
_FARTHEST = math.sqrt(2 * _LOST)  # no density falls more slowly than the normal one
_NODES = 48  # of Gauss and Legendre, for each of two parts
_LEAST = 1e-7  # foreground errors below this share of the background's act like it, to its square
_ROUNDS = 60


def posterior_mean(foreground: FloatArray, background: FloatArray, error: FloatArray, below: FloatArray) -> FloatArray:
    """The mean signal given foregrounds, backgrounds and the errors of each.

    Parameters
    ----------
    foreground, background
        (spot,), finite; thousands of errors below 0 the logarithms of the density lose digits.
    error, below
        (spot,): standard errors of the two, finite; that of the background is above 0.

    Examples
    --------
    >>> one = np.ones(3)
    >>> posterior_mean(np.array([98.0, 100.0, 150.0]), 100 * one, 3 * one, 4 * one).round(3)
    array([ 3.344,  3.989, 50.   ])
    """
    error = np.maximum(error, _LEAST * below)
    scale = np.hypot(error, below)
    z = (foreground - background) / scale
    slope = below / error
    level = (foreground * below / error + background * error / below) / scale
    highest = z + np.sqrt(2 * _LOST + np.minimum(z, 0) ** 2)
    out = np.empty(z.shape)
    sure = level - slope * highest >= CERTAIN
    out[sure] = _truncated(z[sure])
    out[~sure] = _integrated(z[~sure], level[~sure], slope[~sure])
    return scale * out


def _truncated(z: FloatArray) -> FloatArray:
    """Mean of a normal distribution with mean z and deviation 1, above 0: z + φ(z)/Φ(z)."""
    out = z.copy()  # above 9 the second term is below the last bit of the first
    near, far = (z >= TAIL) & (z < 9), z < TAIL
    out[near] += phi_over_cdf(z[near])
    out[far] = tail_fraction(-z[far])
    return out


def _integrated(z: FloatArray, level: FloatArray, slope: FloatArray) -> FloatArray:
    """The mean of the density ``φ(x − z) Φ(level − slope x)`` over x ≥ 0."""
    if z.size == 0:
        return z
    density = _Density(z, level, slope)
    mode = np.maximum(density.mode(), 0.0)
    peak = density.log(mode)
    low = np.maximum(density.end(mode - _FARTHEST, peak - _LOST), 0.0)
    high = density.end(mode + _FARTHEST, peak - _LOST)
    # Where Φ begins to fall: on either side of it a factor of the density changes slowly.
    edge = np.clip((level - CERTAIN) / slope, low, high)
    total, moment = np.zeros(z.shape), np.zeros(z.shape)
    for a, b in ((low, edge), (edge, high)):
        nodes, weights = _gauss_legendre()
        half = (b - a) / 2
        x = a + half * (1 + nodes[:, None])
        mass = half * weights[:, None] * np.exp(density.log(x) - peak)
        total += mass.sum(axis=0)
        moment += (mass * x).sum(axis=0)
    return np.asarray(moment / total)


class _Density:
    """The density of each spot, whose logarithm is concave."""

    def __init__(self, z: FloatArray, level: FloatArray, slope: FloatArray) -> None:
        self.z, self.level, self.slope = z, level, slope

    def log(self, x: FloatArray) -> FloatArray:
        return np.asarray(-0.5 * (x - self.z) ** 2 + _log_cdf(self.level - self.slope * x))

    def _falling(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Slope and curvature of the logarithm."""
        t = self.level - self.slope * x
        far = t < TAIL
        gap = t.copy()  # φ/Φ + t, which nearly cancels for low t
        gap[far] = tail_fraction(-t[far])
        gap[~far] += np.exp(-0.5 * t[~far] ** 2 - HALF_LOG_2PI - _log_cdf(t[~far]))
        rate = gap - t
        return self.z - x - self.slope * rate, -1 - self.slope**2 * rate * gap

    def mode(self) -> FloatArray:
        """Newton's steps from the right: the slope is concave, so that none goes too far."""
        x = self.z.copy()
        for _ in range(_ROUNDS):
            slope, curvature = self._falling(x)
            step = slope / curvature
            going = step * step * -curvature > 1e-6
            if not going.any():
                break
            x = np.where(going, x - step, x)  # one spot's steps do not depend on another's
        return x

    def end(self, x: FloatArray, wanted: FloatArray) -> FloatArray:
        """Where the logarithm of the density is as ``wanted``, from outside; never beyond, a little outside at most."""
        for _ in range(_ROUNDS):
            over = wanted - self.log(x)
            going = over > 0.1 * _LOST
            if not going.any():
                break
            slope, _ = self._falling(x)
            x = np.where(going, x + over / slope, x)
        return x


def _log_cdf(t: FloatArray) -> FloatArray:
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(t))


@lru_cache(maxsize=1)
def _gauss_legendre() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
