"""Roles of columns by their titles, in tables and in formats that have titles of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gridnorm as gn
from gridnorm.errors import FormatError, LayoutError, OptionError
from gridnorm.io.roles import all_named, grid_titles, no_such_titles, pairs_of

QUADS = [
    ["Main.Row", "Main.Col", "Sub.Row", "Sub.Col"],
    ["Meta Row", "Meta Column", "Row", "Column"],
    ["Array Row", "Array Column", "Spot Row", "Spot Column"],
    ["grid.r", "grid.c", "spot.r", "spot.c"],
    ["MR", "MC", "SR", "SC"],
]


def table(path: Path, titles: list[str], grid: tuple[int, int] = (2, 2), separator: str = "\t") -> Path:
    """A table of blocks of 4 x 4 spots that says the row and column of each block."""
    places = [(br, bc, r, c) for br in range(grid[0]) for bc in range(grid[1]) for r in range(4) for c in range(4)]
    lines = [[*titles, "gene", "red", "green"]]
    lines += [
        [*(str(k + 1) for k in place), f"g{n}", str(300 + n * 37 % 211), str(250 + n * 53 % 197)]
        for n, place in enumerate(places)
    ]
    path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("titles", QUADS, ids=lambda titles: titles[0])
def test_rows_and_columns_of_blocks_are_known_by_their_usual_titles(titles: list[str], tmp_path: Path) -> None:
    assert list(grid_titles(["ID", *titles]).values()) == titles
    assert grid_titles(titles[:3]) == {}
    arrays = gn.read(table(tmp_path / "a.txt", titles), columns="R=red,G=green,ID=gene")
    layout = arrays.layout
    assert layout is not None and (layout.source, layout.n_pads) == ("file", 1)
    assert layout.describe() == "2 x 2 blocks of 4 x 4 spots (as the file numbers them)"


@pytest.mark.parametrize("by", ["print-tip", "array", "slide-row"])
@pytest.mark.parametrize("background", ["none"])
def test_blocks_of_four_indices_serve_like_numbered_ones(by: str, background: str, tmp_path: Path) -> None:
    named = "R=red,G=green,ID=gene,BlockRow=br,BlockColumn=bc,Row=r,Column=c"
    made = gn.normalize(
        table(tmp_path / "a.txt", ["br", "bc", "r", "c"], (2, 8)), columns=named, by=by, method="median", min_group=0
    )
    assert made.layout is not None and (made.layout.grid_rows, made.layout.grid_columns) == (2, 8)
    assert made.columns["Block"].tolist() == [1 + k // 16 for k in range(256)]


def test_what_is_named_comes_before_what_a_title_says(tmp_path: Path) -> None:
    path = table(tmp_path / "a.txt", ["Main Row", "Main Col", "Sub Row", "Sub Col"])
    with pytest.warns(gn.GridnormWarning, match="32 rows repeat the position"):
        numbered = gn.read(path, columns="R=red,G=green,Block=Main Row,Row=Sub Row,Column=Sub Col")
    assert numbered.layout is not None and numbered.layout.blocks.tolist() == [1, 2]
    path = table(tmp_path / "b.txt", ["Block", "BlockColumn", "Row", "Column"])
    with pytest.warns(gn.GridnormWarning, match="32 rows repeat the position"):
        own = gn.read(path, columns="R=red,G=green")
    assert own.layout is not None and own.layout.blocks.tolist() == [1, 2]
    grid = gn.read(path, columns="R=red,G=green,BlockRow=Block,BlockColumn=BlockColumn")
    assert grid.layout is not None and grid.layout.blocks.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "given", ["R=a,G=b,BlockRow=c", "R=a,G=b,BlockColumn=c", "R=a,G=b,Block=c,BlockRow=d,BlockColumn=e"]
)
def test_blocks_have_numbers_or_rows_and_columns(given: str) -> None:
    with pytest.raises(
        OptionError, match="columns does not say where the blocks are; found Block.*expected Block=…, or"
    ):
        pairs_of(given)


@pytest.mark.parametrize("second", [(4, 4), (2, 7)])
def test_a_file_with_other_columns_of_blocks_is_not_matched_by_their_numbers(
    second: tuple[int, int], tmp_path: Path
) -> None:
    one, two = (table(tmp_path / f"{k}.txt", QUADS[3], grid) for k, grid in enumerate([(2, 8), second]))
    with pytest.raises(
        LayoutError, match=rf"1\.txt: the blocks stand in another grid than in .*0\.txt; found {second[0]} x"
    ):
        gn.read([one, two], columns="R=red,G=green")


def test_titles_that_are_not_there_are_shown_with_the_nearest(tmp_path: Path) -> None:
    titles = ["Gene", "Ch1 Mean", "Ch2 Mean", *(f"more {k}" for k in range(12))]
    said = str(no_such_titles(titles, {"R": "Ch2 mean", "G": "Ch1 Mena", "ID": "plate"}, "a.csv", 4))
    assert said == (
        "a.csv:4: the titles asked for are not there; found titles Gene, Ch1 Mean, Ch2 Mean, more 0, more 1, more 2, "
        "more 3, more 4 and 7 more, expected Ch2 mean, Ch1 Mena, plate. "
        "Did you mean R=Ch2 Mean, G=Ch1 Mean?"
    )
    path = tmp_path / "a.csv"
    path.write_text("made,by,a,program,of,many,words\nGene,Ch1 Mean,Ch2 Mean\nx,1,2\n")
    with pytest.raises(FormatError, match=r"a\.csv:2: .*found titles Gene, Ch1 Mean, Ch2 Mean, expected red"):
        gn.read(path, columns="R=red,G=Ch1 Mean")


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ("Rb=Rmedian", (("R", "Rmean"), ("Rb", "Rmedian"), ("G", "Gmean"), ("Gb", "morphG"))),
        ("R=Rmedian,G=Gmedian,Rb=morphR,Gb=morphG", (("R", "Rmedian"), ("Rb", "morphR"), ("G", "Gmedian"), ("Gb", "morphG"))),
        ("E=Gmedian,Eb=morphG", (("E", "Gmedian"), ("Eb", "morphG"))),
    ],
)  # fmt: skip
def test_columns_of_spot_files_may_be_named_too(columns: str, taken: Any, tmp_path: Path) -> None:
    titles = "grid.r\tgrid.c\tspot.r\tspot.c\tRmean\tRmedian\tGmean\tGmedian\tmorphR\tmorphG\n"
    (tmp_path / "a.spot").write_text(titles + "1\t1\t1\t1\t90\t91\t80\t81\t9\t8\n")
    record = gn.read(tmp_path / "a.spot", columns=columns).records[0]
    assert record.taken == taken
    with pytest.raises(OptionError, match="columns names no intensities; found Eb"):
        gn.read(tmp_path / "a.spot", columns="Eb=morphG")


def test_channels_are_said_once() -> None:
    assert all_named(("E",), {"E": "a"}, (), "a.gpr") and not all_named(("R", "G"), {"R": "a"}, ("635",), "a.gpr")
    with pytest.raises(OptionError, match=r"a\.gpr: channels and columns both say what the channels are"):
        all_named(("E",), {"E": "a"}, ("635",), "a.gpr")
