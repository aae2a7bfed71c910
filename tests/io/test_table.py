"""The column engine against the csv module, and every irregularity it knows."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gridnorm.errors import FormatError
from gridnorm.io import cells, table
from gridnorm.io.text import Text

TITLES = ["ID", "F", "Name", "B"]


def text(data: bytes | str) -> Text:
    return Text("a.txt", data.encode() if isinstance(data, str) else data, "utf-8", (), 0, "")


def read(rows: str | bytes, **options: object) -> table.Table:
    return table.read(text(rows), 0, 5, TITLES, [1, 3], [0, 2], **options)  # type: ignore[arg-type]


WORD = st.text("ab\"',;\t #é²", max_size=6)
NUMBER = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.integers(0, 10**19).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**9), 10**9, places=3, allow_nan=False).map(str),
    st.decimals(-10, 10, places=15, allow_nan=False).map(lambda d: f"{d:f}"),
    st.sampled_from(["", "Error", "NaN", "NA", "-", "0", "-0", "-0.0", "007", ".5", "5.", "1e5", "+3", "#DIV/0!"]),
)
ROWS = st.lists(st.tuples(st.text("xyz", min_size=1, max_size=3), NUMBER, WORD, NUMBER), min_size=1, max_size=12)


def slow_number(cell: str) -> float:
    """What a careful person would type: float(), and nothing for the missing tokens."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


@given(rows=ROWS, separator=st.sampled_from("\t,;"), end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
@example(rows=[("x", "1", "\t", "")], separator="\t", end="\n", last=True)
@example(rows=[("x", "1", '"', "2")], separator=",", end="\n", last=False)
@settings(max_examples=300, deadline=None)
def test_what_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, str, str, str]], separator: str, end: str, last: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(rows)
    written = out.getvalue() if last else out.getvalue().removesuffix(end)
    slow = list(csv.reader(io.StringIO(written, newline=""), delimiter=separator))
    assert [tuple(row) for row in slow] == rows
    got = read(written, separator=separator.encode())
    assert got.rows == len(rows)
    for k, column in enumerate((1, 3)):
        expected = [slow_number(row[column]) for row in slow]
        assert list(map(repr, got.numbers[k].tolist())) == list(map(repr, expected))  # bit for bit
        assert got.missing[k] == sum(value != value for value in expected)
    for k, column in enumerate((0, 2)):
        assert [cell.decode() for cell in got.texts[k].tolist()] == [row[column] for row in slow]
    assert [got.line(i) for i in range(got.rows)] == list(range(5, 5 + len(rows)))


@given(st.lists(NUMBER, min_size=1, max_size=30))
@settings(max_examples=300, deadline=None)
def test_every_decimal_number_is_rounded_like_float(numbers: list[str]) -> None:
    got = table.read(text("".join(f"{n}\tx\n" for n in numbers)), 0, 1, ["F", "x"], [0]).numbers[0]
    assert list(map(repr, got.tolist())) == [repr(slow_number(n)) for n in numbers]


def test_hard_to_round_decimals_are_exact() -> None:
    rng = np.random.default_rng(1)
    found = [f"{v:.{d}f}" for d in range(1, 16) for v in rng.uniform(0, 10.0 ** (16 - d), 400)]
    got = table.read(text("".join(f"{n}\n" for n in found)), 0, 1, ["F"], [0]).numbers[0]
    assert got.tolist() == [float(n) for n in found]


