"""Block origins on the slide, the grid they stand in, and the gaps between pads.

Slides lie rotated in the scanner and pins are bent, so origins are grouped by gaps, never by equality.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.apply import apply
from gridnorm.core.fit import fit, group_medians, median_of
from gridnorm.core.segments import Segments, distinct

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

Steps = tuple[IntArray, FloatArray, FloatArray]  # lines, distances, gaps

FARTHEST = 1e9
TOLERANCE = 0.25  # of the width of a block: origins closer than this, in a chain, stand in one line
PAD_GAP = 3.0  # a gap this many times the narrowest one sets pads apart
SAME_PITCH = 0.1  # relative difference below which blocks stand as far apart across as down


class Origins(NamedTuple):
    """First spot of each block: ``x`` and ``y`` of shape (block,), ascending to the right and downwards.

    ``pitch_x`` and ``pitch_y`` are the distances of neighbouring spots, ``rows`` and ``columns`` the size of the
    largest block, ``slope`` the drift of X per unit of Y and of Y per unit of X, ``turned`` whether X grows with
    Row rather than with Column.
    """

    x: FloatArray
    y: FloatArray
    pitch_x: float
    pitch_y: float
    rows: int
    columns: int
    slope: tuple[float, float] = (0.0, 0.0)
    turned: bool = False


class Grid(NamedTuple):
    """Blocks in ``rows`` by ``columns`` places; ``row`` and ``column`` (block,) are 0-based.

    ``in_order``: the numbers run left to right, top to bottom.
    """

    rows: int
    columns: int
    row: IntArray
    column: IntArray
    in_order: bool = True


def block_extents(block: IntArray, row: IntArray, column: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Largest row and column of every block.

    Parameters
    ----------
    block, row, column
        Numbers of every spot, shape (spot,).

    Returns
    -------
    blocks
        The block numbers, ascending, shape (block,).
    index
        Position of each spot's block among them, shape (spot,).
    sizes
        Largest row and largest column, shape (2, block).

    Examples
    --------
    >>> blocks, index, sizes = block_extents(np.array([2, 1, 2]), np.array([1, 4, 3]), np.array([5, 1, 2]))
    >>> blocks, index, sizes.tolist()
    (array([1, 2]), array([1, 0, 1]), [[4, 3], [1, 5]])
    """
    blocks, index = distinct(block)
    sizes = np.full((2, blocks.size), np.iinfo(np.int64).min)
    np.maximum.at(sizes[0], index, row)
    np.maximum.at(sizes[1], index, column)
    return blocks, index, sizes


def block_origins(
    index: IntArray, n_blocks: int, row: IntArray, column: IntArray, x: FloatArray, y: FloatArray
) -> Origins | None:
    """Robust origin of every block: the median over its spots of position minus offset in the block.

    Parameters
    ----------
    index
        0-based block of each spot, shape (spot,).
    n_blocks
        Number of blocks.
    row, column, x, y
        Place in the block and centre of each spot; spots without a centre are left out.

    Returns
    -------
    None where a block has no centres, or where the distance of spots cannot be had.
    """
    # Micrometres: what lies farther out than a kilometre is no position.
    known = (np.abs(x) < FARTHEST) & (np.abs(y) < FARTHEST)
    if not known.all():
        index, row, column, x, y = index[known], row[known], column[known], x[known], y[known]
    if index.size == 0 or np.bincount(index, minlength=n_blocks).min() == 0:
        return None
    x_column, y_column = _slopes(index, n_blocks, column, x, y)
    x_row, y_row = _slopes(index, n_blocks, row, x, y)
    turned = abs(x_row) + abs(y_column) > abs(x_column) + abs(y_row)
    across, down = (x_row, y_column) if turned else (x_column, y_row)
    # Blocks of one row or one column show one distance only; spots stand about as far apart the other way.
    across, down = across or abs(down), down or abs(across)
    if across == 0.0:
        return None
    rows, columns = int(row.max()), int(column.max())
    if turned:
        rows, columns = columns, rows
    blocks = Segments.from_codes(index, range(n_blocks))
    origin_x = group_medians(x - (column - 1) * x_column - (row - 1) * x_row, blocks)
    origin_y = group_medians(y - (column - 1) * y_column - (row - 1) * y_row, blocks)
    slope = (0.0, 0.0) if turned else (x_row / down, y_column / across)
    # A mirrored scan: let the slide run the way the spots do.
    return Origins(
        origin_x * np.sign(across), origin_y * np.sign(down), abs(across), abs(down), rows, columns,
        (slope[0] * np.sign(across) * np.sign(down), slope[1] * np.sign(across) * np.sign(down)), turned,
    )  # fmt: skip


