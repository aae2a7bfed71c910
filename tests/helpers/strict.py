"""Arrays that refuse what CuPy's refuse, wrapped around NumPy's; and a device that computes with them on the CPU.

Code that runs with this device mixes no NumPy array with a device array, asks for no implicit copy to the host, and
calls only functions, with only the keywords, that CuPy has. What CuPy 14.2 does was read from its signatures; where it
would copy to the device in silence (an index that is a NumPy array or a list), this refuses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cudashim
import numpy as np

from gridnorm.core.engines.cuda import loading

# Functions of CuPy 14.2 that the core uses, and keywords that they take beside their first two arguments.
FUNCTIONS = {
    "abs": "out dtype",
    "arange": "dtype",
    "arcsinh": "out dtype",
    "ascontiguousarray": "dtype",
    "asarray": "dtype order",
    "atleast_2d": "",
    "bincount": "weights minlength",
    "broadcast_to": "",
    "clip": "out",
    "concatenate": "axis dtype",
    "copyto": "where",
    "cumsum": "axis dtype out",
    "diff": "n axis",
    "empty": "dtype order",
    "empty_like": "dtype order shape",
    "exp": "out dtype",
    "flatnonzero": "",
    "full": "dtype order",
    "hypot": "out dtype",
    "isfinite": "out dtype",
    "log": "out dtype",
    "maximum": "out dtype",
    "minimum": "out dtype",
    "nanmin": "axis out keepdims",
    "ones": "dtype order",
    "searchsorted": "side sorter",
    "sort": "axis",
    "repeat": "axis",
    "stack": "axis dtype out",
    "sqrt": "out dtype",
    "square": "out dtype",
    "unique": "return_index return_inverse return_counts axis",
    "where": "",
    "zeros": "dtype order",
    "zeros_like": "dtype order shape",
}
_FROM_HOST = ("asarray", "ascontiguousarray")  # told to copy, so they may
_SAME = ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")
_METHODS = (
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "copy",
    "max",
    "mean",
    "min",
    "nonzero",
    "ravel",
    "reshape",
    "sum",
    "transpose",
)
_BINARY = ("add", "and_", "eq", "ge", "gt", "le", "lt", "mod", "mul", "ne", "or_", "pow", "sub", "truediv", "xor")


class ndarray:  # noqa: N801 - CuPy's name
    """One array; ``held`` is NumPy's and no business of the code under test."""

    __array_priority__ = 100
    __array_ufunc__ = None  # so that NumPy leaves operators to this class
    __hash__ = None

    def __init__(self, held: Any) -> None:
        self.held = np.asarray(held)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} of a device array")

    def __getattr__(self, name: str) -> Any:
        if name in _SAME:
            return getattr(self.held, name)
        if name in _METHODS:
            return _wrapped(getattr(self.held, name))
        raise AttributeError(f"{name} is not listed: look whether CuPy has it")

    T = property(lambda self: ndarray(self.held.T))
    data = property(lambda self: SimpleNamespace(ptr=self.held.__array_interface__["data"][0]))

    def get(self) -> Any:
        return self.held.copy()

    def tolist(self) -> Any:
        return self.held.tolist()

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(self.held[_index(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.held[_index(key)] = _held(value)

    def __len__(self) -> int:
        return len(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __invert__(self) -> ndarray:
        return ndarray(~self.held)

    def __neg__(self) -> ndarray:
        return ndarray(-self.held)


ndarray.__module__ = "cupy"  # which is how the core tells whose array it is


def _operators() -> None:
    for name in _BINARY:
        plain, word = getattr(operator, name), name.rstrip("_")

        def forward(self: ndarray, other: Any, plain: Any = plain) -> ndarray:
            return ndarray(plain(self.held, _held(other)))

        def backward(self: ndarray, other: Any, plain: Any = plain) -> ndarray:
            return ndarray(plain(_held(other), self.held))

        setattr(ndarray, f"__{word}__", forward)
        if name not in ("eq", "ge", "gt", "le", "lt", "ne"):
            setattr(ndarray, f"__r{word}__", backward)


_operators()


def _held(value: Any) -> Any:
    """NumPy's array of a device array; numbers as they are; a NumPy array is refused."""
    if isinstance(value, ndarray):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, list | tuple):
        return type(value)(_held(part) for part in value)
    return value


def _index(key: Any) -> Any:
    for part in key if isinstance(key, tuple) else (key,):
        whole = isinstance(part, int | np.integer) and not isinstance(part, bool)
        if not (whole or part is None or part is Ellipsis or isinstance(part, slice | ndarray)):
            raise TypeError(f"an index that is a {type(part).__name__}: it would be copied to the device")
    return tuple(_held(part) for part in key) if isinstance(key, tuple) else _held(key)


def _given_back(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_given_back(part) for part in result)
    return ndarray(result) if isinstance(result, np.ndarray | np.generic) else result


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **named: _given_back(function(*_held(args), **{k: _held(v) for k, v in named.items()}))


def _function(name: str, allowed: str) -> Callable[..., Any]:
    plain = getattr(np, name)

    def call(*args: Any, **named: Any) -> Any:
        unknown = named.keys() - set(allowed.split())
        if unknown:
            raise TypeError(f"{name}: keywords {sorted(unknown)} are not listed: look whether CuPy takes them")
        if name in _FROM_HOST and isinstance(args[0], np.ndarray):
            args = (ndarray(args[0].copy()), *args[1:])
        elif name == "repeat" and not isinstance(args[1], int):
            raise TypeError("repeat: one number for all, or CuPy waits for the device")
        return _wrapped(plain)(*args, **named)

    return call


_TYPES = ("float64", "float32", "float16", "int64", "int32", "int8", "uint64", "uint32", "uint16", "uint8", "bool_")


class Namespace(SimpleNamespace):
    """``xp``: what is not listed is not there."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"xp.{name} is not listed: look whether CuPy has it")


xp = Namespace(
    __name__="strict",
    ndarray=ndarray,
    nan=np.nan,
    inf=np.inf,
    **{name: getattr(np, name) for name in _TYPES},
    **{name: _function(name, allowed) for name, allowed in FUNCTIONS.items()},
)


class StrictDevice(cudashim.CpuDevice):
    """The kernels on the CPU, for arrays of this file."""

    name = "strict"
    xp = xp

    def special(self) -> Any:
        return SimpleNamespace(ndtr=_wrapped(super().special().ndtr))

    def function(self, inst: loading.Instance, name: str) -> Callable[..., None]:
        inner = super().function(inst, name)

        def run(grid: Any, block: Any, args: tuple[Any, ...], shared_mem: int = 0) -> None:
            inner(grid, block, tuple(_held(arg) for arg in args), shared_mem=shared_mem)

        return run