def test_a_table_of_many_blocks_keeps_every_row_and_the_order() -> None:
    n = 60_000  # 3 blocks
    rows = "".join(f'id{i}\t{i}\t"name {i}"\t{i / 8}\n' for i in range(n))
    got = read(rows)
    assert got.numbers[0].tolist() == list(range(n))
    assert got.numbers[1].tolist() == [i / 8 for i in range(n)]
    assert got.texts[0][[0, n // 2, n - 1]].tolist() == [b"id0", b"id30000", b"id59999"]
    assert got.texts[1][n - 1] == b"name 59999"
    assert got.lines is None


def test_an_irregular_line_deep_in_a_long_table_changes_no_other_row() -> None:
    lines = [f'id{i}\t{i}\t"n"\t{i / 8}\n' for i in range(60_000)]
    regular = read("".join(lines))
    lines.insert(50_000, "\n")
    tolerant = read("".join(lines))
    np.testing.assert_array_equal(regular.numbers, tolerant.numbers)
    np.testing.assert_array_equal(regular.texts[1], tolerant.texts[1])
    assert tolerant.line(49_999) == 50_004
    assert tolerant.line(50_000) == 50_006
    assert tolerant.warnings == ("a.txt:50005: 1 blank lines inside the table were skipped",)


TOKENS = ["", " ", '""', "Error", "ERROR", "nan", "NaN", "NA", "N/A", "na", "null", "NULL", "#N/A", "#DIV/0!", "-"]
TOKENS += ["#VALUE!", "1.#IND", "-1.#QNAN"]


@pytest.mark.parametrize("token", TOKENS)
def test_missing_tokens_are_missing_and_counted(token: str) -> None:
    got = read(f"x\t{token}\tn\t7\ny\t3\tn\t8\n")
    assert np.isnan(got.numbers[0, 0])
    assert got.missing == (1, 0)
    assert got.infinite == (0, 0)


@pytest.mark.parametrize("token", ["Inf", "-inf", "INFINITY", "1e999", "1.#INF", "-1.#INF00"])
def test_infinite_cells_are_missing_and_counted_apart(token: str) -> None:
    got = read(f"x\t{token}\tn\t7\n")
    assert np.isnan(got.numbers[0, 0])
    assert (got.missing, got.infinite) == ((0, 0), (1, 0))


@pytest.mark.parametrize("cell", ["abc", "1_000", "0x10", "12 34", "1.2.3", "--5", "5-", "1e", "12%", "²"])
def test_text_in_a_numeric_column_is_an_error_with_its_place(cell: str) -> None:
    with pytest.raises(FormatError) as error:
        read(f"x\t1\tn\t7\ny\t{cell}\tn\t7\n")
    said = str(error.value)
    assert said.startswith("a.txt:6: column 'F' holds text")
    assert repr(cell) in said
    assert "expected a number" in said


def test_the_first_bad_cell_of_the_file_is_named_after_a_blank_line() -> None:
    with pytest.raises(FormatError, match=r"a\.txt:7: column 'B'"):
        read("x\t1\tn\t7\n\ny\t1\tn\tbad\nz\tbad\tn\t7\n")


def test_quoted_numbers_are_numbers() -> None:
    assert read('x\t"12"\tn\t"-0.5"\n').numbers[:, 0].tolist() == [12.0, -0.5]


def test_surrounding_quotes_go_and_nothing_else() -> None:
    got = read('"x"\t1\t" a ""b"" c "\t2\n y \t1\tNA\t2\n')
    assert [c.tolist() for c in got.texts] == [[b"x", b" y "], [b' a "b" c ', b"NA"]]


@pytest.mark.parametrize("name", ['5" primer', '"open', 'close"', '"', 'a "b" c', '"a" and "b'])
def test_unbalanced_quotes_are_kept_literally(name: str) -> None:
    for rows in (f"x\t1\t{name}\t2\ny\t1\tn\t2\n", f"x\t1\t{name}\t2\n\ny\t1\tn\t2\n"):
        got = read(rows)
        assert got.texts[1].tolist() == [name.encode(), b"n"]
        assert got.numbers[1].tolist() == [2.0, 2.0]


def test_an_unbalanced_quote_in_a_csv_loses_nothing() -> None:
    got = read('x,1,"open,2\ny,3,n,4\n', separator=b",")
    assert got.texts[1].tolist() == [b'"open', b"n"]
    assert got.numbers.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_a_quoted_tab_belongs_to_its_cell() -> None:
    got = read('x\t1\t"a\tb"\t2\ny\t3\tn\t4\n')
    assert got.texts[1].tolist() == [b"a\tb", b"n"]
    assert got.numbers.tolist() == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("separator", ["\t", ","])
def test_a_quoted_line_break_is_read_as_one_cell_and_named(separator: str) -> None:
    got = read('x|1|"a\nb"|2\ny|3|n|4\n'.replace("|", separator), separator=separator.encode())
    assert got.texts[1].tolist() == [b"a\nb", b"n"]
    assert got.rows == 2
    assert [got.line(0), got.line(1)] == [5, 7]
    assert got.warnings[0].startswith("a.txt:5: a quoted cell holds a line break")


@pytest.mark.parametrize("separator", ["\t", ","])
def test_an_open_quote_never_swallows_a_whole_row(separator: str) -> None:
    rows = 'x|1|"cut\ny|3|"n"|4\nz|5|"n"|6\n'.replace("|", separator)
    with pytest.raises(FormatError, match=r"a\.txt:5: the row has too few cells; found 3 cells, expected 4 cells"):
        read(rows, separator=separator.encode())


@pytest.mark.parametrize("separator", ["\t", ","])
@pytest.mark.parametrize("rows", ['"x"|1|n\n3|4\nz|5|"n"|6\n', '"x"|1\n1|"n"|2\nz|5|"n"|6\n', 'y|3|n|4\n"x"|1|n\n|2\n'])
def test_rows_broken_outside_quotes_are_never_joined(rows: str, separator: str) -> None:
    with pytest.raises(FormatError, match=r"a\.txt:[56]: the row has too few cells"):
        read(rows.replace("|", separator), separator=separator.encode())


def test_separators_inside_quotes_of_a_csv_take_the_fast_path() -> None:
    got = read('x,1,"a, b",2\r\ny,3,"c, ""d""",4\r\n', separator=b",")
    assert got.texts[1].tolist() == [b"a, b", b'c, "d"']
    assert got.lines is None


def test_inch_marks_in_a_csv_are_no_quotes() -> None:
    got = read('x,1,5" wide,2\ny,3,6" wide,4\n', separator=b",")
    assert got.texts[1].tolist() == [b'5" wide', b'6" wide']


@pytest.mark.parametrize("tail", ["\n\n", "\t\t\t\n", " \r\n\r\n", "\n" * 500])
def test_blank_lines_at_the_end_are_no_rows(tail: str) -> None:
    got = read("x\t1\tn\t2\ny\t3\tn\t4\n" + tail)
    assert (got.rows, got.warnings, got.lines) == (2, (), None)


def test_blank_lines_in_the_middle_are_skipped_with_a_warning() -> None:
    got = read("x\t1\tn\t2\r\n\t\t\t\r\n\r\ny\t3\tn\t4\r\n")
    assert got.rows == 2
    assert got.warnings == ("a.txt:6: 2 blank lines inside the table were skipped",)
    assert got.line(1) == 8


def test_a_blank_line_of_a_one_column_table_is_no_row() -> None:
    assert table.read(text("5\n\n6\n"), 0, 1, ["F"], [0]).numbers.tolist() == [[5.0, 6.0]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spare_empty_cells_are_ignored(end: str) -> None:
    every = read(end.join(["x\t1\tn\t2\t\t", "y\t3\tn\t4\t\t", ""]))
    some = read(end.join(["x\t1\tn\t2\t\t", "y\t3\tn\t4", ""]))
    assert every.numbers.tolist() == some.numbers.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert every.lines is None


def test_a_spare_cell_with_content_is_an_error() -> None:
    for rows in ("x\t1\tn\t2\t9\ny\t3\tn\t4\t9\n", "x\t1\tn\t2\ny\t3\tn\t4\t\t9\n"):
        with pytest.raises(FormatError, match="more cells than there are column titles"):
            read(rows)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_cut_last_row_is_an_error(end: str) -> None:
    with pytest.raises(FormatError, match=r"a\.txt:6: the file looks cut off.*found 2 cells, expected 4 cells"):
        read("x\t1\tn\t2\ny\t3" + end)


def test_a_short_row_in_the_middle_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.txt:6: the row has too few cells"):
        read("x\t1\tn\t2\ny\t3\nz\t5\tn\t6\n")


def test_a_short_row_that_makes_the_count_of_separators_right_is_no_row_either() -> None:
    with pytest.raises(FormatError, match=r"a\.txt:5: "):
        read("x\t1\tn\ny\t3\tn\t4\t5\n")


def test_fill_takes_rows_without_their_last_text_cells() -> None:
    got = table.read(text("1\ta\n2\tb\tc\n"), 0, 1, ["F", "ID", "Name"], [0], [1, 2], fill=True)
    assert got.texts[1].tolist() == [b"", b"c"]
    assert got.warnings == ("a.txt:1: 1 rows have fewer than 3 cells; the rest is empty",)
    with pytest.raises(FormatError, match="cut off"):
        table.read(text("1\ta\tb\n2\tb"), 0, 1, ["F", "ID", "Name"], [0], [1, 2], fill=True)


def test_a_lone_cr_is_hinted_at() -> None:
    with pytest.raises(FormatError, match="lone CR"):
        read("x\t1\tn\t2\ry\t3\tn\t4\nz\t5\tn\t6\n")


def test_no_rows_are_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.txt:5: the table has no rows"):
        read("\n \n")


def test_a_table_may_end_before_the_file() -> None:
    rows = "x\t1\tn\t2\nEND DATA\n"
    assert read(rows, stop=rows.index("END")).rows == 1


def test_decimal_commas_are_read_with_a_warning_where_nothing_else_is_possible() -> None:
    got = read("x\t12,5\tn\t7\ny\t0,558\tn\t-1,25e2\n")
    assert got.numbers.tolist() == [[12.5, 0.558], [7.0, -125.0]]
    assert got.warnings[0].startswith("a.txt:5: 3 numbers have a decimal comma (first: 12,5 in column 'F')")


@pytest.mark.parametrize(
    "rows",
    [
        "x\t1,234\tn\t7\n",  # a thousand or one and a bit
        "x\t12,5\tn\t7.5\n",  # both marks
        "x\t12,5\t0.75\t7\n",  # the point stands in a column that is not needed
        "x\t1,234,567\tn\t7\n",
        "x\t1,234.5\tn\t7\n",
        "x\t1.234,5\tn\t7\n",
    ],
)
def test_commas_of_unclear_meaning_are_an_error(rows: str) -> None:
    with pytest.raises(FormatError, match=r"a\.txt:5: column 'F' holds a number with a comma"):
        read(rows)


def test_decimal_commas_inside_quotes_of_a_csv() -> None:
    assert read('x,"12,5",n,"0,25"\n', separator=b",").numbers[:, 0].tolist() == [12.5, 0.25]


def test_lone_commas_are_text() -> None:
    with pytest.raises(FormatError, match="holds text"):
        read("x\t,\tn\t7\n")


def test_one_very_long_cell_is_whole() -> None:
    got = read(f"x\t1\t{'é' * 70_000}\t2\ny\t3\tn\t4\n")
    assert got.texts[1][0].decode() == "é" * 70_000
    assert got.texts[1][1] == b"n"


def test_a_row_longer_than_a_block_is_whole() -> None:
    got = read(f"x\t1\t{'a' * (1 << 21)}\t2\n")
    assert len(got.texts[1][0]) == 1 << 21


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ([b"1", b"Error", b"2.5"], [1.0, None, 2.5]),
        ([b"Inf"], [float("inf")]),
        ([b"1", b"x"], None),
        ([b"", b"NA"], None),
    ],
)
def test_a_text_column_is_numeric_only_if_every_cell_is(
    column: list[bytes], numbers: list[float | None] | None
) -> None:
    got = cells.as_numbers(np.array(column))
    if numbers is None:
        assert got is None
    else:
        assert got is not None
        assert [None if v != v else v for v in got.tolist()] == numbers


def test_a_line_of_titles_is_split_like_its_rows() -> None:
    assert table.split(b'"F635 Mean"\t "ID" \tName\t\r\n') == ["F635 Mean", "ID", "Name", ""]
    assert table.split('"a;b";R²'.encode(), b";") == ["a;b", "R²"]


def table_of(rows: str, separator: bytes = b"\t") -> table.Table:
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
        table_of(first + between + last + between)
    assert table_of(first.replace(point, "15") + between).numbers[0, 0] == (15.0 if before else 12.5)


@pytest.mark.parametrize("cell", ['a"b,c"', 'a"b,c"d', '5"a,6"b'])
def test_quotes_inside_a_cell_do_not_hide_its_separator(cell: str) -> None:
    with pytest.raises(FormatError, match="more cells than there are column titles"):
        table_of(f"x,1,n,2\ny,3,{cell},4\n", b",")
    assert table_of('x,1,n,2\ny,3,"b,c",4\n', b",").texts[1].tolist() == [b"n", b"b,c"]


@pytest.mark.parametrize("code", [*range(1, 9), 11, 12, 14, 27])
def test_control_bytes_belong_to_their_cells(code: int) -> None:
    odd = bytes([code])
    rows = b"".join(b"a%sb\t%d\tx\n" % (odd, k) for k in range(3)) + b"c\t3\tx\n"
    text = Text("a.txt", rows, "ascii", (), 0, "")
    found = table.read(text, 0, 1, ["ID", "F", "T"], numbers=[1], texts=[0])
    assert found.numbers.tolist() == [[0, 1, 2, 3]]
    assert found.texts[0].tolist() == [b"a" + odd + b"b"] * 3 + [b"c"]


def test_a_control_byte_is_no_separator_in_every_row_either() -> None:
    text = Text("a.txt", b"a\x01b\t5\nc\x01d\t6\n", "ascii", (), 0, "")
    with pytest.raises(FormatError, match="too few cells|cut off"):
        table.read(text, 0, 1, ["ID", "F", "T"], numbers=[1], texts=[0])
