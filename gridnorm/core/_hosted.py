"""The kernels for NumPy arrays: each verb moves its arrays to the engine, computes there, and brings the result back.

The copies are what ``--device gpu`` asks for. Arrays that lie on a device already are computed there without any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from gridnorm.core import kernels
from gridnorm.core._cuda import explain
from gridnorm.core._numpy import gather, observed, select_curves
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, GridnormError

xp = np

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
    "xp",
]


def _on_engine(verb: str) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        device = import_module("gridnorm.core._cupy")
        engine = kernels.engine()
        try:
            moved = [_each_array(value, np.ndarray, engine.xp.asarray) for value in args]
            result = getattr(device, verb)(*moved, **options)
            return _each_array(result, engine.xp.ndarray, lambda a: a.get() if hasattr(a, "get") else a)
        except GridnormError:
            raise
        except Exception as error:
            what, hint = explain(error)
            raise DeviceError(f"{verb} failed on the device", found=what, hint=hint) from error

    run.__name__ = run.__qualname__ = verb
    run.__doc__ = f"``gridnorm.core._cupy.{verb}`` of NumPy arrays."
    return run


def _each_array(value: Any, kind: type, move: Callable[[Any], Any]) -> Any:
    """``value`` with every array in it moved; ``Segments`` stay, the device backend has its own copy of them."""
    if isinstance(value, kind):
        return move(value)
    if isinstance(value, tuple):
        return tuple(_each_array(part, kind, move) for part in value)
    if is_dataclass(value) and not isinstance(value, type | Segments):
        return replace(value, **{f.name: _each_array(getattr(value, f.name), kind, move) for f in fields(value)})
    return value


moments = _on_engine("moments")
median = _on_engine("median")
mad = _on_engine("mad")
remove = _on_engine("remove")
quantiles = _on_engine("quantiles")
lowess_fit = _on_engine("lowess_fit")
interpolate = _on_engine("interpolate")
