"""From the words of ``--by`` to groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.grouping import (
    GROUPINGS,
    WELLS,
    WINDOW_SPOTS,
    find_column,
    group_spots,
    needed_columns,
    refuse_without_tips,
)
from gridnorm.arrays.layout import infer_layout
from gridnorm.errors import LayoutError, OptionError


def made(blocks: tuple[int, int] = (2, 3), spots: tuple[int, int] = (6, 5)):
    raw = gn.simulate(1, blocks, spots, seed=1).raw(0)
    layout = infer_layout(raw.spots["Block"], raw.spots["Row"], raw.spots["Column"], raw.spots["X"], raw.spots["Y"])
    return raw.spots, layout, raw.n_spots


@pytest.mark.parametrize("word", GROUPINGS)
def test_every_spot_is_in_exactly_one_group(word: str) -> None:
    spots, layout, n = made()
    segments = group_spots(word, spots, layout, n)
    assert segments.n_items == n
    assert int(np.sum(segments.sizes)) == n
    assert len(set(segments.labels)) == segments.n_segments


@pytest.mark.parametrize("word", GROUPINGS)
def test_groups_follow_the_spots_not_their_order(word: str) -> None:
    spots, layout, n = made()
    order = np.random.default_rng(0).permutation(n)
    one = group_spots(word, spots, layout, n)
    two = group_spots(word, {title: column[order] for title, column in spots.items()}, layout, n)
    assert one.labels == two.labels
    np.testing.assert_array_equal(one.codes[order], two.codes)


def test_counts_of_the_groupings_of_the_slide() -> None:
    spots, layout, n = made()
    count = {word: group_spots(word, spots, layout, n).n_segments for word in GROUPINGS}
    assert count == {
        "print-tip": 6,
        "array": 1,
        "plate": 1,
        "print-order": 1,
        "pad": 1,
        "slide-row": 12,
        "slide-column": 15,
    }


def test_a_plate_is_filled_by_whole_dips_in_printing_order() -> None:
    spots, layout, n = made((4, 4), (10, 6))
    segments = group_spots("plate", spots, layout, n)
    assert segments.sizes.tolist() == [WELLS, WELLS, n - 2 * WELLS]
    # 16 tips fill 384 wells in 24 dips: rows 1 to 4 of every block.
    first = segments.codes == 0
    assert set(spots["Row"][first]) == {1, 2, 3, 4}
    np.testing.assert_array_equal(np.bincount(spots["Block"][first])[1:], 24)


@pytest.mark.parametrize(
    ("blocks", "spots"), [((1, 1), (30, 30)), ((4, 4), (10, 6)), ((12, 4), (9, 9)), ((2, 2), (2, 2))]
)
def test_windows_of_print_order_hold_150_spots_or_all(blocks: tuple[int, int], spots: tuple[int, int]) -> None:
    columns, layout, n = made(blocks, spots)
    sizes = group_spots("print-order", columns, layout, n).sizes
    assert sizes.min() >= min(WINDOW_SPOTS, n)
    assert sizes.max() < 2 * WINDOW_SPOTS + 2 * len(layout.blocks) or len(sizes) == 1


def test_columns_are_found_exactly_then_ignoring_case() -> None:
    assert find_column("id", ["ID", "Name"], "") == "ID"
    assert find_column("id", ["ID", "id"], "") == "id"
    with pytest.raises(OptionError, match="ambiguous"):
        find_column("Id", ["ID", "id"], "a.gpr")
    with pytest.raises(OptionError, match=r"a\.gpr: --keep names no column; found 'Nane'.*Did you mean 'Name'"):
        find_column("Nane", ["ID", "Name"], "a.gpr", "--keep")
    with pytest.raises(OptionError, match="Did you mean 'print-tip'"):
        find_column("print_tip", ["ID"], "")


def test_crossing_splits_every_group_by_the_other() -> None:
    spots, layout, n = made()
    both = group_spots("Block , slide-row", spots, layout, n)
    one, two = group_spots("Block", spots, layout, n), group_spots("slide-row", spots, layout, n)
    pairs = {(one.labels[a], two.labels[b]) for a, b in zip(one.codes.tolist(), two.codes.tolist(), strict=True)}
    assert set(both.labels) == pairs
    np.testing.assert_array_equal(
        [(one.labels[a], two.labels[b]) for a, b in zip(one.codes, two.codes, strict=True)],
        [both.labels[c] for c in both.codes],
    )


@pytest.mark.parametrize("by", ["", ",", "Block,", " , Block"])
def test_empty_words_are_usage_errors(by: str) -> None:
    with pytest.raises(OptionError, match="empty name"):
        group_spots(by, {"Block": np.ones(2)}, None, 2)


@pytest.mark.parametrize("word", ["plate", "print-order", "pad", "slide-row", "slide-column"])
def test_without_positions_the_groupings_of_the_slide_say_what_they_need(word: str) -> None:
    with pytest.raises(LayoutError, match=f"by {word} needs the layout"):
        group_spots(word, {"ID": np.array([b"x", b"y"])}, None, 2, "a.csv")
    assert group_spots("print-tip", {"ID": np.array([b"x", b"y"])}, None, 2).n_segments == 1


@pytest.mark.parametrize("by", ["print-tip", "ID,print-tip", (GROUPINGS["print-tip"],)])
def test_print_tips_that_are_named_need_blocks(by: Any) -> None:
    """Every spot was one group, without a word: M was off by 0.34."""
    says = "a.csv: by print-tip needs the block of every spot; found no column Block, expected it among ID, pin. Name"
    with pytest.raises(LayoutError, match=says):
        refuse_without_tips(by, ["ID"], ["ID", "pin"], "a.csv")
    refuse_without_tips(by, ["ID", "Block"], ["ID", "pin"], "a.csv")
    refuse_without_tips("ID", ["ID"], ["ID", "pin"], "a.csv")


def test_a_word_that_is_a_grouping_needs_no_column() -> None:
    assert needed_columns("print-tip, Gene,plate") == ("Gene",)


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        ([], "Spot columns here: none"),
        (["Lot"], "Spot columns here: Lot"),
        ([f"T{k:02}" for k in range(6)], ", T05"),
        ([f"T{k:02}" for k in range(8)], ", T05 and 2 more"),
    ],
)
def test_the_first_columns_are_named_or_that_there_is_none(titles: list[str], said: str) -> None:
    with pytest.raises(OptionError) as error:
        find_column("zzzzzzzz", {title: np.zeros(1) for title in titles}, "a.gpr", "keep")
    assert str(error.value.hint).endswith(said)
