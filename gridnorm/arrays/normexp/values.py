"""The values that are fitted, and where the searches start."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import distinct
from gridnorm.errors import FitError

FloatArray = NDArray[np.float64]

_MIN_VALUES, _MIN_DISTINCT = 4, 3
OTHER_METHOD = "Use another background method, such as subtract or none, for this array"


def distinct_counts(x: FloatArray) -> tuple[FloatArray, FloatArray | None]:
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
            hint=OTHER_METHOD,
        )
    return values, None if values.size == x.size else counts.astype(np.float64)


def total(v: FloatArray, counts: FloatArray | None) -> float:
    # not a BLAS dot: its result may depend on the number of threads
    return float(v.sum() if counts is None else (v * counts).sum())


def start_of(values: FloatArray, counts: FloatArray | None) -> list[float]:
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
