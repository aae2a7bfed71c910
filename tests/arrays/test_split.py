"""One array into several: which spot becomes which row of which part, and that none is lost."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.grouping import SPLIT
from gridnorm.arrays.layout import infer_layout
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.split import split_raw, split_sets


def slide(blocks: int = 4, rows: int = 3, columns: int = 4, names: Any = None, **more: Any) -> RawArray:
    """A slide whose spot k has the intensity k + 1; every block holds the same IDs unless ``names`` tells others."""
    block, row, column = (1 + part.ravel() for part in np.indices((blocks, rows, columns)))
    inside = (row - 1) * columns + column
    ids = np.array([f"p{k}" for k in inside] if names is None else names, "S8")
    spots = {"Block": block, "Row": row, "Column": column, "ID": ids, **more}
    values = np.arange(1.0, block.size + 1)[None]
    return RawArray("a.gpr", "GPR", "", ("E",), ("",), values, values / 2, spots, np.where(values[0] % 7 == 0, -50, 0))


def taken(raw: RawArray, rows: Any) -> RawArray:
    """Some rows of a slide, in this order."""
    assert raw.background is not None and raw.flags is not None
    return replace(
        raw, foreground=raw.foreground[:, rows], background=raw.background[:, rows], flags=raw.flags[rows],
        spots={title: column[rows] for title, column in raw.spots.items()},
    )  # fmt: skip


def layout_of(raw: RawArray, override: str | None = None) -> Any:
    return infer_layout(*(raw.spots[t] for t in ("Block", "Row", "Column")), override=override)


def as_set(raw: RawArray, override: str | None = None) -> gn.ArraySet:
    from gridnorm.arrays.arrayset import of_raw

    return of_raw(raw, "a", layout_of(raw, override))


def said(raw: RawArray, by: str) -> list[str]:
    return list(split_raw(raw, layout_of(raw), by)[0].raw.warnings)


def test_every_block_becomes_a_column_and_every_probe_a_row() -> None:
    parts = gn.split(as_set(slide()), by="block")
    assert parts.names == ("a.1", "a.2", "a.3", "a.4") and parts.absent is None and parts.warnings == ()
    assert parts.spots[["Block", "Row", "Column", "ID"]].values.tolist() == [
        [1, 1 + k // 4, 1 + k % 4, f"p{k + 1}"] for k in range(12)
    ]
    np.testing.assert_array_equal(parts.E, np.arange(1.0, 49).reshape(4, 12).T)
    np.testing.assert_array_equal(parts.Eb, parts.E / 2)
    assert parts.flags is not None and ((parts.flags == -50) == (parts.E % 7 == 0)).all()
    assert [(r.file, r.part, r.title, r.spots, r.flagged) for r in parts.records][1] == (
        "a.gpr",
        "2",
        "a.gpr block 2",
        12,
        2,
    )
    assert str(parts.history) == "split(split=block)"


@pytest.mark.parametrize("seed", range(6))
def test_no_spot_is_lost_or_doubled_whatever_the_groups(seed: int) -> None:
    """Random groups, blocks of other content, repeats, spots that are not there, any order."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(["s 1", "S2", "", "x/y"], 72).astype("S3") if seed % 2 else np.repeat(["u", "v", "u"], 24)
    raw = slide(6, names=[f"p{k}" for k in rng.integers(0, 30, 72)], Sample=np.asarray(labels, "S3"))
    raw = taken(raw, rng.permutation(72)[: 72 - 5 * seed])
    if seed > 3:  # two rows of one position
        raw.spots["Column"][:9] = raw.spots["Column"][9:18]
    by = "block" if seed == 0 else "sample"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        parts = gn.split(as_set(raw), by=by)
    absent = np.zeros(parts.E.shape, bool) if parts.absent is None else parts.absent.T
    assert (np.isnan(parts.E) == absent).all()
    assert sorted(parts.E[~absent].tolist()) == sorted(raw.foreground[0].tolist())
    assert [record.missing for record in parts.records] == [0] * len(parts)
    where = dict(zip(raw.foreground[0].tolist(), range(raw.n_spots), strict=True))
    text = raw.spots["Block" if by == "block" else "Sample"]
    for k, name in enumerate(parts.names):
        here = [where[value] for value in parts.E[~absent[:, k], k].tolist()]
        label = name.removeprefix("a.")
        assert {str(one.decode() if isinstance(one, bytes) else one) or "(none)" for one in text[here]} == {label}
        assert parts.spots["ID"][~absent[:, k]].tolist() == [raw.spots["ID"][i].decode() for i in here]


