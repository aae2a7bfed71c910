"""How far blanks may stand before an ATF line."""

from __future__ import annotations

import pytest

from gridnorm.io.atf import is_atf


@pytest.mark.parametrize(("blanks", "found"), [(0, True), (4092, True), (4093, True), (4094, False)])
@pytest.mark.parametrize("blank", [b" ", b"\n"])
def test_the_word_stands_within_the_first_4096_bytes(blanks: int, found: bool, blank: bytes) -> None:
    assert is_atf(blank * blanks + b"ATF\t1.0\n") is found


@pytest.mark.parametrize(
    ("head", "found"),
    [(b"ATF", True), (b'"ATF"', True), (b"atf 1", True), (b"ATF1", False), (b"ATFx", False), (b"AT", False)],
)
def test_the_word_stands_alone(head: bytes, found: bool) -> None:
    assert is_atf(head) is found
