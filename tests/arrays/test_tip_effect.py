"""Print-tips after curve and surface: named where they are, not where trends, neighbours or outliers look like them."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays import tip_effect as module
from gridnorm.arrays.layout import Layout, infer_layout
from gridnorm.arrays.tip_effect import lattice_shifts, shifted_lattice, tip_effect, without_surface


class Slide:
    """A full slide of blocks, and places of its spots from −1 to 1."""

    def __init__(self, rows: int = 4, columns: int = 4, spot_rows: int = 9, spot_columns: int = 8) -> None:
        sizes = (rows * columns, spot_rows, spot_columns)
        block, row, column = (each.ravel() + 1 for each in np.meshgrid(*map(np.arange, sizes), indexing="ij"))
        self.spots = {"Block": block, "Row": row, "Column": column}
        self.layout: Layout = infer_layout(block, row, column, override=f"{rows}x{columns}x{spot_rows}x{spot_columns}")
        self.place = self.layout.slide_position(block, row, column)
        self.y, self.x = (2 * at / max(at.max(), 1) - 1 for at in self.place)
        self.block, self.n = block - 1, block.size
        self.used = np.ones(self.n, bool)

    def p(self, values: np.ndarray, level: np.ndarray | None = None, use: np.ndarray | None = None) -> float:
        found = tip_effect(values, level, self.spots, self.layout, self.used if use is None else use)
        assert found is not None
        return found.p


SLIDE = Slide()


def test_tips_are_named_beside_a_trend_and_a_dye_curve_with_holes_in_the_data() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        level = rng.uniform(6, 14, SLIDE.n)
        tips = 0.3 * rng.normal(size=16)[SLIDE.block]
        values = tips + SLIDE.x - SLIDE.y**2 + 0.1 * (level - 10) ** 2 + 0.3 * rng.normal(size=SLIDE.n)
        values[rng.random(SLIDE.n) < 0.05] = np.nan
        assert SLIDE.p(values, level, rng.random(SLIDE.n) < 0.9) <= 2 / 72


@pytest.mark.parametrize("kind", ["gradient", "bowl", "neighbours", "heavy tails"])
def test_what_is_no_tip_is_named_rarely(kind: str) -> None:
    named = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=SLIDE.n)
        if kind == "gradient":
            noise += 2 * rng.normal() * SLIDE.x + 2 * rng.normal() * SLIDE.y
        elif kind == "bowl":
            noise += 3 * (SLIDE.x**2 + SLIDE.y**2)
        elif kind == "neighbours":
            noise[1:] += 0.3 * noise[:-1]
        else:
            noise = rng.standard_t(2, size=SLIDE.n)
        named.append(SLIDE.p(noise) < 0.05)
    assert np.mean(named) <= 0.1


def test_the_lattice_moves_and_is_cut_at_the_edges() -> None:
    row, column = SLIDE.place
    assert (shifted_lattice(row, column, SLIDE.layout, 0, 0) == (row // 9 + 1) * 5 + column // 8 + 1).all()
    moved = shifted_lattice(row, column, SLIDE.layout, 2, 3)
    sizes = np.unique(moved, return_counts=True)[1]
    assert sizes.size == 25 and sizes.max() == 72 and sizes.min() == min(2 * 3, 7 * 3, 2 * 5, 7 * 5)


@pytest.mark.parametrize(
    ("shape", "shifts"),
    [((4, 4, 9, 8), 71), ((1, 4, 9, 8), 7), ((4, 1, 9, 8), 8), ((2, 2, 24, 25), 599), ((2, 2, 24, 26), 312)],
)
def test_all_shifts_below_a_block_are_taken_and_at_most_600(shape: tuple[int, int, int, int], shifts: int) -> None:
    found = list(lattice_shifts(Slide(*shape).layout))
    assert len(found) == len(set(found)) == shifts and (0, 0) not in found


@pytest.mark.parametrize(
    ("shape", "tested"),
    [
        ((1, 1, 30, 30), False),
        ((4, 4, 4, 5), True),
        ((4, 4, 3, 6), False),
        ((1, 4, 9, 20), True),
        ((1, 4, 9, 19), False),
        ((1, 3, 20, 20), False),  # too few blocks: shifted lattices would have others at the edges
        ((4, 1, 20, 20), True),
        ((2, 3, 9, 9), False),
        ((2, 4, 9, 9), True),
        ((3, 3, 9, 9), True),
    ],
)
def test_few_and_small_blocks_are_not_tested(shape: tuple[int, int, int, int], tested: bool) -> None:
    slide = Slide(*shape)
    values = np.random.default_rng(0).normal(size=slide.n)
    assert (tip_effect(values, None, slide.spots, slide.layout, slide.used) is not None) == tested


@pytest.mark.parametrize(("spots", "tested"), [(50, True), (49, False)])
def test_50_spots_are_needed(spots: int, tested: bool) -> None:
    few = np.arange(SLIDE.n) < spots
    values = np.random.default_rng(0).normal(size=SLIDE.n)
    assert (tip_effect(values, None, SLIDE.spots, SLIDE.layout, few) is not None) == tested


@pytest.mark.parametrize("tilt", [0.0, 0.7])
@pytest.mark.parametrize("with_level", [False, True])
def test_where_nothing_is_left_nothing_is_said(tilt: float, with_level: bool) -> None:
    """What rounding leaves of a constant has a pattern of its own, which is no print-tip's."""
    level = np.random.default_rng(0).uniform(6, 14, SLIDE.n) if with_level else None
    values = -0.58 + tilt * SLIDE.x * (not with_level)
    found = tip_effect(values, level, SLIDE.spots, SLIDE.layout, SLIDE.used)
    assert found is not None and np.isnan(found.share) and np.isnan(found.p)
    made = 1e-9 * np.random.default_rng(1).normal(size=SLIDE.n)
    assert np.isfinite(SLIDE.p(values + made, level))


