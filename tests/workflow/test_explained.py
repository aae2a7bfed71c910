"""Shares of variance by grouping, beside chance, and in words."""

from __future__ import annotations

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.chain import Levels, levels_of
from gridnorm.arrays.corrected import correct_one
from gridnorm.arrays.recipe import Recipe
from gridnorm.workflow.explained import explained_by, in_words

RECIPE = Recipe(background="subtract")


def made(channels: int = 2, **options: float) -> gn.ArraySet:
    return gn.simulate(1, blocks=(4, 4), spots=(9, 8), channels=channels, seed=2, **options).arrays


def used(arrays: gn.ArraySet) -> np.ndarray:
    return arrays.flagged[:, 0] == 0


def levels(arrays: gn.ArraySet) -> Levels:
    return levels_of(correct_one(arrays.raw(0), arrays.layout, RECIPE).raw)[0]


def test_noise_explains_what_chance_does_and_tips_are_not_named() -> None:
    arrays = made()
    noise = levels(arrays)._replace(values=np.random.default_rng(0).normal(size=(1, arrays.n_spots)))
    rows = {row["by"]: row for row in explained_by(noise, arrays.raw(0), arrays.layout, RECIPE, used(arrays))}
    assert rows["print-tip"]["groups"] == 16
    assert rows["print-tip"]["null"] == pytest.approx(15 / 1151, abs=0.002)  # without flagged spots
    assert rows["slide-column"]["null"] == pytest.approx(31 / 1151, abs=0.004)
    for row in rows.values():
        assert abs(row["adjusted"]) < 0.02 and row["share"] < row["null"] + 0.02
    assert rows["print-tip"]["p"] > 0.05


@pytest.mark.parametrize("channels", [1, 2])
def test_tips_are_named(channels: int) -> None:
    arrays = made(channels, tip_offset_sd=0.8)
    rows = {row["by"]: row for row in explained_by(levels(arrays), arrays.raw(0), arrays.layout, RECIPE, used(arrays))}
    if channels == 2:
        assert rows["print-tip"]["p"] < 0.05 and rows["print-tip"]["after_surface"] > 0.1
    assert all(
        set(row) == {"by", "groups", "share", "adjusted", "null"} for by, row in rows.items() if by != "print-tip"
    )


def test_without_a_layout_tips_have_a_share_and_no_p() -> None:
    arrays = made()
    (row,) = explained_by(levels(arrays), arrays.raw(0), None, RECIPE, used(arrays))
    assert row["by"] == "print-tip" and row["share"] > 0 and row["p"] is None and row["after_surface"] is None


def test_values_without_spread_explain_nothing_and_come_last() -> None:
    arrays = made()
    flat = levels(arrays)._replace(values=np.zeros((1, arrays.n_spots)))
    rows = explained_by(flat, arrays.raw(0), arrays.layout, RECIPE, used(arrays))
    assert rows and all(row["share"] is None and row["adjusted"] is None for row in rows)
    assert in_words(rows[0]).endswith(": nothing to explain")


TIPS = {"by": "print-tip", "groups": 16, "share": 0.049, "adjusted": 0.011, "null": 0.038}


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.4, "; after curve and surface 1.0 %, p = 0.4: no tip effect shown"),
        (0.05, "; after curve and surface 1.0 %, p = 0.05: no tip effect shown"),
        (0.0499, "; after curve and surface 1.0 %, p = 0.05: a tip effect"),
        (None, "; not tested against shifted lattices: they need a layout with more or larger blocks"),
    ],
)
def test_a_tip_effect_is_named_below_a_twentieth(p: float | None, said: str) -> None:
    row = {**TIPS, "after_surface": None if p is None else 0.01, "p": p}
    assert in_words(row) == "print-tip: 4.9 % (3.8 % expected by chance)" + said
    assert in_words(TIPS) == "print-tip: 4.9 % (3.8 % expected by chance)"


def test_one_channel_has_no_curve_that_could_have_been_taken_off() -> None:
    row = {**TIPS, "after_surface": 0.01, "p": 0.4}
    assert in_words(row, curve=False).endswith("p = 0.4: no difference between blocks shown")
    assert in_words({**row, "p": 0.01}, curve=False).endswith("; after surface 1.0 %, p = 0.01: blocks differ")


def test_what_explains_most_stands_first_in_six_decimals() -> None:
    arrays = made(tip_offset_sd=0.8)
    rows = explained_by(levels(arrays), arrays.raw(0), arrays.layout, RECIPE, used(arrays))
    assert rows[0]["by"] == "print-tip"
    adjusted = [row["adjusted"] for row in rows]
    assert adjusted == sorted(adjusted, reverse=True) and adjusted[0] > adjusted[-1]
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert numbers == [round(value, 6) for value in numbers]


def test_a_grouping_of_one_group_is_none() -> None:
    arrays = gn.simulate(1, blocks=(1, 1), spots=(9, 8), seed=2).arrays
    rows = explained_by(levels(arrays), arrays.raw(0), arrays.layout, RECIPE, used(arrays))
    assert rows and all(row["groups"] > 1 for row in rows) and "print-tip" not in {row["by"] for row in rows}
