"""Cells that hold no number where one belongs."""

from __future__ import annotations

import pytest

from gridnorm.errors import FormatError
from gridnorm.io import table
from gridnorm.io.odd_cells import errors_said, not_a_number
from gridnorm.io.text import Text

WELLS = "A1,ID,F\nA1,x,1\nA1,y,2\n,,\nA2,ID,F\nA2,x,3\n"


def test_titles_that_come_again_are_named_with_their_line() -> None:
    with pytest.raises(FormatError, match=r"a\.csv:5: the titles of the columns are repeated.*Save each table"):
        table.read(Text("a.csv", WELLS.encode(), "utf-8", (), 0, ""), 8, 2, ["A1", "ID", "F"], [2], [1], b",")


@pytest.mark.parametrize(("size", "shown"), [(40, "b" * 40), (41, "b" * 40 + "…")])
def test_of_a_cell_40_characters_are_shown(size: int, shown: str) -> None:
    said = str(not_a_number(b'"' + b"b" * size + b'"', "F", "a.csv", 3))
    assert said.startswith(f"a.csv:3: column 'F' holds text where a number belongs; found '{shown}', expected a number")
    assert "Correct the cell, make it empty, or name another column" in said


def test_errors_are_counted_by_column() -> None:
    said = errors_said([(5, 1, b"Error"), (2, 1, b"#N/A"), (5, 0, b"Error")], "a.gpr", 33, ["Rb", "R"])
    assert said == (
        "a.gpr:33: 3 cells hold an error and no number (1 of column 'Rb' and 2 of column 'R'; first: #N/A); "
        "they are missing"
    )


@pytest.mark.parametrize(("cell", "said"), [("Error", True), ("#VALUE!", True), ("NA", False), ("", False)])
def test_only_what_reports_an_error_is_one(cell: str, said: bool) -> None:
    found = table.read(
        Text("a.csv", f"F,G\n1,2\n{cell},3\n".encode(), "utf-8", (), 0, ""), 4, 2, ["F", "G"], [0], [], b","
    )
    assert found.missing == (1,) and bool(found.warnings) == said
