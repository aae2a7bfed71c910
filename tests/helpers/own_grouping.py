"""A grouping that the package does not know: rows of spots in bands of some height."""

from __future__ import annotations

from typing import Any

from gridnorm.arrays.grouping import Grouping, Spots, slide_position
from gridnorm.core.option import WHOLE, Option, Range

HEIGHT = Option("height", WHOLE, 4, "Rows of the slide in one band.", Range(1))


def bands(spots: Spots) -> Any:
    return slide_position(spots.columns, spots.need_layout("bands"))[0] // spots.options["height"]


BANDS = Grouping(
    "bands",
    bands,
    "bands of rows across the slide",
    (HEIGHT,),
)
