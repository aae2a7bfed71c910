"""How far blanks may stand before an ATF line."""

from __future__ import annotations

import pytest

from gridnorm.io.atf import _unused, is_atf, parse
from gridnorm.io.text import Text


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


def test_a_record_that_comes_often_keeps_every_value_at_one_step_each() -> None:
    class Counting(dict[str, str]):
        asked = 0

        def __contains__(self, key: object) -> bool:
            self.asked += 1
            return super().__contains__(key)

    records, times = Counting(), dict[str, int]()
    for value in range(500):
        records[_unused("K", records, times)] = str(value)
    assert records["K"] == "0" and records["K (500)"] == "499" and len(records) == 500
    assert records.asked <= 3 * 500
    data = b'ATF\t1.0\n4\t2\n"K (2)=a"\n"K=b"\n"K=c"\n"K=d"\nx\ty\n1\t2\n'
    found = parse(Text("a.gpr", data, "ascii", (), 0, ""), lambda titles: titles == ["x", "y"], "x and y")
    assert found.records == {"K (2)": "a", "K": "b", "K (3)": "c", "K (4)": "d"}
