"""Moderated t statistics of one coefficient: Smyth, Stat Appl Genet Mol Biol 3 (2004); limma's eBayes is its oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma


def moderated_t(m: NDArray[np.float64], design: NDArray[np.float64]) -> NDArray[np.float64]:
    """t of the coefficient of ``design`` (array,) in every row of ``m`` (spot, array); rows without NaN."""
    precision = float(design @ design)
    coefficient = m @ design / precision
    freedom = m.shape[1] - 1
    variance = ((m - coefficient[:, None] * design) ** 2).sum(axis=1) / freedom
    used = variance > 1e-5 * np.median(variance)
    e = np.log(variance[used]) - digamma(freedom / 2) + np.log(freedom / 2)
    left = e.var(ddof=1) - polygamma(1, freedom / 2)
    if left <= 0:
        posterior = np.full(variance.size, np.exp(e.mean()))
    else:
        prior = 2 * brentq(lambda half: polygamma(1, half) - left, 1e-6, 1e8)
        typical = np.exp(e.mean() + digamma(prior / 2) - np.log(prior / 2))
        posterior = (prior * typical + freedom * variance) / (prior + freedom)
    return np.asarray(coefficient / np.sqrt(posterior / precision))
