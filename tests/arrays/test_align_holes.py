"""Arrays that know their spots by different things."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays.align import keys_of, union
from gridnorm.errors import LayoutError

PLACE = {"Block": [1, 1], "Row": [1, 1], "Column": [1, 2]}
ID, OTHER = {"ID": [b"a", b"b"]}, {"ID": [b"a", b"c"]}


@pytest.mark.parametrize(
    ("one", "two", "comparable"),
    [
        (PLACE, PLACE | {"Column": [1, 3]}, True),
        (ID, OTHER, True),
        (PLACE | ID, PLACE | OTHER, True),
        (PLACE | ID, ID, False),
        (ID, PLACE | ID, False),
        (PLACE, ID, False),
        (PLACE | ID, {"Block": [1, 1]} | ID, False),
        ({}, ID, False),
    ],
)
def test_spots_are_compared_by_the_keys_that_both_files_have(one: dict, two: dict, comparable: bool) -> None:  # type: ignore[type-arg]
    keys = [keys_of({title: np.array(cells) for title, cells in columns.items()}, 2) for columns in (one, two)]
    if comparable:
        assert union(keys)[0].size in (3, 4)
    else:
        with pytest.raises(LayoutError, match="cannot be compared with those of the first file"):
            union(keys)
