"""Scans of one slide in a set of arrays: one array for every slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.arrayset import ArraySet, of_raw
from gridnorm.arrays.given import as_arrays, kind_of
from gridnorm.arrays.matrices import INTENSITIES
from gridnorm.arrays.record import record_of
from gridnorm.arrays.scans import merge_raws, saturation_columns
from gridnorm.arrays.stack import stack
from gridnorm.core.tables import aligned, labelled
from gridnorm.errors import OptionError, option_word, warn
from gridnorm.plain import SHOWN_TITLES, few
from gridnorm.provenance import joined

STEP = "merge_scans"


def merge_scans(arrays: ArraySet, by: str | Sequence[Any]) -> ArraySet:
    """Arrays that are scans of one slide, at several gains of the scanner, as one array a slide.

    Parameters
    ----------
    arrays
        Raw arrays.
    by
        The column of ``arrays.targets`` that says which slide an array is of, or one label for every array. A Series
        goes by the names of the arrays. An array whose label no other has stays as it is.

    Returns
    -------
    ArraySet
        Merged arrays have the label as their name, and foreground and background in the unit of the scan with the
        lowest gain, without what the scanner adds; ``record(i).scans`` has offset and gain of every scan. Cells of
        ``targets`` that differ between scans are joined, with a bar between them.

    Raises
    ------
    OptionError
        No such column, an array without a label, no slide with two scans, or arrays that are corrected already.
    LayoutError
        Scans of one slide with other spots, or a background in some of them only.
    FitError
        Scans whose signals do not rise together.

    Warns
    -----
    GridnormWarning
        What was merged, and what is to be known of it.

    Notes
    -----
    A scan is left out at a spot that is at full scale (65535) in it. Pixels of a spot may be saturated long before its
    mean is: ``gn.read(targets, merge_scans="Slide")`` reads the columns ``F<nm> % Sat.`` of every scan as well, and
    leaves out scans in which some are. Peers: limma's ``mergeScansRG``, aroma.light's ``calibrateMultiscan``.

    Examples
    --------
    >>> import gridnorm as gn, warnings
    >>> scans = gn.simulate(3, blocks=(2, 2), spots=(15, 15), gains=(0.3, 1, 3), seed=1).arrays
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     merged = gn.merge_scans(scans, by=["slide1"] * 3)
    >>> merged.names, [round(scan.channels["R"]["gain"], 1) for scan in merged.record(0).scans]
    (('slide1',), [1.0, 3.3, 10.0])
    """
    arrays = as_arrays(arrays)
    _refuse_others(arrays)
    word, labels = _labels(arrays, by)
    slides = slides_of(labels, arrays.names, word)
    sets, notes = [], []
    for label, members in slides.items():
        one = arrays.part(members[0])
        if len(members) > 1:
            one, said = _merged(arrays, label, members)
            notes += said
        history = arrays.record(members[0]).history.then(STEP, by=word)
        sets.append(replace(one, history=history, records=(one.record(0)._replace(history=history),)))
    done = stack(sets, like=arrays)
    warn(notes)
    targets = {title: [joint_cell(cells, m) for m in slides.values()] for title, cells in arrays.targets.items()}
    return replace(done, targets=targets, warnings=(*arrays.warnings, *notes))


def slides_of(labels: Sequence[str], names: Sequence[str], word: str) -> dict[str, list[int]]:
    """The arrays of each slide, by what it is called: its label, or the name of the array that is alone.

    Raises
    ------
    OptionError
        An array without a label, no slide with two scans, or a slide called as another array is.
    """
    for label, name in zip(labels, names, strict=True):
        if not label:
            raise OptionError(
                f"an array has no entry in {word}", found=name, expected="the slide that it is a scan of",
                hint="An array that is no scan has an entry that no other has",
            )  # fmt: skip
    members: dict[str, list[int]] = {}
    for k, label in enumerate(labels):
        members.setdefault(label, []).append(k)
    if all(len(rows) < 2 for rows in members.values()):
        raise OptionError(
            "there are no scans to merge: no slide has two", found=f"{few(labels)} in {word}",
            expected="one entry for all scans of a slide",
        )  # fmt: skip
    slides: dict[str, list[int]] = {}
    for label, rows in members.items():
        called = label if len(rows) > 1 else names[rows[0]]
        if called in slides:
            raise OptionError(f"two arrays would be called {called!r}", found=word, expected="names that differ")
        slides[called] = rows
    return slides


def _refuse_others(arrays: ArraySet) -> None:
    """Arrays that are no scans as they were read."""
    if arrays.stage != INTENSITIES or any(
        arrays.record(k).history.has("background_correct") for k in range(len(arrays))
    ):
        found = str(arrays.history)
        raise OptionError("scans are merged before anything is done to them", found=found, expected="arrays as read")
    if any(record.part for record in arrays.records):
        raise OptionError("these arrays are parts already", expected="whole arrays", hint="Merge first, then split")
    if any(record.scans for record in arrays.records):
        raise OptionError("these arrays are merged already", expected="arrays as read")


def _labels(arrays: ArraySet, by: Any) -> tuple[str, list[str]]:
    """What the labels are called, and one for every array."""
    if isinstance(by, str):
        word = target_column(by, arrays.targets, "by")
        return word, [str(cell).strip() for cell in arrays.targets[word]]
    if labelled(by):
        import pandas as pd

        by = aligned(by, (pd.Index(arrays.names),), "by", "arrays").to_numpy()
    given = [] if isinstance(by, Mapping) or not hasattr(by, "__iter__") else list(by)
    if len(given) != len(arrays):
        raise OptionError(
            "by names no slides", found=f"{len(given)} labels" if given else kind_of(by),
            expected=f"a column of the targets table, or a label for each of {len(arrays)} arrays",
        )  # fmt: skip
    return "labels", ["" if one is None or one != one else str(one).strip() for one in given]


def target_column(word: str, targets: Mapping[str, Any], option: str) -> str:
    """The column of a targets table that ``word`` means: exact, else the only one that agrees ignoring case.

    Raises
    ------
    OptionError
        There is none, or several agree.
    """
    if word in targets:
        return word
    same = [title for title in targets if title.casefold() == word.casefold()]
    if len(same) == 1:
        return same[0]
    hint = "A targets table with a column FileName has further columns about the arrays"
    if targets:
        hint = f"Its columns: {few(targets, SHOWN_TITLES)}"
    raise OptionError(
        f"{option_word(option)} names no column of the targets table", found=repr(word), hint=hint,
        expected=None if not same else "one of " + few(same),
    )  # fmt: skip


def joint_cell(cells: Sequence[str], members: Sequence[int]) -> str:
    """The cell of the targets table for an array merged from these."""
    return " | ".join(dict.fromkeys(str(cells[k]) for k in members))


def _merged(arrays: ArraySet, label: str, members: Sequence[int]) -> tuple[ArraySet, list[str]]:
    """The scans of a slide as a set of one array, and what is new to be said."""
    records = [arrays.record(k) for k in members]
    # Columns of a set are those of its first array: what they say of saturated pixels holds for that one only.
    columns = {
        title: column for title, column in arrays.columns.items() if title not in saturation_columns(arrays.columns)
    }
    raws = [
        replace(arrays.raw(k), warnings=record.warnings, spots=columns)
        for k, record in zip(members, records, strict=True)
    ]
    done = merge_raws(raws, label, [record.digest for record in records])
    layout = arrays.layout if done.absent is None else records[0].layout
    digest = joined(done.name, [record.digest for record in records])
    record = record_of(done, records[0].layout, digest)
    if done.absent is not None:
        record = record._replace(spots=int(np.count_nonzero(~done.absent)))
    one = of_raw(done, label, layout, columns=arrays.columns, record=record)
    return one, list(done.warnings[sum(len(raw.warnings) for raw in raws) :])
