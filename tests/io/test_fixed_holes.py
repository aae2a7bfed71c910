"""Whole numbers of every length."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.io import fixed


@pytest.mark.parametrize("length", range(19))
@pytest.mark.parametrize("alone", [True, False])
def test_whole_numbers_around_every_power_of_ten_are_what_python_writes(length: int, alone: bool) -> None:
    values = [sign * (10**length + more) for sign in (1, -1) for more in (-1, 0, 1)]
    for given in [[value] for value in values] if alone else [[*values, 0, -(2**63), 2**63 - 1]]:
        block = fixed.join([fixed.integer_words(np.array(given, np.int64), b"")])
        assert bytes(block).split() == [b"%d" % value for value in given]
