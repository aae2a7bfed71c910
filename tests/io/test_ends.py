"""Where the rows of a table end."""

from __future__ import annotations

import time

import pytest

from gridnorm.errors import FormatError
from gridnorm.io import table
from gridnorm.io.ends import end_of_rows
from gridnorm.io.text import Text

ROWS = "ID,F\nx,1\ny,2\n"


def read(content: str) -> table.Table:
    return table.read(Text("a.csv", content.encode(), "utf-8", (), 0, ""), 5, 2, ["ID", "F"], [1], [0], b",")


@pytest.mark.parametrize(
    "below",
    [
        "END DATA\n", "END DATA,\r\n", "End Raw Data\nEnd of File\n", "!sample_table_end", "!platform_table_end\n",
        '"End of data"\n', "\nend table.\n\n", "EOF\n",
    ],
)  # fmt: skip
def test_a_line_that_says_so_ends_the_table(below: str) -> None:
    found = read(ROWS + below)
    assert (found.rows, found.numbers.tolist(), found.warnings) == (2, [[1, 2]], ())


@pytest.mark.parametrize("line", ["END", "Total: 2", "end data,5,6", "the end of data"])
def test_another_line_does_not(line: str) -> None:
    with pytest.raises(FormatError, match=r"a\.csv:4: .*(cut off|more cells).*delete"):
        read(f"{ROWS}{line}\n")


def test_what_stands_below_the_end_is_not_read_and_it_is_said() -> None:
    found = read(f"{ROWS}\nEND DATA\nBEGIN IMAGES\n1,2,3,4\n\nEND IMAGES\n")
    assert found.rows == 2
    assert found.warnings == ("a.csv:5: the table ends here (END DATA); 5 lines below were not read",)


def test_rows_below_the_end_are_not_lost() -> None:
    """A line between two rows that looks like an end: the rows below it were left out with a warning."""
    for below in ("c,3\n", "c,3\nd,4\n"):
        with pytest.raises(FormatError, match="rows stand below the end") as error:
            read(f"{ROWS}End of data\n{below}")
        assert error.value.line == 5
    with pytest.raises(FormatError, match="rows stand below the end"):  # below the first row, too
        read("ID,F\na,1\nEnd of data\nb,2\n")
    with pytest.raises(FormatError, match="rows stand below the end"):
        read('ID,F\na,1\nb,2\nEnd of data\n"c, d",3\n')


def test_a_name_that_looks_like_an_end_is_a_name() -> None:
    assert read("ID,F\nEnd of file,1\n\n!x_table_end,2\n").texts[0].tolist() == [b"End of file", b"!x_table_end"]


@pytest.mark.parametrize("rows", ["", "END DATA\n", "END DATA\nx,1\n", "\nend data,,\nx\n"])
def test_a_table_that_ends_before_its_first_row_is_refused(rows: str) -> None:
    with pytest.raises(
        FormatError, match=r"a\.csv:[24]: the (table has no rows|row has too few cells|file looks cut off)"
    ):
        read(f"ID,F\n{rows}")


def test_looking_for_the_end_takes_one_pass() -> None:
    """One pass for every "end" in a line took minutes."""
    data = b"a\tb\n" + b"end x " * 300_000
    started = time.perf_counter()
    assert end_of_rows(data, 0, len(data), 1, b"\t", "a.txt") == (len(data), [])
    assert time.perf_counter() - started < 2
