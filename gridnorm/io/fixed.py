"""Numbers and text as table cells, many at once.

A cell is built as a run of four-byte words, ``(row, word)`` uint32, that starts with its separator and is
padded with NUL bytes; :func:`join` puts the parts of the rows side by side and deletes the NULs. Digits come
from look-up tables, three or four at a time, which is some ten times as fast as formatting number by number.
Every cell is exactly what ``'%.*f'`` would give: where double rounding could change a digit, and where a
value is too large for the tables, the cell is formatted on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_TABLE_LIMIT = 1e9  # larger magnitudes are formatted one by one
_POINT, _MINUS, _ZERO = 46, 45, 48


def join(parts: Sequence[Words], end: bytes = b"\n") -> bytes:
    """Rows of text from parts that lie side by side.

    Parameters
    ----------
    parts
        Arrays of shape (row, word), each a column or several.
    end
        What ends each row, at most four bytes.
    """
    rows = parts[0].shape[0]
    tail = np.zeros((rows, 4), np.uint8)
    tail[:, : len(end)] = np.frombuffer(end, np.uint8)
    return np.concatenate([*parts, tail.view(np.uint32)], axis=1).tobytes().translate(None, b"\0")


def text_words(column: NDArray[np.bytes_], separator: bytes) -> Words:
    """Cells of a bytes column (dtype ``S``), each behind ``separator`` (at most one byte)."""
    rows = column.shape[0]
    width = column.dtype.itemsize
    source = np.ascontiguousarray(column).view(np.uint8).reshape(rows, width)
    # A name column is as wide as its longest cell anywhere; a block of rows is often far narrower.
    while width > 8 and not source[:, width // 2 : width].any():
        width //= 2
    out = np.zeros((rows, -(-(1 + width) // 4) * 4), np.uint8)
    if separator:
        out[:, 0] = separator[0]
    out[:, 1 : 1 + width] = source[:, :width]
    return out.view(np.uint32)


def integer_words(values: NDArray[np.int64], separator: bytes, present: NDArray[np.bool_] | None = None) -> Words:
    """Cells of whole numbers of shape (row,); empty where ``present`` is False."""
    size = np.abs(values)
    if values.size and (int(size.min()) < 0 or int(size.max()) >= 10**15):  # abs(-2**63) stays negative
        text = np.array([b"%d" % value for value in values.tolist()], dtype="S")
        return text_words(text if present is None else np.where(present, text, b""), separator)
    words = _integer_part(size[:, None], (values < 0)[:, None], separator)
    out = np.ascontiguousarray(words[:, 0, :])
    if present is not None and not present.all():
        _blank(out, ~present, separator)
    return out


def decimal_words(values: NDArray[np.float64], decimals: int, separator: bytes, missing: bytes = b"") -> Words:
    """Cells with a fixed number of decimals.

    Parameters
    ----------
    values
        Shape (row, column), float64.
    decimals
        Digits behind the point, 0 to 15.
    separator
        What stands before each cell, at most one byte.
    missing
        The cell of a NaN.
    """
    rows, columns = values.shape
    size = np.abs(values)
    odd = ~(size < _TABLE_LIMIT)
    if odd.any():
        size = np.where(odd, 0.0, size)
    whole = np.floor(size)
    unit = 10**decimals
    # size - whole is exact, so the product is the only rounding before the last digit.
    scaled = (size - whole) * float(unit)
    digits = np.rint(scaled)
    odd |= np.abs(scaled - digits) >= 0.5 - unit * 2.0**-52
    carried = digits >= unit
    if carried.any():
        whole += carried
        digits[carried] = 0.0
    negative = (values < 0) & ((whole > 0) | (digits > 0))
    head = _integer_part(whole.astype(np.int32), negative, separator)
    fraction = _fraction_part(digits, decimals)
    words = np.concatenate([head, *(part[:, :, None] for part in fraction)], axis=2)
    if odd.any():
        words = _replace(words, odd, values, decimals, separator, missing)
    return np.ascontiguousarray(words).reshape(rows, columns * words.shape[2])


def shortest_text(values: NDArray[np.float64], integers_plain: bool = False) -> NDArray[np.bytes_]:
    """Shortest text that reads back as the same number, empty for NaN; dtype ``S``, the shape of ``values``.

    With ``integers_plain``, ``1820.0`` is written ``1820``.
    """
    # Adding zero turns -0.0 into 0.0.
    cells = [repr(value) for value in (values.ravel() + 0.0).tolist()]
    if integers_plain:
        cells = [cell.removesuffix(".0") for cell in cells]
    text = np.array(cells, dtype="S") if cells else np.empty(0, "S1")
    text[np.isnan(values.ravel())] = b""
    return text.reshape(values.shape)


def _integer_part(whole: NDArray[Any], negative: NDArray[np.bool_], separator: bytes) -> Words:
    """Separator, sign and whole digits: (row, column, word)."""
    highest = int(whole.max(initial=0))
    signed = bool(negative.any())
    if highest < 1000 and not signed:
        return _take(_head_table(separator), whole)[:, :, None]
    if highest < 100:
        return _take(_signed_table(separator), whole + 100 * negative)[:, :, None]
    sign = _take(_sign_table(separator), negative.astype(np.int32))
    parts: list[Words] = []
    rest = whole
    while True:
        higher = rest // 10000
        index = rest - higher * 10000 + 10000 * (higher > 0)
        if parts:
            index = np.where(rest > 0, index, 20000)
        parts.append(_take(_digit_table(), index))
        if int(higher.max(initial=0)) == 0:
            break
        rest = higher
    return np.stack([sign, *reversed(parts)], axis=2)


def _fraction_part(digits: NDArray[np.float64], decimals: int) -> list[Words]:
    """Point and decimals, three a word; each part (row, column)."""
    if decimals == 0:
        return []
    count = -(-decimals // 3)
    rest: NDArray[Any] = digits.astype(np.int32 if decimals <= 9 else np.int64)
    rest = rest * rest.dtype.type(10 ** (3 * count - decimals))
    parts: list[Words] = []
    for place in reversed(range(count)):
        higher = rest // 1000 if place else np.zeros_like(rest)
        shown = decimals - 3 * place
        parts.append(_take(_fraction_table(min(shown, 3), place == 0), rest - higher * 1000))
        rest = higher
    return parts[::-1]


def _replace(
    words: Words, odd: NDArray[np.bool_], values: NDArray[np.float64], decimals: int, separator: bytes, missing: bytes
) -> Words:
    """Put the cells that the tables cannot give: NaN, very large values, doubtful last digits."""
    blank = odd & np.isnan(values)
    if blank.any() and not missing:
        _blank(words, blank, separator)
        odd = odd & ~blank
    where = np.nonzero(odd)
    if where[0].size == 0:
        return words
    zero = f"{0.0:.{decimals}f}"
    cells = []
    for value in values[where].tolist():
        text = f"{value:.{decimals}f}"
        cells.append(missing if value != value else (zero if text == "-" + zero else text).encode())
    put = text_words(np.array(cells, dtype="S"), separator)
    short = put.shape[1] - words.shape[2]
    if short > 0:
        words = np.concatenate([words, np.zeros((*words.shape[:2], short), np.uint32)], axis=2)
    full = np.zeros((put.shape[0], words.shape[2]), np.uint32)
    full[:, : put.shape[1]] = put
    words[where] = full
    return words


def _blank(words: Words, where: NDArray[np.bool_], separator: bytes) -> None:
    words[where] = 0
    words[where, 0] = _sign_table(separator)[0]


def _take(table: Words, index: NDArray[Any]) -> Words:
    # mode="clip" spares the bounds check; every index is in range by construction.
    return np.take(table, index, mode="clip")


def _as_words(table: NDArray[np.uint8]) -> Words:
    words = np.ascontiguousarray(table).view(np.uint32).ravel()
    words.setflags(write=False)
    return words


def _digits(count: int, width: int) -> NDArray[np.uint8]:
    """Decimal digits of 0 … count-1 as text, leading zeros kept, shape (count, width)."""
    numbers = np.arange(count)[:, None]
    return (numbers // 10 ** np.arange(width - 1, -1, -1) % 10 + _ZERO).astype(np.uint8)


def _drop_leading_zeros(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    started = np.cumsum(digits != _ZERO, axis=1) > 0
    started[:, -1] = True
    return np.where(started, digits, 0).astype(np.uint8)


def _first_byte(separator: bytes) -> int:
    return separator[0] if separator else 0


@lru_cache
def _head_table(separator: bytes) -> Words:
    table = np.zeros((1000, 4), np.uint8)
    table[:, 0] = _first_byte(separator)
    table[:, 1:] = _drop_leading_zeros(_digits(1000, 3))
    return _as_words(table)


@lru_cache
def _signed_table(separator: bytes) -> Words:
    table = np.zeros((200, 4), np.uint8)
    table[:, 0] = _first_byte(separator)
    table[100:, 1] = _MINUS
    table[:, 2:] = np.tile(_drop_leading_zeros(_digits(100, 2)), (2, 1))
    return _as_words(table)


@lru_cache
def _sign_table(separator: bytes) -> Words:
    table = np.zeros((2, 4), np.uint8)
    table[:, 0] = _first_byte(separator)
    table[1, 1] = _MINUS
    return _as_words(table)


@lru_cache
def _digit_table() -> Words:
    """Four digits: first without leading zeros, then with them, then one empty word."""
    digits = _digits(10000, 4)
    return _as_words(np.concatenate([_drop_leading_zeros(digits), digits, np.zeros((1, 4), np.uint8)]))


@lru_cache
def _fraction_table(shown: int, first: bool) -> Words:
    table = np.zeros((1000, 4), np.uint8)
    table[:, 0] = _POINT if first else 0
    table[:, 1 : 1 + shown] = _digits(1000, 3)[:, :shown]
    return _as_words(table)