def grid_of(origins: Origins, blocks: IntArray) -> Grid | None:
    """The rows and columns that block origins stand in; None where two blocks share a place.

    ``blocks`` are the block numbers (block,); they decide whether an uncommonly wide gap is a block that the file
    lacks.
    """
    plain = _lines(origins.x, origins.y, origins)
    tries = [plain]
    if plain is None or (plain[0].max() + 1) * (plain[1].max() + 1) > blocks.size:
        # On a strongly rotated slide the lines run into each other; straighten it first.
        x, y = origins.x - origins.slope[0] * origins.y, origins.y - origins.slope[1] * origins.x
        tries.append(_lines(x, y, origins))
    usable = [found for found in tries if found is not None]
    if not usable:
        return None
    row, column, wide_row, wide_column = min(usable, key=lambda found: (found[0].max() + 1) * (found[1].max() + 1))
    for place_row in (row, wide_row):
        for place_column in (column, wide_column):
            fitted = _by_numbers(place_row, place_column, blocks)
            if fitted is not None:
                return fitted
    return Grid(int(row.max()) + 1, int(column.max()) + 1, row, column, in_order=False)


def same_arrangement(one: Grid, other: Grid) -> bool:
    """Whether two grids put the same blocks into the same order across and down, empty lines aside."""
    return bool(
        np.array_equal(_ranks(one.row), _ranks(other.row)) and np.array_equal(_ranks(one.column), _ranks(other.column))
    )


def find_pads(origins: Origins, grid: Grid, spot_rows: int, spot_columns: int) -> tuple[IntArray, str]:
    """Pads, the sub-arrays that wide gaps set apart.

    A gap between neighbouring blocks is wide if it is three times the narrowest gap in its direction. Where all
    gaps of a direction are alike, they are wide together if they are three times those of the other direction
    and the blocks stand a different distance apart (one print head prints them equally far apart both ways).

    Returns
    -------
    The pad of each block (block,), numbered from 1 left to right, top to bottom; and a sentence, empty where
    there is one pad.
    """
    one = np.ones(grid.row.size, np.int64)
    if origins.turned:
        return one, ""
    across = _steps(origins.x, grid.column, grid.row, (spot_columns - 1) * origins.pitch_x)
    down = _steps(origins.y, grid.row, grid.column, (spot_rows - 1) * origins.pitch_y)
    column_breaks = _breaks(across, down, origins.pitch_x)
    row_breaks = _breaks(down, across, origins.pitch_y)
    pad_row = np.searchsorted(row_breaks, grid.row, side="left")
    pad_column = np.searchsorted(column_breaks, grid.column, side="left")
    _, pad = distinct(pad_row * (column_breaks.size + 1) + pad_column)
    count = int(pad.max()) + 1
    if count == 1:
        return one, ""
    return pad + 1, f"wide gaps between blocks: {count} pads of up to {int(np.bincount(pad).max())} blocks"


