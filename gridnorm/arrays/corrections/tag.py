"""The signal of tags that proteins are fused to is subtracted: that of spots which hold the tag alone.

Peer: protGear's ``tag_subtract``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.corrections.buffer import STATISTICS, less_level
from gridnorm.arrays.corrections.correction import (
    CORRECT,
    Correction,
    Done,
    Intensities,
    Looked,
    columns_of_groups,
    counted,
)
from gridnorm.arrays.grouping import find_column, groups_kind
from gridnorm.arrays.raw import Column
from gridnorm.arrays.spot_types import cell_text
from gridnorm.core.option import TEXT, Option
from gridnorm.errors import FitError, OptionError, option_word
from gridnorm.plain import WHOLE, few

NAMED = ("ID", "Name")  # where a spot that is a tag is called so

TAG_COLUMN = Option(
    "tag_column", TEXT, "Tag", "The spot column that names the tag of each fusion protein; empty: it has none.",
    bool, "a spot column", metavar="COL",
)  # fmt: skip
TAG_GROUPS = Option(
    "tag_groups", groups_kind("tag_groups"), "array",
    "Groups of spots that have spots of the tags of their own, in the words of groupings.", metavar="GROUPING",
)  # fmt: skip
TAG_STATISTIC = Option(
    "tag_statistic", TEXT, "mean", "What is subtracted of the spots that are the tag.",
    choices=tuple(sorted(STATISTICS)),
)  # fmt: skip


def tag(given: Intensities) -> Done:
    """Intensities of spots with a tag less the mean (or median) of the spots that are the tag, channel by channel.

    Spots that are a tag stay as they are, and so do those without one.
    """
    title = find_column(given.options["tag_column"], given.columns, given.spots.file, "tag_column")
    words, code = _texts(given.columns[title])
    if not any(words):
        return Done(given.values, (f"tag: no spot names a tag in {title}, and nothing was subtracted",))
    names = [_texts(given.columns[one]) for one in NAMED if one in given.columns]
    if not names:
        raise OptionError(
            f"{option_word(CORRECT)} tag finds the spots of a tag by ID or Name", file=given.spots.file,
            found="neither of them", hint=f"Name one with {option_word('columns')} ID=…",
        )  # fmt: skip
    measured = ~np.isnan(given.values).all(axis=0)
    pure = {word: _called(word, names) & measured for word in words if word}
    every = np.logical_or.reduce(list(pure.values()))
    groups = given.groups("tag_groups")
    out, told = given.values.copy(), []
    for k, word in enumerate(words):
        tagged = (code == k) & ~every & measured
        if not word or not tagged.any():
            continue
        many = counted(int(tagged.sum()), "spot")
        if not pure[word].any():
            raise FitError(
                f"{option_word(CORRECT)} tag: {many} with the tag {word}, and no measured spot that is {word} itself",
                file=given.spots.file, expected=f"spots whose {' or '.join(NAMED)} is {word}",
                hint=f"Empty its cells in {title}, or name another column with {option_word('tag_column')}",
            )  # fmt: skip
        lowered = less_level(given, groups, pure[word], tagged, "tag", f"spot of {word}")
        out[:, tagged] = lowered[:, tagged]
        told.append(f"{counted(int(pure[word].sum()), 'spot')} of {word} from {many}")
    statistic = given.options["tag_statistic"]
    return Done(out, (f"tag: the {statistic} was subtracted: {few(told, widest=WHOLE)}",) if told else ())


def _texts(column: Column) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct cells of a column as text without blanks around, and which of them each spot has."""
    cells, code = np.unique(column, return_inverse=True)
    found, again = np.unique([cell_text(cell).strip() for cell in cells.tolist()], return_inverse=True)
    return found.tolist(), again[code.ravel()]


def _called(word: str, names: list[tuple[list[str], NDArray[np.int64]]]) -> NDArray[np.bool_]:
    """Spots that are called so: exactly, or, where none is, ignoring case."""
    for fold in (str, str.casefold):
        hits = [np.array([fold(one) == fold(word) for one in texts], bool)[code] for texts, code in names]
        if any(hit.any() for hit in hits):
            break
    found: NDArray[np.bool_] = np.logical_or.reduce(hits)
    return found


def _columns(options: Mapping[str, Any]) -> Looked:
    return [("tag_column", options["tag_column"]), *columns_of_groups("tag_groups", options)]


TAG = Correction(
    "tag", tag, "fusion proteins less their tag: the mean of the spots that hold the tag alone",
    (TAG_COLUMN, TAG_GROUPS, TAG_STATISTIC), columns=_columns, sees=NAMED, source="protGear's tag_subtract",
)  # fmt: skip
