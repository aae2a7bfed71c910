"""What every reader shares: roles, keys, flags, repeats, further columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io import columns
from gridnorm.io.columns import Frame, Source, read_spots
from gridnorm.io.formats import FORMATS
from gridnorm.io.text import Text

TITLES = ("Block", "Row", "Column", "ID", "F", "B", "Flags", "lot")
ROLES = {"Block": 0, "Row": 1, "Column": 2, "ID": 3, "E": 4, "Eb": 5, "Flags": 6}
ROWS = ("1,1,1,a,50,5,0,L1", "1,1,2,b,60,6,-50,L2")


def text(*lines: str) -> Text:
    return Text("a.txt", "".join(line + "\n" for line in lines).encode(), "utf-8", ("a.txt: odd",), 0, "")


def frame(titles: tuple[str, ...] = TITLES, shift: int = 0) -> Frame:
    return Frame(titles, b",", len(",".join(titles)) + 1, 1, shift)


def read(
    *rows: str,
    roles: Mapping[str, int] = ROLES,
    channels: tuple[str, ...] = ("E",),
    titles: tuple[str, ...] = TITLES,
    shift: int = 0,
    **options: object,
) -> RawArray:
    source = Source(
        "mine", "1", frame(titles, shift), channels, ("",) * len(channels), roles, {"a": 1}, warnings=["seen"]
    )
    return columns.read_array(text(",".join(titles), *rows), source, ReadOptions(**options))  # type: ignore[arg-type]


def test_roles_become_an_array() -> None:
    raw = read(*ROWS, extra=("lot",))
    assert (raw.name, raw.format, raw.version, raw.channels) == ("a.txt", "mine", "1", ("E",))
    assert raw.foreground.tolist() == [[50, 60]]
    assert raw.background is not None and raw.background.tolist() == [[5, 6]]
    assert list(raw.spots) == ["Block", "Row", "Column", "ID", "lot"]
    assert raw.spots["Column"].dtype == np.int64 and raw.spots["lot"].tolist() == [b"L1", b"L2"]
    assert raw.flags is not None and raw.flags.tolist() == [0, -50]
    assert raw.taken == (("E", "F"), ("Eb", "B"))
    assert (raw.columns, raw.settings, raw.warnings) == (TITLES, {"a": 1}, ("a.txt: odd", "seen"))


def test_only_what_plays_a_role_is_decoded() -> None:
    raw = read("x,,,a,50,oops,,", roles={"E": 4, "ID": 3})
    assert raw.foreground.tolist() == [[50]]
    assert (raw.background, raw.flags, list(raw.spots)) == (None, None, ["ID"])


def test_missing_and_infinite_intensities_are_counted_and_other_cells_are_not() -> None:
    raw = read("1,1,1,a,NA,Inf,0,NA", "1,1,2,b,60,,,1", "1,1,3,b,60,1,,1", extra=("lot",))
    assert (raw.missing, raw.infinite) == (2, 1)
    half = read(*ROWS, "1,1,3,c,1,NA,0,x", roles={"R": 4, "G": 4, "Rb": 5}, channels=("R", "G"))
    assert half.background is None and half.missing == 0
    assert half.warnings[-1] == (
        "a.txt: only Rb is a background column; a background needs one per channel, so none is used"
    )


@pytest.mark.parametrize(("row", "good"), [("0", False), ("1", True), ("999999", True), ("1000000", False)])
def test_rows_and_columns_of_blocks_are_numbered_from_1_to_a_million(row: str, good: bool) -> None:
    text = Text("a.txt", f"r\tc\tE\n{row}\t1\t5\n".encode(), "utf-8", (), 0, "")
    frame = Frame(("r", "c", "E"), b"\t", 6, 1)
    roles = {"BlockRow": 0, "BlockColumn": 1, "E": 2}
    if good:
        assert read_spots(text, frame, roles, levels=["E"]).grid == (int(row), 1)
    else:
        with pytest.raises(FormatError, match=rf"a\.txt:2: column 'r' numbers rows or columns of blocks; found {row}"):
            read_spots(text, frame, roles, levels=["E"])


def test_blocks_without_a_number_are_counted_row_by_row() -> None:
    roles = {"BlockRow": 0, "BlockColumn": 1, "Row": 2, "Column": 2, "E": 4}
    raw = read("1,1,1,a,1,1,0,x", "1,3,1,a,1,1,0,x", "2,1,1,a,1,1,0,x", roles=roles)
    assert list(raw.spots) == ["Block", "Row", "Column"]
    assert raw.spots["Block"].tolist() == [1, 3, 4]


def test_cells_before_the_first_title_shift_the_others() -> None:
    shifted = {role: at + 1 for role, at in ROLES.items()}
    raw = read(*(f"r{i},{row}" for i, row in enumerate(ROWS)), roles=shifted, shift=1, extra=("lot",))
    assert raw.foreground.tolist() == [[50, 60]]
    assert (raw.taken, raw.columns) == ((("E", "F"), ("Eb", "B")), TITLES)
    assert raw.spots["lot"].tolist() == [b"L1", b"L2"]
    with pytest.raises(FormatError, match=r"a\.txt:2: column 'Row' needs a whole number"):
        read("r,1,0.5,1,a,50,5,0,x", roles=shifted, shift=1)


def test_files_after_the_first_need_only_the_keys() -> None:
    titles = ("ID", "Name", "X", "Y", "F")
    roles = {"ID": 0, "Name": 1, "X": 2, "Y": 3, "E": 4}
    assert list(read("i,n,1,2,5", roles=roles, titles=titles).spots) == ["ID", "Name", "X", "Y"]
    assert list(read("i,n,1,2,5", roles=roles, titles=titles, keys_only=True).spots) == ["ID"]
    assert list(read("i,n,1,?,5", roles=roles, titles=titles, keys_only=True).spots) == ["ID"]


def test_a_further_column_never_replaces_a_role() -> None:
    raw = read(*ROWS, extra=("Block", "ID", "B"))
    assert raw.spots["Block"].dtype == np.int64 and raw.spots["ID"].tolist() == [b"a", b"b"]
    assert raw.spots["B"].tolist() == [5, 6]


def test_a_further_column_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(
        FormatError,
        match=r"a\.txt:1: there is no column 'Lot'; found columns Block, .* and 2 more, expected 'Lot'\. Did you mean lot\?",
    ):
        read(*ROWS, extra=("Lot",))


def test_a_column_that_comes_twice_is_named_whatever_its_role() -> None:
    titles = (*TITLES[:-1], "ID")
    raw = read(*ROWS, titles=titles)
    assert raw.spots["ID"].tolist() == [b"a", b"b"]
    assert raw.warnings[-1] == "a.txt:1: column 'ID' comes twice; the first one was taken"
    assert len(read(*ROWS, titles=titles, roles={"E": 4}).warnings) == 2  # the doubled one is not asked for


def test_repeated_positions_are_named_once() -> None:
    assert read(*ROWS, ROWS[0]).warnings[-1].startswith("a.txt:4: 1 row repeats the position of an earlier row")
    assert len(read(*ROWS, ROWS[0], roles={"E": 4, "Block": 0, "Row": 1}).warnings) == 2


@pytest.mark.parametrize(
    ("format", "content", "title", "line"),
    [
        ("GPR", "ATF\t1.0\n0\t6\nBlock\tColumn\tRow\tID\tF635 Mean\tFLAGS\n1\t1\t1\tx\t5\t-50\n1\t2\t1\tx\t5\t\n1\t3\t1\tx\t5\tNA\n", "FLAGS", 5),
        ("table", "E,Flags\n5,-50\n5,\n5,NA\n", "Flags", 3),
        ("table", "E;f\n5;-50\n5;\n5;NA\n", "f", 3),
    ],
)  # fmt: skip
def test_an_empty_flag_is_an_unflagged_spot_in_every_format(format: str, content: str, title: str, line: int) -> None:
    named = {"columns": {"E": "E", "Flags": "f"}} if title == "f" else {}
    source = Text("a.x", content.encode(), "utf-8", (), 0, "")
    raw = FORMATS[format].read(source, ReadOptions(named))
    assert raw.flags is not None and raw.flags.tolist() == [-50, 0, 0]
    told = [warning for warning in raw.warnings if "unflagged" in warning]
    assert told == [f"a.x:{line}: 2 empty cells of column {title!r} were taken as 0 (unflagged)"]
    with pytest.raises(FormatError, match=rf"column {title!r} needs a whole number in every row; found 0\.5"):
        FORMATS[format].read(source._replace(data=source.data.replace(b"-50", b"0.5")), ReadOptions(named))


def test_settings_are_checked_and_those_of_others_passed_over() -> None:
    owned = (columns.FOREGROUND, columns.CHANNELS)
    assert columns.settings_of(owned, {}) == {"foreground": "mean", "channels": ()}
    assert columns.settings_of(owned, {"foreground": "median", "columns": object()})["foreground"] == "median"
    with pytest.raises(OptionError, match="unknown value of foreground; found 'medain'.*Did you mean median"):
        columns.settings_of(owned, {"foreground": "medain"})
    with pytest.raises(OptionError, match="channels must be a list of words; found 635"):
        columns.settings_of(owned, {"channels": 635})


def test_titles_are_found_whatever_their_case_the_exact_one_first() -> None:
    titles = ("id", "ID", "block")
    assert columns.positions(titles, ("ID", "Block", "Row")) == {"ID": 1, "Block": 2}
    assert columns.has_keys(("BLOCK", "row", "Column", "x")) and not columns.has_keys(titles)
