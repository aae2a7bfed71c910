"""One array: read → background → M and A → groups → fit → apply. Pure and picklable: what every pool runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays import background as bg
from gridnorm.arrays.align import SpotKeys, compare, keys_of
from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.arrayset import count_flagged
from gridnorm.arrays.grouping import find_column, group_spots, needed_columns, slide_position
from gridnorm.arrays.layout import Layout, infer_layout
from gridnorm.arrays.raw import Column, FloatArray, RawArray, ReadOptions
from gridnorm.arrays.weights import SpotUse, spot_weights, use_of, weight_columns
from gridnorm.arrays.within import WithinResult, default_method, result_titles, within_array
from gridnorm.core.backend import on_device
from gridnorm.core.segments import Segments
from gridnorm.errors import GridnormError, OptionError
from gridnorm.provenance import InputDigest
from gridnorm.workflow.settings import Settings

if TYPE_CHECKING:
    from gridnorm.io.formats.gal import Gal

STANDARD_COLUMNS = ("Block", "Row", "Column", "ID", "Name", "X", "Y")


@dataclass(frozen=True)
class ArrayTask:
    """One array of a plan: where it lies, what it is called, how it is read."""

    path: str
    name: str
    file: str
    format: str
    options: ReadOptions
    origin: str = ""


@dataclass(frozen=True, eq=False)
class Reference:
    """The spots that all arrays of one table share, from the first array that could be read."""

    file: str
    keys: SpotKeys
    layout: Layout | None
    spots: dict[str, Column]


@dataclass(frozen=True, eq=False)
class ArrayResult:
    """One normalized array.

    ``values`` holds ``M`` and ``A``, ``E``, or ``E.<nm>``, each float64 (spot,). ``keys`` and ``spots`` are None where
    the rows are those of the reference, in its order.
    """

    name: str
    file: str
    values: dict[str, FloatArray]
    weights: FloatArray | None
    keys: SpotKeys | None
    spots: dict[str, Column] | None
    layout: Layout | None
    within: WithinResult
    segments: Segments
    digest: InputDigest | None
    used: dict[str, Any]
    n_spots: int
    n_flagged: int
    n_missing: int
    flags: NDArray[np.int64] | None = None
    warnings: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


class Failure(NamedTuple):
    """An array that could not be read or normalized."""

    file: str
    error: GridnormError


def normalize_array(task: ArrayTask, settings: Settings, reference: Reference | None) -> ArrayResult | Failure:
    """Read and normalize one array; errors about the array come back as a ``Failure``."""
    try:
        raw, digest = read_task(task, settings)
        return normalize_raw(raw, settings, reference, task=task, digest=digest)
    except GridnormError as error:
        return Failure(task.file, error)


def read_task(task: ArrayTask, settings: Settings) -> tuple[RawArray, InputDigest]:
    """Read the array of a task, with the identifiers of ``--gal`` where one is given."""
    from gridnorm.io.formats import FORMATS
    from gridnorm.io.text import load

    text = load(task.path)
    raw = prepared(FORMATS[task.format].read(text, task.options), settings)
    return raw, InputDigest(task.file, text.size, text.sha256)


def normalize_raw(
    raw: RawArray,
    settings: Settings,
    reference: Reference | None,
    *,
    task: ArrayTask | None = None,
    digest: InputDigest | None = None,
    weights: FloatArray | None = None,
) -> ArrayResult:
    """Normalize one array that has been read.

    Parameters
    ----------
    raw
        The array.
    settings
        Effective options.
    reference
        Spots to compare with and layout to share; None takes the array for itself.
    task, digest
        Where the array came from.
    weights
        float64 (spot,): spot weights given in Python, instead of ``settings.weights``.

    Raises
    ------
    GridnormError
        With the name of the file in front.
    """
    try:
        raw, keys, spots, layout = _placed(raw, settings, reference, task)
        return _normalized(raw, settings, keys, spots, layout, task, digest, weights)
    except GridnormError as error:
        raise error.completed(file=raw.name) from None


def _placed(
    raw: RawArray, settings: Settings, reference: Reference | None, task: ArrayTask | None
) -> tuple[RawArray, SpotKeys | None, dict[str, Column] | None, Layout | None]:
    """Bring the rows into the reference's order where they are the same spots; else give the array its own rows."""
    keys = keys_of(raw)
    if reference is not None:
        alignment = compare(reference.keys, keys, raw.name, settings.align, reference.file)
        if alignment.identical:
            return raw, None, None, reference.layout
        if alignment.order is not None:
            raw = reordered(raw, alignment.order).with_warnings(*alignment.notes)
            return raw, None, None, reference.layout
        if task is not None and task.options.keys_only:
            # Other rows than the reference: now Name, X and Y are needed after all.
            raw, _ = read_task(replace(task, options=replace(task.options, keys_only=False)), settings)
            keys = keys_of(raw)
        raw = raw.with_warnings(*alignment.notes)
    layout, warnings = layout_of(raw, settings)
    return raw.with_warnings(*warnings), keys, raw.spots, layout


