"""Flags and weights from a table: which spots it names, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gridnorm.arrays.flag_table import FlagTable, flag_table, strangers, with_flags
from gridnorm.arrays.raw import RawArray
from gridnorm.errors import FormatError


def table(text: str) -> FlagTable:
    titles, *rows = [line.split("|") for line in text.split()]
    columns = {title: [row[k] for row in rows] for k, title in enumerate(titles)}
    return flag_table("flags.txt", columns, range(2, 2 + len(rows)))


def raw(flags: Any = None, **spots: Any) -> RawArray:
    """Two blocks of 1 × 2 spots."""
    columns = {
        "Block": np.array([1, 1, 2, 2]), "Row": np.array([1, 1, 1, 1]), "Column": np.array([1, 2, 1, 2]),
        "ID": np.array([b"x", b"y", b"x", b""]),
    }  # fmt: skip
    given = None if flags is None else np.array(flags)
    return RawArray("a.gpr", "GPR", "", ("E",), ("",), np.ones((1, 4)), None, columns | spots, flags=given)


def test_spots_by_place_by_id_and_by_both() -> None:
    assert with_flags(raw(), table("Block|Row|Column|Flag 2|1|1|-100")).flags.tolist() == [0, 0, -100, 0]  # type: ignore[union-attr]
    assert with_flags(raw([-50, 0, 0, -75]), table("id|FLAGS x|-100 y|7")).flags.tolist() == [-100, 7, -100, -75]  # type: ignore[union-attr]
    both = table("ID|Block|Row|Column|Flag x|2|1|1|-1 |1|1|2|-2")
    assert with_flags(raw(), both).flags.tolist() == [0, -2, -1, 0]  # type: ignore[union-attr]
    cleared = with_flags(raw([-50, 0, 0, 0]), table("Block|Row|Column|Flag 1|1|1|0"))
    assert cleared.flags is not None and not cleared.flags.any()


def test_rows_are_about_one_array_or_all() -> None:
    known = table("Array|ID|Flag a.gpr|x|-1 b|y|-2 |y|-3 slide|x|-4")
    assert with_flags(raw(), known).flags.tolist() == [-1, -3, -1, 0]  # type: ignore[union-attr]
    assert with_flags(raw(), known, ["slide", "b"]).flags.tolist() == [-4, -3, -4, 0]  # type: ignore[union-attr]
    assert strangers(known, ["a.gpr", "slide"]) == ["flags.txt:3: 1 row is about arrays that are not here: b"]
    assert strangers(known, ["a.gpr"]) == ["flags.txt:3: 2 rows are about arrays that are not here: b, slide"]
    assert strangers(known, ["a.gpr", "slide", "b"]) == []


def test_weights_become_a_spot_column() -> None:
    done = with_flags(raw(), table("ID|Weight x|0.5"))
    assert done.spots["Weight"].tolist() == [0.5, 1, 0.5, 1] and done.flags is None and done.warnings == ()
    done = with_flags(raw(Weight=np.zeros(4)), table("ID|Weight|Flag x|0|-1"))
    assert done.spots["Weight"].tolist() == [0, 1, 0, 1] and done.flags is not None
    assert done.warnings == ("a.gpr: the weights of flags.txt stand in the place of the file's column Weight",)


def test_numbers_can_be_ids() -> None:
    done = with_flags(raw(ID=np.array([7.0, 8.0, np.nan, 1e15])), table("ID|Flag 7|-1"))
    assert done.flags is not None and done.flags.tolist() == [-1, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Block|Row|Flag 1|1|-1", "flags.txt:1: the table names no spots; found Block, Row, Flag"),
        ("Block|ID|Flag 1|x|-1", "flags.txt:1: the table names no spots"),
        ("ID|Name x|n", "flags.txt:1: the table gives spots nothing; found ID, Name, expected a column Flag or Weight"),
        ("ID|Flag x|-1 |-1", "flags.txt:3: a row names no spot: its ID is empty"),
        ("ID|Flag x|bad", "flags.txt:2: column Flag holds no whole number; found 'bad'"),
        ("ID|Flag x|1.5", "flags.txt:2: column Flag holds no whole number"),
        ("ID|Flag x|99999999999", "flags.txt:2: column Flag holds no whole number"),
        ("Block|Row|Column|Flag 1|a|1|-1", "flags.txt:2: column Row holds no whole number; found 'a'"),
        ("ID|Weight x|-1", "flags.txt:2: column Weight holds no weight; found '-1', expected a number of 0 or more"),
        ("ID|Weight x|nan", "flags.txt:2: column Weight holds no weight"),
        ("ID|Weight x|inf", "flags.txt:2: column Weight holds no weight"),
        ("Block|Row|Column|Flag 1|1|1|-1 3|1|1|-1 4|1|1|-1", "flags.txt:3: no such spot in a.gpr (and 1 more of 3 rows); found Block 3, Row 1, Column 1"),
        ("ID|Flag z|-1", "flags.txt:2: no such spot in a.gpr; found ID 'z'"),
        ("ID|Block|Row|Column|Flag y|2|1|1|-1", "flags.txt:2: another spot stands at this place of a.gpr; found 'y', expected 'x'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        with_flags(raw(), table(text))
    assert str(caught.value).startswith(message)


def test_spots_without_places_need_ids() -> None:
    bare = RawArray("a.gpr", "GPR", "", ("E",), ("",), np.ones((1, 1)), None, {"ID": np.array([b"x"])})
    with pytest.raises(FormatError, match=r"a.gpr: flags.txt cannot name the spots; found ID"):
        with_flags(bare, table("Block|Row|Column|Flag 1|1|1|-1"))
    assert with_flags(bare, table("Block|Row|Column|ID|Flag 1|1|1|x|-1")).flags.tolist() == [-1]  # type: ignore[union-attr]


def test_columns_that_say_nothing_or_the_same_are_told() -> None:
    assert table("ID|Flag|Wieght|Comment x|-1|0.5|dust").notes == (
        "flags.txt:1: column Wieght says nothing of spots; did you mean Weight?",
    )
    assert table("Aray|ID|Flag a|x|-1").notes[0].startswith("flags.txt:1: column Aray says nothing of spots")
    for titles in ("ID|Flags|Flag", "ID|Flag|flag", "ID|Array|File|Flag", "id|ID|Flag"):
        with pytest.raises(FormatError, match=r"flags.txt:1: two columns say the same"):
            table(f"{titles} " + "|".join("1" * titles.count("|") + "1"))


def test_an_array_may_be_called_by_its_path() -> None:
    known = table("Array|ID|Flag run2/a.gpr|x|-1 C:\\scans\\a.gpr|y|-2")
    assert with_flags(raw(), known).flags.tolist() == [-1, -2, -1, 0]  # type: ignore[union-attr]
    assert strangers(known, ["a.gpr"]) == []


def test_a_place_is_not_forgotten_where_the_array_has_none() -> None:
    bare = raw()
    spots = {"ID": np.array([b"x", b"y", b"x", b"z"])}
    both = "Block|Row|Column|ID|Flag "
    assert with_flags(replace(bare, spots=spots), table(both + "1|1|2|y|-1")).flags.tolist() == [0, -1, 0, 0]  # type: ignore[union-attr]
    with pytest.raises(
        FormatError, match="flags.txt:2: the place of a spot says nothing where a.gpr has none.*2 spots"
    ):
        with_flags(replace(bare, spots=spots), table(both + "1|1|1|x|-1"))


@pytest.mark.parametrize("cell", ["1_0", "٣", "nan", "-1", "inf", ""])
def test_a_weight_is_a_number_of_0_or_more(cell: str) -> None:
    with pytest.raises(FormatError, match="column Weight holds no weight"):
        flag_table("flags.txt", {"ID": ["x"], "Weight": [cell]}, [2])


def test_of_rows_about_one_spot_the_last_one_counts() -> None:
    assert with_flags(raw(), table("ID|Flag x|-1 x|0")).flags.tolist() == [0, 0, 0, 0]  # type: ignore[union-attr]
