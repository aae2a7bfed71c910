"""Numbers as text: fixed decimals as Python writes them, and the shortest text that reads back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.io import fixed
from gridnorm.io.fixed import decimal_words, integer_words, join, shortest_text, text_words


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=30), st.integers(0, 15))
def test_decimals_are_those_of_python(values: list[float], decimals: int) -> None:
    found = join([decimal_words(np.array([values]).T, decimals, b"\t")]).decode().split("\n")[:-1]
    for text, value in zip(found, values, strict=True):
        # At the middle between two decimals the two may differ by one in the last place.
        assert abs(float(text) - value) <= 0.5000001 * 10.0**-decimals + 4e-16 * abs(value)
        assert len(text.partition(".")[2]) == decimals and text != "-0"


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30))
def test_integers_are_those_of_python(values: list[int]) -> None:
    assert join([integer_words(np.array(values), b"\t")]) == "".join(f"\t{value}\n" for value in values).encode()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_the_shortest_text_reads_back_the_same(values: list[float]) -> None:
    assert [float(text) for text in shortest_text(np.array(values))] == values


def test_columns_are_joined_row_by_row_and_missing_is_empty() -> None:
    texts = text_words(np.array([b"a", b"", b"\xc3\xa5"]), b"")
    numbers = decimal_words(np.array([[1.0, np.nan], [-0.0, 2.5], [1e9, 0.25]]), 1, b"\t")
    assert join([texts, numbers]).decode() == "a\t1.0\t\n\t0.0\t2.5\nå\t1000000000.0\t0.2\n"


@pytest.mark.parametrize("value", [0.5, 1.5, 2.5, -0.5])
def test_halves_go_where_python_sends_them(value: float) -> None:
    assert join([decimal_words(np.array([[value]]), 0, b"\t")]).decode().strip() == f"{value:.0f}".replace("-0", "0")


@pytest.mark.parametrize("length", range(19))
@pytest.mark.parametrize("alone", [True, False])
def test_whole_numbers_around_every_power_of_ten_are_what_python_writes(length: int, alone: bool) -> None:
    values = [sign * (10**length + more) for sign in (1, -1) for more in (-1, 0, 1)]
    for numbers in [[value] for value in values] if alone else [[*values, 0, -(2**63), 2**63 - 1]]:
        block = fixed.join([fixed.integer_words(np.array(numbers, np.int64), b"")])
        assert bytes(block).split() == [b"%d" % value for value in numbers]