def reordered(raw: RawArray, order: NDArray[np.int64]) -> RawArray:
    """The same array with its spots in another order."""
    return replace(
        raw,
        foreground=raw.foreground[:, order],
        background=None if raw.background is None else raw.background[:, order],
        spots={name: column[order] for name, column in raw.spots.items()},
        flags=None if raw.flags is None else raw.flags[order],
    )


def prepared(raw: RawArray, settings: Settings) -> RawArray:
    """The array with identifiers from ``--gal`` where one is given."""
    if settings.gal is None:
        return raw
    return annotate(raw, read_gal(settings.gal))


def read_gal(path: str) -> Gal:
    """The GAL of ``--gal``; decoded once, although every array of a run asks for it."""
    from gridnorm.io.formats import gal

    return gal.read_file(path)


def layout_of(raw: RawArray, settings: Settings) -> tuple[Layout | None, tuple[str, ...]]:
    """Layout of an array from its spots, the GAL and ``--layout``; None where it has no Block, Row and Column."""
    spots = raw.spots
    if not all(name in spots for name in ("Block", "Row", "Column")):
        if settings.layout is not None:
            raise OptionError(
                "--layout needs the columns Block, Row and Column", file=raw.name, hint="Name them with --columns"
            )
        return None, ()
    gal_blocks = None
    if settings.gal is not None:
        gal_blocks = read_gal(settings.gal).blocks or None
    layout = infer_layout(
        spots["Block"],
        spots["Row"],
        spots["Column"],
        spots.get("X"),
        spots.get("Y"),
        gal_blocks=gal_blocks,
        override=settings.layout,
        file=raw.name,
    )
    return layout, layout.warnings


def _normalized(
    raw: RawArray,
    settings: Settings,
    keys: SpotKeys | None,
    spots: dict[str, Column] | None,
    layout: Layout | None,
    task: ArrayTask | None,
    digest: InputDigest | None,
    weights: FloatArray | None,
) -> ArrayResult:
    given = spot_weights(settings.weights, raw) if weights is None else weights
    use = use_of(raw.flags, raw.n_spots, settings.flags, given, clamp=settings.preset == "limma")
    # The background model sees every spot; flags decide about fits within the array only, as in limma.
    background, offset = settings.background_of(raw.background is not None)
    position = _position(raw, layout) if background == "movingmin" else None
    corrected = bg.correct(
        raw.foreground, raw.background, background, offset=offset, position=position, names=raw.channels
    )
    values, covariate, n_bad = bg.to_levels(raw.channels, corrected.values)
    segments = group_spots(settings.by, raw.spots, layout, raw.n_spots, raw.name)
    method = default_method(raw.channels) if settings.method == "auto" else settings.method
    within = _within(raw, settings, layout, values, covariate, segments, method, use)
    named = dict(zip(result_titles(raw.channels), within.values, strict=True))
    if covariate is not None:
        named["A"] = covariate[0]
    differs = bool((use.reported != 1).any())
    return ArrayResult(
        name=task.name if task else raw.name,
        file=raw.name,
        values=named,
        weights=use.reported if differs else None,
        keys=keys,
        spots=spots,
        layout=layout,
        within=within,
        segments=segments,
        digest=digest,
        used={
            "method": method,
            "background": background,
            "offset": offset,
            "normexp": _normexp(raw.channels, corrected),
            "columns": dict(raw.taken),
        },
        n_spots=raw.n_spots,
        n_flagged=count_flagged(raw),
        n_missing=int(np.count_nonzero(np.isnan(next(iter(named.values()))))),
        flags=raw.flags,
        warnings=(
            *raw.warnings,
            *(f"{raw.name}: {note}" for note in corrected.notes),
            *_counted(raw, n_bad, background),
        ),
        notes={
            "format": raw.format,
            "version": raw.version,
            "channels": list(raw.channels),
            "wavelengths": list(raw.wavelengths),
        },
    )