def test_ragged_blocks_keep_their_places() -> None:
    rng, slide = np.random.default_rng(1), Slide()
    keep = ~((slide.block % 3 == 0) & (slide.spots["Row"] > 5))
    spots = {name: column[keep] for name, column in slide.spots.items()}
    layout = infer_layout(spots["Block"], spots["Row"], spots["Column"], override="4x4x9x8")
    values = (rng.normal(size=slide.n) + rng.normal(size=16)[slide.block])[keep]
    found = tip_effect(values, None, spots, layout, np.ones(values.size, bool))
    assert found is not None and found.p <= 2 / 72 and found.share > 0.2


@pytest.mark.parametrize("down", range(5))
def test_surfaces_of_the_third_degree_go_and_those_of_the_fourth_stay(down: int) -> None:
    # Drawing in outliers nears the surface step by step: what goes is not gone to the last digit.
    if down < 4:
        third = SLIDE.y**down * SLIDE.x ** (3 - down)
        assert np.abs(without_surface(third, *SLIDE.place, SLIDE.used)).max() < 0.02
    fourth = SLIDE.y**down * SLIDE.x ** (4 - down)
    assert np.abs(without_surface(fourth, *SLIDE.place, SLIDE.used)).max() > 0.15


def test_outliers_are_drawn_in_to_three_deviations() -> None:
    values = np.random.default_rng(2).normal(size=SLIDE.n)
    values[7] = 1e6
    left = without_surface(values, *SLIDE.place, SLIDE.used)
    assert 2.5 < left[7] < 3.5
    assert module._drawn_in(np.array([1.0, 1.0, 1.0, 9.0])).tolist() == [1.0, 1.0, 1.0, 9.0]


def test_one_row_of_spots_has_a_surface_too() -> None:
    slide = Slide(1, 3, 1, 40)
    left = without_surface(slide.x, *slide.place, slide.used)
    assert np.abs(left).max() < 1e-9
