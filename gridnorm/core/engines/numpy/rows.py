"""Segments as rows: segments of one size lie below one another as the rows of a matrix, in blocks that fit a cache.

Every sum over a segment is a sum along such a row, so its bits follow from the row alone: not from the batch, nor from
where the items lie, nor from the other segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.segments import IntArray, Segments

Array = NDArray[Any]

BLOCK = 1 << 19  # elements of a block: two megabytes of float32
_LONG, _DEFAULT = 512, 8192  # elements of NumPy's buffer: for long rows, and as NumPy sets it
PIECE = 2048  # elements that are added up in the precision of the values; sums of pieces are float64


def quiet() -> np.errstate:
    """For the body of a verb: overflow, NaN and division by 0 mean something and are dealt with; ``loops_of`` ends.

    NumPy keeps the size of its buffer with its handling of errors, so that leaving restores both.
    """
    return np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


def loops_of(length: int) -> None:
    """Tell NumPy how long the inner loops of what follows are, within ``quiet``.

    An operand that is the same along a row is copied into NumPy's buffer wherever a row is shorter than that, which
    takes as long as the operation itself; short rows gain from it, long ones do not.
    """
    np.setbufsize(_LONG if length >= _LONG else _DEFAULT)


class Place(NamedTuple):
    """Where a block lies in a view (batch, item, width): ``n`` segments of ``size`` items in each batch entry."""

    batch: slice
    segments: IntArray
    items: slice | IntArray
    n: int
    size: int


def places(shape: tuple[int, ...], segments: Segments) -> Iterator[Place]:
    """Blocks that together hold every segment with an item, of all batch entries of a view of that shape."""
    batch, _, width = shape
    for size, numbers, items in segments.by_size:
        each = size * width
        if not each or not batch:
            continue
        at_once = max(1, min(numbers.size, BLOCK // each))
        entries = max(1, BLOCK // (each * numbers.size)) if at_once == numbers.size else 1
        for b in range(0, batch, entries):
            for first in range(0, numbers.size, at_once):
                part = numbers[first : first + at_once]
                begin, end = first * size, (first + part.size) * size
                where = slice(items.start + begin, items.start + end) if isinstance(items, slice) else items[begin:end]
                yield Place(slice(b, min(batch, b + entries)), part, where, part.size, size)


def take(view: Array, place: Place) -> Array:
    """The block as rows, (batch entry × segment, item × width): a view where the memory allows it."""
    part = view[place.batch]
    if isinstance(place.items, slice):
        part = part[:, place.items]
    elif part.flags.c_contiguous:
        part = part.take(place.items, axis=1)
    else:
        part = part[:, place.items]
    return part.reshape(part.shape[0] * place.n, place.size * part.shape[2])


def put(view: Array, place: Place, rows: Array) -> None:
    """Write rows to where ``take`` found them."""
    part = view[place.batch]
    part[:, place.items] = rows.reshape(part.shape[0], place.n * place.size, part.shape[2])


def window(view: Array, place: Place) -> Array | None:
    """The block of ``view`` itself as rows to be written to; None where it does not lie in one piece."""
    if not isinstance(place.items, slice):
        return None
    part = view[place.batch, place.items]
    if not part.flags.c_contiguous:
        return None
    return part.reshape(part.shape[0] * place.n, place.size * part.shape[2])


def of_segments(table: Array, place: Place) -> Array:
    """Entries (batch, segment) of a table for the rows of a block, (row,)."""
    if place.n == table.shape[1]:
        return table[place.batch].reshape(-1)
    return table[place.batch, place.segments].reshape(-1)


def to_segments(table: Array, place: Place, rows: Array) -> None:
    """Write one number a row into a table (batch, segment)."""
    if place.n == table.shape[1]:
        table[place.batch] = rows.reshape(-1, place.n)
    else:
        table[place.batch, place.segments] = rows.reshape(-1, place.n)


def dots(a: Array, b: Array | None = None) -> Array:
    """Sum of ``a`` (times ``b``) along the last, contiguous axis; float64 unless the axis is short."""
    length = a.shape[-1]
    if length <= PIECE:
        return np.asarray(np.vecdot(a, _ones(a.dtype)[:length] if b is None else b))
    whole = length // PIECE
    other = _ones(a.dtype) if b is None else _pieces(b, whole)
    # Converted before, not while, it is added: NumPy's buffer would cut a row wherever it happens to lie.
    total = np.vecdot(_pieces(a, whole), other).astype(np.float64).sum(axis=-1)
    rest = length - whole * PIECE
    if rest:
        total += np.vecdot(a[..., -rest:], _ones(a.dtype)[:rest] if b is None else b[..., -rest:])
    return np.asarray(total)


def _pieces(a: Array, whole: int) -> Array:
    return a[..., : whole * PIECE].reshape(*a.shape[:-1], whole, PIECE)  # never a copy


@cache
def _ones(dtype: np.dtype[Any]) -> Array:
    return np.ones(PIECE, dtype)
