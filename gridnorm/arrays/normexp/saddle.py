"""The likelihood by saddle-point approximation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.normexp.normal import HALF_LOG_2PI

FloatArray = NDArray[np.float64]

_CHUNK = 24576  # values a pass: one pass for most arrays, scratch of 768 KB stays in the second-level cache


class Saddle:
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
        return -2 * (2 * total - self.n * (HALF_LOG_2PI + log_alpha + 0.5 * math.log(2)))

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
