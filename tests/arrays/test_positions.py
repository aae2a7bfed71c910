"""Blocks and how far they go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.arrays.positions import Origins, block_extents, grid_of

NUMBER = st.integers(-3, 40)


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=40))
def test_extents_are_the_largest_row_and_column_of_each_block(spots: list[tuple[int, int, int]]) -> None:
    block, row, column = np.array(spots, np.int64).T
    blocks, index, sizes = block_extents(block, row, column)
    assert blocks.tolist() == sorted(set(block.tolist()))
    assert blocks[index].tolist() == block.tolist()
    for k, number in enumerate(blocks.tolist()):
        assert sizes[:, k].tolist() == [row[block == number].max(), column[block == number].max()]


@pytest.mark.parametrize(("rows", "columns"), [(8, 2), (2, 8), (4, 4)])
@pytest.mark.parametrize("gap_behind", ["row", "column"])
def test_a_rotated_slide_of_two_pads_has_its_rows_and_columns(rows: int, columns: int, gap_behind: str) -> None:
    """The rotation moves the second pad by more than lines are apart from their like: it is straightened first."""
    row, column = (place.ravel() for place in np.indices((rows, columns)))
    down, across = 12.0 * row, 12.0 * column
    if gap_behind == "row":
        down += 88.0 * (row >= rows // 2)
    else:
        across += 88.0 * (column >= columns // 2)
    origins = Origins(across + 0.05 * down, down - 0.05 * across, 1.0, 1.0, 10, 10, slope=(0.05, -0.05))
    grid = grid_of(origins, np.arange(1, row.size + 1))
    assert grid is not None
    assert (grid.rows, grid.columns, grid.in_order) == (rows, columns, True)
    assert (grid.row.tolist(), grid.column.tolist()) == (row.tolist(), column.tolist())
