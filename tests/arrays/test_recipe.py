"""Recipes: names become rows, and every effective setting is told."""

from __future__ import annotations

import pickle

import pytest

from gridnorm.arrays.grouping import GROUPINGS
from gridnorm.arrays.recipe import Recipe, check_options
from gridnorm.core.methods import METHODS
from gridnorm.errors import OptionError

TWO, ONE = ("R", "G"), ("E",)


def test_auto_is_loess_of_two_channels_and_leaves_one_alone_until_a_grouping_is_named() -> None:
    """Blocks of one channel may be samples; only whoever names a grouping says that they are not."""
    named = Recipe(given=frozenset({"by"}))
    assert Recipe().within(TWO)[0] is METHODS["loess"] and Recipe().within(ONE)[0] is METHODS["none"]
    assert named.within(TWO)[0] is METHODS["loess"] and named.within(ONE)[0] is METHODS["median"]
    assert [recipe.left_alone(ONE) for recipe in (Recipe(), named, Recipe(method="none"))] == [True, False, False]
    assert not Recipe().left_alone(TWO)
    assert Recipe().correction(True)[0].name == "normexp" and Recipe().correction(False)[0].name == "none"


def test_steps_tell_every_effective_setting() -> None:
    step = Recipe(options={"span": 0.5}).within_step(TWO)
    assert step.parameters == {
        "by": "print-tip", "method": "loess", "span": 0.5, "iterations": 4, "surface": "interpolate",
        "clamp_weights": False, "scale": "none", "small_groups": "shrink", "min_group": 200, "flags": "exclude",
        "weights": "none", "device": "cpu",
    }  # fmt: skip
    assert Recipe(device="gpu").within_step(TWO, "given").parameters["weights"] == "given"
    assert Recipe(background="half").background_step(True).parameters["method"] == "half"


def test_downweighting_takes_the_weighted_path() -> None:
    assert Recipe(flags="downweight").within(TWO)[1]["clamp_weights"] is True
    assert Recipe(flags="downweight:-100").within(TWO)[1]["clamp_weights"] is True
    assert "clamp_weights" not in Recipe(flags="downweight", method="median").within(TWO)[1]
    assert Recipe(flags="drop:-75, -100").within_step(TWO).parameters["flags"] == "drop:-100,-75"


def test_a_resolved_recipe_has_rows_in_the_place_of_names_and_travels() -> None:
    found = Recipe(by="print-tip,Lot", method="median", background="half").resolved()
    assert found.by == (GROUPINGS["print-tip"], "Lot") and found.method is METHODS["median"]
    assert pickle.loads(pickle.dumps(found)).method.name == "median"
    assert Recipe().resolved().method == "auto"


def test_options_that_the_chosen_rows_do_not_take_are_told_or_refused() -> None:
    idle = Recipe(method="auto", options={"span": 0.5}, given=frozenset({"span"}))
    assert idle.idle(TWO, True) == []
    assert idle.idle(ONE, True) == [
        "--span has no meaning for background normexp and method none, which were chosen for it"
    ]
    check_options(idle)
    with pytest.raises(OptionError, match="span has no meaning for method median"):
        check_options(idle._replace(method="median"))
    with pytest.raises(OptionError, match="unknown method; found 'loes'.*Did you mean loess"):
        check_options(Recipe(method="loes"))
