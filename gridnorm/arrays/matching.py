"""What makes spots comparable between groups, and between arrays: their ID or their type, of control spots alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.control_spots import CONTROL_TYPE, controls_of
from gridnorm.arrays.raw import Column, FloatArray, IntArray
from gridnorm.arrays.spot_types import TYPE
from gridnorm.core.option import TEXT, Option
from gridnorm.core.segments import distinct
from gridnorm.errors import OptionError, option_value, option_word, recorded_option

TITLES = {"id": "ID", "type": TYPE}  # the column whose equal cells are comparable
MATCH = Option(
    "match", TEXT, "id", "What makes spots comparable between groups: their ID (id) or their spot type (type).",
    choices=tuple(TITLES), metavar="id|type",
)  # fmt: skip
OPTIONS = (MATCH, CONTROL_TYPE._replace(shown="types whose name begins with control; of rlm without one all spots"))


def match_codes(columns: Mapping[str, Column], n_spots: int, options: Mapping[str, Any], file: str) -> FloatArray:
    """A number of every spot, equal where spots are comparable; NaN of those by which nothing is compared.

    Parameters
    ----------
    columns, n_spots
        The spots.
    options
        ``match`` and ``control_type``. Where there are control spots, these alone are compared.
    file
        For messages.

    Returns
    -------
    float64 (spot,)

    Raises
    ------
    OptionError
        The spots have no IDs, or no types, or none of the types that were named.

    Examples
    --------
    >>> ids = {"ID": np.array([b"b", b"a", b"b", b""])}
    >>> match_codes(ids, 4, {"match": "id", "control_type": ()}, "a.gpr").tolist()
    [2.0, 1.0, 2.0, nan]
    """
    chosen = controls_of(columns, n_spots, options, file)
    title = TITLES[options["match"]]
    column = columns.get(title)
    if column is None:
        other = next(word for word in TITLES if word != options["match"])
        way = f"compare spots by {option_value('match', other)}" if TITLES[other] in columns else ""
        give = f"give a table of spot types with {option_word('controls')}" if title == TYPE else "name it in the file"
        raise OptionError(
            f"spots are compared by their {'type' if title == TYPE else 'ID'}, and there is none", file or None,
            found=f"no column {title}", expected=f"a column {title}",
            hint=" or ".join(filter(None, (give, way))).capitalize() if title == TYPE else way.capitalize() or None,
        )  # fmt: skip
    _, codes = distinct(column)
    known = column != b"" if column.dtype.kind == "S" else column == column
    known = known if chosen is None else known & chosen
    return np.asarray(np.where(known, codes, np.nan), np.float64)


def match_doubts(
    name: str, match: FloatArray, use: NDArray[np.bool_], n: IntArray, options: Mapping[str, Any]
) -> list[str]:
    """How many of the spots that may be compared are in no other group.

    Parameters
    ----------
    name
        Of the array.
    match
        float64 (spot,): what ``match_codes`` gave.
    use
        bool (spot,): spots with a value that may enter the fit.
    n
        int64 (group,): spots that entered it.
    options
        ``match``.
    """
    total = int(np.count_nonzero(use & np.isfinite(match)))
    alone = total - int(n.sum())
    if alone <= 0:
        return []
    return [
        f"{name}: {alone} of {total} spots that rlm may compare are alone in their group by "
        f"{recorded_option('match', options['match'])}, and tell nothing"
    ]
