"""What the launchers of ``standardize`` share: checked arguments, and a call's numbers as the kernels take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gridnorm.core.engines.activation import ACTIVATIONS
from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import strided
from gridnorm.core.engines.cuda.plan import check_view, dtype_of, in_elements, strides
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

NUMBERS: dict[str | None, int] = {name: k for k, name in enumerate((None, *ACTIVATIONS))}  # as in standardize.cuh

_THREE, _TWO = ("batch", "item", "place"), ("batch", "item")
_FIELDS = (
    *("batch", "items", "width", "segments"),
    *(f"{name}_{axis}" for name in ("values", "second", "total", "out", "weights") for axis in _THREE),
    *(f"{name}_{axis}" for name in ("gain", "offset") for axis in _TWO),
    *("items_inside", "center", "activation", "weighted"),
)
# `struct Call` of standardize.cuh.
CALL = np.dtype([*((name, np.int64) for name in _FIELDS), ("eps", np.float64)])


@dataclass(frozen=True, eq=False)
class Call:
    """Arrays of one call, each a view or None, and its options."""

    kind: str  # dtype of the values
    segments: Segments
    values: Any
    second: Any = None  # the residual, or the gradient of the result
    total: Any = None
    out: Any = None
    weights: Any = None
    gain: Any = None
    offset: Any = None
    center: bool = True
    activation: str | None = None
    eps: float = 0.0

    @property
    def items_inside(self) -> bool:
        """Elements are counted along whichever lies closer in memory, so that neighbouring threads read neighbours."""
        _, item, place = self.values.strides
        return bool(self.values.shape[2] == 1 or abs(item) < abs(place))

    def numbers(self) -> Any:
        """The struct that kernels take by value."""
        batch, items, width = self.values.shape
        row = [batch, items, width, self.segments.n_segments]
        for array in (self.values, self.second, self.total, self.out, self.weights):
            row += [0, 0, 0] if array is None else strides(array)
        for array in (self.gain, self.offset):
            row += [0, 0] if array is None else strides(array)
        row += [self.items_inside, self.center, NUMBERS[self.activation], self.weights is not None]
        return np.array((*row, self.eps), CALL)[()]

    def part(self, start: int, stop: int) -> Call:
        """The same for some entries of the batch."""
        if (start, stop) == (0, self.values.shape[0]):
            return self
        arrays = {
            name: getattr(self, name) for name in ("values", "second", "total", "out", "weights", "gain", "offset")
        }
        cut = {name: None if a is None else a[start:stop] for name, a in arrays.items()}
        return Call(self.kind, self.segments, **cut, center=self.center, activation=self.activation, eps=self.eps)


def prepare(
    values: Any,
    segments: Segments,
    *,
    second: Any = None,
    second_name: str = "residual",
    total: Any = None,
    out: Any = None,
    weights: Any = None,
    gain: Any = None,
    offset: Any = None,
    center: bool = True,
    activation: str | None = None,
    eps: float = 0.0,
    dtype: str | None = None,
) -> Call:
    """Check everything that a kernel would believe without looking; makes ``out`` where there is none."""
    xp = current_device().xp
    check_view(values, segments, {}, xp)
    kind = dtype_of(values, dtype)
    if activation not in NUMBERS:
        names = ", ".join(str(name) for name in NUMBERS)
        raise OptionError("no such activation", found=repr(activation), expected=names)
    if not eps >= 0:
        raise OptionError("eps must not be negative", found=str(eps), expected="0 or more")
    if total is not None and second is None:
        raise OptionError("total is the sum with a residual", found="no residual", expected="a residual")
    for name, array in ((second_name, second), ("total", total), ("out", out)):
        if array is not None and (array.shape != values.shape or array.dtype != values.dtype):
            raise OptionError(f"{name} does not fit the values", found=_told(array), expected=_told(values))
    for name, array, shape in (
        ("weights", weights, values.shape),
        ("gain", gain, values.shape[:2]),
        ("offset", offset, values.shape[:2]),
    ):
        if array is not None and array.shape not in (shape, (1, *shape[1:])):
            raise OptionError(f"{name} does not fit the values", found=str(array.shape), expected=str(shape))
    for name, array in (("total", total), ("out", out)):
        if array is not None and in_elements(array, xp) is not array:
            raise OptionError(f"{name}: strides are no whole elements", found=str(array.strides), expected="multiples")
    real = real_of(kind, xp)
    weights, gain, offset = (
        None if a is None else xp.broadcast_to(_real(in_elements(a, xp), real, xp), shape)
        for a, shape in ((weights, values.shape), (gain, values.shape[:2]), (offset, values.shape[:2]))
    )
    if out is None:
        out = xp.empty_like(values)  # K order: the axes lie in memory as those of the values
    return Call(
        kind,
        segments,
        in_elements(values, xp),
        None if second is None else in_elements(second, xp),
        *(total, out, weights, gain, offset, bool(center), activation, float(eps)),
    )


def real_of(kind: str, xp: Any) -> Any:
    """Type of what is computed for values of that one."""
    return xp.float64 if kind == "float64" else xp.float32


def view(array: Any) -> Any:
    """An argument whose strides the kernel is told, or none."""
    return None if array is None else strided(array)


def per_segment(name: str, array: Any, segments: Segments, batch: int, real: Any) -> Any:
    """Numbers (batch, segment), contiguous and of one type."""
    if array.shape != (batch, segments.n_segments):
        raise OptionError(f"{name} does not fit", found=str(array.shape), expected=f"({batch}, {segments.n_segments})")
    return current_device().xp.ascontiguousarray(array, real)


def _real(array: Any, real: Any, xp: Any) -> Any:
    """The array in that type; a broadcast view stays one."""
    if array.dtype == real:
        return array
    axes = tuple(slice(None) if step else slice(0, 1) for step in array.strides)
    return xp.broadcast_to(array[axes].astype(real), array.shape)


def _told(array: Any) -> str:
    return f"{array.dtype} {array.shape}"