def test_parts_of_other_content_have_rows_of_their_own() -> None:
    names = [f"{'xy'[k // 12 % 2]}{k % 12}" for k in range(48)]
    raw = slide(names=names)
    parts = gn.split(as_set(raw))
    assert parts.E.shape == (24, 4) and parts.absent is not None
    assert (parts.absent.sum(axis=1) == 12).all() and not (parts.absent[0] & parts.absent[1]).any()
    assert said(raw, "block") == [
        "a.gpr: parts by block hold different spots: 2 parts of 12 spots (block 1, 3); 2 parts of 12 spots (block 2, 4); "
        "of the 24 rows, those that a part does not have are empty"
    ]
    mixed = slide(8, names=[f"{'xy'[k // 12 % 2]}{k % 12}" for k in range(96)])
    assert (
        "4 parts of 12 spots (block 1, 3, 5, 7); 4 parts of 12 spots (block 2, 4, 6, 8); of" in said(mixed, "block")[0]
    )
    assert "3 parts of 12 spots (block 1, 3, 5); 3 parts" in said(taken(mixed, range(72)), "block")[0]
    every = [f"n{k}" for k in range(60)]
    assert "1 part of 12 spots (block 4); of the 48 rows" in said(slide(names=every[:48]), "block")[0]
    assert (
        "(block 3); 1 part of 12 spots (block 4) and 1 more; of the 60 rows" in said(slide(5, names=every), "block")[0]
    )


