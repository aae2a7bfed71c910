"""Options: what their values may be, how they are named in messages, and what a table of rows refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from gridnorm.core.option import FLAG, NUMBER, TEXT, WHOLE, WORDS, Kind, Option, Table, effective, nearest, take
from gridnorm.errors import OptionError, speak_command_line


class Row(NamedTuple):
    name: str
    act: Any = print
    options: tuple[Option, ...] = ()


SPAN = Option("span", NUMBER, 0.3, "Share.", lambda v: 0 < v <= 1, "more than 0 and at most 1")
LEAST = Option("least_size", WHOLE, None, "Least.", lambda v: v >= 0, "0 or more", auto=True)
RULE = Option("rule", TEXT, "own", choices=("own", "whole"))


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (NUMBER, "0.5", 0.5), (NUMBER, 1, 1.0), (NUMBER, np.float32(0.25), 0.25), (NUMBER, "inf", float("inf")), (WHOLE, "3", 3), (WHOLE, 3.0, 3),
        (WHOLE, np.int64(7), 7), (TEXT, 5, "5"), (FLAG, True, True), (FLAG, "no", False), (FLAG, "TRUE", True), (WORDS, "a, b,,", ("a", "b")),
        (WORDS, ["a ", 635], ("a", "635")), (WORDS, "", ()),
    ],
)  # fmt: skip
def test_text_of_the_command_line_and_values_of_python(kind: Kind, given: object, value: object) -> None:
    assert Option("x", kind).read(given) == value


@pytest.mark.parametrize(
    ("option", "given", "says"),
    [
        (SPAN, "x", "span must be a number; found 'x', expected more than 0"), (SPAN, True, "span must be a number; found True"),
        (SPAN, float("nan"), "span must be a number"), (SPAN, None, "span must be a number; found None"), (SPAN, 0, "span is out of range; found 0,"),
        (LEAST, "1.5", "least_size must be a whole number"), (LEAST, 2.5, "least_size must be a whole number; found 2.5"),
        (LEAST, -1, "least_size is out of range; found -1, expected 0 or more"), (LEAST, float("inf"), "least_size must be a whole number"),
        (RULE, "hole", r"unknown value of rule; found 'hole', expected own, whole\. Did you mean whole\?"), (RULE, None, "rule must be text"),
        (Option("f", FLAG), "maybe", "f must be yes or no; found 'maybe', expected yes or no"), (Option("f", FLAG), 1, "f must be yes or no"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_say_what_was_expected(option: Option, given: object, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        option.read(given)


def test_auto_is_the_default_where_the_option_has_one_of_its_own() -> None:
    assert LEAST.read("auto") is None and LEAST.read(None) is None
    assert effective((LEAST._replace(default=30), SPAN), {"least_size": None}) == {"least_size": 30, "span": 0.3}
    with pytest.raises(OptionError):
        SPAN.read("auto")


def test_messages_name_an_option_as_its_reader_has_written_it() -> None:
    assert LEAST.word == "least_size" and LEAST.flag == "--least-size"
    speak_command_line()
    try:
        with pytest.raises(OptionError, match="^--least-size is out of range"):
            LEAST.read(-1)
        with pytest.raises(OptionError, match="^--span has no meaning for --method median. It takes --least-size"):
            take((LEAST,), {"span": 1}, "--method median")
    finally:
        speak_command_line(False)
    with pytest.raises(OptionError, match=r"^least_sise has no meaning for this\. Did you mean least_size\?"):
        take((LEAST,), {"least_sise": 1}, "this")


def test_a_table_finds_rows_by_name_or_takes_the_row() -> None:
    table = Table(
        "taste",
        [Row("sweet", options=(SPAN,)), Row("sour", options=(SPAN._replace(default=0.5), LEAST))],
        functions=("act",),
    )
    assert list(table) == ["sweet", "sour"] and len(table) == 2 and table["sour"] is table.find("sour")
    mine = Row("mine")
    assert table.find(mine) is mine and "mine" not in table
    assert list(table.options()) == ["span", "least_size"] and table.options()["span"].default == 0.3
    assert (
        table.takers("span") == ("sweet", "sour")
        and table.takers("least_size") == ("sour",)
        and table.takers("x") == ()
    )
    with pytest.raises(
        OptionError, match=r"unknown taste; found 'swet', expected auto, sweet, sour\. Did you mean sweet\?"
    ):
        table.find("swet", also=("auto",))
    assert table.register(mine) is mine and list(table)[-1] == "mine"
    table.unregister("mine")
    assert "mine" not in table


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("sweet"), "two rows of one name in the table of tastes; found 'sweet', expected another name. There are sweet"),
        (Row("bitter", act=None), "taste 'bitter' has no function; found act = None"),
        (Row(""), "no row of the table of tastes"), (Row("auto"), "no row of the table"), (object(), "no row of the table"),
        (Row("bitter", options=(SPAN._replace(kind=TEXT, check=None),)), "span of taste 'bitter' is text; expected a number, as in the other rows"),
    ],
)  # fmt: skip
def test_rows_that_are_not_whole_are_refused(row: Any, says: str) -> None:
    table = Table("taste", [Row("sweet", options=(SPAN,))], functions=("act",))
    with pytest.raises(OptionError, match=says):
        table.register(row)
    assert list(table) == ["sweet"]


def test_the_nearest_word() -> None:
    assert nearest("lowess", ["median", "loess"]) == "loess" and nearest("x", ["median"]) is None
