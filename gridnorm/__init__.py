"""gridnorm: find the hidden grouping of unwanted variation, and normalize within it.

Public names are resolved on first use, so that importing gridnorm costs milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gridnorm._version import __version__ as __version__

if TYPE_CHECKING:
    from gridnorm import nn
    from gridnorm.arrays.array_weights import array_weights
    from gridnorm.arrays.arrayset import ArraySet
    from gridnorm.arrays.between import BetweenTarget, normalize_between
    from gridnorm.arrays.merge import merge_scans
    from gridnorm.arrays.replicates import average_replicates
    from gridnorm.arrays.simulate import simulate
    from gridnorm.arrays.split import split
    from gridnorm.arrays.steps import background_correct, correct_intensities, normalize_within
    from gridnorm.core.groups import normalize_groups
    from gridnorm.core.segments import Segments
    from gridnorm.errors import (
        DeviceError,
        FitError,
        FormatError,
        GridnormError,
        GridnormWarning,
        LayoutError,
        OptionError,
        OutputError,
    )
    from gridnorm.workflow.between import read_target, write_target
    from gridnorm.workflow.inspect import inspect
    from gridnorm.workflow.run import normalize, read, write
    from gridnorm.workflow.spot_files import spot_types

_HOME = {
    "ArraySet": "gridnorm.arrays.arrayset",
    "BetweenTarget": "gridnorm.arrays.between",
    "merge_scans": "gridnorm.arrays.merge",
    "normalize_between": "gridnorm.arrays.between",
    "simulate": "gridnorm.arrays.simulate",
    "split": "gridnorm.arrays.split",
    "spot_types": "gridnorm.workflow.spot_files",
    "array_weights": "gridnorm.arrays.array_weights",
    "average_replicates": "gridnorm.arrays.replicates",
    "background_correct": "gridnorm.arrays.steps",
    "correct_intensities": "gridnorm.arrays.steps",
    "normalize_within": "gridnorm.arrays.steps",
    "normalize_groups": "gridnorm.core.groups",
    "Segments": "gridnorm.core.segments",
    "inspect": "gridnorm.workflow.inspect",
    "normalize": "gridnorm.workflow.run",
    "read": "gridnorm.workflow.run",
    "read_target": "gridnorm.workflow.between",
    "write_target": "gridnorm.workflow.between",
    "write": "gridnorm.workflow.run",
    "DeviceError": "gridnorm.errors",
    "FitError": "gridnorm.errors",
    "FormatError": "gridnorm.errors",
    "GridnormError": "gridnorm.errors",
    "GridnormWarning": "gridnorm.errors",
    "LayoutError": "gridnorm.errors",
    "OptionError": "gridnorm.errors",
    "OutputError": "gridnorm.errors",
}

__all__ = [
    "ArraySet",
    "BetweenTarget",
    "DeviceError",
    "FitError",
    "FormatError",
    "GridnormError",
    "GridnormWarning",
    "LayoutError",
    "OptionError",
    "OutputError",
    "Segments",
    "array_weights",
    "average_replicates",
    "background_correct",
    "correct_intensities",
    "inspect",
    "merge_scans",
    "nn",
    "normalize",
    "normalize_between",
    "normalize_groups",
    "normalize_within",
    "read",
    "read_target",
    "simulate",
    "split",
    "spot_types",
    "write",
    "write_target",
]


def __getattr__(name: str) -> Any:
    if name == "nn":
        return import_module("gridnorm.nn")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'gridnorm' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
