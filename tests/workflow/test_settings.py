"""Settings: one name for one thing, presets, and values that cannot be."""

from __future__ import annotations

from dataclasses import fields

import pytest

from gridnorm.cli.options import _SETTINGS
from gridnorm.errors import OptionError
from gridnorm.workflow.settings import CHOICES, PRESETS, Settings, make_settings


def test_options_keywords_and_json_keys_have_the_same_names() -> None:
    names = [f.name for f in fields(Settings)]
    assert sorted(flag.removeprefix("--").replace("-", "_") for flag, *_ in _SETTINGS) == sorted(names)
    assert list(Settings().to_dict()) == names


def test_every_default_is_a_value_that_may_be_given() -> None:
    assert make_settings({}) == Settings()
    for name, choices in CHOICES.items():
        default = getattr(Settings(), name)
        assert default is None or default in choices
        for choice in choices:
            assert getattr(make_settings({name: choice}), name) == choice


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_parts_and_explicit_options_win(preset: str) -> None:
    made = make_settings({"preset": preset})
    for name, value in PRESETS[preset].items():
        assert getattr(made, name) == value
    assert make_settings({"preset": preset, "span": 0.7, "background": "half"}).span == 0.7
    assert make_settings({"preset": preset, "background": "half"}).background == "half"
    assert make_settings({"preset": preset, "min_group": "auto", "offset": "auto"}).min_group is None


def test_automatic_values_follow_the_background() -> None:
    assert make_settings({}).background_of(True) == ("normexp", 50.0)
    assert make_settings({}).background_of(False) == ("none", 0.0)
    assert make_settings({"background": "half"}).background_of(True) == ("half", 0.0)
    assert make_settings({"background": "normexp", "offset": 3}).background_of(True) == ("normexp", 3.0)
    assert make_settings({"preset": "limma"}).background_of(True) == ("subtract", 0.0)


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
     ("weights", "area:0,1"), ("weights", "area:nan"), ("weights", "area:1,2,3"), ("preset", "marray"), ("device", "cuda")],
)  # fmt: skip
def test_values_that_cannot_be_are_usage_errors_that_name_the_option(name: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        make_settings({name: value})
    assert caught.value.exit_code == 2
    word = "spot area" if name == "weights" else name.replace("_", "-")
    assert word in str(caught.value)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(OptionError, match="Did you mean background"):
        make_settings({"backgrund": "half"})
    with pytest.raises(OptionError, match="Did you mean loess"):
        make_settings({"method": "lowess"})
