"""The published schema: today's options are in the file."""

from __future__ import annotations

import json

from gridnorm.workflow.schema import FILE, parameters, published
from gridnorm.workflow.settings import all_options


def test_the_file_is_what_the_options_make() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == published(), "python -m gridnorm.workflow.schema"


def test_every_option_has_its_words_or_its_kind_or_is_a_list_of_them() -> None:
    made = parameters()["properties"]
    assert made.keys() == all_options().keys() - {"preset"}
    flags, null, several = made["device"]["anyOf"]
    assert flags == {"enum": ["auto", "cpu", "gpu"]} and null == {"type": "null"} and several["type"] == "array"
    assert made["span"]["anyOf"][0]["type"] == "number"
