"""Scans of one slide among the files of a run: each slide becomes one array, read from several files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gridnorm.arrays.merge import joint_cell, slides_of, target_column
from gridnorm.arrays.scans import saturation_columns, slide_name
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io.formats import Head
from gridnorm.plain import few, some
from gridnorm.workflow.inputs import InputFile
from gridnorm.workflow.opening import ArrayTask
from gridnorm.workflow.unit import Failure


class Opened(NamedTuple):
    """A file whose beginning has been read: what it is, how it will be read, and its barcode."""

    given: InputFile
    task: ArrayTask
    head: Head
    barcode: str


class Slides(NamedTuple):
    """What the files of a run became: arrays, slides that lack a scan, and sentences."""

    arrays: list[Opened]
    failures: list[Failure]
    notes: list[str]


def column_of_slides(word: str, files: Sequence[InputFile]) -> str:
    """The column of the targets tables that says which slide a file is a scan of.

    Raises
    ------
    OptionError
        There is none, or no slide has two scans.
    """
    titles = dict.fromkeys(title for file in files for title in file.targets)
    if not titles:
        raise OptionError(
            f"{option_word('merge_scans')} needs a targets table", found=few([file.file for file in files]),
            expected=f"a table with the columns FileName and {word}",
        )  # fmt: skip
    return target_column(word, titles, "merge_scans")


def merged_slides(opened: Sequence[Opened], files: Sequence[InputFile], word: str) -> Slides:
    """One array for every slide that has several scans.

    Parameters
    ----------
    opened
        The files that could be recognised.
    files
        All of them.
    word
        The column of the targets table.

    Raises
    ------
    OptionError
        A file without an entry, or no slide with two scans.
    """
    labels = [file.targets.get(word, "") for file in files]
    by_file = {id(one.given): one for one in opened}
    arrays, failures, notes = [], [], []
    named = [label or file.file for label, file in zip(labels, files, strict=True)]
    if "" in labels:
        named = [file.file for file in files]
    for label, rows in slides_of(labels, named, word).items():
        scans = [by_file[id(files[k])] for k in rows if id(files[k]) in by_file]
        if len(rows) == 1:
            arrays += scans
        elif len(scans) < len(rows):
            lost = [files[k].file for k in rows if id(files[k]) not in by_file]
            called = slide_name(label, len(rows))
            what = "the slide cannot be merged: not all of its scans can be read"
            hint = f"To do without it, take it out of {word}"
            failures.append(Failure(called, FormatError(what, called, found=f"no {some(lost)}", hint=hint)))
        else:
            arrays.append(_slide(label, scans))
            codes = dict.fromkeys(one.barcode for one in scans if one.barcode)
            if len(codes) > 1:
                name = slide_name(label, len(scans))
                notes.append(f"{name}: the scans have different barcodes, {few(codes)}: are they of one slide?")
    return Slides(arrays, failures, notes)


def _slide(label: str, scans: Sequence[Opened]) -> Opened:
    """The array that the scans of a slide become; spot columns are those of the first one."""
    first = scans[0]
    titles = dict.fromkeys(title for one in scans for title in one.given.targets)
    targets = {
        title: joint_cell([one.given.targets.get(title, "") for one in scans], range(len(scans))) for title in titles
    }
    tasks = tuple(
        replace(
            one.task,
            options=replace(
                one.task.options,
                extra=tuple(dict.fromkeys((*one.task.options.extra, *saturation_columns(one.head.columns)))),
            ),
        )
        for one in scans
    )
    task = replace(first.task, name=label, file=slide_name(label, len(scans)), scans=tasks, slide=label)
    return Opened(replace(first.given, name=label, targets=targets), task, first.head, first.barcode)
