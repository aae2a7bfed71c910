"""Pass 1: what the inputs are, how each is read, and which spots they share. Nothing is computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gridnorm.arrays.grouping import WHOLE
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.recipe import BETWEEN
from gridnorm.core.option import AUTO, no_meaning
from gridnorm.errors import (
    FormatError,
    GridnormError,
    OptionError,
    option_word,
    recorded_option,
    speaks_command_line,
)
from gridnorm.io.formats import Head
from gridnorm.plain import few, shown, some
from gridnorm.provenance import InputDigest
from gridnorm.workflow.inputs import InputFile, array_files, file_names, unique_names, with_origin
from gridnorm.workflow.opening import (
    ArrayTask,
    layout_of,
    read_array,
    read_gal,
    read_options,
    reading_history,
    recognise_file,
)
from gridnorm.workflow.settings import RUN_OPTIONS, Settings, all_options, default_in_words
from gridnorm.workflow.slides import Opened, Slides, column_of_slides, merged_slides
from gridnorm.workflow.spot_files import check_files, doubts
from gridnorm.workflow.unit import Failure, Reference, reference_of

KNOWN_LATER = "known when the file is read"  # of the parts of a file, in a plan


@dataclass(frozen=True, eq=False)
class Plan:
    """What ``normalize`` is going to do.

    ``tasks[0]`` is the array that ``reference`` came from; it has been read already and lies in ``first`` with its
    digest (``first`` is None where every array stands for itself), so that no file is read twice. A table in memory has
    no digest.
    """

    settings: Settings
    tasks: tuple[ArrayTask, ...]
    heads: tuple[Head, ...]
    reference: Reference | None
    first: tuple[RawArray, InputDigest | None] | None
    failures: tuple[Failure, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    targets: dict[str, list[str]] = field(default_factory=dict)


def make_plan(inputs: Sequence[str], settings: Settings, *, compare: bool = True, keep_columns: bool = False) -> Plan:
    """Recognise the inputs and read the first array.

    Parameters
    ----------
    inputs
        Files, folders, globs, targets tables.
    settings
        Effective options.
    compare
        Whether all arrays must have the same spots: they go into one table, or are made alike.
    keep_columns
        Whether each array has a table of its own, with all the spot columns that were asked for.

    Returns
    -------
    Plan
        Files that cannot be read are in ``failures`` (named by the user, or known as arrays) or ``skipped`` (others
        found in a folder).

    Raises
    ------
    OptionError
        An input that does not exist, or arrays of one and two channels together.
    FormatError
        A damaged targets table.
    """
    check_files(settings)
    files = array_files(inputs)
    if settings.merge_scans is not None:
        word = column_of_slides(settings.merge_scans, files)
        settings = replace(settings, run={**settings.run, "merge_scans": word})
    opened: list[Opened] = []
    known_titles: dict[tuple[str, ...], tuple[str, ...]] = {}
    failures: list[Failure] = []
    skipped: list[tuple[str, str]] = []
    for given, file in zip(files, file_names([given.path for given in files]), strict=True):
        known = None
        try:
            recognised = recognise_file(given.path, settings, name=file)
            known = recognised.format
            assert known is not None  # a GAL is refused
            head = recognised.head()
            later = compare and bool(opened) and not keep_columns
            options = read_options(settings, head.columns, file, keys_only=later)
        except (FormatError, OptionError) as error:
            if given.named or known is not None:
                failures.append(Failure(file, with_origin(error, given, known)))
            else:
                skipped.append((file, error.what))
            continue
        task = ArrayTask(given.path, given.name, file, known, options, given.origin)
        # Of thousands of heads only this is needed again; their titles are mostly the same.
        code = head.header.get("Barcode", "").strip()
        head = head._replace(header={}, columns=known_titles.setdefault(head.columns, head.columns))
        opened.append(Opened(given, task, head, code))
    plan = _planned(opened, files, settings)
    plan = replace(plan, failures=(*failures, *plan.failures), skipped=tuple(skipped))
    if compare:
        _one_kind(plan)
    refuse_strangers(plan)
    return _with_reference(plan) if compare else plan


def _planned(opened: list[Opened], files: Sequence[InputFile], settings: Settings) -> Plan:
    """The plan of files that could be recognised, among all ``files``; scans of one slide are one array."""
    found = Slides(opened, [], [])
    if settings.merge_scans is not None:
        found = merged_slides(opened, files, settings.merge_scans)
    names = unique_names([one.given for one in found.arrays])
    tasks = [replace(one.task, name=name) for one, name in zip(found.arrays, names, strict=True)]
    read = [scan for task in tasks for scan in task.scans or (task,)]
    warnings = (
        *_gal_warnings(settings),
        *found.notes,
        *_doubts(read, _slides_by_barcode(found.arrays), settings),
        *doubts(settings, [(task.file, task.name) for task in read]),
    )
    heads = tuple(one.head for one in found.arrays)
    targets = _columns_of([one.given for one in found.arrays])
    return Plan(settings, tuple(tasks), heads, None, None, tuple(found.failures), (), warnings, targets)


def _slides_by_barcode(arrays: Sequence[Opened]) -> dict[str, list[str]]:
    """The arrays of each barcode; scans that are merged are one."""
    scans: dict[str, list[str]] = {}
    for one in arrays:
        if one.barcode:
            scans.setdefault(one.barcode, []).append(one.task.file)
    return scans


def _columns_of(files: list[InputFile]) -> dict[str, list[str]]:
    titles = list(dict.fromkeys(title for f in files for title in f.targets))
    return {title: [f.targets.get(title, "") for f in files] for title in titles}


def _one_kind(plan: Plan) -> None:
    """One- and two-channel files cannot share a table: their columns differ."""
    if plan.settings.channels:
        return
    kinds = {
        len(head.channels): task.file
        for task, head in zip(reversed(plan.tasks), reversed(plan.heads), strict=True)
        if head.channels and head.certain
    }
    if len(kinds) > 1:
        found = ", ".join(f"{file} with {n}" for n, file in sorted(kinds.items()))
        raise OptionError(
            "arrays with different numbers of channels in one table",
            found=found,
            hint=f"Choose with {option_word('channels')}, or "
            + (
                "give each its own: -o FOLDER/"
                if speaks_command_line() and plan.settings.run["between"] == BETWEEN.default
                else "read them apart"
            ),
        )


def refuse_strangers(plan: Plan) -> None:
    """Options of formats that no file of the run takes, where they were given explicitly.

    Raises
    ------
    OptionError
        Naming the first.
    """
    formats = {task.format.name: task.format for task in plan.tasks}
    if not formats:
        return
    for name in plan.settings.reading:
        taken = [option.name for row in formats.values() for option in row.options]
        if name in plan.settings.given and name not in taken:
            raise no_meaning(name, f"{' and '.join(formats)} files", dict.fromkeys(taken))


def _with_reference(plan: Plan) -> Plan:
    """Read arrays until one can serve as the reference; the others become failures."""
    failures = list(plan.failures)
    for index, task in enumerate(plan.tasks):
        try:
            full = replace(
                task, options=read_options(plan.settings, plan.heads[index].columns, task.file, keys_only=False)
            )
            raw, digest = read_array(full, plan.settings)
            layout, warnings = layout_of(raw, plan.settings)
            reference = reference_of(raw, layout, plan.settings.split, task.path)
        except GridnormError as error:
            failures.append(Failure(task.file, error))
            continue
        raw = raw.with_warnings(*warnings)
        rest = (full, *plan.tasks[index + 1 :])
        heads = plan.heads[index:]
        targets = {title: cells[index:] for title, cells in plan.targets.items()}
        return replace(
            plan,
            tasks=rest,
            heads=heads,
            reference=reference,
            first=(raw, digest),
            failures=tuple(failures),
            targets=targets,
        )
    return replace(plan, tasks=(), heads=(), failures=tuple(failures), targets={})


def _gal_warnings(settings: Settings) -> tuple[str, ...]:
    """What there is to say of the GAL itself, once a run."""
    return () if settings.gal is None else read_gal(settings.gal).warnings


def _doubts(tasks: Sequence[ArrayTask], scans: dict[str, list[str]], settings: Settings) -> tuple[str, ...]:
    """Things about the set of files that a person should look at."""
    out = []
    for name in settings.reading:
        strange = [task for task in tasks if all(option.name != name for option in task.format.options)]
        if strange and name in settings.given and len(strange) < len(tasks):
            out.append(f"{strange[0].file}: {recorded_option(name)} has no meaning for {strange[0].format.name} files")
    for code, (first, *others) in scans.items():
        if others:
            which = "two" if len(others) == 1 else str(len(others) + 1)
            out.append(f"{some(others)}: same barcode {few([code])} as {first}: {which} scans of one slide?")
    return tuple(out)


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as ``--dry-run`` prints it: plain data for JSON, with the settings that will be effective."""
    layout = plan.reference.layout if plan.reference else None
    return {
        "settings": _effective(plan),
        "arrays": [
            {
                "name": task.name,
                "file": shown(task.file),
                **({"scans": [shown(scan.file) for scan in task.scans]} if task.scans else {}),
                "format": task.format.name,
                "version": head.version,
                "channels": list(head.channels),
                **_parts(plan, task),
            }
            for task, head in zip(plan.tasks, plan.heads, strict=True)
        ],
        "layout": layout.to_dict() if layout else None,
        "spots": plan.reference.keys.size if plan.reference else None,
        "failed": [{"file": shown(failure.file), "error": str(failure.error)} for failure in plan.failures],
        "skipped": [{"file": shown(file), "reason": reason} for file, reason in plan.skipped],
        "warnings": [shown(text) for text in plan.warnings],
    }


