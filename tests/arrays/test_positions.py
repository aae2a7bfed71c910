"""Blocks and how far they go."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.arrays.positions import block_extents

NUMBER = st.integers(-3, 40)


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=40))
def test_extents_are_the_largest_row_and_column_of_each_block(spots: list[tuple[int, int, int]]) -> None:
    block, row, column = np.array(spots, np.int64).T
    blocks, index, sizes = block_extents(block, row, column)
    assert blocks.tolist() == sorted(set(block.tolist()))
    assert blocks[index].tolist() == block.tolist()
    for k, number in enumerate(blocks.tolist()):
        assert sizes[:, k].tolist() == [row[block == number].max(), column[block == number].max()]
