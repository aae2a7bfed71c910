"""From an activation of any layout to the view (batch, channel, width) that the core computes on, and back."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gridnorm.errors import OptionError


class Axes(NamedTuple):
    """Where the axes of an activation go. ``order`` puts the batch axes first, then the channels, then the rest."""

    order: tuple[int, ...]
    batch_shape: tuple[int, ...]
    batch: int
    channels: int
    width: int

    @property
    def moved(self) -> bool:
        return self.order != tuple(range(len(self.order)))


@lru_cache(maxsize=512)
def axes_of(shape: tuple[int, ...], channel_axis: int, batch_axes: tuple[int, ...]) -> Axes:
    """Sort out the axes of an array of that shape.

    Raises
    ------
    OptionError
        For an axis that the array does not have, that is named twice, or is batch and channel at once.
    """
    ndim = len(shape)
    for name, axis in (("channel_axis", channel_axis), *(("batch_axes", axis) for axis in batch_axes)):
        if not -ndim <= axis < ndim:
            raise OptionError(
                f"{name} names an axis that x does not have", found=str(axis), expected=f"one of the {ndim} of {shape}"
            )
    channel, batch = channel_axis % ndim, tuple(axis % ndim for axis in batch_axes)
    if len({channel, *batch}) != 1 + len(batch):
        raise OptionError(
            "an axis is named twice",
            found=f"channel_axis {channel_axis}, batch_axes {batch_axes}",
            expected="each once",
        )
    rest = tuple(axis for axis in range(ndim) if axis != channel and axis not in batch)
    batch_shape = tuple(shape[axis] for axis in batch)
    return Axes(
        (*batch, channel, *rest), batch_shape, prod(batch_shape), shape[channel], prod(shape[axis] for axis in rest)
    )


def as_view(array: Any, axes: Axes) -> Any:
    """(batch, channel, width) of an array of that shape; a copy only where three strides cannot describe it."""
    ordered = array.transpose(axes.order) if axes.moved else array
    return ordered.reshape(axes.batch, axes.channels, axes.width)


def shows(array: Any, axes: Axes) -> bool:
    """Whether ``as_view`` of that array is a view, so that what is written there reaches the array."""
    if not axes.moved and array.flags.c_contiguous:
        return True
    shape = [array.shape[axis] for axis in axes.order]
    strides = [array.strides[axis] for axis in axes.order]
    first = len(axes.batch_shape)
    return all(_merges(shape[part], strides[part]) for part in (slice(first), slice(first + 1, None)))


def disturbs(out: Any, *others: Any) -> bool:
    """Whether writing to ``out`` may change elements of another array that are still to be read.

    An array that lies where ``out`` lies, element for element, is not disturbed.
    """
    return any(
        other is not None and other is not out and _bounds_meet(out, other) and _place(out) != _place(other)
        for other in others
    )


def _place(array: Any) -> tuple[Any, ...]:
    return _address(array), array.shape, array.strides


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else array.data.ptr)


def _bounds_meet(a: Any, b: Any) -> bool:
    (first, end), (begin, last) = _bounds(a), _bounds(b)
    return first < last and begin < end


def _bounds(array: Any) -> tuple[int, int]:
    start = _address(array)
    if not array.size:
        return start, start
    ends = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    return start + sum(min(e, 0) for e in ends), start + sum(max(e, 0) for e in ends) + array.dtype.itemsize


def _merges(shape: list[int], strides: list[int]) -> bool:
    kept = [(n, step) for n, step in zip(shape, strides, strict=True) if n != 1]
    return all(step == n * inner for (_, step), (n, inner) in pairwise(kept))


def assign(array: Any, axes: Axes, view: Any) -> None:
    """Write (batch, channel, width) numbers to an array of the activation's shape."""
    ordered = array.transpose(axes.order) if axes.moved else array
    ordered[...] = view.reshape(ordered.shape)
