"""Commas beside points wherever these stand, and quotes that are no quotes around cells that hold a separator."""

from __future__ import annotations

import pytest

from gridnorm.errors import FormatError
from gridnorm.io import table
from gridnorm.io.text import Text


def read(rows: str, separator: bytes = b"\t") -> table.Table:
    text = Text("a.txt", rows.encode(), "utf-8", (), 0, "")
    return table.read(text, 0, 5, ["ID", "F", "Name", "B"], [1, 3], [0, 2], separator=separator)


@pytest.mark.parametrize("point", ["1.5", "1.5e3", "+1.5", "-.5"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("rows_between", [0, 150])
@pytest.mark.parametrize("other", ["7", "2e3"])
def test_a_comma_is_unclear_beside_a_point_however_that_is_written(
    point: str, before: bool, rows_between: int, other: str
) -> None:
    """Both in one column, so that the column's look does not tell; and no cell in between takes the point back."""
    comma, dotted = "x\t12,5\tn\t7\n", f"x\t{point}\tn\t7\n"
    first, last = (dotted, comma) if before else (comma, dotted)
    between = f"x\t{other}\tn\t7\n" * (rows_between + 1)
    with pytest.raises(
        FormatError, match="holds a number with a comma.*other numbers of the file have a decimal point"
    ):
        read(first + between + last + between)
    assert read(first.replace(point, "15") + between).numbers[0, 0] == (15.0 if before else 12.5)


@pytest.mark.parametrize("cell", ['a"b,c"', 'a"b,c"d', '5"a,6"b'])
def test_quotes_inside_a_cell_do_not_hide_its_separator(cell: str) -> None:
    with pytest.raises(FormatError, match="more cells than there are column titles"):
        read(f"x,1,n,2\ny,3,{cell},4\n", b",")
    assert read('x,1,n,2\ny,3,"b,c",4\n', b",").texts[1].tolist() == [b"n", b"b,c"]
