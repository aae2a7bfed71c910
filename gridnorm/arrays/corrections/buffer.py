"""What spots of buffer alone show is subtracted from all spots around them.

Peer: protGear's ``buffer_spots``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.corrections.correction import (
    CORRECT,
    TYPES,
    Correction,
    Done,
    Intensities,
    Looked,
    columns_of_groups,
    counted,
)
from gridnorm.arrays.grouping import by_text, groups_kind
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.spot_types import TYPE, count_types, types_meant
from gridnorm.core.apply import apply
from gridnorm.core.fit import fit
from gridnorm.core.option import TEXT, WORDS, Option
from gridnorm.core.segments import Segments, label_text
from gridnorm.errors import FitError, OptionError, option_value, option_word
from gridnorm.plain import few

STATISTICS = {"median": "median", "mean": "moments"}  # of the core
BEGINS = "buffer"  # what types are called that are buffer without being named

BUFFER_TYPE = Option(
    "buffer_type", WORDS, (), "Spot types that are buffer, of the table of spot types.", metavar="TYPE,…",
    shown=f"types whose names begin with {BEGINS}",
)  # fmt: skip
BUFFER_GROUPS = Option(
    "buffer_groups", groups_kind("buffer_groups"), "print-tip",
    "Groups of spots that have buffer spots of their own, in the words of groupings.", metavar="GROUPING",
)  # fmt: skip
BUFFER_STATISTIC = Option(
    "buffer_statistic", TEXT, "median", "What is subtracted of a group's buffer spots.", choices=tuple(STATISTICS)
)


def buffer(given: Intensities) -> Done:
    """Every intensity less the median (or mean) of the buffer spots of its group and channel."""
    types = _types(given)
    column = given.columns[TYPE]
    chosen = np.isin(column, [name.encode() for name in types])
    groups = given.groups("buffer_groups")
    values = less_level(given, groups, chosen, np.ones_like(chosen), "buffer", "buffer spot")
    several = f" in each of {groups.n_segments} groups ({by_text(given.options['buffer_groups'])})"
    measured = chosen & ~np.isnan(given.values).all(axis=0)
    what = f"the {given.options['buffer_statistic']} of {counted(int(measured.sum()), 'spot')} of type {few(types)}"
    return Done(values, (f"buffer: {what} was subtracted{several if groups.n_segments > 1 else ''}",))


def less_level(
    given: Intensities, groups: Segments, chosen: NDArray[np.bool_], touched: NDArray[np.bool_], row: str, what: str
) -> FloatArray:
    """Intensities less the level of the spots ``chosen`` in their group, (channel, spot).

    Parameters
    ----------
    groups, chosen, touched
        Groups of all spots, the spots that show what is to be subtracted, and those that it is subtracted from.
    row, what
        Name of the row, whose options are ``<row>_groups`` and ``<row>_statistic``, and what the spots are called.

    Raises
    ------
    FitError
        A group where a channel has values of spots that are touched, and none of those chosen.
    """
    level = fit(given.values, groups, STATISTICS[given.options[f"{row}_statistic"]], use=chosen)
    wanted = fit(given.values, groups, "moments", use=touched).n > 0
    lacking = np.flatnonzero((wanted & (level.n == 0)).any(axis=0)).tolist()
    if lacking:
        option, labels = f"{row}_groups", [label_text(groups.labels[k]) for k in lacking]
        whole = groups.n_segments == 1
        raise FitError(
            f"{option_word(CORRECT)} {row}: no {what} with a value in "
            + ("the array" if whole else f"{counted(len(labels), 'group')} of {groups.n_segments}"),
            file=given.spots.file,
            found=None if whole else f"{by_text(given.options[option])} {few(labels)}",
            expected=f"at least one {what}" + ("" if whole else " in every group"),
            hint=f"Leave {row} out" if whole else f"One level for the array: {option_value(option, 'array')}",
        )
    out: FloatArray = apply(given.values, groups, level, "centre")
    return out


def _types(given: Intensities) -> list[str]:
    """The types that are buffer, as the spots have them."""
    known = count_types(given.columns)
    found = types_meant(BUFFER_TYPE, given.options["buffer_type"], BEGINS, known, given.spots.file)
    if not found:
        raise OptionError(
            f"no spot type begins with {BEGINS}", file=given.spots.file, found=few(known),
            hint=f"Name the types that are buffer: {option_word('buffer_type')}",
        )  # fmt: skip
    return found


def _columns(options: Mapping[str, Any]) -> Looked:
    return columns_of_groups("buffer_groups", options)


BUFFER = Correction(
    "buffer", buffer, "intensities less those of the buffer spots around: the median of each group and channel",
    (BUFFER_TYPE, BUFFER_GROUPS, BUFFER_STATISTIC), needs=(TYPES,), columns=_columns, types=("buffer_type",),
    source="protGear's buffer_spots",
)  # fmt: skip
