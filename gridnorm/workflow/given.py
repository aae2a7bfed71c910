"""What people hand over in Python: paths, or a table in memory, which is read as its file would be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.given import column_of, is_labels, kind_of, title_of
from gridnorm.arrays.grouping import WHOLE, Grouping
from gridnorm.arrays.join import unique_among
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, RawArray
from gridnorm.arrays.weights import weights_per_array
from gridnorm.core.tables import aligned
from gridnorm.errors import OptionError, option_word
from gridnorm.io.columns import KEYS
from gridnorm.io.formats import Head, recognise
from gridnorm.io.roles import pairs_of
from gridnorm.io.text import Text
from gridnorm.workflow.opening import ArrayTask, layout_of, read_gal, read_options
from gridnorm.workflow.plan import Plan, refuse_strangers
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.spot_files import check_files, told
from gridnorm.workflow.unit import reference_of

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
FRAME, NAME = "DataFrame", "array1"  # the file of a table in memory in messages, and the array that it is


class Opened(NamedTuple):
    """A table in memory as an array, with what a plan knows of a file."""

    task: ArrayTask
    head: Head
    raw: RawArray
    layout: Layout | None


def listed(paths: Any) -> list[str]:
    """Paths as a list of texts.

    Raises
    ------
    OptionError
        These are no paths.
    """
    if isinstance(paths, str | bytes | os.PathLike):
        return [os.fsdecode(paths)]
    wrong = None
    if isinstance(getattr(type(paths), "arrays", None), property):
        hint = "Give its .arrays"
    elif hasattr(paths, "shape"):
        hint = "gn.normalize_groups takes plain numbers"
    elif isinstance(paths, Mapping) or not hasattr(paths, "__iter__"):
        hint = None
    else:
        given = list(paths)
        wrong = next((one for one in given if not isinstance(one, str | bytes | os.PathLike)), None)
        if wrong is None:
            return [os.fsdecode(path) for path in given]
        hint = "Sets and DataFrames are given one at a time"
    found = kind_of(paths if wrong is None else wrong)
    raise OptionError("no array files", found=found, expected="a path, several, or one DataFrame", hint=hint)


def is_frame(given: Any) -> bool:
    """Whether this is a DataFrame of pandas."""
    return hasattr(given, "to_csv") and hasattr(given, "columns") and hasattr(given, "index")


def with_spot_data(frame: Any, options: Mapping[str, Any], weights: Any) -> tuple[dict[str, Any], dict[str, Column]]:
    """Options whose labels and weights have become columns, and these columns, in the order of the rows."""
    made, columns = dict(options), dict[str, Column]()
    taken = {str(title) for title in frame.columns}

    def add(given: Any, option: str) -> str:
        given = aligned(given, (frame.index,), option, FRAME)
        title = title_of(given)
        if title in frame.columns and given.equals(frame[title]):
            return title
        title = unique_among({*taken, *columns}, title)
        columns[title] = column_of(given, len(frame), option)
        return title

    for option in ("by", "split"):
        by = made.get(option)
        parts = by if isinstance(by, tuple) and not isinstance(by, Grouping) else (by,)
        if any(map(is_labels, parts)):
            words = tuple(add(part, option) if is_labels(part) else part for part in parts)
            made[option] = words if len(words) > 1 else words[0]
    if weights is not None:
        numbers = weights_per_array(aligned(weights, (frame.index,), "weights", FRAME), len(frame), 1)[0]
        assert numbers is not None
        made["weights"] = unique_among({*taken, *columns}, "given")
        columns[made["weights"]] = numbers
    return made, columns


def open_frame(frame: Any, settings: Settings, more: Mapping[str, Column] | None = None) -> Opened:
    """A DataFrame as the table file that it would be.

    Parameters
    ----------
    frame
        Columns by their titles, those of GenePix among them. Levels of the index that have a name are columns, too; one
        of text is ID, where nothing else is.
    settings
        Of the run.
    more
        Further spot columns, in the order of the rows.

    Raises
    ------
    FormatError, LayoutError, OptionError
        As of a file; ``DataFrame:1`` is the line of titles.
    """
    added = dict(more or {})
    if settings.merge_scans is not None:
        raise OptionError(
            f"{option_word('merge_scans')} has no meaning for a {FRAME}, which is one array",
            hint="Scans in a set are merged by gn.merge_scans",
        )
    check_files(settings)
    text = _text(frame, settings)
    row = recognise(text, settings.reading)
    head = row.head(text, settings.reading)
    options = read_options(settings, (*head.columns, *added), FRAME, keys_only=False)
    options = replace(options, extra=tuple(title for title in options.extra if title not in added))
    raw = row.read(text, options)
    raw = replace(raw, spots={**raw.spots, **added}, not_found=row.not_found)
    if settings.gal is not None:
        raw = annotate(raw, read_gal(settings.gal))
    raw = told(raw, settings, NAME)
    layout, warnings = layout_of(raw, settings)
    return Opened(ArrayTask("", NAME, FRAME, row, options), head, raw.with_warnings(*warnings), layout)


def frame_plan(frame: Any, settings: Settings, more: Mapping[str, Column] | None = None) -> Plan:
    """The plan of a run whose only array is a table in memory."""
    opened = open_frame(frame, settings, more)
    reference = reference_of(opened.raw, opened.layout, settings.split)
    plan = Plan(settings, (opened.task,), (opened.head,), reference, (opened.raw, None))
    refuse_strangers(plan)
    return plan


def reordered(plan: Plan, arrays: ArraySet) -> list[str]:
    """That the rows of a table are in another order now, so that its columns cannot go with the set by position."""
    assert plan.first is not None
    before, after = plan.first[0].spots, arrays.columns
    keys = [title for title in KEYS if title in before and title in after]
    if plan.settings.split != WHOLE or all(np.array_equal(before[title], after[title]) for title in keys):
        return []
    return [
        f"{FRAME}: the spots are in layout order now, not in that of the {FRAME}; labels and weights of its rows go "
        "with it into gn.normalize"
    ]


def _text(frame: Any, settings: Settings) -> Text:
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise OptionError(
            "the columns of a table have one title each", found=f"{frame.columns.nlevels} levels of titles"
        )
    titles = {str(title) for title in frame.columns}
    index = frame.index
    roles = {role for role, _ in pairs_of(settings.columns or ())}
    identity = index if index.nlevels == 1 and index.dtype.kind == "O" and "ID" not in titles | roles else None
    if all(isinstance(name, str) and name not in titles for name in index.names):
        frame = frame.reset_index()
    if identity is not None and "ID" not in frame.columns:
        frame = frame.assign(ID=identity.to_numpy())
    data = frame.to_csv(sep="\t", index=False, lineterminator="\n").encode("utf-8", "replace")
    return Text(FRAME, data, "utf-8", (), len(data), "")
