"""From an activation of any layout to the view (batch, item, width) that the core computes on, and back."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gridnorm.errors import OptionError

_NAMES = ("channel_axis", "batch_axes")


class Axes(NamedTuple):
    """Where the axes of an activation go. ``order`` puts the batch axes first, then those of the items, then the rest.

    Items are what groups are made of: channels, samples or rows.
    """

    order: tuple[int, ...]
    batch_shape: tuple[int, ...]
    item_shape: tuple[int, ...]
    batch: int
    items: int
    width: int
    moved: bool  # whether that is another order than the array's

    @classmethod
    def of(cls, shape: tuple[int, ...], batch: tuple[int, ...], items: tuple[int, ...]) -> Axes:
        """Of axes that exist and are named once."""
        rest = tuple(axis for axis in range(len(shape)) if axis not in batch and axis not in items)
        batch_shape, item_shape, other = (tuple(shape[axis] for axis in part) for part in (batch, items, rest))
        order = (*batch, *items, *rest)
        moved = order != tuple(range(len(shape)))
        return cls(order, batch_shape, item_shape, prod(batch_shape), prod(item_shape), prod(other), moved)


@lru_cache(maxsize=512)
def axes_of(
    shape: tuple[int, ...], item_axis: int, batch_axes: tuple[int, ...], names: tuple[str, str] = _NAMES
) -> Axes:
    """Sort out the axes of an array of that shape; ``names`` are what a caller calls both.

    Raises
    ------
    OptionError
        For an axis that the array does not have, that is named twice, or is batch and item at once.
    """
    ndim = len(shape)
    for name, axis in ((names[0], item_axis), *((names[1], axis) for axis in batch_axes)):
        if not -ndim <= axis < ndim:
            raise OptionError(
                f"{name} names an axis that x does not have", found=str(axis), expected=f"one of the {ndim} of {shape}"
            )
    item, batch = item_axis % ndim, tuple(axis % ndim for axis in batch_axes)
    if len({item, *batch}) != 1 + len(batch):
        found = f"{names[0]} {item_axis}, {names[1]} {batch_axes}"
        raise OptionError("an axis is named twice", found=found, expected="each once")
    return Axes.of(shape, batch, (item,))


@lru_cache(maxsize=512)
def last_axes(shape: tuple[int, ...], count: int) -> Axes:
    """The last axes as items, all others as batch."""
    first = len(shape) - count
    return Axes.of(shape, tuple(range(first)), tuple(range(first, len(shape))))


def as_view(array: Any, axes: Axes) -> Any:
    """(batch, item, width) of an array of that shape; a copy only where three strides cannot describe it."""
    ordered = array.transpose(axes.order) if axes.moved else array
    return ordered.reshape(axes.batch, axes.items, axes.width)


def shows(array: Any, axes: Axes) -> bool:
    """Whether ``as_view`` of that array is a view, so that what is written there reaches the array."""
    if not axes.moved and array.flags.c_contiguous:
        return True
    first = len(axes.batch_shape)
    rest = first + len(axes.item_shape)
    parts = (axes.order[:first], axes.order[first:rest], axes.order[rest:])
    return not any(len(part) > 1 and not _merges(array, part) for part in parts)


def disturbs(out: Any, *others: Any) -> bool:
    """Whether writing to ``out`` may change elements of another array that are still to be read.

    An array that lies where ``out`` lies, element for element, is not disturbed.
    """
    return any(
        other is not None and other is not out and overlap(out, other) and _place(out) != _place(other)
        for other in others
    )


def overlap(a: Any, b: Any) -> bool:
    """Whether two arrays may share memory, judged by the first and last byte of each."""
    (first, end), (begin, last) = _bounds(a), _bounds(b)
    return first < last and begin < end


def _place(array: Any) -> tuple[Any, ...]:
    return _address(array), array.shape, array.strides


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else array.data.ptr)


def _bounds(array: Any) -> tuple[int, int]:
    start = _address(array)
    if not array.size:
        return start, start
    ends = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    return start + sum(min(e, 0) for e in ends), start + sum(max(e, 0) for e in ends) + array.dtype.itemsize


def _merges(array: Any, axes: tuple[int, ...]) -> bool:
    """Whether one stride describes those axes together."""
    kept = [(array.shape[axis], array.strides[axis]) for axis in axes if array.shape[axis] != 1]
    return all(step == n * inner for (_, step), (n, inner) in pairwise(kept))


def assign(array: Any, axes: Axes, view: Any) -> None:
    """Write (batch, item, width) numbers to an array of the activation's shape."""
    ordered = array.transpose(axes.order) if axes.moved else array
    ordered[...] = view.reshape(ordered.shape)
