"""Options of commands: made from the rows, each once, with its words and its default."""

from __future__ import annotations

import click
import pytest

from gridnorm.cli.options import help_of, progress, settings_options
from gridnorm.cli.streams import say
from gridnorm.workflow.settings import all_options


def test_every_option_of_a_run_is_an_option_of_the_command_line_without_a_default() -> None:
    made = settings_options()
    assert [option.name for option in made] == list(all_options())
    assert all(option.default is None for option in made), "a preset must know what was given"
    assert len({flag for option in made for flag in option.opts}) == len(made)


def test_a_command_may_take_some_only() -> None:
    assert [option.name for option in settings_options(lambda: ["span", "by"])] == ["by", "span"]


def test_help_names_the_rows_whose_option_it_is_and_the_default() -> None:
    span = help_of(all_options()["span"])
    assert "[of loess, composite, control, loess2d, joint; default: 0.3]" in span
    assert "{rows}" not in "".join(help_of(option) for option in all_options().values())


@pytest.mark.parametrize("given", [["--clamp-weights"], ["--no-clamp-weights"], []])
def test_flags_have_a_yes_a_no_and_nothing(given: list[str]) -> None:
    flag = next(option for option in settings_options() if option.name == "clamp_weights")
    found = click.Command("x", params=[flag]).make_context("x", list(given)).params["clamp_weights"]
    assert found == {"--clamp-weights": True, "--no-clamp-weights": False}.get(given[0] if given else "")


def test_no_bar_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as told:
        assert told is None
    say(["one", "two"])
    assert capsys.readouterr().err == "one\ntwo\n"