def _within(
    raw: RawArray,
    settings: Settings,
    layout: Layout | None,
    values: FloatArray,
    covariate: FloatArray | None,
    segments: Segments,
    method: str,
    use: SpotUse,
) -> WithinResult:
    position = None
    if settings.small_groups == "merge" and layout is not None:
        position = slide_position(raw.spots, layout)
    with on_device(settings.device == "gpu"):
        return within_array(
            values,
            covariate,
            segments,
            method,
            use,
            span=settings.span,
            iterations=settings.iterations,
            min_group=settings.min_group,
            small_groups=settings.small_groups,
            position=position,
        )


def _normexp(channels: tuple[str, ...], corrected: bg.Corrected) -> dict[str, dict[str, float]] | None:
    """Parameters of the normexp model of each channel, to nine digits, in the unit of the intensities."""
    if corrected.fits is None:
        return None
    shown = {}
    for channel, fit in zip(channels, corrected.fits, strict=True):
        numbers = {"mu": fit.mu, "sigma": math.exp(fit.log_sigma), "alpha": math.exp(fit.log_alpha)}
        shown[channel] = {name: float(f"{number:.9g}") for name, number in numbers.items()}
    return shown


def _position(raw: RawArray, layout: Layout | None) -> tuple[Any, Any, Any] | None:
    return None if layout is None else (*slide_position(raw.spots, layout), raw.spots["Block"])


def _counted(raw: RawArray, n_bad: int, background: str) -> list[str]:
    """Sentences about values that are missing in the result, and why."""
    out = []
    if raw.infinite:
        out.append(f"{raw.name}: {raw.infinite} infinite intensities are missing in the result")
    if n_bad:
        out.append(
            f"{raw.name}: {n_bad} intensities are not positive after background correction ({background}); "
            "those spots are missing in the result"
        )
    return out


def read_options(settings: Settings, columns: tuple[str, ...], file: str, *, keys_only: bool) -> ReadOptions:
    """What to read from a file with these column titles.

    Raises
    ------
    OptionError
        ``--by``, ``--keep`` or ``--weights`` names a column that the file lacks.
    """
    wanted = [
        find_column(word, columns, file)
        for word in needed_columns(settings.by)
        if not _comes_otherwise(word, columns, settings)
    ]
    wanted += weight_columns(settings.weights, columns, file)
    if not keys_only:
        wanted += [find_column(word, columns, file, "--keep") for word in settings.keep]
    extra = tuple(title for title in dict.fromkeys(wanted) if title not in STANDARD_COLUMNS)
    return ReadOptions(format_settings(settings), extra, keys_only)


def format_settings(settings: Settings) -> dict[str, Any]:
    """The options that formats take."""
    return {name: getattr(settings, name) for name in ("foreground", "channels", "columns")}


def _comes_otherwise(word: str, columns: tuple[str, ...], settings: Settings) -> bool:
    """Whether a word of ``--by`` need not be a title of the file: a role, or what the GAL may add."""
    if word.lower() in {title.lower() for title in columns}:
        return False
    roles = {title.lower() for title in (*STANDARD_COLUMNS, *(role for role, _ in settings.columns))}
    return settings.gal is not None or word.lower() in roles
