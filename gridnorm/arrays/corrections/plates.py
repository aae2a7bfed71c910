"""The level of every plate that spots were printed from, and its removal.

Peer: limma's ``normalizeForPrintorder(method="plate")``; Smyth and Speed, Methods 31 (2003).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridnorm.arrays.corrections.correction import (
    Correction,
    Done,
    Intensities,
    Looked,
    columns_of_groups,
    counted,
    lowered,
)
from gridnorm.arrays.corrections.print_order import LIMMA, ORDER_START, SEPARATE_CHANNELS, judged, place_of
from gridnorm.arrays.grouping import by_text, groups_kind
from gridnorm.core.fit import fit
from gridnorm.core.option import WHOLE, Option, Range, no_meaning
from gridnorm.core.segments import Segments
from gridnorm.errors import option_value

ORDER = "order"  # plates by the print index, not by a grouping
FEW = 10  # values of a plate: fewer are said

PLATE_SIZE = Option(
    "plate_size", WHOLE, 32, "Dips that come from one plate, where plates go by the order of printing.", Range(1),
    metavar="N", source=LIMMA,
)  # fmt: skip
PLATES_BY = Option(
    "plates_by", groups_kind("plates_by"), ORDER,
    "What is a plate: order (consecutive dips of every tip), or a grouping or spot column as with by.",
    metavar="GROUPING", begins=(ORDER,),
)  # fmt: skip


def plates(given: Intensities) -> Done:
    """log2 intensities less the Huber location of their plate, whose mean over the spots stays.

    Spots without a logarithm are in no location, and are moved as their plate is.
    """
    groups, looked = _plates(given), judged(given)
    if groups.n_segments == 1:
        return Done(given.values, ("plates: all spots are of one plate, and nothing was removed",))
    removed = np.empty_like(given.values)
    few = empty = 0
    for row, (_, logs) in enumerate(looked):
        found = fit(logs, groups, "huber")
        at_spots = found.location[0][groups.codes]
        middle = at_spots[~np.isnan(at_spots)].mean() if found.n.any() else np.nan
        removed[row:] = at_spots - middle  # joint: one row serves all channels
        empty = max(empty, int((found.n == 0).sum()))
        few = max(few, int(((found.n > 0) & (found.n < FEW)).sum()))
    notes = [f"plates: {counted(empty, 'plate')} without a value: nothing was removed there"] if empty else []
    if few:
        notes.append(f"plates: {counted(few, 'plate')} of fewer than {FEW} values: a level of so few is signal")
    return Done(lowered(given.values, removed), tuple(notes))


def _plates(given: Intensities) -> Segments:
    by = given.options["plates_by"]
    if by == ORDER:
        return Segments.from_labels((place_of(given, "plates") - 1) // given.options["plate_size"])
    for option in (PLATE_SIZE, ORDER_START):
        if option.name in given.given:
            raise no_meaning(option.name, option_value("plates_by", by_text(by)))
    return given.groups("plates_by")


def _columns(options: Mapping[str, Any]) -> Looked:
    return [] if options["plates_by"] == ORDER else columns_of_groups("plates_by", options)


PLATES = Correction(
    "plates", plates, "no difference between plates: the Huber location of log2 intensities of each",
    (PLATE_SIZE, PLATES_BY, ORDER_START, SEPARATE_CHANNELS), columns=_columns,
    source=f"{LIMMA}, MASS's huber; Smyth and Speed, Methods 31 (2003)",
)  # fmt: skip
