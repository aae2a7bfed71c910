from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.arrays.align import SpotKeys, compare, keys_of, union
from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.arrays.simulate import simulate
from gridnorm.errors import LayoutError, OptionError
from gridnorm.io.formats import gal, gpr
from gridnorm.io.text import load


def keys(rows: list[tuple[int, int, int, str]]) -> SpotKeys:
    b, r, c = (np.array([row[k] for row in rows], np.int64) for k in range(3))
    return SpotKeys(len(rows), b, r, c, np.array([row[3].encode() for row in rows], dtype="S"))


def slide(blocks: int = 3, rows: int = 4, columns: int = 5) -> list[tuple[int, int, int, str]]:
    return [
        (b, r, c, f"g{b}{r}{c}")
        for b in range(1, blocks + 1)
        for r in range(1, rows + 1)
        for c in range(1, columns + 1)
    ]


def rows_of(one: SpotKeys) -> list[tuple[int, int, int, str]]:
    assert one.block is not None and one.row is not None and one.column is not None and one.id is not None
    parts = (one.block.tolist(), one.row.tolist(), one.column.tolist(), [cell.decode() for cell in one.id.tolist()])
    return list(zip(*parts, strict=True))


def test_the_same_spots_in_the_same_order_are_identical_at_once() -> None:
    big = simulate(1, seed=1).raw(0)
    one, two = (keys_of(spots, big.n_spots) for spots in (big.spots, {k: v.copy() for k, v in big.spots.items()}))
    best = min(_seconds(lambda: compare(one, two, "b.gpr")) for _ in range(5))
    assert compare(one, two, "b.gpr").identical
    assert best < 0.02  # 20160 spots take 0.2 ms; a sort of the keys would take longer


def _seconds(act: object) -> float:
    start = time.perf_counter()
    act()  # type: ignore[operator]
    return time.perf_counter() - start


def test_a_wider_id_column_is_no_difference() -> None:
    one = keys(slide())
    assert one.id is not None
    assert compare(one, replace(one, id=one.id.astype("S40")), "b.gpr").identical


@given(st.permutations(range(60)))
@settings(max_examples=50, deadline=None)
def test_shuffled_rows_are_put_in_order(order: list[int]) -> None:
    rows = slide()
    reference, other = keys(rows), keys([rows[k] for k in order])
    result = compare(reference, other, "b.gpr")
    if order == list(range(60)):
        assert result.identical
        return
    assert result.order is not None and not result.identical
    assert [rows_of(other)[k] for k in result.order] == rows
    assert result.notes == ("b.gpr: the spots stand in another order than in the first file; they were re-ordered",)


def test_missing_and_extra_rows_are_counted() -> None:
    rows = slide()
    result = compare(keys(rows), keys([*rows[3:], (9, 1, 1, "new")]), "b.gpr", reference_file="a.gpr")
    assert (result.identical, result.order, result.missing, result.extra) == (False, None, 3, 1)
    assert result.notes == (
        "b.gpr: 3 of the 60 spots of a.gpr are missing; their cells stay empty",
        "b.gpr: 1 spots are not in a.gpr; they have rows of their own",
    )


def test_another_print_run_is_refused_with_the_first_three_differences() -> None:
    rows = slide()
    other = [(b, r, c, "other" if k in (7, 2, 30, 40) else name) for k, (b, r, c, name) in enumerate(rows)]
    with pytest.raises(LayoutError) as caught:
        compare(keys(rows), keys(other), "b.gpr")
    text = str(caught.value)
    assert text.startswith("b.gpr: the spots are not those of the first file: another print run")
    assert "another ID at 4 of 60 common positions (Block 1 Row 1 Column 3: 'other' instead of 'g113', " in text
    assert "Block 2 Row 3 Column 1" in text and "Block 3" not in text
    assert 'align="id" or align="union"' in text
    assert compare(keys(rows), keys(other), "b.gpr", "union").id_mismatch == pytest.approx(4 / 60)


def test_up_to_five_percent_of_other_ids_are_spots_of_their_own() -> None:
    rows = slide()
    other = [(*row[:3], "other") if k < 3 else row for k, row in enumerate(rows)]  # exactly 5 %
    result = compare(keys(rows), keys(other), "b.gpr")
    assert result.missing == result.extra == 3 and "another ID at 3 of 60" in result.notes[0]
    table, index = union([keys(rows), keys(other)])
    assert table.size == 63 and rows_of(table)[:2] == [(1, 1, 1, "g111"), (1, 1, 1, "other")]
    assert index[0][:2].tolist() == [0, -1] and index[1][:2].tolist() == [-1, 0]


