"""Where the cells of a regular table lie: many lines per step, and no verdict where that needs a look at each line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridnorm.io import cells

IntArray = NDArray[np.int64]
ByteArray = NDArray[np.uint8]


def separators(buffer: ByteArray, separator: bytes) -> IntArray | None:
    """Offsets of the bytes that end a cell, or None if quotes make that a question for the tolerant path."""
    body = buffer[cells.LEAD :]
    if separator == b"\t":
        # One comparison finds TAB and LF; other control characters below, which belong to their cells, are rare.
        marks = np.flatnonzero(body < 11)
        kept = body[marks] >= 9
        if not kept.all():
            marks = marks[kept]
        marks += cells.LEAD
        return marks
    marks = np.flatnonzero((body == separator[0]) | (body == 10)) + cells.LEAD
    quotes = np.flatnonzero(body == 34) + cells.LEAD
    if not quotes.size:
        return marks
    inside = np.searchsorted(quotes, marks) & 1 == 1
    hidden = marks[inside]
    if quotes.size & 1 or np.any(buffer[hidden] == 10):
        return None
    marks = np.asarray(marks[~inside], np.int64)
    if hidden.size:
        cell = np.searchsorted(marks, hidden)
        edges = np.concatenate([[cells.LEAD - 1], marks, [buffer.size]])
        first, last = edges[cell] + 1, edges[cell + 1] - 1
        last = last - (buffer[last] == 13)
        if np.any(buffer[first] != 34) or np.any(buffer[last] != 34):
            return None
    return marks


def is_regular(buffer: ByteArray, ends: IntArray, n: int) -> bool:
    """Every row ends in LF, no row is blank, and cells beyond the titles are empty."""
    last = ends[:, -1]
    lines = last if buffer[-1] == 10 else last[:-1]
    if not (buffer[lines] == 10).all():
        return False
    width = ends.shape[1]
    length = np.diff(last, prepend=cells.LEAD - 1)  # with the LF
    if length.min() <= width + 1:  # so short that every cell may be empty
        content = length - (buffer[last - 1] == 13)
        if (content <= width).any():
            return False
    if width > n:
        if (buffer == 34).any():  # the cell too many may be one cut in two inside quotes
            return False
        spare = ends[:, n:] - ends[:, n - 1 : -1] - 1
        spare[:, -1] -= (spare[:, -1] > 0) & (buffer[last - 1] == 13)
        if spare.any():
            return False
    return True


def bounds(buffer: ByteArray, ends: IntArray, columns: list[int]) -> tuple[IntArray, IntArray]:
    """First and past-the-end offset of the cells of some columns, (column, row) each."""
    start = np.empty((len(columns), ends.shape[0]), np.int64)
    end = np.empty_like(start)
    for k, column in enumerate(columns):
        end[k] = ends[:, column]
        if column:
            start[k] = ends[:, column - 1]
        else:
            start[k, 0] = cells.LEAD - 1
            start[k, 1:] = ends[:-1, -1]
        if column == ends.shape[1] - 1:
            end[k] -= (buffer[end[k] - 1] == 13) & (end[k] > start[k] + 1)
    start += 1
    return start, end
