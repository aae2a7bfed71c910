"""The CUDA engine: the verbs as kernels, for arrays of CuPy; one file a verb.

``xp`` and everything else asks ``current_device()`` at the time of the call, so that importing this needs no CuPy.
"""

from __future__ import annotations

from typing import Any

from gridnorm.core.engines.cuda.apply import remove
from gridnorm.core.engines.cuda.curves import interpolate, lowess_fit, select_curves
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.median import mad, median, quantiles
from gridnorm.core.engines.cuda.moments import moments, sums
from gridnorm.core.engines.cuda.observed import gather, observed
from gridnorm.core.engines.cuda.standardize import standardize, standardize_with
from gridnorm.core.engines.cuda.standardize_backward import standardize_backward

__all__ = [
    "gather",
    "interpolate",
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

name = "cuda"


def special() -> Any:
    """The special functions that go with ``xp``."""
    return current_device().special()


def __getattr__(name: str) -> Any:
    if name == "xp":
        return current_device().xp
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
