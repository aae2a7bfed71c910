"""Which backend computes on which kind of array. The only place in gridnorm that names array libraries.

A backend is a module with one function a verb (``moments``, ``median``, ``mad``, ``quantiles``, ``lowess_fit``,
``interpolate``, ``gather``, …) and ``xp``, its array namespace. NumPy's is the reference; CuPy arrays stay on their
device; ``on_device()`` lets the device compute for NumPy arrays too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from gridnorm.errors import OptionError

_BACKENDS: dict[str, str] = {"numpy": "gridnorm.core._numpy", "cupy": "gridnorm.core._cupy"}
_for_numpy: ContextVar[str] = ContextVar("gridnorm_for_numpy", default=_BACKENDS["numpy"])


@contextmanager
def on_device(wanted: bool = True) -> Iterator[None]:
    """Within the block, NumPy arrays are copied to the device for every verb and the results back (if ``wanted``)."""
    token = _for_numpy.set("gridnorm.core._hosted" if wanted else _for_numpy.get())
    try:
        yield
    finally:
        _for_numpy.reset(token)


def backend_for(*values: Any) -> ModuleType:
    """Backend of the first value that is an array of a registered library; NumPy's for lists, numbers and None.

    Raises
    ------
    OptionError
        If a value is an array of a library that has no backend here.
    """
    library = _library_of(frozenset(map(type, values)))
    return _loaded(_for_numpy.get() if library == "numpy" else _BACKENDS[library])


@cache
def _library_of(kinds: frozenset[type]) -> str:
    """The library of values of these types; remembered, as every verb asks."""
    names = {_library(kind) for kind in kinds} - {""}
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
    return chosen.pop() if chosen else "numpy"


def _library(kind: type) -> str:
    """Name of the library that a type of array comes from; empty for what is no array."""
    if hasattr(kind, "__array_priority__") or hasattr(kind, "dtype"):
        return kind.__module__.partition(".")[0]
    return ""


_loaded = cache(import_module)
