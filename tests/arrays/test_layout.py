from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gridnorm.arrays.layout import Layout, infer_layout
from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.errors import LayoutError, OptionError
from gridnorm.io.formats import gal, gpr
from gridnorm.io.formats.gal import BlockRecord
from gridnorm.io.text import load


def read(shared: Path, name: str) -> RawArray:
    return gpr.read(load(shared / "data" / "arrays" / name), ReadOptions())


def layout_of(raw: RawArray, **more: object) -> Layout:
    s = raw.spots
    return infer_layout(s["Block"], s["Row"], s["Column"], s.get("X"), s.get("Y"), file=raw.name, **more)  # type: ignore[arg-type]


@dataclass
class Record:
    block: int
    x: float
    y: float
    columns: int
    x_spacing: float
    rows: int
    y_spacing: float


def grid(
    rows: int,
    columns: int,
    spots: tuple[int, int] = (5, 4),
    pitch: float = 2000.0,
    angle: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, ...]:
    """Block, row, column, x, y of a full slide with jitter of ±20 on a spot pitch of 200."""
    rng = np.random.default_rng(seed)
    sizes = (rows * columns, *spots)
    b, r, c = (v.ravel() for v in np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij"))
    x = b % columns * pitch + c * 200.0 + rng.uniform(-20, 20, b.size)
    y = b // columns * pitch + r * 200.0 + rng.uniform(-20, 20, b.size)
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    return b + 1, r + 1, c + 1, np.rint(x + 5000), np.rint(y + 5000)


def pads(layout: Layout) -> dict[int, tuple[int, ...]]:
    """Blocks of every pad."""
    return {k: tuple(layout.blocks[layout.pad_of_block == k].tolist()) for k in range(1, layout.n_pads + 1)}


REAL = [
    ("HenrikBengtsson_aroma/gpr123.gpr.gz", "4 x 4 blocks of 18 x 18 spots (from X/Y positions)"),
    ("bioc_PAA/dummy_GSM734833_PA41992_-_AD1.gpr.gz", "1 x 2 blocks of 10 x 10 spots (from X/Y positions)"),
    (
        "bioc_PAA/dummy_GSM734833_PA41992_-_AD1_no_descr.gpr",
        "1 x 4 blocks of up to 16 x 10 spots, 3 of them in the file (from X/Y positions)",
    ),
    ("bioc_protGear/KK2-06.txt.gz", "7 x 6 blocks of 24 x 8 spots, 21 pads (from X/Y positions)"),
    ("bioc_protGear/BRB001.txt.gz", "42 x 1 blocks of 24 x 8 spots (guessed from block numbers)"),
    ("cran_RPPanalyzer/FCF_Slide.gpr.gz", "12 x 4 blocks of 9 x 7 spots, 4 pads (from X/Y positions)"),
    ("cran_RPPanalyzer/S1.gpr.gz", "2 x 4 blocks of 48 x 12 spots, 2 pads (from X/Y positions)"),
    ("AutoAntigen/Slide1_635.gpr.gz", "8 x 2 blocks of 14 x 14 spots (from X/Y positions)"),
    ("bioc_pepDat/f1_1.gpr.gz", "12 x 4 blocks of 11 x 11 spots, 3 pads (from X/Y positions)"),
    ("caArray/3_0_6_mod.gpr.gz", "4 x 4 blocks of 17 x 24 spots (from X/Y positions)"),
    ("doelan/Demo.gpr.gz", "4 x 4 blocks of 21 x 24 spots (from X/Y positions)"),
    ("geworkbench/21161_neu10-4000markers.gpr.gz", "2 x 4 blocks of up to 23 x 24 spots (from X/Y positions)"),
    ("genometra_agilent/GPR1.gpr.gz", "1 block of 164 x 96 spots"),
]


@pytest.mark.parametrize(("name", "expected"), REAL)
def test_real_slides_are_recognised(shared: Path, name: str, expected: str) -> None:
    layout = layout_of(read(shared, name))
    assert layout.describe() == expected
    assert all(text.startswith(name.split("/")[1]) for text in layout.warnings)


def test_pads_of_real_slides_hold_the_right_blocks(shared: Path) -> None:
    pairs = pads(layout_of(read(shared, "bioc_protGear/KK2-06.txt.gz")))
    assert pairs == {k + 1: (2 * k + 1, 2 * k + 2) for k in range(21)}
    dozens = pads(layout_of(read(shared, "cran_RPPanalyzer/FCF_Slide.gpr.gz")))
    assert dozens == {k + 1: tuple(range(12 * k + 1, 12 * k + 13)) for k in range(4)}


def test_a_missing_block_and_missing_spots_keep_the_others_in_place(shared: Path) -> None:
    layout = layout_of(read(shared, "bioc_PAA/dummy_GSM734833_PA41992_-_AD1_no_descr.gpr"))
    assert layout.blocks.tolist() == [1, 2, 4] and layout.block_column.tolist() == [0, 1, 3]
    assert layout.rows_per_block.tolist() == [10, 10, 16] and layout.columns_per_block.tolist() == [10, 10, 2]
    assert not layout.complete and layout.missing == 30  # block 4 has one row of 16


def test_a_real_gal_agrees_with_the_positions_of_its_array(shared: Path) -> None:
    raw = read(shared, "doelan/Demo.gpr.gz")
    records = gal.read(load(shared / "data" / "arrays" / "doelan/Demo.gal.gz")).blocks
    layout = layout_of(raw, gal_blocks=records)
    assert layout.source == "gal" and layout.warnings == () and (layout.grid_rows, layout.grid_columns) == (4, 4)
    assert layout.describe() == "4 x 4 blocks of 21 x 24 spots (from the GAL)"


@pytest.mark.parametrize("angle", [-0.15, -0.03, 0.0, 0.03, 0.15])
def test_rotation_does_not_change_the_grid(angle: float) -> None:
    b, r, c, x, y = grid(12, 4, spots=(9, 9), angle=angle)
    layout = infer_layout(b, r, c, x, y)
    assert (layout.grid_rows, layout.grid_columns) == (12, 4) and layout.complete
    np.testing.assert_array_equal(layout.block_row * 4 + layout.block_column + 1, layout.blocks)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ([6], (4, 4)),
        ([4, 8, 12, 16], (4, 4)),  # the last column
        ([1, 5, 9, 13], (4, 4)),  # the first column
        ([2, 6, 10, 14], (4, 4)),  # a column inside
        ([5, 6, 7, 8], (4, 4)),  # a row inside
    ],
)
def test_lost_blocks_leave_their_place_empty(lost: list[int], expected: tuple[int, int]) -> None:
    b, r, c, x, y = grid(4, 4)
    kept = ~np.isin(b, lost)
    layout = infer_layout(b[kept], r[kept], c[kept], x[kept], y[kept])
    assert (layout.grid_rows, layout.grid_columns) == expected
    np.testing.assert_array_equal(layout.block_row * 4 + layout.block_column + 1, layout.blocks)
    assert not layout.complete