def test_pads_are_matched_by_the_place_of_their_blocks() -> None:
    """Two pads of two blocks by two, side by side; a block that is not there leaves a gap and moves none."""
    x = np.array([0, 1, 10, 11] * 2)[:, None] * 1000 + 100 * np.arange(1, 5)
    raw = slide(8)
    column, row = raw.spots["Column"], raw.spots["Row"]
    at = raw.spots["Block"] - 1
    raw.spots.update(X=x[at, column - 1].astype(float), Y=(at // 4 * 1000 + row * 100).astype(float))
    for lacking in (None, 3, 8):
        some = taken(raw, np.flatnonzero(raw.spots["Block"] != lacking))
        layout = infer_layout(*(some.spots[t] for t in ("Block", "Row", "Column", "X", "Y")))
        assert layout.n_pads == 2
        one, two = split_raw(some, layout, "pad")
        blocks = {k: sorted(set((some.spots["Block"][p.rows]).tolist())) for k, p in (("1", one), ("2", two))}
        assert blocks == {"1": [1, 2, 5, 6], "2": [k for k in (3, 4, 7, 8) if k != lacking]}
        number = dict(zip(some.spots["Block"][two.rows].tolist(), two.raw.spots["Block"].tolist(), strict=True))
        assert number == {k: n for k, n in {3: 1, 4: 2, 7: 3, 8: 4}.items() if k != lacking}
        assert one.layout is not None and one.layout.describe() == "2 x 2 blocks of 3 x 4 spots (from X/Y positions)"
        assert one.layout.evidence[0].startswith("one of 2 parts, by pad, of 2 x 4 blocks") and one.layout.complete
        assert two.layout is not None and two.layout.blocks.tolist() == sorted(number.values())


def test_within_a_block_that_parts_share_rows_and_columns_count_from_the_part() -> None:
    raw = slide(2, 6, 4)
    raw.spots["Sample"] = np.where(raw.spots["Row"] <= 3, b"up", b"down")
    raw.spots["ID"] = np.array(
        [f"{(r - 1) % 3}/{c}" for r, c in zip(raw.spots["Row"], raw.spots["Column"], strict=True)], "S8"
    )
    parts = gn.split(as_set(raw), by="Sample")
    assert parts.names == ("a.down", "a.up") and parts.absent is None and parts.n_spots == 24
    assert parts.spots["Row"].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    np.testing.assert_array_equal(parts.E[:, 0] - parts.E[:, 1], np.full(24, 12.0))
    assert parts.layout is not None and parts.layout.describe().startswith("2 x 1 blocks of 3 x 4 spots")


def test_blocks_apart_that_are_one_sample_are_numbered_in_their_order() -> None:
    raw = slide(6)
    raw.spots["Sample"] = np.array([b"x", b"y", b"y", b"x", b"y", b"x"])[raw.spots["Block"] - 1]
    parts = gn.split(as_set(raw), by="sample")
    assert parts.absent is None and parts.spots["Block"].unique().tolist() == [1, 2, 3]
    assert [parts.E[12 * k, j] for k in range(3) for j in range(2)] == [1, 13, 37, 25, 61, 49]


def test_what_has_no_place_is_matched_by_id_and_occurrence() -> None:
    raw = slide(4)
    raw = replace(raw, spots={"ID": raw.spots["ID"], "Sample": raw.spots["Block"].astype(float)})
    from gridnorm.arrays.arrayset import of_raw

    parts = gn.split(of_raw(raw, "a", None), by="Sample")
    assert parts.names == ("a.1", "a.2", "a.3", "a.4") and parts.absent is None and parts.layout is None
    np.testing.assert_array_equal(parts.E, np.arange(1.0, 49).reshape(4, 12).T)


def test_labels_are_one_line_and_no_two_alike() -> None:
    labels = np.repeat(np.array([b"a  b", b"a\tb", b"", b"(none)", b"1.5"]), 12)
    raw = slide(5)
    raw.spots["Sample"] = labels
    assert [p.label for p in split_raw(raw, None, "Sample")] == ["1.5", "(none)", "a b", "a b (2)", "(none) (2)"]
    assert "a.gpr: 12 spots have no Sample; they are the part (none)" in said(raw, "Sample")


def test_one_group_is_said() -> None:
    assert said(slide(1), "block") == ["a.gpr: all spots are of one block; split makes one array of them"]
    assert gn.split(as_set(slide(1))).names == ("a.1",)


@pytest.mark.parametrize(
    ("by", "says"),
    [
        (
            "blok",
            "split names no column; found 'blok', expected none, block, pad, or a spot column. Did you mean 'block'?",
        ),
        ("none", "there is nothing to split by"),
        ("ID", r'the groups of split="ID" are too small to be arrays; found 12 groups for 48 spots, expected 5 spots'),
    ],
)
def test_what_cannot_be_split_by_is_refused(by: str, says: str) -> None:
    with pytest.raises(gn.OptionError, match=says):
        split_raw(slide(), layout_of(slide()), by)


def test_pads_and_blocks_need_the_columns() -> None:
    raw = slide()
    with pytest.raises(
        gn.LayoutError, match='split="pad" needs the blocks of the slide; found no Block, Row and Column'
    ):
        split_raw(raw, None, "pad")
    del raw.spots["Block"]
    with pytest.raises(gn.LayoutError, match='split="block" needs the blocks of the slide; found no Block column'):
        split_raw(raw, None, "block")
    with pytest.raises(
        gn.OptionError, match="unknown value of split; found '', expected none, block, pad, or a spot column"
    ):
        SPLIT.read("")


def test_parts_are_not_split_again() -> None:
    parts = gn.split(as_set(slide()))
    with pytest.raises(gn.OptionError, match='these arrays are parts already; found split="block"'):
        gn.split(parts)


def test_infinite_values_are_said_once_for_the_file_and_counted_as_missing() -> None:
    raw = slide()
    raw.foreground[0, 3] = np.nan
    first, *others = split_raw(replace(raw, infinite=1), layout_of(raw), "block")
    assert first.raw.warnings == ("a.gpr: 1 infinite intensities are missing in the result",)
    assert [p.raw.missing for p in (first, *others)] == [1, 0, 0, 0] and first.raw.infinite == 0


def test_a_normalized_set_can_be_split_and_has_no_fits_then() -> None:
    done = gn.normalize(as_set(slide()), background="none", by="array", min_group=0)
    parts = gn.split(done)
    np.testing.assert_array_equal(parts.E, done.E.reshape(4, 12).T)
    assert parts.fits == () and parts.weights is not None


def test_of_spots_that_an_array_of_a_set_lacks_there_is_no_row() -> None:
    whole = as_set(slide())
    absent = np.zeros((1, 48), bool)
    absent[0, 12:24] = True
    one = replace(whole, absent=absent)
    assert gn.split(one).names == ("a.1", "a.3", "a.4")
    assert [rows.tolist() for _, rows, _ in split_sets(one, "block")][1] == list(range(24, 36))
    # The fourth block, not the third, is the one of the layout that is larger here.
    assert whole.layout is not None
    sizes = np.array([3, 3, 3, 5])
    record = one.record(0)._replace(layout=replace(whole.layout, rows_per_block=sizes))
    assert [part.layout.spot_rows for *_, part in split_sets(replace(one, records=(record,)), "block")] == [3, 3, 5]


def test_names_of_parts_that_meet_are_numbered() -> None:
    raw = slide(2)
    raw.spots["Sample"] = np.repeat(np.array([b"1.x", b"2.x"]), 12)
    one = as_set(raw)
    values = {name: np.repeat(matrix, 2, axis=0) for name, matrix in one.values.items()}
    two = gn.ArraySet(("a", "a.1"), ("E",), values, {**one.columns, "Sample": raw.spots["Sample"]}, one.layout)
    assert gn.split(two, "Sample").names == ("a.1.x", "a.2.x", "a.1.1.x", "a.1.2.x")
    raw.spots["Sample"] = np.repeat(np.array([b"1.x", b"x"]), 12)
    two = replace(two, columns={**one.columns, "Sample": raw.spots["Sample"]})
    assert gn.split(two, "Sample").names == ("a.1.x", "a.x", "a.1.1.x", "a.1.x (2)")


def test_three_channels_are_split_like_one() -> None:
    values = np.random.default_rng(1).uniform(100, 1000, (3, 1, 48))
    names = ("635", "532", "594")
    three = gn.ArraySet(("a",), names, dict(zip(names, values, strict=True)), slide().spots, layout_of(slide()))
    parts = gn.split(three)
    assert len(parts) == 4
    for k, name in enumerate(names):
        np.testing.assert_array_equal(parts.values[name], values[k, 0].reshape(4, 12))


# ---------------------------------------------------------------------------------------------- real files


def cells_of(path: Path) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a GPR file, by the standard library alone."""
    lines = gzip.decompress(path.read_bytes()).decode("latin-1").splitlines()
    start = next(k for k, line in enumerate(lines) if {"Block", "ID"} <= set(line.replace('"', "").split("\t")))
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines[start:])), delimiter="\t") if any(row)]
    return rows[0], rows[1:]


@pytest.mark.parametrize(
    ("file", "by", "rows", "parts"),
    [
        ("AutoAntigen/Slide1_635.gpr.gz", "block", 196, 16),
        ("bioc_protGear/KK2-06.txt.gz", "block", 384, 42),
        ("bioc_protGear/KK2-06.txt.gz", "pad", 384, 21),
        ("cran_RPPanalyzer/Slide1.gpr.gz", "pad", 756, 4),
        ("bioc_pepDat/f1_1.gpr.gz", "pad", 1936, 3),
    ],
)
def test_tables_of_real_slides_agree_with_a_count_of_their_lines(
    shared: Path, file: str, by: str, rows: int, parts: int
) -> None:
    path = shared / "data" / "arrays" / file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        found = gn.read(path, split=by)
    assert (found.n_spots, len(found)) == (rows, parts)
    titles, lines = cells_of(path)
    block, row, column, name = (titles.index(title) for title in ("Block", "Row", "Column", "ID"))
    value = titles.index(dict(found.records[0].taken)["E"])
    per = len({line[block] for line in lines}) // parts
    expected: dict[tuple[int | str, ...], Counter[float]] = {}
    for line in lines:
        number = int(line[block]) - 1
        part, inside = (number, 0) if by == "block" else divmod(number, per)
        key = (part, str(inside + 1), line[row], line[column], line[name].strip())
        expected.setdefault(key, Counter())[float(line[value])] += 1
    spots = found.spots
    seen: dict[tuple[int | str, ...], Counter[float]] = {}
    absent = np.zeros(found.E.shape, bool) if found.absent is None else found.absent.T
    for k in range(rows):
        key = (*(str(spots[t][k]) for t in ("Block", "Row", "Column", "ID")),)
        for part in range(parts):
            if not absent[k, part]:
                seen.setdefault((part, *key), Counter())[float(found.E[k, part])] += 1
    assert seen == expected
    assert int((~absent).sum()) == len(lines)


@pytest.mark.parametrize(("blocks", "said"), [(1, False), (2, True), (3, True)])
def test_who_asks_for_tips_of_parts_of_one_block_is_told(blocks: int, said: bool) -> None:
    raw = slide(blocks)
    for tips in (False, True):
        notes = split_raw(raw, layout_of(raw), "block", tips)[0].raw.warnings
        assert any("every part is one block" in note for note in notes) == (said and tips)


def test_a_part_that_lacks_a_spot_is_not_complete_and_the_others_are() -> None:
    raw = slide(3)
    some = taken(raw, np.delete(np.arange(36), 17))
    pieces = split_raw(some, layout_of(some, "3x1x3x4"), "block")
    assert [(one.layout.complete, one.layout.missing) for one in pieces if one.layout] == [
        (True, 0),
        (False, 1),
        (True, 0),
    ]
