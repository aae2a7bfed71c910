"""The NumPy engine: every verb, the reference; one file a verb."""

from gridnorm.core.engines.numpy.apply import remove
from gridnorm.core.engines.numpy.curves import interpolate, lowess_fit, select_curves
from gridnorm.core.engines.numpy.loess import loess
from gridnorm.core.engines.numpy.median import mad, median, quantiles
from gridnorm.core.engines.numpy.moments import moments, sums
from gridnorm.core.engines.numpy.namespace import special, xp
from gridnorm.core.engines.numpy.observed import gather, observed
from gridnorm.core.engines.numpy.standardize import standardize, standardize_backward, standardize_with

__all__ = [
    "gather",
    "interpolate",
    "loess",
    "lowess_fit",
    "mad",
    "median",
    "moments",
    "name",
    "observed",
    "quantiles",
    "remove",
    "select_curves",
    "special",
    "standardize",
    "standardize_backward",
    "standardize_with",
    "sums",
    "xp",
]

name = "numpy"
