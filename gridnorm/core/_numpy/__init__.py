"""The NumPy backend: the reference, one file a verb."""

from importlib import import_module
from types import ModuleType

import numpy as xp

from gridnorm.core._numpy.apply import remove
from gridnorm.core._numpy.curves import interpolate, lowess_fit, select_curves
from gridnorm.core._numpy.median import mad, median, quantiles
from gridnorm.core._numpy.moments import moments, sums
from gridnorm.core._numpy.observed import gather, observed
from gridnorm.core._numpy.standardize import standardize, standardize_backward, standardize_with

__all__ = [
    "gather",
    "interpolate",
    "lowess_fit",
    "mad",
    "median",
    "moments",
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


def special() -> ModuleType:
    """The library's special functions, loaded when first asked for."""
    return import_module("scipy.special")
