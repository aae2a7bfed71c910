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
from gridnorm.core.fit import median_of
from gridnorm.core.option import FLAG, NUMBER, TEXT, Option, Range
from gridnorm.errors import FitError, OptionError, option_value, option_word

LIMMA = "limma's normalizeForPrintorder"
ITERATIONS = 5  # fits of the trend, as in limma: the first and four robust ones
FULL, NONE = 0.001, 0.999  # of six medians of the residuals: nearer counts fully, farther not at all
ROUNDING = 1e-5  # of the number of spots in a window, as in R's loess
_CHUNK = 1 << 20  # weights that are held at once

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
        places, trend = _trend(index[seen], logs[seen], span)
        at_spots = _at(places, trend, index)
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


def _at(places: IntArray, trend: FloatArray, index: IntArray) -> FloatArray:
    """The trend at the index of every spot; at one that no spot of the trend has, between its neighbours."""
    found: FloatArray = np.interp(index, places, trend)
    return found


def _trend(index: IntArray, values: FloatArray, span: float) -> tuple[IntArray, FloatArray]:
    """Robust local mean of values at every distinct index: R's ``loess`` of degree 0, with ``surface="direct"``.

    All spots of one index have the same weight for distance, so sums by index stand for them, exactly.

    Returns
    -------
    places
        The distinct indices, ascending.
    trend
        The local mean at each of them.
    """
    places, code, counts = np.unique(index, return_inverse=True, return_counts=True)
    reach = _reach(places, counts, int(index.size * span + ROUNDING))
    weights = np.ones(values.size)
    trend = _means(places, reach, code, values, weights)
    for _ in range(ITERATIONS - 1):
        distance = np.abs(values - trend[code])
        spread = 6 * median_of(distance)
        weights = np.where(distance <= FULL * spread, 1.0, 0.0)
        some = (distance > FULL * spread) & (distance <= NONE * spread)
        weights[some] = (1 - (distance[some] / spread) ** 2) ** 2
        trend = _means(places, reach, code, values, weights)
    return places, trend


def _reach(places: IntArray, counts: IntArray, nearest: int) -> IntArray:
    """Distance of each place to the ``nearest``-th spot around it, its own spots counted: the least that holds them."""
    before = np.concatenate([[0], np.cumsum(counts)])
    low, high = np.zeros_like(places), np.full_like(places, places[-1] - places[0])
    while (low < high).any():
        middle = (low + high) // 2
        inside = before[np.searchsorted(places, places + middle, "right")]
        inside = inside - before[np.searchsorted(places, places - middle, "left")]
        low, high = np.where(inside >= nearest, low, middle + 1), np.where(inside >= nearest, middle, high)
    return high


def _means(places: IntArray, reach: IntArray, code: IntArray, values: FloatArray, weights: FloatArray) -> FloatArray:
    """The mean around every place, weighted by distance (tricube) and by ``weights``."""
    n = places.size
    plain = np.stack([np.bincount(code, None, n), np.bincount(code, values, n)], axis=1)
    robust = np.stack([np.bincount(code, weights, n), np.bincount(code, weights * values, n)], axis=1)
    out = np.empty(n)
    first, last = np.searchsorted(places, places - reach, "left"), np.searchsorted(places, places + reach, "right")
    widest = int((last - first).max())
    rows = max(1, min(widest, _CHUNK // (2 * widest)))
    for start in range(0, n, rows):
        chunk = slice(start, start + rows)
        near = slice(int(first[chunk].min()), int(last[chunk].max()))
        distance = np.abs(places[None, near] - places[chunk, None])
        radius = reach[chunk, None]
        # Where so many spots share an index that the window has no width, they alone count.
        share = np.where(distance < radius, (1 - (distance / np.maximum(radius, 1)) ** 3) ** 3, distance == 0)
        sums = share @ robust[near]
        # Where all spots around are far from the trend, they are all there is.
        sums = np.where(sums[:, :1] > 0, sums, share @ plain[near])
        out[chunk] = sums[:, 1] / sums[:, 0]
    return out


PRINT_ORDER = Correction(
    "print-order", print_order, "no trend over the order of printing: a robust local mean of log2 intensities",
    (ORDER_SPAN, ORDER_START, SEPARATE_CHANNELS), needs=("layout",),
    source=f"{LIMMA}; Smyth and Speed, Methods 31 (2003)",
)  # fmt: skip