def test_the_order_of_the_rows_and_wild_positions_do_not_matter() -> None:
    b, r, c, x, y = grid(3, 5)
    rng = np.random.default_rng(3)
    x = np.where(rng.random(x.size) < 0.1, 0.0, x)
    y = np.where(rng.random(y.size) < 0.1, np.nan, y)
    order = rng.permutation(b.size)
    layout = infer_layout(b[order], r[order], c[order], x[order], y[order])
    assert (layout.grid_rows, layout.grid_columns, layout.source) == (3, 5, "positions") and layout.complete


def test_blocks_numbered_by_pad_stand_where_they_are() -> None:
    # Two pads side by side, each 3 x 2 blocks, numbered one pad after the other.
    b, r, c, x, y = grid(3, 4)
    place = b - 1
    row, column = place // 4, place % 4
    numbers = 6 * (column // 2) + 2 * row + column % 2 + 1
    layout = infer_layout(numbers, r, c, x + 3000 * (column // 2), y)
    assert layout.block_column[layout.blocks == 7] == 2 and layout.block_row[layout.blocks == 7] == 0
    assert pads(layout) == {1: (1, 2, 3, 4, 5, 6), 2: (7, 8, 9, 10, 11, 12)}
    assert any("do not run left to right" in text for text in layout.evidence)


def test_evenly_spaced_blocks_are_one_pad_even_if_not_square() -> None:
    b, r, c, x, y = grid(4, 4, spots=(2, 9))  # gaps of 400 across and 1800 down, one print head
    assert infer_layout(b, r, c, x, y).n_pads == 1


def test_without_positions_the_numbers_are_a_guess_and_say_so() -> None:
    b, r, c, _, _ = grid(12, 4)
    layout = infer_layout(b, r, c)
    assert (layout.grid_rows, layout.grid_columns, layout.source) == (12, 4, "block numbers")
    assert "guess" in layout.describe() and any("guess" in text for text in layout.evidence)
    assert infer_layout(None, r[:20], c[:20]).describe() == "1 block of 5 x 4 spots"


def test_positions_that_say_nothing_are_not_used() -> None:
    b, r, c, x, _ = grid(2, 2)
    layout = infer_layout(b, r, c, np.zeros_like(x), np.zeros_like(x))
    assert layout.source == "block numbers"
    each = np.tile(np.arange(20) % 4 * 200.0, 4), np.tile(np.arange(20) // 4 * 200.0, 4)
    layout = infer_layout(b, r, c, *each)  # counted anew in each block
    assert layout.source == "block numbers" and "do not set the blocks apart" in layout.evidence[0]


def test_contradicting_sources_are_both_named() -> None:
    b, r, c, x, y = grid(4, 4)
    layout = infer_layout(b, r, c, x, y, override="8x2x5x4", file="a.gpr")
    assert (layout.grid_rows, layout.grid_columns, layout.source) == (8, 2, "override")
    assert layout.warnings == ("a.gpr: --layout says 8 x 2 blocks, the X/Y positions say 4 x 4; the first is used",)
    records = [Record(k + 1, 0.0 if k < 12 else 5000.0, 2000.0 * (k % 12), 4, 200, 5, 200) for k in range(16)]
    with pytest.raises(LayoutError, match="a.gpr: the GAL is not that of .* found 4 x 4 blocks by .*, expected 12 x 2"):
        infer_layout(b, r, c, x, y, gal_blocks=records, file="a.gpr")
    with pytest.raises(LayoutError, match="found 4 x 4 blocks by the file, expected 12 x 2 blocks by the GAL"):
        infer_layout(b, r, c, gal_blocks=records, grid=(4, 4), file="a.gpr")  # positions are not needed to see it
    layout = infer_layout(b, r, c, x, y, gal_blocks=records, override="4x4x5x4", file="a.gpr")  # who is right is said
    assert layout.warnings == ("a.gpr: --layout says 4 x 4 blocks, the GAL says 12 x 2; the first is used",)


def test_a_gal_of_another_print_is_not_used() -> None:
    b, r, c, x, y = grid(2, 2)
    records = [Record(k + 1, 2000.0 * (k % 2), 2000.0 * (k // 2), 3, 200, 5, 200) for k in range(4)]
    layout = infer_layout(b, r, c, x, y, gal_blocks=records, file="a.gpr")
    assert layout.source == "positions" and "reaches 5 x 4 spots, the GAL gives it 5 x 3" in layout.warnings[0]
    layout = infer_layout(b, r, c, x, y, gal_blocks=records[:2], file="a.gpr")
    assert "no record of block 3" in layout.warnings[0]


def test_a_gal_knows_rows_that_the_file_lacks() -> None:
    b, r, c, _, _ = grid(2, 2)
    kept = r < 5
    records = [Record(k + 1, 2000.0 * (k % 2), 2000.0 * (k // 2), 4, 200, 5, 200) for k in range(4)]
    layout = infer_layout(b[kept], r[kept], c[kept], gal_blocks=records)
    assert layout.spot_rows == 5 and layout.missing == 16 and not layout.complete
    assert layout.evidence[0] == "block records of the GAL: 2 x 2 blocks"
    assert not any("guess" in text for text in layout.evidence)


def test_exchanged_rows_and_columns_are_noticed() -> None:
    b, r, c, x, y = grid(2, 2)
    assert "may be exchanged" in infer_layout(b, c, r, x, y, file="a.gpr").warnings[0]


@pytest.mark.parametrize(("text", "found"), [("2x2x5x4", "Block 16"), ("4x4x4x4", "Row 5"), ("4x4x5x3", "Column 4")])
def test_an_override_that_does_not_hold_the_spots_is_refused(text: str, found: str) -> None:
    b, r, c, _, _ = grid(4, 4)
    with pytest.raises(LayoutError, match=f'a.gpr: the spots do not fit into layout="{text}"; found {found}'):
        infer_layout(b, r, c, override=text, file="a.gpr")


@pytest.mark.parametrize("text", ["4x4", "4x4x0x4", "4x4x5x4x1", "wide", "4 by 4"])
def test_an_unreadable_override_is_a_usage_error(text: str) -> None:
    with pytest.raises(OptionError, match="such as 4x4x22x24"):
        infer_layout([1], [1], [1], override=text)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(LayoutError, match=r"a\.gpr: Row numbers must be 1 or more; found Row 0 in spot 2"):
        infer_layout([1, 1], [1, 0], [1, 1], file="a.gpr")


def test_slide_positions_are_distinct_and_follow_the_picture() -> None:
    b, r, c, x, y = grid(3, 4)
    layout = infer_layout(b, r, c, x, y)
    row, column = layout.slide_position(b, r, c)
    assert np.unique(row * 1000 + column).size == b.size
    assert (row.max(), column.max()) == (3 * 5 - 1, 4 * 4 - 1)
    for place, centre in ((column, x), (row, y)):
        assert np.all(np.diff(np.bincount(place, centre) / np.bincount(place)) > 100)
    with pytest.raises(LayoutError, match="Block 13 Row 1 Column 1"):
        layout.slide_position([13], [1], [1])


def test_a_layout_is_plain_data() -> None:
    layout = infer_layout(*grid(3, 4))
    again = copy.deepcopy(layout)  # goes through the same protocol as a process pool
    assert again.describe() == layout.describe()
    assert json.loads(json.dumps(layout.to_dict()))["grid_columns"] == 4


def test_positions_beyond_any_slide_are_left_out(recwarn: pytest.WarningsRecorder) -> None:
    block, row, column, x, y = grid(4, 4)
    x = x.copy()
    x[5] = 1e308
    assert infer_layout(block, row, column, x, y).describe() == infer_layout(*grid(4, 4)).describe()
    assert len(recwarn) == 0


@pytest.mark.parametrize("override", [None, "2x3x4x5"])
@pytest.mark.parametrize("gal", [True, False])
@pytest.mark.parametrize("positions", [True, False])
def test_every_source_that_is_used_is_named_and_no_other(override: str | None, gal: bool, positions: bool) -> None:
    block, row, column = (place.ravel() + 1 for place in np.indices((6, 4, 5)))
    down, across = np.divmod(block - 1, 3)
    x, y = 2000.0 * across + 200.0 * column, 2000.0 * down + 200.0 * row
    records = [BlockRecord(k + 1, 2000.0 * (k % 3), 2000.0 * (k // 3), 100.0, 5, 200.0, 4, 200.0) for k in range(6)]
    layout = infer_layout(
        block, row, column, *((x, y) if positions else ()), override=override, gal_blocks=records if gal else None
    )
    begins = {"--layout=2x3x4x5": override is not None, "block records of the GAL: 2 x 3 blocks": gal}
    begins["X/Y positions: 6 blocks in 2 x 3 places"] = positions
    begins["block numbers only: "] = not (override or gal or positions)
    assert len(layout.evidence) == sum(begins.values()), layout.evidence
    for begin, said in begins.items():
        assert any(text.startswith(begin) for text in layout.evidence) is said, (begin, layout.evidence)
