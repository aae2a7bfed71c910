"""Tags: fusion proteins lose what the tag alone shows, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import Cli, Sheet, sheet, sidecar, table
from printed import frame, one_channel, two_channels

import gridnorm as gn

RNG = np.random.default_rng(33)
BLOCK = np.repeat(np.arange(1, 7), 90)
PLACE = np.tile(np.arange(90), 6)
E = RNG.exponential(900, 540) + 300
NAMES = np.where(PLACE < 3, "GST", np.where(PLACE == 3, "CD4", np.char.add("p", np.arange(540).astype(str))))
TAGS = np.where(PLACE % 5 == 4, " GST ", np.where(PLACE % 5 == 0, "CD4", ""))
GST, CD4 = PLACE < 3, PLACE == 3
OF_GST, OF_CD4 = (TAGS == " GST "), (TAGS == "CD4") & ~GST & ~CD4
SAID = "ignore::gridnorm.errors.GridnormWarning"


def arrays(values: np.ndarray = E, **more: object) -> gn.ArraySet:
    return one_channel(values, **{"Name": NAMES, "Tag": TAGS, **more})


@pytest.mark.filterwarnings(SAID)
@pytest.mark.parametrize(("statistic", "of"), [("mean", np.mean), ("median", np.median)])
@pytest.mark.parametrize("groups", ["array", "print-tip"])
def test_fusion_proteins_lose_their_tag_and_all_else_stays(statistic: str, of: object, groups: str) -> None:
    done = gn.correct_intensities(arrays(), "tag", tag_statistic=statistic, tag_groups=groups).E[:, 0]
    expected = E.copy()
    for block in range(1, 7) if groups == "print-tip" else (None,):
        mine = np.ones(540, bool) if block is None else block == BLOCK
        for fused, tag in ((OF_GST, GST), (OF_CD4, CD4)):
            expected[mine & fused] -= of(E[mine & tag])  # type: ignore[operator]
    np.testing.assert_allclose(done, expected, rtol=0, atol=1e-9)
    same = ~OF_GST & ~OF_CD4
    np.testing.assert_array_equal(done[same], E[same])
    assert same[GST].all() and same[CD4].all(), "the tag's own spots stay, though some name a tag"


def test_counts_are_said() -> None:
    with pytest.warns(gn.GridnormWarning) as said:
        gn.correct_intensities(arrays(np.where(np.arange(540) < 5, np.nan, E)), "tag")
    assert [str(one.message) for one in said] == [
        f"array1: tag: the mean was subtracted: 5 spots of CD4 from {OF_CD4.sum()} spots, "
        f"15 spots of GST from {OF_GST.sum() - 1} spots"
    ]


@pytest.mark.filterwarnings(SAID)
def test_each_channel_by_itself_and_ids_serve_as_names() -> None:
    done = gn.correct_intensities(two_channels(E, 2 * E, Name=NAMES, Tag=TAGS), "tag")
    np.testing.assert_allclose(done.G, 2 * done.R, rtol=1e-12)
    by_id = gn.read(frame().assign(E=E, Tag=TAGS, ID=NAMES), columns="E=E", layout="2x3x9x10", keep="Tag")
    np.testing.assert_array_equal(gn.correct_intensities(by_id, "tag").E, done.R)


@pytest.mark.filterwarnings(SAID)
def test_case_is_ignored_only_where_nothing_agrees_exactly() -> None:
    lower = np.char.lower(TAGS.astype(str))
    np.testing.assert_array_equal(
        gn.correct_intensities(arrays(Tag=lower), "tag").E, gn.correct_intensities(arrays(), "tag").E
    )
    two = NAMES.copy()
    two[PLACE == 10] = "gst"
    done = gn.correct_intensities(arrays(Name=two), "tag").E[:, 0]
    np.testing.assert_allclose(done[OF_GST], (E - E[GST].mean())[OF_GST], rtol=0, atol=1e-9)


def test_a_tag_that_was_never_spotted_is_refused() -> None:
    with pytest.raises(gn.FitError) as said:
        gn.correct_intensities(arrays(Tag=np.where(PLACE == 50, "HIS", TAGS)), "tag")
    assert str(said.value) == (
        "array1: correct tag: 6 spots with the tag HIS, and no measured spot that is HIS itself; expected spots "
        "whose ID or Name is HIS. Empty its cells in Tag, or name another column with tag_column"
    )
    with pytest.raises(gn.FitError) as said:
        gn.correct_intensities(arrays(Name=np.where(GST & (BLOCK == 4), "other", NAMES)), "tag", tag_groups="print-tip")
    assert str(said.value) == (
        "array1: correct tag: no spot of GST with a value in 1 group of 6; found print-tip 4, expected at least "
        'one spot of GST in every group. One level for the array: tag_groups="array"'
    )


def test_a_group_where_no_spot_has_the_tag_needs_none() -> None:
    names = np.where(GST & (BLOCK == 4), "other", NAMES)
    tags = np.where(OF_GST & (BLOCK == 4), "", TAGS)
    with pytest.warns(gn.GridnormWarning, match="15 spots of GST from"):
        gn.correct_intensities(arrays(Name=names, Tag=tags), "tag", tag_groups="print-tip")


def test_columns_that_are_not_there_or_empty() -> None:
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(one_channel(E, Name=NAMES, Tagg=TAGS), "tag")
    assert str(said.value) == (
        "array1: tag_column names no column; found 'Tag', expected a spot column. Did you mean 'Tagg'?"
    )
    with pytest.warns(gn.GridnormWarning, match="tag: no spot names a tag in Tag, and nothing was subtracted"):
        done = gn.correct_intensities(arrays(Tag=np.full(540, " ")), "tag")
    np.testing.assert_array_equal(done.E[:, 0], E)
    bare = gn.read(frame().assign(E=E, Tag=TAGS).drop(columns="ID"), columns="E=E", layout="2x3x9x10", keep="Tag")
    with pytest.raises(gn.OptionError, match="correct tag finds the spots of a tag by ID or Name; found neither"):
        gn.correct_intensities(bare, "tag")


def tagged(given: Sheet) -> Sheet:
    """The file with a column Tag, whose spots 0, 9, … are the tag by name."""
    rows = [[*row, "GST" if k % 4 == 1 else ""] for k, row in enumerate(given.rows)]
    at = given.at("Name")
    named = [[*row[:at], "GST" if k % 9 == 0 else f"n{k}", *row[at + 1 :]] for k, row in enumerate(rows)]
    return Sheet(given.records, [*given.titles, "Tag"], named)


def test_files_after_the_first_are_read_with_what_tags_need(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name is left out of later files otherwise."""
    monkeypatch.chdir(tmp_path)
    cli = Cli(capsys, tmp_path)
    for k, name in enumerate("ab"):
        tagged(sheet(k)).write(tmp_path / f"{name}.gpr")
    asked = ("--background", "none", "--method", "none", "--correct", "tag", "--precision", "full")
    ran = cli("normalize", "a.gpr", "b.gpr", *asked, "-o", "x.tsv")
    assert ran.code == 0, ran.err
    assert "tag: the mean was subtracted: 25 spots of GST from" in ran.err
    alone = cli("normalize", "b.gpr", *asked, "-o", "y.tsv")
    assert alone.code == 0
    assert table(Path("x.tsv"))["M.b"] == table(Path("y.tsv"))["M.b"]
    assert sidecar(Path("x.tsv"))["parameters"]["tag_column"] == "Tag"
    ran = cli("normalize", "a.gpr", *asked, "--tag-column", "Lot", "-o", "z.tsv")
    assert ran.code != 0 and "a.gpr: --tag-column names no column; found 'Lot', expected a spot column" in ran.err
