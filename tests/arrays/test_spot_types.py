"""Types of spots: limma's patterns, what is told of tables that do nothing, and types in the fit."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.spot_types import (
    TypesTable,
    check_words,
    count_types,
    needed_columns,
    type_doubts,
    types_of,
    types_table,
    use_of_types,
    with_types,
)
from gridnorm.arrays.weights import use_of
from gridnorm.errors import FitError, FormatError, OptionError

CELLS = [
    "AA",
    "AAx",
    "AAxx",
    "AA.",
    "A1",
    "b1",
    "ab9",
    "cdx",
    "x(1)",
    "aaa",
    "a+",
    "",
    "Zab",
    "zab",
    "x-y",
    "100%",
    "a\\b",
]


def table(*rows: str, titles: str = "SpotType ID") -> TypesTable:
    cells = [row.split("~" if "~" in row else "|") for row in rows]
    return types_table("types.txt", titles.split(), cells, range(2, 2 + len(rows)))


def column(cells: list[str]) -> np.ndarray:
    return np.array([cell.encode() for cell in cells])


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [  # those of limma 3.54.1, but for the cells that are the pattern letter for letter
        ("AA.*", "AAx AAxx AA."),
        ("AA.", "AAx AA."),
        (r"AA\.", "AA."),
        ("A*", "AA AAx AAxx AA. A1"),
        ("*ab*", "ab9 Zab zab"),
        ("(ab|cd)*", "ab9 cdx"),
        ("a+", "aaa a+"),
        ("[Ab]1", "A1 b1"),
        ("x(1)", "x(1)"),
        (r"x\(1\)", "x(1)"),
        ("", ""),
        ("^$", ""),
        ("*", " ".join(CELLS)),
        ("**", " ".join(CELLS)),
        ("AA*x", "AAx AAxx"),
        ("*A*x", "AAx AAxx"),
        ("x-*", "x-y"),
        ("100%", "100%"),
        ("a\\\\b", "a\\b"),
        ("*x*x", "AAxx"),
    ],
)
def test_patterns_are_limmas(pattern: str, matched: str) -> None:
    found = types_of(table("z|b1", f"t~{pattern}"), {"ID": column(CELLS)}, len(CELLS), "a.gpr").types
    got = [cell for cell, kind in zip(CELLS, found, strict=True) if kind == b"t"]
    assert got == ([""] if pattern in ("", "^$") else matched.split(" ") if pattern != "*" * len(pattern) else CELLS)


def test_the_last_row_that_matches_wins_and_all_columns_must() -> None:
    columns = {
        "ID": column(["g1", "BMP2", "aBMP", "A.b", "x", "x", ""]),
        "Name": column(["n", "n", "n", "n", "n", "y1", ""]),
    }
    rows = ["gene|*|*|1", "control|BMP*|*|2", "both|x|y*|3", "empty|^$||4"]
    found = types_of(table(*rows, titles="SpotType ID Name Color"), columns, 7, "a.gpr")
    assert found.types.tolist() == [b"gene", b"control", b"gene", b"gene", b"gene", b"both", b"empty"]
    assert found.notes == ()
    assert count_types({"SpotType": found.types}) == {"gene": 4, "control": 1, "both": 1, "empty": 1}


def test_numbers_match_as_they_are_written() -> None:
    columns = {"Block": np.array([1, 12, 2]), "pH": np.array([1.5, 2.0, np.nan])}
    assert types_of(table("t|1*", titles="SpotType Block"), columns, 3, "a").types.tolist() == [b"t", b"t", b""]
    assert types_of(table("t|2", titles="SpotType pH"), columns, 3, "a").types.tolist() == [b"", b"t", b""]
    assert count_types({"SpotType": np.array([b"", b"t"])}) == {"(none)": 1, "t": 1}
    assert count_types({}) == {} == count_types({"SpotType": np.arange(3)})


def test_what_does_nothing_is_told_with_its_line() -> None:
    rows = ["gene|*|*|red", "neg|zz*|*|blue", "pos|yy*|*|blue"]
    found = types_of(
        table(*rows, titles="SpotType ID Nmae Color"), {"ID": column(["a"]), "Name": column(["n"])}, 1, "a.gpr"
    )
    assert found.notes == (
        "types.txt:3: of 3 spot types 2 rows (lines 3, 4) match no spot",
        "types.txt:1: column Nmae is no spot column and tells no types apart; did you mean Name?",
    )
    one = types_of(table(*rows[:2], titles="SpotType ID Color x"), {"ID": column(["a"])}, 1, "a.gpr")
    assert one.notes[0] == "types.txt:3: of 2 spot types the row of line 3 matches no spot"


@pytest.mark.parametrize(
    ("rows", "titles", "message"),
    [
        (["t|a"], "Type ID", "types.txt:1: a table of spot types needs one column SpotType; found Type, ID"),
        (["t|a", "|b"], "SpotType ID", "types.txt:3: a row has no spot type"),
        (["t|(a"], "SpotType ID", "types.txt:2: the pattern of column ID is no regular expression; found '(a'"),
        (["t|*(a"], "SpotType ID", "types.txt:2: the pattern of column ID is no regular expression"),
        (["t|a"], "SpotType Nme", "types.txt:1: no column of the spot types is one of the spots of a.gpr; found Nme"),
        (["t|zz*"], "SpotType ID", "types.txt:2: no spot of a.gpr is of any of these types; found ID 'zz*'"),
    ],
)
def test_tables_that_cannot_be_are_refused(rows: list[str], titles: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        types_of(table(*rows, titles=titles), {"ID": column(["x"]), "Name": column(["y"])}, 1, "a.gpr")
    assert str(caught.value).startswith(message)


def test_many_stars_do_not_take_for_ever() -> None:
    cells = column(["a" * 2000 + "c"] * 3)
    started = time.perf_counter()
    with pytest.raises(FormatError, match="no spot of"):
        types_of(table("t|" + "*a" * 30 + "*b"), {"ID": cells}, 3, "a.gpr")
    assert time.perf_counter() - started < 1


def test_columns_of_a_file_that_are_read() -> None:
    known = table("t|a|b|c|d", titles="SpotType ID plate Color Symbol")
    assert needed_columns(known, ["ID", "Plate", "F635 Mean"]) == ["ID", "Plate"]
    assert needed_columns(known, ["Symbol", "Id"]) == ["Id", "Symbol"]


def raw_of(types: list[str], **spots: np.ndarray) -> RawArray:
    n = len(types)
    return RawArray(
        "a.gpr", "GPR", "", ("E",), ("",), np.ones((1, n)), None, {"SpotType": column(types), **spots},
        flags=np.zeros(n, np.int64),
    )  # fmt: skip


def test_types_say_what_may_enter_a_fit() -> None:
    raw = raw_of(["gene", "control", "spike", ""])
    use = use_of(raw.flags, 4, "exclude").use
    assert use_of_types(use, raw, (), ()).tolist() == [True] * 4
    assert use_of_types(use, raw, ("spike", "Control"), ()).tolist() == [True, False, False, True]
    assert use_of_types(use, raw, (), ("control",)).tolist() == [False, True, False, False]
    assert use.tolist() == [True] * 4, "what was given stays as it is"
    assert use_of_types(use, raw, ("other",), ("control", "other")).tolist() == [False, True, False, False]
    assert type_doubts(raw, ("other", "spike"), ("gene",)) == ["a.gpr: no spot is of the type other (--exclude-types)"]
    assert type_doubts(replace(raw, part_of="a"), ("other",), ()) == []
    with pytest.raises(FitError, match="no spot is left for the fit by fit_types; found other"):
        use_of_types(use, raw, (), ("other",))
    with pytest.raises(
        OptionError, match=r"a: fit_types names a type that no spot has; found 'x', expected gene, spike"
    ):
        check_words(["gene", "spike"], (), ("Gene", "x"), "a")
    with pytest.raises(OptionError, match="a: exclude_types needs the types of the spots; found no column SpotType"):
        check_words([], ("x",), (), "a")
    with pytest.raises(FitError, match=r"a.gpr: no spot is left for the fit by fit_types; found gene"):
        use_of_types(use, raw, ("gene",), ("gene",))
    bare = RawArray("a.gpr", "GPR", "", ("E",), ("",), np.ones((1, 4)), None, {})
    with pytest.raises(OptionError, match="exclude_types needs the types of the spots; found no column SpotType"):
        use_of_types(use, bare, ("x",), ())


def test_a_column_of_the_file_gives_way_to_the_table_and_that_is_said() -> None:
    raw = with_types(raw_of(["old", "old"], ID=column(["a", "b"])), table("gene|*"))
    assert raw.spots["SpotType"].tolist() == [b"gene", b"gene"]
    assert raw.warnings == ("a.gpr: the spot types of types.txt stand in the place of the file's column SpotType",)


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_spikes_do_not_bend_the_curve_and_are_normalized() -> None:
    arrays = gn.simulate(1, (2, 2), (12, 12), seed=1).arrays
    typed = gn.spot_types(arrays, {"SpotType": ["gene", "spike"], "ID": ["*", "P0000*"]})
    spike = typed.columns["SpotType"] == b"spike"
    wild = {**typed.values, "R": np.where(spike, typed.values["R"] * 50, typed.values["R"])}
    spoilt = gn.ArraySet(("a",), ("R", "G"), wild, typed.columns, typed.layout)
    clean = gn.ArraySet(("a",), ("R", "G"), typed.values, typed.columns, typed.layout)
    options = {"background": "subtract", "by": "print-tip", "exclude_types": "spike"}
    one, two = gn.normalize(spoilt, **options), gn.normalize(clean, **options)
    np.testing.assert_array_equal(one.M[~spike], two.M[~spike])
    assert np.isfinite(one.M[spike]).any() and not np.allclose(
        gn.normalize(spoilt, background="subtract").M[~spike], one.M[~spike], equal_nan=True
    )
    only = gn.normalize(clean, background="subtract", fit_types=["gene"], by="print-tip")
    np.testing.assert_array_equal(only.M, two.M)
    steps = gn.normalize_within(gn.background_correct(clean, "subtract"), by="print-tip", fit_types=["gene"])
    np.testing.assert_array_equal(steps.M, only.M)
    assert steps.history == only.history
    assert only.history.parameters()["fit_types"] == ["gene"]
    assert only.record(0).types == {"spike": 99, "gene": 477}


def test_titles_and_types_that_would_be_mistaken_are_refused() -> None:
    for titles in (("SpotType", "ID", "id"), ("SpotType", "Name", "NAME")):
        with pytest.raises(FormatError, match="types.txt:1: two columns of the spot types have one title"):
            types_table("types.txt", titles, [("gene", "*", "*")], [2])
    with pytest.raises(FormatError, match=r"types.txt:3: this is what spots without a type are called; found \(none\)"):
        types_table("types.txt", ("SpotType", "ID"), [("gene", "*"), ("(none)", "x")], [2, 3])
