"""Many arrays into one table."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import NamedTuple

import damage
import numpy as np
import pytest
from damage import Sheet, sheet

import gridnorm as gn
from gridnorm.workflow.collect import collect
from gridnorm.workflow.output import normalize_to, run_plan
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.target import Request

SPOTS = 224


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Table(NamedTuple):
    rows: int
    prefix: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]
    warnings: tuple[str, ...]


def joined(*sheets: Sheet, **options: object):
    """The table of sheets as files 0.gpr, 1.gpr, …, and the failures."""
    paths = [str(given.write(Path(f"{k}.gpr"))) for k, given in enumerate(sheets)]
    plan = make_plan(paths, make_settings({"background": "half", **options}))
    items = list(run_plan(plan))
    sets = [item for item in items if isinstance(item, gn.ArraySet)]
    failures = [item for item in items if not isinstance(item, gn.ArraySet)]
    arrays = collect(sets, plan)
    return Table(arrays.n_spots, arrays.shown, arrays.numbers(), arrays.warnings), failures


def renamed(given: Sheet, share: float) -> Sheet:
    """Other IDs at this share of the positions, the first ones."""
    return damage.with_cells(given, "ID", range(round(share * SPOTS)), lambda cell: "Q" + cell[1:])


def test_the_same_spots_share_their_rows() -> None:
    table, _ = joined(sheet(0), sheet(1), sheet(2))
    assert (table.rows, list(table.prefix), table.warnings) == (SPOTS, ["Block", "Row", "Column", "ID", "Name"], ())
    assert [t for t in table.numbers if t[0] == "M"] == ["M.0", "M.1", "M.2"]


def test_every_row_of_every_file_is_in_the_table_exactly_once() -> None:
    parts = [damage.without(sheet(k), range(10 * k, 10 * k + 30)) for k in range(3)]
    table, failures = joined(*map(damage.shuffled, parts))
    assert not failures
    keys = list(zip(*(table.prefix[t].tolist() for t in ("Block", "Row", "Column", "ID")), strict=True))
    assert len(set(keys)) == len(keys) == table.rows
    assert keys == sorted(keys)
    for k, part in enumerate(parts):
        have = {
            (int(b), int(r), int(c), i.encode())
            for b, r, c, i in zip(*(part.cells(t) for t in ("Block", "Row", "Column", "ID")), strict=True)
        }
        present = [key for key, value in zip(keys, table.numbers[f"M.{k}"].tolist(), strict=True) if value == value]
        assert set(present) == have and len(present) == len(part.rows)
    lacking = table.rows - SPOTS + 30
    assert [text for text in table.warnings if "of the table" in text] == [
        f"0.gpr, 1.gpr and 2.gpr: {lacking} of {table.rows} spots of the table are not in these files; their cells are empty"
    ]


@pytest.mark.parametrize("align", ["id", "union"])
def test_joined_by_id_nothing_is_said_of_spots_that_moved_and_the_truth_of_the_others(align: str) -> None:
    """Every spot that had moved was said to be missing, and extra, and one that ``id`` drops to have its row."""
    names = iter(sheet(0).cells("ID")[::-1])
    moved = damage.with_cells(sheet(1), "ID", range(SPOTS), lambda _: next(names))
    table, failures = joined(sheet(0), moved, align=align)
    assert not failures and (table.rows, table.warnings) == (SPOTS, ())
    other = damage.with_cells(moved, "ID", [5], lambda _: "new")
    table, _ = joined(sheet(0), other, align=align)
    says = {
        "id": (SPOTS - 1, [
            f"1.gpr: 1 of the {SPOTS} spots of 0.gpr are missing; the table has what is in all files, and leaves them out",
            "1.gpr: 1 spots are not in 0.gpr; the table has what is in all files, and leaves them out",
        ]),
        "union": (SPOTS + 1, [
            f"1.gpr: 1 of the {SPOTS} spots of 0.gpr are missing; their cells stay empty",
            "1.gpr: 1 spots are not in 0.gpr; they have rows of their own",
            f"0.gpr and 1.gpr: 1 of {SPOTS + 1} spots of the table are not in these files; their cells are empty",
        ]),
    }  # fmt: skip
    assert (table.rows, list(table.warnings)) == says[align]


@pytest.mark.parametrize(("share", "refused"), [(0.0, False), (0.04, False), (0.06, True), (1.0, True)])
def test_another_print_run_is_refused_above_5_percent_of_other_ids(share: float, refused: bool) -> None:
    table, failures = joined(sheet(0), renamed(sheet(1), share))
    if refused:
        assert [f.file for f in failures] == ["1.gpr"]
        said = str(failures[0].error)
        assert "another print run" in said and "Block 1 Row 1 Column 3: 'Q00003' instead of 'P000003'" in said.replace(
            "Q000003", "Q00003"
        )
        assert list(table.numbers) == ["M.0", "A.0"]
    else:
        count = round(share * SPOTS)
        assert table.rows == SPOTS + count
        assert (
            np.count_nonzero(np.isnan(table.numbers["M.0"]))
            == np.count_nonzero(np.isnan(table.numbers["M.1"]))
            == count
        )


def test_align_id_keeps_the_common_ids_and_union_all() -> None:
    other = renamed(sheet(1), 0.5)
    alone = gn.normalize(str(other.write(Path("alone.gpr"))), background="half")
    m = dict(zip(alone.spots["ID"], alone.M[:, 0], strict=True))
    common, _ = joined(sheet(0), other, align="id")
    assert common.rows == SPOTS // 2
    every, _ = joined(sheet(0), other, align="union")
    assert every.rows == SPOTS + SPOTS // 2
    for table in (common, every):
        for name, value in zip(table.prefix["ID"].tolist(), table.numbers["M.1"].tolist(), strict=True):
            assert value == m[name.decode()] if name.decode() in m else value != value


def test_weights_stand_beside_every_array_if_one_has_any() -> None:
    flagged = damage.with_cells(sheet(1), "Flags", [4], "-50")
    table, _ = joined(sheet(0), flagged)
    assert table.numbers["W.0"].tolist() == [1.0] * SPOTS
    assert np.flatnonzero(table.numbers["W.1"] == 0).tolist() == [4]
    table, _ = joined(sheet(0), damage.without(flagged, [9]))
    assert np.isnan(table.numbers["W.1"][9]) and table.numbers["W.1"][4] == 0


def test_python_returns_the_rows_of_the_table() -> None:
    sheets = [damage.shuffled(sheet(0)), damage.without(sheet(1), [3, 5]), sheet(2)]
    table, _ = joined(*sheets)
    with pytest.warns(gn.GridnormWarning):
        result = gn.normalize(["0.gpr", "1.gpr", "2.gpr"], background="half")
    for k in range(3):
        np.testing.assert_array_equal(result.M[:, k], table.numbers[f"M.{k}"])
        np.testing.assert_array_equal(result.fits[k].values[0], result.M[:, k])
    assert result.spots["ID"].tolist() == [i.decode() for i in table.prefix["ID"].tolist()]
    assert not np.isnan(result.M[:, 0]).any()


def test_a_raw_set_has_the_rows_of_all_files_too() -> None:
    paths = [
        str(given.write(Path(f"{k}.gpr")))
        for k, given in enumerate((damage.without(sheet(0), [0]), damage.without(sheet(1), [1])))
    ]
    with pytest.warns(gn.GridnormWarning):
        arrays = gn.read(paths)
    assert arrays.n_spots == SPOTS
    assert np.argwhere(np.isnan(arrays.R)).tolist() == [[0, 0], [1, 1]]
    assert arrays.spots["Name"].tolist() == sheet(0).cells("Name")


@pytest.mark.parametrize("align", ["strict", "id", "union"])
@pytest.mark.parametrize(
    ("title", "cells"), [(None, ""), ("Name", "cabab"), ("ID", "cabab"), ("Block", "54321"), ("Block", "21212")]
)
def test_spots_that_no_position_orders_stand_as_in_the_files(
    tmp_path: Path, title: str | None, cells: str, align: str
) -> None:
    """Of files that name their spots alike there is nothing to join, so nothing that joining would need is missed."""
    for name, factor in (("a", 1), ("b", 3)):
        rows = [["R", "G"], *([str(2**k), str(factor * (k + 1))] for k in range(5))]
        if title:
            rows = [[one, *row] for one, row in zip([title, *cells], rows, strict=True)]
        (tmp_path / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    done = gn.normalize(files, columns="R=R,G=G", by="array", method="none", align=align)
    expected = [[k - np.log2(factor * (k + 1)) for factor in (1, 3)] for k in range(5)]
    np.testing.assert_allclose(done.M, expected, rtol=1e-12)
    assert list(done.columns) == ([title] if title else [])


@pytest.mark.parametrize("first", ["Block Row Column", "Row Column Block", "Column Block Row", "Column Row Block"])
@pytest.mark.parametrize("backward", ["", "Block", "Row", "Column", "Block Row"])
@pytest.mark.parametrize("spots", [(2, 7), (8, 2)])
def test_rows_stand_in_layout_order_whatever_the_order_of_the_files(
    spots: tuple[int, int], backward: str, first: str
) -> None:
    given = [sheet(k, (1, 2), spots) for k in range(2)]
    plain, _ = joined(*given, method="none")
    by = [[(-1) ** (title in backward) * int(cell) for cell in given[0].cells(title)] for title in first.split()]
    turned, _ = joined(*(damage.with_rows(one, np.lexsort(by[::-1]).tolist()) for one in given), method="none")
    for title in ("Block", "Row", "Column", "ID"):
        np.testing.assert_array_equal(turned.prefix[title], plain.prefix[title])
    for title in ("M.0", "M.1"):
        np.testing.assert_array_equal(turned.numbers[title], plain.numbers[title])


@pytest.mark.parametrize(
    ("last", "rows", "m", "why"),
    [
        ("2", [1, 1, 2], [2, 1, 3], ""),
        ("1", [2, 1, 1], [3, 2, 1], "repeat"),
        ("0", [2, 1, 1], [3, 2, 1], "do not begin at 1"),
    ],
)
def test_rows_and_columns_without_blocks_are_one_block_where_they_can_be(
    last: str, rows: list[int], m: list[float], why: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    lines = [["Row", "Column", "R", "G"], ["2", "1", "8", "1"], ["1", "1", "4", "1"], ["1", last, "2", "1"]]
    (tmp_path / "a.txt").write_text("".join("\t".join(line) + "\n" for line in lines))
    done = gn.normalize(tmp_path / "a.txt", columns="R=R,G=G", by="array", method="none")
    assert done.M[:, 0].tolist() == m and done.columns["Row"].tolist() == rows
    assert ("Block" in done.columns) == (why == "") and set(done.columns.get("Block", [1])) == {1}
    said = [str(one.message) for one in recwarn if "no layout" in str(one.message)]
    assert said == [
        f"{tmp_path}/a.txt: Row and Column {why}, so they are no block; without a column Block there is no layout"
    ] * bool(why)


@pytest.mark.parametrize(
    ("copies", "says"),
    [
        (["1.gpr"], "1.gpr: same content as 0.gpr: arrays 0 and 1 are one measurement"),
        (["1.gpr.gz"], "1.gpr.gz: same content as 0.gpr: arrays 0 and 1 are one measurement"),
        (
            [f"{k}.gpr" for k in range(1, 6)],
            "1.gpr, 2.gpr, 3.gpr and 2 more: same content as 0.gpr: arrays 0, 1, 2 and 3 more are one measurement",
        ),
    ],
)
def test_the_same_data_twice_are_said_once_on_every_route(copies: list[str], says: str) -> None:
    """Copies of one file were taken for arrays of their own, in silence."""
    text = sheet().write(Path("0.gpr")).read_bytes()
    for name in copies:
        Path(name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    sheet(1).write(Path("other.gpr"))
    paths = ["0.gpr", "other.gpr", *copies]
    with pytest.warns(gn.GridnormWarning, match=says):
        gn.normalize(paths)
    for output in ("x.tsv", "x/"):
        said = normalize_to(paths, make_settings({}), Request(output=output)).warnings
        assert [text.startswith(says) for text in said if "same content" in text] == [True], said


def test_the_parts_of_one_file_are_no_copies() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sheet().write(Path("a.gpr"))
        gn.normalize("a.gpr", split="block", method="none")
    assert not [w for w in said if "same content as" in str(w.message)]