@pytest.mark.parametrize("align", ["id", "union"])
def test_spots_that_only_moved_are_the_same_spots_where_arrays_are_joined_by_id(align: str) -> None:
    rows = slide()
    moved = [(*place[:3], row[3]) for place, row in zip(rows, rows[::-1], strict=True)]
    found = compare(keys(rows), keys(moved), "b.gpr", align, "a.gpr")
    assert (found.identical, found.order, found.missing, found.extra, found.notes) == (False, None, 0, 0, ())
    other = keys([*moved[2:], (9, 1, 1, "new")])
    found = compare(keys(rows), other, "b.gpr", align, "a.gpr")
    left_out = "the table has what is in all files, and leaves them out"
    assert (found.missing, found.extra) == (2, 1) and found.notes == (
        f"b.gpr: 2 of the 60 spots of a.gpr are missing; {left_out if align == 'id' else 'their cells stay empty'}",
        f"b.gpr: 1 spots are not in a.gpr; {left_out if align == 'id' else 'they have rows of their own'}",
    )
    # What has positions in one file only can be joined, and is counted, as well.
    bare = SpotKeys(other.size, id=other.id)
    assert compare(keys(rows), bare, "b.gpr", align, "a.gpr").notes == found.notes


@given(
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.just(1), st.sampled_from("abc")), min_size=1),
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.just(1), st.sampled_from("abc")), min_size=1),
)
@settings(max_examples=40, deadline=None)
def test_what_is_said_to_be_missing_and_extra_is_what_the_table_shows(
    one: list[tuple[int, int, int, str]], two: list[tuple[int, int, int, str]]
) -> None:  # fmt: skip
    a, b = keys(one), keys(two)
    said = compare(a, b, "b.gpr", "union")
    _, (rows_a, rows_b) = union([a, b], "union")
    assert (said.missing, said.extra) == ((rows_b < 0).sum(), (rows_a < 0).sum())
    said = compare(a, b, "b.gpr", "id")
    table, _ = union([a, b], "id")
    assert (said.missing, said.extra) == (a.size - table.size, b.size - table.size)


def test_two_rows_of_one_position_are_both_kept() -> None:
    rows = slide(1, 1, 3)
    twice = [rows[0], rows[0], *rows[1:]]
    assert keys(twice).occurrence.tolist() == [0, 1, 0, 0]
    table, index = union([keys(rows), keys(twice)])
    assert rows_of(table) == twice and index[0].tolist() == [0, -1, 1, 2] and index[1].tolist() == [0, 1, 2, 3]
    reversed_rows = keys(twice[::-1])
    assert compare(keys(twice), reversed_rows, "b.gpr").order is not None


CELL = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.sampled_from("abc"))


FILES = st.lists(st.lists(CELL, min_size=1, max_size=15), min_size=1, max_size=4)


@given(FILES, st.sampled_from(["strict", "id", "union"]))
@settings(max_examples=200, deadline=None)
def test_a_union_has_every_spot_once_and_points_back_to_it(
    files: list[list[tuple[int, int, int, str]]], align: str
) -> None:
    table, index = union([keys(rows) for rows in files], align)
    for rows, spot in zip(files, index, strict=True):
        used = spot[spot >= 0].tolist()
        assert len(set(used)) == len(used)
        if align != "id":
            assert sorted(used) == list(range(len(rows)))  # no row is lost
        for row, k in zip(rows_of(table), spot.tolist(), strict=True):
            if k >= 0:
                assert rows[k] == row if align == "strict" else rows[k][3] == row[3]
        if align == "id":
            assert (spot >= 0).all()
    places = [row[:3] for row in rows_of(table)]
    assert places == sorted(places)
    if align == "id":
        counts = [min(sum(row[3] == name for row in rows) for rows in files) for name in "abc"]
        assert table.size == sum(counts)


def test_joining_by_id_pairs_replicates_in_layout_order_whatever_the_order_of_the_file() -> None:
    one = keys([(1, 1, 1, "x"), (1, 1, 2, "x"), (1, 1, 3, "y")])
    two = keys([(2, 9, 9, "x"), (2, 1, 1, "x"), (2, 5, 5, "z")])
    table, index = union([one, two], "id")
    assert [row[3] for row in rows_of(table)] == ["x", "x"]
    assert index[0].tolist() == [0, 1] and index[1].tolist() == [1, 0]
    table, index = union([one, two], "union")
    assert table.size == 4 and index[1].tolist() == [1, 0, -1, 2]


def test_without_positions_ids_are_matched_and_file_order_is_kept() -> None:
    one = SpotKeys(4, id=np.array([b"d", b"b", b"b", b"a"]))
    two = SpotKeys(3, id=np.array([b"b", b"d", b"a"]))
    result = compare(one, two, "b.txt")
    assert (result.missing, result.extra) == (1, 0)
    table, index = union([one, two])
    assert table.id is not None and table.id.tolist() == [b"d", b"b", b"b", b"a"]
    assert index[1].tolist() == [1, 0, -1, 2]
    with pytest.raises(LayoutError, match="IDs are not there, such as 'p', 'q'"):
        compare(one, SpotKeys(3, id=np.array([b"d", b"p", b"q"])), "c.txt")


