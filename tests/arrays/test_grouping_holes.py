"""What a message says of the columns that there are."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays.grouping import find_column
from gridnorm.errors import OptionError


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        ([], "Spot columns here: none"),
        (["Lot"], "Spot columns here: Lot"),
        ([f"T{k:02}" for k in range(12)], ", T11"),
        ([f"T{k:02}" for k in range(13)], ", T11 and 1 more"),
    ],
)
def test_the_first_12_columns_are_named_or_that_there_is_none(titles: list[str], said: str) -> None:
    with pytest.raises(OptionError) as error:
        find_column("zzzzzzzz", {title: np.zeros(1) for title in titles}, "a.gpr", "keep")
    assert str(error.value.hint).endswith(said)
