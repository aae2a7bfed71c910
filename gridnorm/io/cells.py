"""From the bytes of cells to numbers and text, many cells per step.

The functions take one buffer and the first and past-the-end offset of every cell in it. Decimal numbers are
decoded eight characters at a time inside 64-bit integers; whatever is no plain decimal number is left to the
caller, cell by cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAD = 24  # bytes that must stand in a buffer before the end of its first cell

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_ZEROS = np.uint64(0x3030303030303030)
_DOTS = np.uint64(0x2E2E2E2E2E2E2E2E)
_OVER_NINE = np.uint64(0x7676767676767676)  # added to a byte above 9 it sets the high bit
# The last k characters of a little-endian word are its high bytes.
_KEEP = np.array([((1 << 64) - 1) >> (8 * (8 - k)) << (8 * (8 - k)) for k in range(9)], np.uint64)
_TENS = np.array([10.0**k for k in range(20)])  # exact up to 1e22
_WHOLE_TENS = np.array([10**k for k in range(20)], np.uint64)
_EXACT = np.uint64(1 << 53)  # integers up to here are exact in float64
_LONGEST = 19  # characters of a number whose digits cannot overflow 64 bits

# What programs write where there should have been a number: GenePix, Excel.
ERRORS = frozenset(b"error #n/a #na #div/0! #value! #num! #ref! #null! #name?".split())
MISSING = frozenset(b" nan -nan +nan na n/a n.a. <na> null (null) - --".split(b" ")) | ERRORS


def numbers(
    buffer: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], bool]:
    """Decode cells that are plain decimal numbers.

    Every result equals ``float(cell)``: an integer up to 2**53 divided by an exact power of ten is rounded once.

    Parameters
    ----------
    buffer
        Bytes, at least ``LEAD`` of them before the end of the first cell.
    start, end
        Offsets of the cells, any common shape.

    Returns
    -------
    The values (NaN where a cell was not decoded), the flat indices of the cells not decoded, and whether any
    decoded cell had a decimal point.
    """
    words: NDArray[np.uint64] = np.ndarray((buffer.size - 7,), "<u8", buffer=buffer, strides=(1,))
    length = end - start
    keep = _KEEP.take(length, mode="clip")
    digits = (words[end - 8] & keep) ^ (keep & _ZEROS)
    odd = _beyond_nine(digits)
    odd |= length < 1
    odd |= length > 8
    values = _eight(digits).astype(np.float64)
    rest = np.flatnonzero(odd)
    dotted = False
    if rest.size:
        flat = values.reshape(-1)
        some, good, dotted = _decimals(buffer, words, start.reshape(-1)[rest], end.reshape(-1)[rest])
        flat[rest] = some
        rest = rest[~good]
    return values, rest, dotted


def _eight(digits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The number made of eight decimal digits, one per byte, the first one lowest."""
    pairs = digits * np.uint64(2561) >> np.uint64(8)
    pairs &= np.uint64(0x00FF00FF00FF00FF)
    fours = pairs * np.uint64(6553601) >> np.uint64(16)
    fours &= np.uint64(0x0000FFFF0000FFFF)
    fours *= np.uint64(42949672960001)
    fours >>= np.uint64(32)
    return fours


def _beyond_nine(digits: NDArray[np.uint64]) -> NDArray[np.bool_]:
    # A carry into the next byte needs a byte above 0x89, whose own high bit already gives the cell away.
    beyond: NDArray[np.bool_] = ((digits + _OVER_NINE) | digits) & _HIGH != 0
    return beyond


