"""What the blocks of one channel look like: which hold the same, and what is said of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.blocks import blocks_in_words, contents_of, same_content
from gridnorm.arrays.layout import Layout, infer_layout


def slide(contents: list[int], size: tuple[int, int] = (3, 4), gap_after: int = 0) -> tuple[dict[str, Any], Layout]:
    """Blocks in one column; block k holds the probes of ``contents[k]``; a wide gap after every ``gap_after`` blocks."""
    rows, columns = size
    block, row, column = (
        part.ravel() + 1 for part in np.meshgrid(*map(np.arange, (len(contents), rows, columns)), indexing="ij")
    )
    kind = np.array(contents)[block - 1]
    ids = np.char.encode(np.array([f"{k}-{r}-{c}" for k, r, c in zip(kind, row, column, strict=True)]))
    gaps = (block - 1) // gap_after if gap_after else 0
    y = 1000 * ((block - 1) * (rows + 2) + row + 30 * gaps)
    spots = {"Block": block, "Row": row, "Column": column, "ID": ids}
    return spots, infer_layout(block, row, column, 1000.0 * column, 1.0 * y)


def said(contents: list[int], shifts: list[float] | None = None, **options: Any) -> str:
    spots, layout = slide(contents, **options)
    return blocks_in_words(spots, layout, np.arange(len(contents)) / 10 if shifts is None else np.array(shifts))


def test_blocks_of_one_content_may_be_sub_arrays() -> None:
    assert said([0] * 16) == (
        "16 blocks hold the same IDs: sub-arrays? --split=block makes each an array; --by=print-tip levels the blocks' "
        "medians, which lie up to 1.50 apart"
    )


def test_contents_are_counted_and_medians_compared_within_one() -> None:
    text = said([0, 1] * 21, [0.0, 5.0] * 20 + [0.25, 5.0])
    assert text.startswith("42 blocks have 2 contents, 21 times each: sub-arrays? --split=block ")
    assert text.endswith("up to 0.25 apart within a content")


def test_repeats_that_fill_pads_suggest_to_split_by_pad() -> None:
    spots, layout = slide([0, 1, 2] * 4, gap_after=3)
    assert layout.n_pads == 4
    found = contents_of(spots, layout)
    assert found is not None and found.repeats == (4, 4, 4) and found.pads == 4
    assert "12 blocks have 3 contents, 4 times each, alike in each of 4 pads: sub-arrays? --split=pad" in said(
        [0, 1, 2] * 4, gap_after=3
    )
    assert "--split=block" in said([0, 1, 2] * 3 + [2, 1, 1], gap_after=3)  # the last pad holds others


def test_contents_of_their_own_are_no_sub_arrays() -> None:
    assert said([0, 1, 2, 3], [0.0, 0.5, -0.25, np.nan]) == (
        "the medians of its 4 blocks lie up to 0.75 apart; where blocks are print-tips, --by=print-tip levels them"
    )
    assert "sub-arrays" not in said([0, 0, 1, 2])  # two of four are not most
    assert "5 blocks have 3 contents, up to 3 times each" in said([0, 0, 0, 1, 2])
    assert said([0]) == ""


def test_no_distance_is_told_where_medians_are_unknown_or_equal() -> None:
    for shifts in ([np.nan] * 4, [0.5, np.nan, np.nan, np.nan], [0.5, 0.504, 0.5, 0.5]):
        assert said([0, 1, 2, 3], shifts) == ""
        assert said([0] * 4, shifts) == "4 blocks hold the same IDs: sub-arrays? --split=block makes each an array"
    assert said([0, 1], [0.0, 0.0051]).startswith("the medians of its 2 blocks lie up to 0.01 apart")


def test_the_same_ids_at_other_places_are_another_content() -> None:
    spots, layout = slide([0, 0])
    ids = spots["ID"].copy()
    ids[[0, 1]] = ids[[1, 0]]
    found = contents_of({**spots, "ID": ids}, layout)
    assert found is not None and found.repeats == (1, 1) and not found.repeated


def test_rows_in_any_order_are_the_same_blocks() -> None:
    spots, layout = slide([0, 1, 0, 1])
    order = np.random.default_rng(1).permutation(spots["Block"].size)
    found = contents_of({name: column[order] for name, column in spots.items()}, layout)
    assert found is not None and found.of_block.tolist() == [0, 1, 0, 1]


def test_names_tell_where_ids_are_all_alike_and_nothing_tells_without_both() -> None:
    spots, layout = slide([0, 1, 1])
    blank = np.full(spots["ID"].size, b"")
    named = contents_of({**spots, "Name": spots["ID"], "ID": blank}, layout)
    assert named is not None and named.repeats == (2, 1)
    assert contents_of({**spots, "ID": blank}, layout) is None
    assert contents_of({"ID": spots["ID"]}, None) is None


def test_a_simulated_slide_of_samples_is_left_alone_with_that_sentence() -> None:
    arrays = gn.simulate(1, (2, 2), (6, 5), channels=1, same_probes=True, content_sd=0.6, seed=2).arrays
    with pytest.warns(
        gn.GridnormWarning, match="^array1: one channel is left as it is .method none.: 4 blocks hold the"
    ):
        done = gn.normalize(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        level = gn.normalize(arrays, method="none")
        moved = gn.normalize(arrays, by="print-tip", small_groups="own")
    np.testing.assert_array_equal(done.E, level.E)
    assert done.history.parameters()["method"] == "none" and moved.history.parameters()["method"] == "median"
    assert np.abs(moved.E - level.E).max() > 0.1
    with pytest.warns(gn.GridnormWarning, match="one channel is left as it is"):
        step = gn.normalize_within(gn.background_correct(arrays))
    np.testing.assert_array_equal(step.E, level.E)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("AutoAntigen/Slide1_635.gpr.gz", '16 blocks hold the same IDs: sub-arrays? split="block" makes'),
        ("bioc_protGear/KK2-06.txt.gz", "42 blocks have 2 contents, 21 times each, alike in each of 21 pads"),
        ("cran_RPPanalyzer/Slide1.gpr.gz", "48 blocks have 12 contents, 4 times each, alike in each of 4 pads"),
    ],
)
def test_real_slides_of_samples_come_out_as_they_went_in(shared: Path, file: str, says: str) -> None:
    path = shared / "data" / "arrays" / file
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        done = gn.normalize(path)
        level = gn.normalize(path, method="none")
    np.testing.assert_array_equal(done.E, level.E)
    mine = [str(one.message) for one in seen if "left as it is" in str(one.message)]
    assert len(mine) == 1 and mine[0].startswith(f"{path}: ") and says in mine[0]


def test_two_channels_are_told_of_blocks_that_all_hold_the_same() -> None:
    spots, layout = slide([0] * 16)
    assert same_content(spots, layout) == (
        "16 blocks hold the same IDs: sub-arrays of several samples? --split=block makes each an array"
    )
    assert same_content(*slide([0] * 15 + [1])) == "" and same_content(*slide([0])) == ""
    assert same_content(spots, None) == "" and same_content({"Block": spots["Block"]}, layout) == ""
    empty = {**spots, "ID": np.where(spots["Row"] == 1, b"empty", np.char.add(spots["ID"], spots["Block"].astype("S")))}
    assert same_content(empty, layout) == ""  # the first spot is the same everywhere, the others are not


def test_a_run_of_two_channels_says_so_once_an_array() -> None:
    arrays = gn.simulate(2, (2, 2), (8, 8), same_probes=True, not_found=0.0, seed=1).arrays
    with pytest.warns(gn.GridnormWarning) as seen:
        gn.normalize(arrays)
    told = [str(one.message) for one in seen if "hold the same IDs" in str(one.message)]
    assert [text.split(":")[0] for text in told] == ["array1", "array2"]