def _slopes(index: IntArray, n: int, place: IntArray, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Change of X and Y per step of ``place``, the median over blocks of the least-squares slopes."""
    blocks = Segments.from_codes(index, range(n))
    rows = np.stack([place.astype(np.float64), x, y])
    step, *moved = apply(rows, blocks, fit(rows, blocks, "moments"), "centre")
    means = fit(np.stack([step * step, *(step * row for row in moved)]), blocks, "moments").location
    usable = means[0] > 0
    if not usable.any():
        return 0.0, 0.0
    across, down = (median_of(row[usable] / means[0][usable]) for row in means[1:])
    return across, down


def _lines(x: FloatArray, y: FloatArray, origins: Origins) -> tuple[IntArray, IntArray, IntArray, IntArray] | None:
    """Row and column of every block, by rank and by distance; None if two blocks share a place."""
    column, wide_column = _line_up(x, origins.columns * origins.pitch_x)
    row, wide_row = _line_up(y, origins.rows * origins.pitch_y)
    if distinct(row * (column.max() + 1) + column)[0].size < x.size:
        return None
    return row, column, wide_row, wide_column


def _line_up(values: FloatArray, width: float) -> tuple[IntArray, IntArray]:
    """Lines that values fall into: their rank, and their number when wide gaps count as several steps."""
    order = np.argsort(values, kind="stable")
    starts = np.concatenate([[0], (np.diff(values[order]) > TOLERANCE * width).astype(np.int64)])
    rank = np.empty(values.size, np.int64)
    rank[order] = np.cumsum(starts)
    centre = fit(values, Segments.from_labels(rank), "moments").location[0]
    if centre.size < 3:
        return rank, rank
    step = np.diff(centre)
    distance = np.concatenate([[0], np.cumsum(np.rint(step / step.min()).astype(np.int64))])
    return rank, distance[rank]


def _by_numbers(row: IntArray, column: IntArray, blocks: IntArray) -> Grid | None:
    """The grid in which the numbers run left to right, top to bottom; it may have places without a block."""
    first, last = int(np.argmin(row)), int(np.argmax(row))
    wide = int(column.max()) + 1
    across = blocks - column
    if row[first] == row[last]:
        return Grid(1, wide, row, column) if np.all(across == across[0]) else None
    per_row, rest = divmod(int(across[last] - across[first]), int(row[last] - row[first]))
    if rest or per_row < wide or np.any(across - per_row * row != across[first] - per_row * row[first]):
        return None
    left = int(across[first] - per_row * row[first] - 1) % per_row
    if left + wide > per_row:
        return None
    return Grid(int(row.max()) + 1, per_row, row, column + left)


def _ranks(values: IntArray) -> IntArray:
    return distinct(values)[1]


def _steps(place: FloatArray, line: IntArray, other: IntArray, extent: float) -> Steps:
    """Neighbouring lines: the first of each pair, the distance of their blocks, and the empty space between.

    Distances are taken between blocks of the same row (or column), so a rotation does not enter.
    """
    order = np.lexsort((line, other))
    pair = (np.diff(other[order]) == 0) & (np.diff(line[order]) == 1)
    before = line[order][:-1][pair]
    distance = np.diff(place[order])[pair]
    pairs = Segments.from_labels(before)
    middle = group_medians(distance, pairs)
    return np.array(pairs.labels, np.int64), middle, middle - extent


def _breaks(mine: Steps, other: Steps, pitch: float) -> IntArray:
    """Lines behind which a pad ends."""
    lines, distance, gap = mine
    if lines.size == 0:
        return lines
    narrow = max(float(gap.min()), pitch)
    wide = (gap > PAD_GAP * narrow) & (distance > (1 + SAME_PITCH) * distance.min())
    if wide.any():
        wide_lines: IntArray = lines[wide]
        return wide_lines
    if other[0].size:
        closest = max(float(other[2].min()), pitch)
        uneven = abs(float(distance.min()) / float(other[1].min()) - 1) > SAME_PITCH
        if uneven and float(gap.min()) > PAD_GAP * closest:
            return lines
    nothing: IntArray = lines[:0]
    return nothing
