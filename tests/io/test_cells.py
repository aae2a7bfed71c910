"""Cells: numbers and texts out of bytes, as Python reads them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gridnorm.io.cells import as_numbers, number


@pytest.mark.parametrize(
    "cell",
    [b"0", b"-0.5", b"1e3", b"12345678901234567890", b"0.1", b" 7 ", b"1.7976931348623157e308", b"5e-324", b"inf"],
)
def test_a_number_is_the_one_that_python_reads(cell: bytes) -> None:
    assert number(cell) == float(cell)


@pytest.mark.parametrize("cell", [b"x", b"1,5", b"--1", b"1_000", b"0x10"])
def test_what_is_no_number_is_none(cell: bytes) -> None:
    assert number(cell) is None


@pytest.mark.parametrize("cell", [b"", b"NA", b"nan"])
def test_missing_is_nan(cell: bytes) -> None:
    assert math.isnan(number(cell))


def test_a_column_is_numbers_or_not_at_all() -> None:
    np.testing.assert_array_equal(as_numbers(np.array([b"1", b"", b"2.5"])), [1, np.nan, 2.5])
    assert as_numbers(np.array([b"1", b"x"])) is None
