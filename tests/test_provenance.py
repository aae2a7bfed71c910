"""Histories: what was done, in order, under the names of the options."""

from __future__ import annotations

import json

from gridnorm.provenance import History, InputDigest, Step, common

ONE = History(
    (Step("background_correct", {"method": "half", "offset": 0.0}), Step("normalize_within", {"method": "loess"}))
)
TWO = History((Step("background_correct", {"method": "none"}), Step("normalize_within", {"method": "loess"})))


def test_parameters_have_the_names_of_the_options() -> None:
    assert ONE.parameters() == {"background": "half", "offset": 0.0, "method": "loess"}
    assert History().parameters() == {}


def test_of_a_step_done_twice_the_last_counts() -> None:
    again = History((*ONE.steps, Step("normalize_within", {"method": "median", "by": "pad"})))
    assert again.parameters() == {"background": "half", "offset": 0.0, "method": "median", "by": "pad"}


def test_one_history_for_several_lists_what_differs() -> None:
    assert common([]) == History()
    assert common([ONE, ONE]) is ONE
    both = common([ONE, TWO, ONE])
    assert both.parameters() == {"background": ["half", "none"], "offset": 0.0, "method": "loess"}


def test_steps_done_twice_are_kept_apart() -> None:
    twice = [History((Step("normalize_within", {"by": a}), Step("normalize_within", {"by": "Block"}))) for a in "xy"]
    assert [step.parameters["by"] for step in common(twice).steps] == [["x", "y"], "Block"]


def test_a_history_is_told_in_one_line_and_kept_as_plain_data() -> None:
    assert str(History()) == "nothing done"
    assert str(ONE).count(" → ") == 1 and "method=half" in str(ONE)
    assert json.loads(json.dumps(ONE.to_list())) == ONE.to_list()
    assert InputDigest("a.gpr", 5, "ab").to_dict() == {"name": "a.gpr", "size": 5, "sha256": "ab"}
