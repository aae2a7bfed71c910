"""Errors: what a message says, exit codes, and that they cross processes."""

from __future__ import annotations

import pickle

import pytest

from gridnorm import errors
from gridnorm.errors import (
    DeviceError,
    FitError,
    FormatError,
    GridnormError,
    LayoutError,
    LostError,
    OptionError,
    OutputError,
    UnknownNameError,
    option_value,
    option_word,
    speak_command_line,
)

CODES = {
    OptionError: 2,
    UnknownNameError: 2,
    FormatError: 3,
    LayoutError: 3,
    LostError: 1,
    FitError: 4,
    DeviceError: 5,
    OutputError: 6,
    GridnormError: 1,
}


def test_every_error_has_its_exit_code() -> None:
    found = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GridnormError)}
    assert {kind: kind.exit_code for kind in found} == CODES
    assert issubclass(OptionError, ValueError)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "it broke"),
        ({"file": "a.gpr"}, "a.gpr: it broke"),
        ({"file": "a.gpr", "line": 31}, "a.gpr:31: it broke"),
        ({"line": 31}, "it broke"),
        ({"found": "x"}, "it broke; found x"),
        ({"expected": "y"}, "it broke; expected y"),
        ({"found": "x", "expected": "y", "hint": "Do z"}, "it broke; found x, expected y. Do z"),
    ],
)
def test_a_message_says_what_where_found_expected_and_what_to_do(parts: dict, text: str) -> None:
    assert str(FormatError("it broke", **parts)) == text


@pytest.mark.parametrize("kind", CODES)
def test_errors_cross_processes_whole(kind: type[GridnormError]) -> None:
    error = kind("it broke", "a.gpr", 3, "x", "y", "Do z")
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind and str(there) == str(error) and vars(there) == vars(error)


def test_what_only_the_caller_knows_is_added_and_nothing_is_replaced() -> None:
    error = FitError("it broke", found="x").completed(file="a.gpr", hint="Do z")
    assert type(error) is FitError and str(error) == "a.gpr: it broke; found x. Do z"
    assert str(error.completed(file="b.gpr", hint="No")) == str(error)


def test_options_are_named_as_their_reader_writes_them() -> None:
    assert (option_word("min_group"), option_value("align", "id")) == ("min_group", 'align="id"')
    assert option_value("force", True) == "force=True"
    speak_command_line()
    try:
        assert (option_word("min_group"), option_value("align", "id")) == ("--min-group", "--align id")
        assert option_value("force", True) == "--force"
    finally:
        speak_command_line(False)
    assert option_word("min_group") == "min_group"