def _parts(plan: Plan, task: ArrayTask) -> dict[str, Any]:
    """Names of the arrays that a file will be split into, as far as it has been read."""
    if plan.settings.split == WHOLE:
        return {}
    if plan.reference is None or task is not plan.tasks[0]:
        return {"parts": KNOWN_LATER}
    return {"parts": [f"{task.name}.{label}" for label in plan.reference.parts]}


def _effective(plan: Plan) -> dict[str, Any]:
    """Settings as the first array will have them, in words where only its data tell; no ``auto``, nothing empty."""
    raw = _first(plan)
    if raw is None:
        known = all_options()
        run = {name: option.plain(plan.settings.run[name]) for name, option in RUN_OPTIONS.items()}
        own = {n: known[n].plain(value) if n in known else value for n, value in plan.settings.own.items()}
        run["device"] = "gpu" if run["device"] == "gpu" else "cpu"
        words = {name: default_in_words(known[name]) for name in (*run, *own) if name in known}
        return {name: _in_words(value, words.get(name, AUTO)) for name, value in (run | own).items()}
    settings, recipe = plan.settings, plan.settings.recipe
    history = reading_history(raw, plan.tasks[0].format, settings)
    history = history if settings.split == WHOLE else history.then("split", split=settings.split)
    steps = (*history.steps, recipe.background_step(raw.background is not None), *recipe.correction_steps())
    steps = (*steps, recipe.within_step(raw.channels))
    row, options = settings.replicating
    steps = (*steps, *recipe.between_steps())
    found = {**replace(history, steps=steps).parameters(), "replicates": row.name, **options}
    with suppress(GridnormError):  # a failure of this array, told when it is normalized
        layout, _ = layout_of(raw, settings)
        found["layout"] = "none: no Block, Row and Column" if layout is None else layout.describe()
    if "channels" in found:
        found["channels"] = [nm or name for nm, name in zip(raw.wavelengths, raw.channels, strict=True)]
    return {name: _in_words(value) for name, value in found.items()}


def _first(plan: Plan) -> RawArray | None:
    """The first array, read here where each stands for itself; None where there is none that can be read."""
    if plan.first is not None:
        return plan.first[0]
    for task in plan.tasks[:1]:
        with suppress(GridnormError):
            return read_array(task, plan.settings)[0]
    return None


def _in_words(value: Any, automatic: str = f"{AUTO}: found from the data of each array") -> Any:
    """A setting for people: what ``auto`` and null stand for."""
    return automatic if value == AUTO else "none" if value is None else value
