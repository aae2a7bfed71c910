"""A format that the package does not know: ``#spots`` and lines of red, green, identifier; tens or units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.core.option import NUMBER, Option, Range, effective
from gridnorm.io.formats import Format, Head
from gridnorm.io.text import Text

UNIT = Option("unit", NUMBER, 1.0, "What one count of a spots file stands for.", Range(0, low_open=True))


def sniff(head: Text, settings: Mapping[str, Any]) -> bool:
    return head.data.startswith(b"#spots\n")


def read_head(head: Text, settings: Mapping[str, Any]) -> Head:
    return Head("spots", "1", ("R", "G"), ("red", "green", "ID"))


def read(text: Text, options: ReadOptions) -> RawArray:
    chosen = effective((UNIT,), options.settings)
    rows = [line.split() for line in text.data.splitlines()[1:]]
    levels = np.array([[float(row[k]) * chosen["unit"] for row in rows] for k in (0, 1)])
    return RawArray(
        text.name, "spots", "1", ("R", "G"), ("", ""), levels, None, {"ID": np.array([row[2] for row in rows])},
        settings=chosen,
    )  # fmt: skip


SPOTS = Format("spots", sniff, read_head, read, (UNIT,), "lines of red, green and identifier")