def test_files_that_cannot_be_compared_are_refused() -> None:
    bare = SpotKeys(3)
    assert compare(bare, SpotKeys(3), "b.txt").identical
    with pytest.raises(LayoutError, match=r"b\.txt: the spots cannot be compared .* found 4 spots with neither"):
        compare(bare, SpotKeys(4), "b.txt")
    whole = keys(slide())
    with pytest.raises(LayoutError, match="found 60 spots with ID, expected 60 spots with Block, Row, Column, ID"):
        compare(whole, SpotKeys(60, id=whole.id), "b.txt")
    with pytest.raises(LayoutError, match="needs an ID column"):
        union([bare, SpotKeys(4)], "id")
    with pytest.raises(OptionError, match="unknown value of align"):
        union([bare], "loose")


def test_a_file_without_ids_is_matched_by_position_and_says_so() -> None:
    whole = keys(slide())
    order = np.arange(60)[::-1]
    assert whole.block is not None and whole.row is not None and whole.column is not None
    other = SpotKeys(60, whole.block[order], whole.row[order], whole.column[order])
    result = compare(whole, other, "b.txt")
    assert result.order is not None and np.array_equal(result.order, order)
    assert "b.txt has no ID column" in result.notes[1]
    table, _ = union([whole, other])
    assert rows_of(table) == rows_of(whole)


def test_real_arrays_of_one_print_run_agree_and_of_two_do_not(shared: Path) -> None:
    def read(name: str) -> SpotKeys:
        raw = gpr.read(load(shared / "data" / "arrays" / name), ReadOptions(keys_only=True))
        return keys_of(raw.spots, raw.n_spots)

    folder = "caArray"
    one, two = read(f"{folder}/21160_neu9.gpr.gz"), read(f"{folder}/21161_neu10.gpr.gz")
    assert compare(one, two, "21161_neu10.gpr.gz").identical
    with pytest.raises(LayoutError, match="another print run"):
        compare(one, read("HenrikBengtsson_aroma/gpr123.gpr.gz"), "gpr123.gpr.gz")
    cut = compare(two, read("geworkbench/21161_neu10-4000markers.gpr.gz"), "cut.gpr")
    assert cut.missing == 8832 - 3973 and cut.extra == 0


def array(**spots: np.ndarray) -> RawArray:
    n = len(next(iter(spots.values())))
    return RawArray("a.gpr", "GPR", "", ("E",), ("635",), np.ones((1, n)), None, dict(spots))


def test_a_gal_names_the_spots_and_conflicts_are_reported() -> None:
    place = {k: np.array(v, np.int64) for k, v in (("Block", [1, 1, 2]), ("Row", [1, 1, 1]), ("Column", [1, 2, 1]))}
    place = {k: np.concatenate([v, np.arange(30) + 5]) for k, v in place.items()}
    same = [b"same"] * 30
    raw = array(**place, ID=np.array([b"old", b"same", b"mine", *same]))
    spots = {k: np.concatenate([v[:2][::-1], v[3:]]) for k, v in place.items()}
    spots |= {"ID": np.array([b"same", b"longer name", *same]), "Plate": np.array([7.0, 3.0, *[0.0] * 30])}
    listed = gal.Gal("b.gal", {}, (), spots, (), ())
    named = annotate(raw, listed)
    assert named.spots["ID"].tolist() == [b"longer name", b"same", b"mine", *same]
    np.testing.assert_array_equal(named.spots["Plate"], [3.0, 7.0, np.nan, *[0.0] * 30])
    assert named.warnings == (
        "a.gpr: ID differs from b.gal in 1 spot (Block 1 Row 1 Column 1: 'old', GAL 'longer name'); the GAL's is used",
        "a.gpr: 1 spots are not in b.gal; they keep the ID of the file",
    )
    with pytest.raises(LayoutError, match=r"a\.gpr: b\.gal lists none of the spots"):
        annotate(array(**{k: v + 100 for k, v in place.items()}), listed)
    with pytest.raises(LayoutError, match="needs Block, Row and Column"):
        annotate(array(ID=raw.spots["ID"]), listed)


PLACE = {"Block": [1, 1], "Row": [1, 1], "Column": [1, 2]}
ID, OTHER = {"ID": [b"a", b"b"]}, {"ID": [b"a", b"c"]}


@pytest.mark.parametrize(
    ("one", "two", "comparable"),
    [
        (PLACE, PLACE | {"Column": [1, 3]}, True),
        (ID, OTHER, True),
        (PLACE | ID, PLACE | OTHER, True),
        (PLACE | ID, ID, False),
        (ID, PLACE | ID, False),
        (PLACE, ID, False),
        (PLACE | ID, {"Block": [1, 1]} | ID, False),
        ({}, ID, False),
    ],
)
def test_spots_are_compared_by_the_keys_that_both_files_have(one: dict, two: dict, comparable: bool) -> None:  # type: ignore[type-arg]
    keys = [keys_of({title: np.array(cells) for title, cells in columns.items()}, 2) for columns in (one, two)]
    if comparable:
        assert union(keys)[0].size in (3, 4)
    else:
        with pytest.raises(LayoutError, match="cannot be compared with those of the first file"):
            union(keys)
