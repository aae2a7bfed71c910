"""Which backend computes on which kind of array. The only place in gridnorm that names array libraries.

A backend is a module with one function a verb (``moments``, ``median``, ``mad``, ``quantiles``, ``lowess_fit``,
``interpolate``, ``gather``, ``scatter_rows``) and ``xp``, its array namespace. NumPy's is the reference.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from gridnorm.errors import OptionError

_BACKENDS: dict[str, str] = {"numpy": "gridnorm.core._numpy"}


def register(library: str, module: str) -> None:
    """Let arrays whose type lives in ``library`` be computed by the backend ``module`` (imported on first use)."""
    _BACKENDS[library] = module


def backend_for(*values: Any) -> ModuleType:
    """Backend of the first value that is an array of a registered library; NumPy's for lists, numbers and None.

    Raises
    ------
    OptionError
        If a value is an array of a library that has no backend here.
    """
    names = {
        type(value).__module__.partition(".")[0]
        for value in values
        if hasattr(value, "__array_priority__") or hasattr(value, "dtype")
    }
    chosen = names & _BACKENDS.keys()
    if len(chosen) > 1:
        raise OptionError(
            "arrays of different libraries cannot be mixed",
            found=" and ".join(sorted(chosen)),
            expected="one kind of array",
        )
    unknown = names - _BACKENDS.keys()
    if unknown:
        raise OptionError(
            "no backend for this kind of array",
            found=", ".join(sorted(unknown)),
            expected=" or ".join(sorted(_BACKENDS)),
            hint="Convert it to a NumPy array first",
        )
    return import_module(_BACKENDS[chosen.pop() if chosen else "numpy"])
