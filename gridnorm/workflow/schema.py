"""The published schema of the sidecar; what it says of options is made from their rows.

``python -m gridnorm.workflow.schema`` writes the file anew, and that of the types (`stub`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gridnorm.core.option import AUTO, Option
from gridnorm.workflow.settings import all_options, row_defaults

FILE = Path(__file__).resolve().parent.parent / "schemas" / "sidecar-2.schema.json"


def published() -> dict[str, Any]:
    """The schema as the package has it, with today's options."""
    schema: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    schema["$defs"]["parameters"] = parameters()
    return schema


def parameters() -> dict[str, Any]:
    """Effective options under their names; options of rows of one's own may stand beside them."""
    return {
        "type": "object",
        "description": "Effective options by name: auto is resolved unless it differs between channels, options that "
        "do not apply are absent, and one that differs between arrays is the list of its values.",
        "properties": {name: _option(option) for name, option in all_options().items() if name != "preset"},
    }


def _option(option: Option) -> dict[str, Any]:
    one = dict(option.kind.schema)
    words = option.words()
    if words:
        one = {"enum": list(words)}
    elif AUTO in row_defaults(option.name):
        one = {"anyOf": [one, {"const": AUTO}]}
    several = {"type": "array", "items": {"anyOf": [one, {"type": "null"}]}}
    return {
        "description": option.help.replace("{rows}", "the name of a row"),
        "anyOf": [one, {"type": "null"}, several],
    }


def write() -> None:
    """Write the published file."""
    FILE.write_text(json.dumps(published(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from gridnorm.workflow import stub

    write()
    stub.write()
