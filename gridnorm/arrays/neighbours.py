"""Which spots of a slide lie around each spot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Neighbours(NamedTuple):
    """Spots grouped by position, and the up to nine positions in reach of each.

    ``order`` sorts spots by position, ``starts`` are the positions' first places in it, ``place`` is the position
    of each spot, ``reach`` is (9, position) with the number of positions standing for "no spot there".
    """

    order: IntArray
    starts: IntArray
    place: IntArray
    reach: IntArray

    def minimum(self, values: FloatArray) -> FloatArray:
        """For each spot the smallest value in reach; missing ones are passed over, NaN if all are missing."""
        if values.size == 0:
            return values
        v = np.where(np.isnan(values), np.inf, values)
        at_position = np.append(np.minimum.reduceat(v[self.order], self.starts), np.inf)
        lowest = at_position[self.reach].min(axis=0)
        lowest[np.isinf(lowest)] = np.nan
        return np.asarray(lowest[self.place])


def neighbours_of(slide_row: IntArray, slide_column: IntArray) -> Neighbours:
    """The 3 x 3 neighbourhoods on the physical grid of the whole slide.

    Blocks do not matter: the last column of one is next to the first column of the next one, if their positions
    say so (limma's matrix + printer route does the same). Positions without a spot are passed over, several spots
    of one position all count, and the numbers need not be dense, so blocks may differ in size.
    """
    row, column = _squeezed(slide_row), _squeezed(slide_column)
    width = int(column.max(initial=0)) + 3  # one empty column either side: no neighbour across the line's end
    key = row * width + column + 1
    positions, place = np.unique(key, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(positions.size))
    reach = np.full((9, positions.size), positions.size, dtype=np.int64)
    steps = [dr * width + dc for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
    for i, step in enumerate(steps):
        at = np.searchsorted(positions, positions + step)
        found = at < positions.size
        found[found] = positions[at[found]] == positions[found] + step
        reach[i, found] = at[found]
    return Neighbours(order, starts, place, reach)


def _squeezed(coordinate: IntArray) -> IntArray:
    """The same adjacency with gaps closed to one empty line, so that stray positions cost nothing."""
    lines, at = np.unique(np.asarray(coordinate, dtype=np.int64), return_inverse=True)
    return np.asarray(np.concatenate([[0], np.cumsum(np.minimum(np.diff(lines), 2))])[at], dtype=np.int64)
