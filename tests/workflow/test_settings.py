"""Settings: one name for one thing, presets, and values that cannot be."""

from __future__ import annotations

import pytest

from gridnorm.arrays.background import BACKGROUNDS
from gridnorm.arrays.between import BETWEEN
from gridnorm.arrays.corrections.rows import CORRECTIONS
from gridnorm.cli.options import settings_options
from gridnorm.errors import OptionError, speak_command_line
from gridnorm.workflow.settings import PRESETS, all_options, make_settings


def test_options_keywords_and_json_keys_have_the_same_names() -> None:
    assert [option.name for option in settings_options()] == list(all_options())
    assert all(option.opts[0] == f"--{option.name.replace('_', '-')}" for option in settings_options())


def test_every_default_is_a_value_that_may_be_given() -> None:
    for name, option in all_options().items():
        if option.default is not None:
            assert option.read(option.default) == option.default
        # An option of the rows between arrays needs one of them: nothing is done there unless it is asked for.
        row = next(iter(BETWEEN.takers(name)), None)
        beside = {} if row is None else {"between": row}
        if (rows := BACKGROUNDS.takers(name)) and not {"normexp", "none"} & {*rows}:
            beside = {"background": rows[0]}
        if rows := CORRECTIONS.takers(name):
            beside = {"correct": rows[0]}
        for choice in option.words():
            assert option.read(choice) == choice
            assert getattr(make_settings({**beside, name: choice}), name) == choice


def test_an_option_that_the_chosen_row_does_not_take_is_refused_by_name() -> None:
    for given, says in (
        ({"method": "median", "span": 0.5}, "^span has no meaning for method median"),
        ({"method": "none", "min_group": 3}, "^min_group has no meaning for method none"),
        ({"background": "half", "normexp_method": "mle"}, "^normexp_method has no meaning for background half"),
        ({"small_groups": "own", "min_group": 3}, "^min_group has no meaning for small_groups own"),
        ({"cyclic_span": 0.5}, "^cyclic_span has no meaning for between none"),
        ({"between": "scale", "cyclic_rounds": 2}, "^cyclic_rounds has no meaning for between scale"),
        ({"method": "zscore", "ddof": 0}, "unknown option; found ddof"),
        ({"method": "mad", "clamp_weights": True}, "^clamp_weights has no meaning for method mad"),
    ):
        with pytest.raises(OptionError, match=says):
            make_settings(given)
    assert make_settings({"span": 0.5, "normexp_method": "mle"}).span == 0.5  # auto may choose a row that takes them
    speak_command_line()
    try:
        with pytest.raises(OptionError, match="^--span has no meaning for --method median"):
            make_settings({"method": "median", "span": 0.5})
    finally:
        speak_command_line(False)


def test_a_preset_sets_only_what_applies() -> None:
    made = make_settings({"preset": "limma", "method": "median"})
    assert (made.span, made.clamp_weights, made.small_groups, made.offset) == (None, None, "own", 0.0)
    made = make_settings({"preset": "limma", "min_group": 20, "small_groups": "array"})
    assert (made.small_groups, made.min_group) == ("array", 20)
    # The preset's rule stays what it is: another one would be other numbers than those that were asked for.
    with pytest.raises(
        OptionError, match='^min_group has no meaning for small_groups="own", which preset="limma" sets'
    ):
        make_settings({"preset": "limma", "min_group": 20})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_parts_and_explicit_options_win(preset: str) -> None:
    made = make_settings({"preset": preset})
    for name, value in PRESETS[preset].items():
        # the preset subtracts; how normexp is fitted applies where normexp is asked for
        assert getattr(made, name) == (None if name == "normexp_method" else value)
    assert make_settings({"preset": preset, "span": 0.7, "background": "half"}).span == 0.7
    assert make_settings({"preset": preset, "background": "half"}).background == "half"
    assert make_settings({"preset": preset, "min_group": "auto", "offset": "auto"}).min_group is None


def test_automatic_values_follow_the_background() -> None:
    def used(measured: bool, **given: object) -> tuple[str, float | str]:
        row, options = make_settings(given).recipe.correction(measured)
        return row.name, options["offset"]

    assert used(True) == ("normexp", "auto")
    assert used(False) == ("none", 0.0)
    assert used(True, background="half") == ("half", 0.0)
    assert used(True, background="normexp", offset=3) == ("normexp", 3.0)
    assert used(True, offset="auto") == used(True, offset=None) == ("normexp", "auto")
    assert used(True, background="half", offset="auto") == ("half", 0.0)
    assert used(True, preset="limma") == ("subtract", 0.0)
    assert used(True, preset="limma", background="normexp") == ("normexp", 0.0)
    assert used(True, preset="limma", background="normexp", offset="auto") == ("normexp", "auto")


def test_normexp_is_fitted_as_limma_does_where_the_preset_says_limma() -> None:
    def used(**given: object) -> str:
        return str(make_settings({"background": "normexp", **given}).recipe.correction(True)[1]["normexp_method"])

    assert (used(), used(preset="limma"), used(preset="limma", normexp_method="mle")) == ("scaled", "saddle", "mle")


def test_text_of_the_command_line_and_values_of_python_mean_the_same() -> None:
    text = {
        "span": "0.5",
        "iterations": "2",
        "offset": "7",
        "min_group": "3",
        "channels": "635, 532",
        "keep": "a,b",
        "columns": "R=x,G=y z",
    }
    values = {
        "span": 0.5,
        "iterations": 2,
        "offset": 7,
        "min_group": 3,
        "channels": ("635", 532),
        "keep": ["a", "b"],
        "columns": {"R": "x", "G": "y z"},
    }
    assert make_settings(text) == make_settings(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [("span", 0), ("span", -0.1), ("span", 1.01), ("span", float("nan")), ("span", "x"), ("span", None), ("iterations", 0), ("iterations", 1.5),
     ("iterations", "1.5"), ("offset", -1), ("offset", float("inf")), ("offset", float("nan")), ("min_group", -1), ("min_group", 2.5),
     ("method", "Loess"), ("method", None), ("columns", "R"), ("columns", {"Q": "x"}), ("columns", "R=a,R=b"), ("weights", "area:"),
     ("weights", "area:0,1"), ("weights", "area:nan"), ("weights", "area:1,2,3"), ("preset", "olin"), ("device", "cuda")],
)  # fmt: skip
def test_values_that_cannot_be_are_usage_errors_that_name_the_option(name: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        make_settings({name: value})
    assert caught.value.exit_code == 2
    word = "spot area" if name == "weights" else name
    assert word in str(caught.value)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(OptionError, match="Did you mean background"):
        make_settings({"backgrund": "half"})
    with pytest.raises(OptionError, match="Did you mean loess"):
        make_settings({"method": "lowess"})
