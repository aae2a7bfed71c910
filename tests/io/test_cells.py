"""Cells: numbers and texts out of bytes, as Python reads them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gridnorm.io import cells
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


def decoded(texts: list[str]) -> tuple[list[float], list[int], bool]:
    joined = "\t".join(texts).encode()
    lengths = np.array([len(text) for text in texts])
    end = cells.LEAD + np.cumsum(lengths + 1) - 1
    buffer = np.frombuffer(b"\n" * cells.LEAD + joined + b"\n" * 8, np.uint8)
    values, rest, dotted = cells.numbers(buffer, end - lengths, end)
    return values.tolist(), rest.tolist(), dotted


@pytest.mark.parametrize("digits", ["7", "1234567", "12345678", "123456789", "1234567890123456", "001234567890123456"])
@pytest.mark.parametrize("around", ["{}", "-{}", '"{}"', '"-{}"'])
def test_a_number_with_its_point_at_any_place_is_decoded_at_once(digits: str, around: str) -> None:
    plain = [digits, *(f"{digits[:k]}.{digits[k:]}" for k in range(len(digits) + 1))]
    texts = [around.format(text) for text in plain]
    values, left, dotted = decoded(texts)
    assert left == [] and dotted
    assert values == [float(text.strip('"')) for text in texts]
    assert decoded(texts[:1])[1:] == ([], False)


@pytest.mark.parametrize(
    ("text", "at_once"),
    [
        ("9007199254740992", True),  # 2**53
        ("9007199254740993", False),
        ("0.000000000000000001"[:19], True),  # 19 characters
        ("0.000000000000000001", False),
        *(
            (text, False)
            for text in ("", "-", ".", "-.", '""', '"', "1.2.3", "1..", "+1", "1e3", "--1", "1/2", "1:", " 1")
        ),
    ],
)
def test_what_is_no_plain_number_or_too_long_is_left_alone(text: str, at_once: bool) -> None:
    values, left, _ = decoded(["5", text, "12345.678"])
    assert left == ([] if at_once else [1])
    assert values[::2] == [5.0, 12345.678]
    if at_once:
        assert values[1] == float(text)
