"""Pass 1: what the inputs are, how each is read, and which spots they share. Nothing is computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridnorm.arrays.grouping import WHOLE
from gridnorm.arrays.raw import RawArray
from gridnorm.core.option import no_meaning
from gridnorm.errors import FormatError, GridnormError, OptionError, option_word
from gridnorm.io.formats import Head
from gridnorm.provenance import InputDigest
from gridnorm.workflow.inputs import InputFile, array_files, unique_names
from gridnorm.workflow.opening import ArrayTask, layout_of, read_array, read_options, reading_history, recognise_file
from gridnorm.workflow.settings import RUN_OPTIONS, Settings, all_options
from gridnorm.workflow.unit import Failure, Reference, reference_of

KNOWN_LATER = "known when the file is read"  # of the parts of a file, in a plan


@dataclass(frozen=True, eq=False)
class Plan:
    """What ``normalize`` is going to do.

    ``tasks[0]`` is the array that ``reference`` came from; it has been read already and lies in ``first`` with its
    digest (None where every array stands for itself), so that no file is read twice.
    """

    settings: Settings
    tasks: tuple[ArrayTask, ...]
    heads: tuple[Head, ...]
    reference: Reference | None
    first: tuple[RawArray, InputDigest] | None
    failures: tuple[Failure, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    targets: dict[str, list[str]] = field(default_factory=dict)


def make_plan(inputs: Sequence[str], settings: Settings, *, compare: bool = True) -> Plan:
    """Recognise the inputs and read the first array.

    Parameters
    ----------
    inputs
        Files, folders, globs, targets tables.
    settings
        Effective options.
    compare
        Whether all arrays go into one table and so must have the same spots; a folder output compares nothing.

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
    files = array_files(inputs)
    tasks: list[ArrayTask] = []
    heads: list[Head] = []
    known_titles: dict[tuple[str, ...], tuple[str, ...]] = {}
    barcodes: list[str] = []
    chosen: list[InputFile] = []
    failures: list[Failure] = []
    skipped: list[tuple[str, str]] = []
    for given in files:
        known = False
        try:
            recognised = recognise_file(given.path, settings)
            assert recognised.format is not None  # a GAL is refused
            known = True
            head = recognised.head()
            options = read_options(settings, head.columns, given.file, keys_only=compare and bool(tasks))
        except (FormatError, OptionError) as error:
            if given.named or known:
                failures.append(Failure(given.file, _with_origin(error, given)))
            else:
                skipped.append((given.file, error.what))
            continue
        tasks.append(ArrayTask(given.path, given.name, given.file, recognised.format, options, given.origin))
        # Of thousands of heads only this is needed again; their titles are mostly the same.
        barcodes.append(head.header.get("Barcode", "").strip())
        heads.append(head._replace(header={}, columns=known_titles.setdefault(head.columns, head.columns)))
        chosen.append(given)
    names = unique_names(chosen)
    tasks = [replace(task, name=name) for task, name in zip(tasks, names, strict=True)]
    plan = Plan(
        settings,
        tuple(tasks),
        tuple(heads),
        None,
        None,
        tuple(failures),
        tuple(skipped),
        _doubts(tasks, barcodes, settings),
        _columns_of(chosen),
    )
    _one_kind(plan)
    _refuse_strangers(plan)
    return _with_reference(plan) if compare else plan


def _with_origin(error: FormatError | OptionError, given: InputFile) -> FormatError | OptionError:
    if not given.origin:
        return error
    return error.completed(hint=f"Named in {given.origin}")


def _columns_of(files: list[InputFile]) -> dict[str, list[str]]:
    titles = list(dict.fromkeys(title for f in files for title in f.targets))
    return {title: [f.targets.get(title, "") for f in files] for title in titles}


def _one_kind(plan: Plan) -> None:
    """One- and two-channel files cannot share a run: their result tables differ."""
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
            "arrays with different numbers of channels in one run",
            found=found,
            hint=f"Run them apart, or choose with {option_word('channels')}",
        )


def _refuse_strangers(plan: Plan) -> None:
    """Options of formats that no file of the run takes, where they were given explicitly."""
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


def _doubts(tasks: list[ArrayTask], barcodes: list[str], settings: Settings) -> tuple[str, ...]:
    """Things about the set of files that a person should look at."""
    out = []
    for name in settings.reading:
        strange = [task for task in tasks if all(option.name != name for option in task.format.options)]
        if strange and name in settings.given and len(strange) < len(tasks):
            # The plain name, on the command line too: the sidecar is the same on every route.
            out.append(f"{strange[0].file}: {name} has no meaning for {strange[0].format.name} files")
    first: dict[str, str] = {}
    for task, code in zip(tasks, barcodes, strict=True):
        if code and code in first:
            out.append(f"{task.file}: same barcode {code} as {first[code]}: two scans of one slide?")
        elif code:
            first[code] = task.file
    return tuple(out)


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as ``--dry-run`` prints it: plain data for JSON, with the settings that will be effective."""
    layout = plan.reference.layout if plan.reference else None
    return {
        "settings": _effective(plan),
        "arrays": [
            {
                "name": task.name,
                "file": task.file,
                "format": task.format.name,
                "version": head.version,
                "channels": list(head.channels),
                **_parts(plan, task),
            }
            for task, head in zip(plan.tasks, plan.heads, strict=True)
        ],
        "layout": layout.to_dict() if layout else None,
        "spots": plan.reference.keys.size if plan.reference else None,
        "failed": [{"file": failure.file, "error": str(failure.error)} for failure in plan.failures],
        "skipped": [{"file": file, "reason": reason} for file, reason in plan.skipped],
        "warnings": list(plan.warnings),
    }


def _parts(plan: Plan, task: ArrayTask) -> dict[str, Any]:
    """Names of the arrays that a file will be split into, as far as it has been read."""
    if plan.settings.split == WHOLE:
        return {}
    if plan.reference is None or task is not plan.tasks[0]:
        return {"parts": KNOWN_LATER}
    return {"parts": [f"{task.name}.{label}" for label in plan.reference.parts]}


def _effective(plan: Plan) -> dict[str, Any]:
    """Settings as the first array will have them; as they were given, where no array has been read."""
    settings = plan.settings
    if plan.first is None:
        known = all_options()
        given = {name: known[name].plain(value) if name in known else value for name, value in settings.own.items()}
        return {name: option.plain(settings.run[name]) for name, option in RUN_OPTIONS.items()} | given
    raw, recipe = plan.first[0], settings.recipe
    history = reading_history(raw, plan.tasks[0].format, settings)
    history = history if settings.split == WHOLE else history.then("split", split=settings.split)
    steps = (*history.steps, recipe.background_step(raw.background is not None), recipe.within_step(raw.channels))
    return replace(history, steps=steps).parameters()
