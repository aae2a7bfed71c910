"""Who computes on which kind of array. The only place in gridnorm that names array libraries.

An engine offers the verbs it has (``verbs.py`` is the list of all). The backend of a kind of array is a chain of
engines, and each verb is served by the first that has it. NumPy's engine is the reference and has every verb; CuPy
arrays stay on their device; ``on_device()`` lets the device compute for NumPy arrays too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Any

from gridnorm.core.engines.chain import Chain
from gridnorm.core.engines.verbs import VERBS, Backend, Engine, offered
from gridnorm.errors import OptionError

__all__ = ["CHAINS", "VERBS", "Backend", "Chain", "Engine", "backend_for", "in_front", "offered", "on_device"]

# Library of the arrays → its engines, the first preferred: modules of this folder, imported when they are asked.
CHAINS: dict[str, tuple[str, ...]] = {"numpy": ("numpy",), "cupy": ("cuda",)}

_chains: ContextVar[Mapping[str, Any]] = ContextVar(
    "gridnorm_chains", default=MappingProxyType({library: Chain(*engines) for library, engines in CHAINS.items()})
)


@contextmanager
def in_front(engine: str | Engine, library: str = "numpy") -> Iterator[Chain]:
    """Within the block an engine serves the verbs it has, before those that serve arrays of ``library`` otherwise.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> with in_front(SimpleNamespace(name="zero", sums=lambda values, segments: 0)):
    ...     backend_for(np.zeros(1)).sums(np.ones((1, 1, 1)), None)
    0
    """
    chains = _chains.get()
    chain = Chain(engine, *chains[library].engines)
    token = _chains.set({**chains, library: chain})
    try:
        yield chain
    finally:
        _chains.reset(token)


@contextmanager
def on_device(wanted: bool = True) -> Iterator[None]:
    """Within the block, NumPy arrays are copied to the device for every verb and the results back (if ``wanted``)."""
    if not wanted:
        yield
        return
    with in_front("hosted"):
        yield


def backend_for(*values: Any) -> Backend:
    """Backend of the first value that is an array of a registered library; NumPy's for lists, numbers and None.

    Raises
    ------
    OptionError
        If a value is an array of a library that has no backend here.
    """
    backend: Backend = _chains.get()[_library_of(frozenset(map(type, values)))]
    return backend


@cache
def _library_of(kinds: frozenset[type]) -> str:
    """The library of values of these types; remembered, as every verb asks."""
    names = {_library(kind) for kind in kinds} - {""}
    chosen = names & CHAINS.keys()
    if len(chosen) > 1:
        raise OptionError(
            "arrays of different libraries cannot be mixed",
            found=" and ".join(sorted(chosen)),
            expected="one kind of array",
        )
    unknown = names - CHAINS.keys()
    if unknown:
        raise OptionError(
            "no backend for this kind of array",
            found=", ".join(sorted(unknown)),
            expected=" or ".join(sorted(CHAINS)),
            hint="Convert it to a NumPy array first",
        )
    return chosen.pop() if chosen else "numpy"


def _library(kind: type) -> str:
    """Name of the library that a type of array comes from; empty for what is no array."""
    if hasattr(kind, "__array_priority__") or hasattr(kind, "dtype"):
        return kind.__module__.partition(".")[0]
    return ""
