"""Pass 1: what the inputs are, how each is read, and which spots they share. Nothing is computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridnorm.arrays.align import keys_of
from gridnorm.arrays.raw import RawArray
from gridnorm.errors import FormatError, GridnormError, OptionError
from gridnorm.io.formats import Head, recognise
from gridnorm.io.text import load_head
from gridnorm.provenance import InputDigest
from gridnorm.workflow.inputs import InputFile, expand, is_targets, read_targets, unique_names
from gridnorm.workflow.one import ArrayTask, Failure, Reference, format_settings, layout_of, read_options, read_task
from gridnorm.workflow.settings import Settings


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

    @property
    def channels(self) -> tuple[str, ...]:
        return self.first[0].channels if self.first else ()


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
    files = _with_targets(expand(inputs))
    tasks: list[ArrayTask] = []
    heads: list[Head] = []
    chosen: list[InputFile] = []
    failures: list[Failure] = []
    skipped: list[tuple[str, str]] = []
    for given in files:
        known = False
        try:
            text = load_head(given.path)
            format = recognise(text, format_settings(settings))
            known = True
            head = format.head(text, format_settings(settings))
            options = read_options(settings, head.columns, given.file, keys_only=compare and bool(tasks))
        except (FormatError, OptionError) as error:
            if given.named or known:
                failures.append(Failure(given.file, _with_origin(error, given)))
            else:
                skipped.append((given.file, error.what))
            continue
        tasks.append(ArrayTask(given.path, given.name, given.file, format.name, options, given.origin))
        heads.append(head)
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
        _doubts(tasks, heads, settings),
        _columns_of(chosen),
    )
    _one_kind(plan)
    return _with_reference(plan) if compare else plan


def _with_targets(files: list[InputFile]) -> list[InputFile]:
    out: list[InputFile] = []
    for given in files:
        try:
            targets = given.named and is_targets(load_head(given.path, 4096).data)
        except FormatError:
            targets = False  # the file's own turn tells what is wrong with it
        out.extend(read_targets(given.path) if targets else [given])
    return out


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
        if head.channels
    }
    if len(kinds) > 1:
        found = ", ".join(f"{file} with {n}" for n, file in sorted(kinds.items()))
        raise OptionError(
            "arrays with different numbers of channels in one run",
            found=found,
            hint="Run them apart, or choose with --channels",
        )


def _with_reference(plan: Plan) -> Plan:
    """Read arrays until one can serve as the reference; the others become failures."""
    failures = list(plan.failures)
    for index, task in enumerate(plan.tasks):
        try:
            full = replace(
                task, options=read_options(plan.settings, plan.heads[index].columns, task.file, keys_only=False)
            )
            raw, digest = read_task(full, plan.settings)
            layout, warnings = layout_of(raw, plan.settings)
        except GridnormError as error:
            failures.append(Failure(task.file, error))
            continue
        raw = raw.with_warnings(*warnings)
        reference = Reference(task.file, keys_of(raw), layout, raw.spots)
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


def _doubts(tasks: list[ArrayTask], heads: list[Head], settings: Settings) -> tuple[str, ...]:
    """Things about the set of files that a person should look at."""
    out = []
    fixed = [task for task in tasks if task.format != "table"] if settings.columns else []
    if fixed:
        out.append(
            f"{fixed[0].file}: --columns names columns of plain tables; "
            f"this {fixed[0].format} file is read by its own titles"
        )
    barcodes: dict[str, str] = {}
    for task, head in zip(tasks, heads, strict=True):
        code = head.header.get("Barcode", "").strip()
        if code and code in barcodes:
            out.append(f"{task.file}: same barcode {code} as {barcodes[code]}: two scans of one slide?")
        elif code:
            barcodes[code] = task.file
    return tuple(out)


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as ``--dry-run`` prints it: plain data for JSON."""
    layout = plan.reference.layout if plan.reference else None
    return {
        "settings": plan.settings.to_dict(),
        "arrays": [
            {
                "name": task.name,
                "file": task.file,
                "format": task.format,
                "version": head.version,
                "channels": list(head.channels),
            }
            for task, head in zip(plan.tasks, plan.heads, strict=True)
        ],
        "layout": layout.to_dict() if layout else None,
        "spots": plan.reference.keys.size if plan.reference else None,
        "failed": [{"file": failure.file, "error": str(failure.error)} for failure in plan.failures],
        "skipped": [{"file": file, "reason": reason} for file, reason in plan.skipped],
        "warnings": list(plan.warnings),
    }
