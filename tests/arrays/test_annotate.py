"""Identifiers from a GAL: matched by place, whatever the order of its rows, if it is the GAL of this print run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import LayoutError
from gridnorm.io.formats import gal, recognise
from gridnorm.io.text import load

SPOTS = 80


@pytest.fixture(scope="module")
def raw() -> RawArray:
    return gn.simulate(1, (2, 2), (4, 5), seed=3).arrays.raw(0)


def without_ids(raw: RawArray) -> RawArray:
    return replace(raw, spots={title: column for title, column in raw.spots.items() if title not in ("ID", "Name")})


def gal_of(raw: RawArray, order: np.ndarray | None = None, **more: np.ndarray) -> SimpleNamespace:
    order = np.arange(raw.n_spots) if order is None else order
    spots = {title: raw.spots[title][order] for title in ("Block", "Row", "Column", "ID")}
    return SimpleNamespace(
        name="p.gal", blocks=(), spots=spots | {title: column[order] for title, column in more.items()}
    )


def other_ids(raw: RawArray, n: int) -> np.ndarray:
    """IDs of which the last ones are others."""
    names = raw.spots["ID"].astype("S20")
    names[SPOTS - n :] = [f"other{k}".encode() for k in range(n)]
    return names


def test_columns_of_the_gal_go_to_their_places(raw: RawArray) -> None:
    order = np.random.default_rng(0).permutation(raw.n_spots)
    gene = np.array([f"gene{k}".encode() for k in range(raw.n_spots)])
    found = annotate(raw, gal_of(raw, order, Gene=gene))
    np.testing.assert_array_equal(found.spots["Gene"], gene)
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    assert found.warnings == raw.warnings and "Gene" not in raw.spots


def test_the_gal_is_the_authority_and_says_so(raw: RawArray) -> None:
    found = annotate(raw, gal_of(raw, ID=other_ids(raw, 1)))
    assert found.spots["ID"][-1] == b"other0"
    assert "ID differs from p.gal in 1 spot " in found.warnings[-1] and "the GAL's is used" in found.warnings[-1]


def test_what_the_gal_leaves_empty_stays_what_it_is(raw: RawArray) -> None:
    names = raw.spots["ID"].copy()
    names[5] = b""
    found = annotate(raw, gal_of(raw, ID=names))
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    assert found.warnings == raw.warnings


def test_spots_that_the_gal_or_the_file_lacks_are_counted_and_keep_what_they_have(raw: RawArray) -> None:
    found = annotate(raw, gal_of(raw, np.arange(raw.n_spots - 7), Gene=np.full(raw.n_spots, b"g")))
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    assert (found.spots["Gene"] == b"").sum() == 7
    assert found.warnings[-1].endswith("7 spots are not in p.gal; they keep the ID of the file")
    # A file that was cut is no other print run: its IDs say so.
    half = raw.n_spots // 2
    cut = replace(
        raw, foreground=raw.foreground[:, :half], background=None, flags=None,
        spots={title: column[:half] for title, column in raw.spots.items()},
    )  # fmt: skip
    assert annotate(cut, gal_of(raw)).warnings[-1].endswith(f"{SPOTS - half} spots of p.gal are not in this file")


@pytest.mark.parametrize(("others", "another_run"), [(4, False), (5, True)])
def test_more_than_5_percent_of_other_ids_are_another_print_run(raw: RawArray, others: int, another_run: bool) -> None:
    listed = gal_of(raw, ID=other_ids(raw, others))
    if not another_run:
        assert "ID differs from p.gal in 4 spots" in annotate(raw, listed).warnings[-1]
        return
    with pytest.raises(LayoutError) as caught:
        annotate(raw, listed)
    said = str(caught.value)
    assert ": the spots are not those of p.gal: another print run; found another ID in 5 spots (Block 4 Row 4 " in said
    assert "GAL 'other0', " in said and "'other2') of 80 common ones. Give the GAL of this print run" in said


def test_capitals_and_one_name_for_what_is_no_gene_make_no_other_print_run(raw: RawArray) -> None:
    capitals = np.char.lower(raw.spots["ID"])
    assert (capitals != raw.spots["ID"]).mean() > 0.05
    np.testing.assert_array_equal(annotate(raw, gal_of(raw, ID=capitals)).spots["ID"], capitals)
    buffer = raw.spots["ID"].astype("S20")
    buffer[10:30] = b"3xSSC"
    empty = buffer.copy()
    empty[10:30] = b"EMPTY"
    mine = replace(raw, spots={**raw.spots, "ID": buffer})
    assert "in 20 spots" in annotate(mine, gal_of(raw, ID=empty)).warnings[-1]
    empty[30] = b"EMPTY"  # now it stands for something else as well, as long as 3xSSC is nothing else
    annotate(mine, gal_of(raw, ID=empty))
    empty[10] = raw.spots["ID"][10]
    with pytest.raises(LayoutError, match="another ID in 21 spots"):
        annotate(mine, gal_of(raw, ID=empty))


def test_without_ids_names_are_compared(raw: RawArray) -> None:
    mine = replace(without_ids(raw), spots={**without_ids(raw).spots, "Name": raw.spots["ID"]})
    listed = gal_of(raw, Name=other_ids(raw, 5))
    del listed.spots["ID"]
    with pytest.raises(LayoutError, match="another Name in 5 spots"):
        annotate(mine, listed)


@pytest.mark.parametrize(("own", "said"), [(39, True), (40, False)])
def test_a_file_with_few_ids_of_its_own_says_that_geometry_is_all_there_is(raw: RawArray, own: int, said: bool) -> None:
    names = raw.spots["ID"].copy()
    names[own:] = b""
    found = annotate(replace(raw, spots={**raw.spots, "ID": names}), gal_of(raw))
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    told = [text for text in found.warnings if "rests on the geometry alone, 4 blocks of 4 x 5 spots" in text]
    assert len(told) == said


@pytest.mark.parametrize(("key", "last"), [("Row", 4), ("Column", 5), ("Block", 4)])
def test_without_ids_another_geometry_is_refused_with_both(raw: RawArray, key: str, last: int) -> None:
    mine = without_ids(raw)
    annotate(mine, gal_of(raw))
    for cut in (True, False):
        rows = np.flatnonzero(raw.spots[key] < last)
        file, listed = mine, gal_of(raw, rows)
        if cut:  # the other way round: the file is the smaller one
            file = replace(mine, foreground=mine.foreground[:, rows], spots={t: c[rows] for t, c in mine.spots.items()})
            listed = gal_of(raw)
        with pytest.raises(
            LayoutError, match=r"another geometry; found \d blocks of \d x \d .*, expected \d blocks of"
        ):
            annotate(file, listed)


def test_block_records_speak_for_rows_that_a_gal_does_not_list(raw: RawArray) -> None:
    listed = gal_of(raw, np.flatnonzero(raw.spots["Row"] < 4))
    listed.blocks = tuple(SimpleNamespace(block=k + 1, rows=4, columns=5) for k in range(4))
    assert "rests on the geometry alone" in annotate(without_ids(raw), listed).warnings[0]


def test_a_gal_of_other_blocks_is_refused(raw: RawArray) -> None:
    listed = gal_of(raw)
    listed.spots["Block"] = listed.spots["Block"] + 100
    with pytest.raises(LayoutError, match="p.gal lists none of the spots"):
        annotate(raw, listed)


def test_of_real_files_the_right_gal_is_taken_and_another_refused(shared: Path) -> None:
    arrays = shared / "data" / "arrays"
    gals = {
        name: gal.read_file(arrays / name)
        for name in ("caArray/Mm-Incyte-v1px_16Bx24Cx23R.gal.gz", "caArray/JoeDeRisi-fix.gal.gz", "caArray/Demo.gal.gz",
                     "doelan/Demo.gal.gz", "bioc_marray/fish.gal.gz", "caArray/MEEBO.GAL.gz")
    }  # fmt: skip
    incyte, derisi, other_demo, demo, fish, _ = gals
    right = {
        "caArray/18258_wap3.gpr.gz": {incyte}, "geworkbench/Genepix_sample.gpr.gz": {incyte},
        "caArray/3_0_6_mod.gpr.gz": {derisi}, "caArray/5_0_1_26.gpr.gz": {derisi}, "bioc_marray/swirl.1.spot.gz": {fish},
        "doelan/Demo.gpr.gz": {demo, other_demo}, "HenrikBengtsson_aroma/gpr123.gpr.gz": set(),
    }  # fmt: skip
    for file, expected in right.items():
        text = load(arrays / file)
        one = recognise(text, {}).read(text, ReadOptions())
        taken = set()
        for name, listed in gals.items():
            try:
                annotate(one, listed)
            except LayoutError:
                continue
            taken.add(name)
        assert taken == expected, file
