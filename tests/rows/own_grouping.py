"""A grouping that the package does not know: rows of spots in bands of some height."""

from __future__ import annotations

from gridnorm.arrays.grouping import Grouping, slide_position
from gridnorm.core.option import WHOLE, Option

HEIGHT = Option("height", WHOLE, 4, "Rows of the slide in one band.", lambda v: v >= 1, "1 or more")
BANDS = Grouping(
    "bands",
    lambda spots: slide_position(spots.columns, spots.need_layout("bands"))[0] // spots.options["height"],
    "bands of rows across the slide",
    (HEIGHT,),
)
