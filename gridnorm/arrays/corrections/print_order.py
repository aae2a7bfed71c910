"""The trend of intensities over the order in which spots were printed, and its removal.

Peer: limma's ``normalizeForPrintorder(method="loess")``; Smyth and Speed, Methods 31 (2003).
"""

from __future__ import annotations

import numpy as np

from gridnorm.arrays.corrections.correction import (
    CORRECT,
    Correction,
    Done,
    Intensities,
    logarithms,
    lowered,
    need_layout,
)
from gridnorm.arrays.grouping import print_index
from gridnorm.arrays.raw import FloatArray, IntArray
from gridnorm.core.apply import evaluate
from gridnorm.core.fit import fit
from gridnorm.core.option import FLAG, NUMBER, TEXT, Option, Range
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError, option_value, option_word

LIMMA = "limma's normalizeForPrintorder"
ITERATIONS = 5  # fits of the trend, as in limma: the first and four robust ones
ROUNDING = 1e-5  # of the number of spots in a window, as in R's loess

ORDER_SPAN = Option(
    "order_span", NUMBER, 0.1, "Share of the spots in each local mean of the trend.", Range(0, 1, low_open=True),
    metavar="SHARE", source=LIMMA,
)  # fmt: skip
ORDER_START = Option(
    "order_start", TEXT, "topleft", "The corner of each block that was printed first; rows follow one another.",
    choices=("topleft", "topright"), source="limma's printorder",
)  # fmt: skip
SEPARATE_CHANNELS = Option(
    "separate_channels", FLAG, False,
    "A trend for each channel; without it one, of their mean, leaves both: A changes and M stays.", source=LIMMA,
)  # fmt: skip


def print_order(given: Intensities) -> Done:
    """log2 intensities less their trend over the print index, whose mean stays.

    The trend is a robust local mean (degree 0) of ``order_span`` of the spots. Spots without a logarithm are in no
    trend, and are moved as their neighbours are.
    """
    index = place_of(given, "print-order")
    span = given.options["order_span"]
    removed = np.empty_like(given.values)
    for row, (name, logs) in enumerate(judged(given)):
        seen = ~np.isnan(logs)
        if int(seen.sum()) * span + ROUNDING < 1:
            raise FitError(
                f"{name}: {option_word(CORRECT)} print-order has too few spots for a trend", file=given.spots.file,
                found=f"{int(seen.sum())} with a logarithm", expected=f"{int(np.ceil((1 - ROUNDING) / span))} or more",
                hint=f"Give a larger {option_word('order_span')}, or leave print-order out",
            )  # fmt: skip
        at_spots = _trend(index[seen], logs[seen], span, index)
        removed[row:] = at_spots - at_spots[seen].mean()  # joint: one row serves all channels
    return Done(lowered(given.values, removed))


def place_of(given: Intensities, name: str) -> IntArray:
    """The print index of every spot, from 1."""
    layout = need_layout(given.spots, name)
    return print_index(given.columns, layout, from_right=given.options["order_start"] == "topright")


def judged(given: Intensities) -> list[tuple[str, FloatArray]]:
    """What an effect is looked for in, (spot,): the mean of the channels' logarithms, or each of them; with a name.

    Raises
    ------
    OptionError
        One channel, to be treated apart from others.
    """
    logs = logarithms(given.values)
    if given.options["separate_channels"]:
        if len(given.channels) == 1:
            raise OptionError(
                f"{option_word('separate_channels')} has no meaning for one channel", file=given.spots.file,
                found=given.channels[0], expected="two channels",
                hint=f"Leave it out, or say {option_value('separate_channels', False)}",
            )  # fmt: skip
        return list(zip(given.channels, logs, strict=True))
    return [(", ".join(given.channels), logs.mean(axis=0))]


def _trend(index: IntArray, values: FloatArray, span: float, wanted: IntArray) -> FloatArray:
    """Robust local mean of values over their index, at the indices ``wanted``: R's ``loess`` of degree 0.

    At an index that no value has, it lies between its neighbours.
    """
    found = fit(
        values, Segments.single(values.size), "loess", covariate=index, span=span, iterations=ITERATIONS, degree=0
    )
    trend: FloatArray = evaluate(found, wanted, Segments.single(wanted.size))[0]
    return trend


PRINT_ORDER = Correction(
    "print-order", print_order, "no trend over the order of printing: a robust local mean of log2 intensities",
    (ORDER_SPAN, ORDER_START, SEPARATE_CHANNELS), needs=("layout",),
    source=f"{LIMMA}; Smyth and Speed, Methods 31 (2003)",
)  # fmt: skip
