"""Who computes in tests of the core and of ``nn``: one test body, every kind of array.

The fixture ``backend`` of ``tests/conftest.py`` gives one of these after the other:

``numpy``        NumPy's arrays and engine; what a test gives must not be written to.
``read-only``    the same arrays, which cannot be written to.
``refusing``     arrays that refuse what CuPy's refuse (``strict.py``); the kernels compute, executed on the CPU.
``cpu-kernels``  NumPy's arrays; the kernels compute, through the device for NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from gridnorm.core.engines import in_front, on_device
from gridnorm.core.engines.cuda.device import use_device
from gridnorm.core.segments import Segments

WRITTEN = ("out", "total", "running_mean", "running_var")  # arguments that are written to
LABELS = ("groups", "segments", "ptr", "labels")  # arguments that stay on the host
# Of results of about 1, where the sums run in another order than NumPy's: a few units in the last place.
_DEVICE = {np.dtype(np.float16): 2e-3, np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-12}


class Backend:
    """Runs functions of the package on its kind of array, and brings the results home as NumPy's."""

    def __init__(self, name: str, kind: type, wrap: Callable[[np.ndarray], Any], exact: bool) -> None:
        self.name, self.kind, self._wrap = name, kind, wrap
        self.exact = exact  # NumPy's engine computes
        self.written = name == "numpy"  # whether what is given could be written to

    def asarray(self, x: Any) -> Any:
        """An array of this kind with the values of ``x``, and its strides."""
        return self._wrap(np.asarray(x))

    def to_numpy(self, y: Any) -> np.ndarray:
        """The values of an array of this kind."""
        assert isinstance(y, self.kind), f"{type(y)} is no array of {self.name}"
        return getattr(y, "held", y)

    def tolerance(self, dtype: Any, exact: float = 0.0) -> float:
        """Of results of about 1: that of the device, or ``exact`` where NumPy's engine computes."""
        return exact if self.exact else max(exact, _DEVICE[np.dtype(dtype)])

    def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """``function`` on arrays of this kind; results come home, and nothing that was given has changed."""
        before: list[tuple[np.ndarray, np.ndarray]] = []
        written: list[tuple[Any, np.ndarray]] = []

        def give(array: np.ndarray) -> Any:
            if self.written and not any(np.shares_memory(array, place) for _, place in written):
                before.append((array, array.copy()))
            return self.asarray(array)

        for name in WRITTEN:
            if isinstance(options.get(name), np.ndarray):
                place = options[name]
                written.append((self._room(place), place))
                options[name] = written[-1][0]
        keep = {name: value for name, value in options.items() if name in (*LABELS, *WRITTEN)}
        # What is given and written to is one array there too.
        ours = {id(place): there for there, place in written}
        moved_args, moved = _each((args, options), np.ndarray, lambda a: ours[id(a)] if id(a) in ours else give(a))
        result = function(*moved_args, **{**moved, **keep})
        for there, place in written:
            if there is not place:
                place[...] = self.to_numpy(there)
        home = {id(there): place for there, place in written}
        found = _each(result, self.kind, lambda a: home[id(a)] if id(a) in home else self.to_numpy(a))
        _each(result, np.ndarray, self._refuse_foreign)
        for array, kept in before:
            assert array.tobytes() == kept.tobytes(), "what was given has been written to"
        return found

    def on_numpy(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """``function`` as NumPy's engine computes it, whoever computes in this test; for expected results."""
        with in_front("numpy"):
            return function(*args, **options)

    def _room(self, place: np.ndarray) -> Any:
        return place if self.kind is np.ndarray else self.kind(place)

    def _refuse_foreign(self, array: np.ndarray) -> np.ndarray:
        assert self.kind is np.ndarray, f"an array of NumPy among the results of {self.name}"
        return array

    def __repr__(self) -> str:
        return self.name


def _each(value: Any, kind: type, act: Callable[[Any], Any]) -> Any:
    """``value`` with every array in it replaced; segments stay."""
    if isinstance(value, kind):
        return act(value)
    if isinstance(value, dict):
        return {key: _each(part, kind, act) for key, part in value.items()}
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(_each(part, kind, act) for part in value)
    if is_dataclass(value) and not isinstance(value, type | Segments):
        return replace(value, **{f.name: _each(getattr(value, f.name), kind, act) for f in fields(value) if f.init})
    return value


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


NAMES = ("numpy", "read-only", "refusing", "cpu-kernels")
ON_KERNELS = NAMES[2:]
EVERY = [pytest.param(name, marks=(pytest.mark.shim, pytest.mark.slow) if name in ON_KERNELS else ()) for name in NAMES]
# Statistics that ask for a verb which only NumPy's engine has: no other kind of array can have them.
ON_HOST = ("loess", "surface", "composite", "joint")
# For tests that compare with NumPy's results, which with NumPy itself could not fail.
others = pytest.mark.parametrize("backend", EVERY[1:], indirect=True)


@contextmanager
def backend_named(name: str) -> Iterator[Backend]:
    """The backend; within the block it computes."""
    with ExitStack() as stack:
        if name == "refusing":
            import strict

            stack.enter_context(use_device(strict.StrictDevice()))
            yield Backend(name, strict.ndarray, lambda a: strict.ndarray(_read_only(a)), exact=False)
            return
        if name == "cpu-kernels":
            import cudashim

            stack.enter_context(use_device(cudashim.CpuDevice()))
            stack.enter_context(on_device())
        yield Backend(
            name, np.ndarray, (lambda a: a) if name == "numpy" else _read_only, exact=name in ("numpy", "read-only")
        )
