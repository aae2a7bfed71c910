"""The NumPy backend: the reference, one file a verb."""

import numpy as xp

from gridnorm.core._numpy.curves import interpolate, lowess_fit, select_curves
from gridnorm.core._numpy.median import mad, median, quantiles
from gridnorm.core._numpy.moments import moments
from gridnorm.core._numpy.observed import gather, observed, per_item

__all__ = [
    "gather",
    "interpolate",
    "lowess_fit",
    "mad",
    "median",
    "moments",
    "observed",
    "per_item",
    "quantiles",
    "select_curves",
    "xp",
]