def _decimals(
    buffer: NDArray[np.uint8], words: NDArray[np.uint64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], bool]:
    """Cells with a sign, quotes, one decimal point, or up to 19 characters."""
    last = end - 1
    quoted = (end - start >= 2) & (buffer[last] == 34) & (buffer[np.minimum(start, last)] == 34)
    start, end = start + quoted, end - quoted
    negative = (end - start >= 2) & (buffer[np.minimum(start, end - 1)] == 45)
    start = start + negative
    length = end - start
    total = np.zeros(length.shape, np.uint64)  # the digits without the point, as one integer
    fraction = np.zeros(length.shape, np.int64)  # how many of them stand behind the point
    points = np.zeros(length.shape, np.int64)
    good = (length >= 1) & (length <= _LONGEST)
    longest = int(length[good].max(initial=0))
    for behind in range(0, longest, 8):  # characters that stand behind the present word
        keep = _KEEP.take(length - behind, mode="clip")
        word = words[end - (8 + behind)] & keep
        gap = word ^ _DOTS
        point = (gap - _ONES) & ~gap & _HIGH
        point &= np.negative(point)  # its lowest bit marks the first point
        has = point != 0
        below = (point >> np.uint64(7)) - np.uint64(1)  # bytes before the point
        above = ~((below << np.uint64(8)) | np.uint64(255))
        squeezed = ((word & below) << np.uint64(8)) | (word & above)
        zeros = keep & _ZEROS
        zeros = np.where(has, ((zeros & below) << np.uint64(8)) | (zeros & above), zeros)
        digits = np.where(has, squeezed, word) ^ zeros
        good &= ~_beyond_nine(digits)
        total += _eight(digits) * _WHOLE_TENS[behind - points]
        inside = 7 - (np.bitwise_count(below).astype(np.int64) >> 3)
        fraction += np.where(has, inside + behind, 0)
        points += has
    good &= (points <= 1) & (length > points) & (total <= _EXACT)
    values = total.astype(np.float64) / _TENS[np.minimum(fraction, 19)]
    np.negative(values, out=values, where=negative)
    values[~good] = np.nan
    return values, good, bool(np.any(points[good]))


def number(cell: bytes) -> float | None:
    """One cell as a number: NaN for a missing token, plus or minus infinity, None for text.

    Examples
    --------
    >>> number(b"1.5e3"), number(b"Error"), number(b'"7"'), number(b"seven")
    (1500.0, nan, 7.0, None)
    """
    token = cell.strip(b' "\t\r\n')
    low = token.lower()
    if low in MISSING:
        return float("nan")
    if low.lstrip(b"+-").startswith(b"1.#"):  # Microsoft's C library: 1.#INF00, -1.#IND, 1.#QNAN
        infinite = float("-inf") if low.startswith(b"-") else float("inf")
        return infinite if b"#inf" in low else float("nan")
    if b"_" in token:  # float() takes 1_000
        return None
    try:
        return float(token)
    except ValueError:
        return None


def is_error(cell: bytes) -> bool:
    """Whether a cell reports that there is no number, which an empty one does not.

    Examples
    --------
    >>> is_error(b'"Error"'), is_error(b"NA")
    (True, False)
    """
    return cell.strip(b' "\t\r\n').lower() in ERRORS


def count(text: str) -> int | None:
    """Digits as a number; None for anything else, more digits than any count or wavelength has among it.

    Examples
    --------
    >>> count("635"), count("-1"), count("9" * 5000)
    (635, None, None)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST else None


def texts(buffer: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """Gather text cells into one ``S`` array, surrounding double quotes removed.

    Doubled quotes inside a quoted cell are undone; nothing else is changed.
    """
    last = np.maximum(end - 1, 0)
    quoted = (end - start >= 2) & (buffer[np.minimum(start, buffer.size - 1)] == 34) & (buffer[last] == 34)
    start, length = start + quoted, end - start - 2 * quoted
    width = max(int(length.max(initial=0)), 1)
    if start.size and int(start.max()) + width > buffer.size:
        buffer = np.concatenate([buffer, np.zeros(width, np.uint8)])
    every: NDArray[Any] = np.ndarray((max(buffer.size - width + 1, 0),), f"S{width}", buffer=buffer, strides=(1,))
    cells = every[start]
    marks = cells.view(np.uint8).reshape(cells.size, width)
    marks *= np.arange(width) < length[:, None]
    if quoted.any():
        doubled = np.flatnonzero(quoted & (marks == 34).any(axis=1))
        for i in doubled.tolist():
            cells[i] = cells[i].replace(b'""', b'"')
    return cells


def as_numbers(column: NDArray[np.bytes_]) -> NDArray[np.float64] | None:
    """A text column as float64 if every cell is a number or a missing token, else None.

    Infinite cells stay infinite. A column without any number is text.
    """
    values = np.empty(column.size)
    known: dict[bytes, float | None] = {}
    for i, cell in enumerate(column.tolist()):
        if cell not in known:
            known[cell] = number(cell)
        value = known[cell]
        if value is None:
            return None
        values[i] = value
    return None if np.isnan(values).all() else values
