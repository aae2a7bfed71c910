"""Plain tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io.formats import table
from gridnorm.io.text import Text

NAMED = (("R", "ch2"), ("G", "ch1"), ("ID", "gene"))


def text(content: str) -> Text:
    return Text("a.csv", content.encode(), "utf-8", (), 0, "")


def read(content: str, *columns: tuple[str, str], **options: object) -> RawArray:
    return table.read(text(content), ReadOptions({"columns": columns}, **options))


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.text("abcxyz 0-9é", max_size=6)),
        min_size=1,
        max_size=20,
    ),
    separator=st.sampled_from("\t,;"),
    end=st.sampled_from(["\n", "\r\n"]),
    preamble=st.sampled_from(["", "# made by a scanner\n", "Date;2001\n\n"]),
)
@settings(max_examples=50, deadline=None)
def test_every_row_comes_back_whatever_the_separator(
    rows: list[tuple[int, int, str]], separator: str, end: str, preamble: str
) -> None:
    lines = [
        separator.join(cells)
        for cells in [("gene", "ch1", "ch2"), *(("g" + name.strip(), str(g), str(r)) for r, g, name in rows)]
    ]
    raw = read(preamble + end.join(lines) + end, *NAMED)
    assert raw.channels == ("R", "G")
    assert raw.foreground.tolist() == [[float(r) for r, _, _ in rows], [float(g) for _, g, _ in rows]]
    assert [name.decode() for name in raw.spots["ID"].tolist()] == ["g" + name.strip() for _, _, name in rows]
    assert raw.background is None and raw.flags is None


def test_columns_that_bear_the_names_of_roles_need_no_option() -> None:
    raw = read(
        "ID\tR\tG\tRb\tGb\tBlock\tRow\tColumn\tFlags\nx\t10\t20\t1\t2\t1\t1\t1\t0\ny\t11\t21\t1\t2\t1\t1\t2\t-50\n"
    )
    assert raw.background is not None
    assert raw.background.tolist() == [[1, 1], [2, 2]]
    assert raw.flags is not None and raw.flags.tolist() == [0, -50]
    assert {k: v.tolist() for k, v in raw.spots.items()} == {
        "Block": [1, 1],
        "Row": [1, 1],
        "Column": [1, 2],
        "ID": [b"x", b"y"],
    }
    assert read("E\n5\n").channels == ("E",)


def test_further_columns_are_numbers_if_every_cell_is() -> None:
    raw = read("gene,ch1,ch2,lot,dose\nx,1,2,L7,0.5\ny,3,4,,NA\n", *NAMED, extra=("lot", "dose"))
    assert raw.spots["lot"].tolist() == [b"L7", b""]
    np.testing.assert_array_equal(raw.spots["dose"], [0.5, np.nan])
    with pytest.raises(FormatError, match="no column 'batch'"):
        read("gene,ch1,ch2\nx,1,2\n", *NAMED, extra=("batch",))


def test_missing_and_infinite_cells_are_counted() -> None:
    raw = read("gene,ch1,ch2\nx,NA,2\ny,,inf\nz,5,6\n", *NAMED)
    assert (raw.missing, raw.infinite) == (2, 1)
    np.testing.assert_array_equal(np.isnan(raw.foreground), [[False, True, False], [True, True, False]])


def test_half_a_background_is_none_with_a_warning() -> None:
    raw = read("R,G,Rb\n5,6,1\n")
    assert raw.background is None
    assert raw.warnings == (
        "a.csv: only Rb is a background column; a background needs one per channel, so none is used",
    )


def test_keys_only_leaves_out_what_later_files_do_not_need() -> None:
    content = "ID,Name,X,Y,R,G\nx,n,1,2,5,6\n"
    assert set(read(content).spots) == {"ID", "Name", "X", "Y"}
    assert set(read(content, keys_only=True).spots) == {"ID"}


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("gene,ch1\nx,1\n", NAMED, r"a\.csv:1: .*found titles gene, ch1, expected ch2$"),
        ("gene,ch1,ch2,ch2\nx,1,2,3\n", NAMED, "several columns are called 'ch2'"),
        ("gene,ch1,ch2\nx,1,red\n", NAMED, r"a\.csv:2: column 'ch2' holds text.*'red'"),
        ("gene,ch1,ch2\nx,1,2\ny,3\n", NAMED, r"a\.csv:3"),
        ("gene,ch1,ch2\n", NAMED, "no rows"),
        ("gene,ch1,ch2,b\nx,1,2,1.5\n", (*NAMED, ("Block", "b")), r"a\.csv:2: column 'b' needs a whole number in every row; found 1\.5"),
        ("gene,ch1,ch2,b\nx,1,2,NA\n", (*NAMED, ("Block", "b")), r"a\.csv:2: column 'b' needs a whole number in every row"),
        ("gene,ch1,ch2,b\nx,1,2,1e30\n", (*NAMED, ("Block", "b")), r"a\.csv:2: column 'b' needs a whole number in every row"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_and_why(content: str, columns: tuple[tuple[str, str], ...], says: str) -> None:
    with pytest.raises(FormatError, match=says):
        read(content, *columns)


def test_roles_that_contradict_one_another_are_usage_errors() -> None:
    with pytest.raises(OptionError, match="names no intensities"):
        read("gene,a\nx,1\n", ("ID", "gene"))
    with pytest.raises(OptionError, match="mixes one and two channels"):
        read("a,b\n1,2\n", ("E", "a"), ("R", "b"))


def test_columns_are_given_as_text_a_mapping_or_pairs() -> None:
    pairs = (("R", "ch2"), ("G", "ch=1"))
    for said in ("R=ch2,G=ch=1", " R = ch2 ,,G=ch=1", {"R": "ch2", "G": "ch=1"}, [["R", "ch2"], ["G", "ch=1"]], pairs):
        assert table.COLUMNS.read(said) == pairs
    assert table.COLUMNS.plain(pairs) == {"R": "ch2", "G": "ch=1"}
    assert read("ch2,ch=1\n1,2\n", *pairs).settings == {"columns": pairs}
    raw = table.read(text("ch2,ch=1\n1,2\n"), ReadOptions({"columns": "R=ch2,G=ch=1"}))
    assert raw.foreground.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("R=a,b", "malformed columns; found 'b', expected ROLE=title"),
        ("R=a,Q=b", "unknown role in columns; found 'Q', expected R, G, Rb"),
        ({"r": "a"}, "unknown role in columns; found 'r'"),
        ("R=a,G=b,R=c", "a role is given twice in columns; found R"),
        (5, "columns must be a list of ROLE=title; found 5"),
        (["R"], r"columns must be a list of ROLE=title; found \['R'\]"),
    ],
)
def test_columns_that_cannot_be_are_refused(given: object, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        table.COLUMNS.read(given)


def test_the_head_takes_columns_as_the_reader_does() -> None:
    for said in ("E=x", {"E": "x"}, (("E", "x"),)):
        assert table.head(text("x,y\n1,2\n"), {"columns": said}).channels == ("E",)
        assert table.sniff(text("x,y\n1,2\n"), {"columns": said})
    assert not table.sniff(text("x,y\n1,2\n"), {})


def test_every_intensity_is_named_next_to_its_background() -> None:
    taken = read("G,Gb,Rb,R\n1,2,3,4\n").taken
    assert taken == (("R", "R"), ("Rb", "Rb"), ("G", "G"), ("Gb", "Gb"))
