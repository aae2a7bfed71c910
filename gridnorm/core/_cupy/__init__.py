"""The CuPy backend: the verbs of the NumPy backend as CUDA kernels, one file a verb.

``xp`` and everything else asks ``kernels.engine()`` at the time of the call, so that importing this needs no CuPy.
"""

from __future__ import annotations

from typing import Any

from gridnorm.core import kernels
from gridnorm.core._cupy.apply import remove
from gridnorm.core._cupy.curves import interpolate, lowess_fit, select_curves
from gridnorm.core._cupy.median import mad, median, quantiles
from gridnorm.core._cupy.moments import moments, sums
from gridnorm.core._cupy.observed import gather, observed
from gridnorm.core._cupy.standardize import standardize, standardize_with
from gridnorm.core._cupy.standardize_backward import standardize_backward

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


def special() -> Any:
    """The special functions that go with ``xp``."""
    return kernels.engine().special()


def __getattr__(name: str) -> Any:
    if name == "xp":
        return kernels.engine().xp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
