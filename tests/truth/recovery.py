"""How well known truth comes out of replicate arrays: error, slope of true effects, power and false discoveries.

**Spots.** Those of probes (``true_a`` above that of an empty place), without a flag and without an accident. Where
there is no probe every method that shrinks is better, so empty places would flatter offsets.

**Error** is the root mean square of M − true M after one constant an array, over all arrays.

**Slope in the low third** is the least-squares slope of M on true M over the spots of the lowest third of true A.

**Power** is the share of changed spots whose moderated t over the replicate arrays is beyond all but one in 200 of the
unchanged ones: the same share of false positives for everyone. **False discoveries** are the share of unchanged spots
among those that the same t names at 5 % by Benjamini and Hochberg. The t is that of Smyth (2004): variances are drawn
to their common value as far as they agree, by moments of their logarithms.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

import gridnorm as gn

Matrix = NDArray[np.float64]
FALSE_POSITIVES = 1 / 200
FDR = 0.05
NO_PROBE = 3.0  # log2; empty places have 2, the faintest probes more than 5
FEWEST = 3  # arrays that a spot must be seen on to be tested
SIZE: dict[str, Any] = {"blocks": (4, 4), "spots": (20, 20)}


def normalized(arrays: gn.ArraySet, **options: Any) -> Matrix:
    """M of every array, (array, spot)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return np.asarray(gn.normalize(arrays, **options).M.T)


def judged_spots(made: Any) -> NDArray[np.bool_]:
    """Which spots of which arrays count, (array, spot)."""
    return (made.flags == 0) & ~made.outlier & (made.true_a > NO_PROBE)


def mean_square(made: Any, m: Matrix, where: NDArray[np.bool_]) -> float:
    """Mean over arrays of the squared error after one constant an array."""
    errors = [(values - made.true_m)[use] for values, use in zip(m, where, strict=True)]
    return float(np.mean([np.var(error) for error in errors]))


def low_slope(made: Any, m: Matrix) -> float:
    """Slope of M on true M in the lowest third of true A, over all arrays."""
    low = made.true_a <= np.quantile(made.true_a, 1 / 3)
    found = []
    for values, use in zip(m, judged_spots(made) & low & np.isfinite(m), strict=True):
        x = made.true_m[use] - made.true_m[use].mean()
        found.append(float(x @ values[use] / (x @ x)))
    return float(np.mean(found))


def moderated(made: Any, m: Matrix) -> tuple[Matrix, Matrix, NDArray[np.bool_]]:
    """|t| and p of every spot that is seen often enough without a flag, and whether it is changed."""
    seen = np.where(made.flags == 0, m, np.nan)
    use = np.isfinite(seen).sum(axis=0) >= FEWEST
    seen = seen[:, use]
    n = np.isfinite(seen).sum(axis=0)
    # one constant for all: the unchanged are the many
    mean = np.nanmean(seen, axis=0) - np.median(np.nanmean(seen, axis=0))
    variance, df = np.nanvar(seen, axis=0, ddof=1), n - 1.0
    prior, prior_df = _prior(variance, df)
    if np.isinf(prior_df):
        posterior, total = np.full(df.shape, prior), np.full(df.shape, np.inf)
    else:
        posterior, total = (prior_df * prior + df * variance) / (prior_df + df), prior_df + df
    t = np.abs(mean) / np.sqrt(posterior / n)
    return t, 2 * stats.t.sf(t, total), made.changed[use]


def _prior(variance: Matrix, df: Matrix) -> tuple[float, float]:
    """Common variance and its degrees of freedom (Smyth 2004, section 6.2)."""
    e = np.log(np.maximum(variance, 1e-12)) - special.digamma(df / 2) + np.log(df / 2)
    excess = float(np.var(e, ddof=1) - np.mean(special.polygamma(1, df / 2)))
    if excess <= 0:
        return float(np.exp(e.mean())), np.inf
    half = 0.5 + 1 / excess
    for _ in range(50):  # Newton on 1/trigamma
        trigamma = special.polygamma(1, half)
        half += trigamma * (1 - trigamma / excess) / special.polygamma(2, half)
    return float(np.exp(e.mean() + special.digamma(half) - np.log(half))), 2 * float(half)


def power(t: Matrix, changed: NDArray[np.bool_]) -> float:
    """Share of the changed beyond all but one in 200 of the unchanged."""
    limit = np.quantile(t[~changed], 1 - FALSE_POSITIVES)
    return float(np.mean(t[changed] > limit))


def false_discoveries(p: Matrix, changed: NDArray[np.bool_]) -> float:
    """Share of unchanged spots among those named at 5 %; 0 where none is named."""
    order = np.argsort(p, kind="stable")
    below = np.flatnonzero(p[order] <= FDR * np.arange(1, p.size + 1) / p.size)
    named = order[: below[-1] + 1] if below.size else order[:0]
    return float(np.mean(~changed[named])) if named.size else 0.0
