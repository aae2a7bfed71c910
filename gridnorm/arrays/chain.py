"""The one chain: correct → levels → groups → fit → apply, for one array.

The command line, ``normalize`` and the step functions are three ways into it. Everything that happens to an array,
and the record of it, is written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays import background as bg
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.blocks import blocks_in_words, same_content
from gridnorm.arrays.control_spots import control_doubts
from gridnorm.arrays.covariates import covariate_of
from gridnorm.arrays.doubts import channel_doubts, flag_doubts, group_doubts, one_group
from gridnorm.arrays.grouping import by_text, find_column, group_spots, refuse_without_tips, slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.logarithms import to_levels
from gridnorm.arrays.made import as_intensities, as_set, counted
from gridnorm.arrays.matching import match_doubts
from gridnorm.arrays.raw import Column, FloatArray, IntArray, RawArray
from gridnorm.arrays.recipe import Recipe
from gridnorm.arrays.record import ArrayRecord, record_of
from gridnorm.arrays.spot_types import type_doubts, use_of_types
from gridnorm.arrays.weights import SpotUse, refuse_weightless, spot_weights, use_of, weight_doubts
from gridnorm.arrays.within import RULES, SMALL_GROUPS, WithinResult, group_shifts, options_of_share
from gridnorm.core.engines import on_device
from gridnorm.core.fit import Fit
from gridnorm.core.methods import Method, apply_method, fit_method
from gridnorm.core.segments import Segments
from gridnorm.core.spread.difference import differences, real_difference
from gridnorm.errors import OptionError, option_word
from gridnorm.provenance import Step

Position = tuple[IntArray, IntArray]


class CorrectedArray(NamedTuple):
    """One array after background correction: no background left; the step, the models and doubts.

    ``affine``: offset and gain by channel, where those were taken out.
    """

    raw: RawArray
    steps: tuple[Step, ...] = ()
    models: Mapping[str, Mapping[str, float]] | None = None
    notes: tuple[str, ...] = ()
    affine: Mapping[str, Mapping[str, float]] | None = None


class Levels(NamedTuple):
    """What is normalized within an array.

    ``values`` float64 (row, spot): M (one row) or log2 intensities (a row a channel), missing NaN. ``covariates`` by
    name: ``level`` (A of two channels, float64 (1, spot)) and what else the method asks for. ``ratio``: whether values
    are measured from zero (M) or from the array's level.
    """

    values: FloatArray
    covariates: Mapping[str, FloatArray]
    ratio: bool


class Within(NamedTuple):
    """One array after normalization within it: the result, which spots were used, the step, and doubts."""

    done: WithinResult
    use: SpotUse
    step: Step
    notes: tuple[str, ...]


def correct_one(raw: RawArray, layout: Layout | None, recipe: Recipe) -> CorrectedArray:
    """Foreground corrected for background.

    The background model sees every spot; flags decide about fits within the array only, as in limma.
    """
    measured = raw.background is not None
    row, options = recipe.correction(measured)
    position = None
    if row.needs_position and layout is not None:
        position = slide_position(raw.spots, layout)
    ratio = raw.channels == ("R", "G")
    columns = [{**raw.spots, **one} for one in raw.measures or ({},) * len(raw.channels)]
    done = bg.correct_rows(raw.foreground, raw.background, row, options, position, raw.channels, ratio, columns)
    return CorrectedArray(
        replace(raw, foreground=done.values, background=None),
        (recipe.background_step(measured),),
        _models(raw.channels, done),
        (*channel_doubts(raw), *(f"{raw.name}: {note}" for note in done.notes)),
        _lines(raw.channels, done),
    )


def levels_of(raw: RawArray) -> tuple[Levels, int]:
    """What is normalized, from corrected intensities, and how many of them were not positive."""
    values, mean, n_bad = to_levels(raw.channels, raw.foreground)
    return Levels(values, {} if mean is None else {"level": mean}, mean is not None), n_bad


def groups_of(
    recipe: Recipe, columns: Mapping[str, Column], layout: Layout | None, n_spots: int, file: str = ""
) -> Segments:
    """The groups that the chain makes of these spots."""
    return group_spots(recipe.by, columns, layout, n_spots, file, recipe.grouping())


def fit_one(
    levels: Levels,
    segments: Segments,
    row: Method,
    use: SpotUse,
    options: Mapping[str, Any],
    position: Position | None = None,
) -> Fit:
    """What a method removes from one array: a fit that knows its groups by label and can be kept.

    Parameters
    ----------
    levels
        What is normalized, with the covariates of the method.
    segments
        Groups of the spots.
    row, options
        The method, and all its options as they are effective.
    use
        Which spots enter the fit, and their weights.
    position
        Row and column of every spot on the slide, for ``small_groups="merge"``.

    Raises
    ------
    FitError, OptionError
    """
    return fit_method(
        levels.values,
        segments,
        row,
        covariate=_covariates(levels, row),
        weights=use.weights,
        use=use.use,
        minimum=options.get("min_group"),
        small_groups=RULES[options.get("small_groups", SMALL_GROUPS.default)],
        position=None if position is None else np.stack(position, axis=1),
        keep_level=not levels.ratio,
        scale=options.get("scale", "none"),
        options=options,
    )


def apply_one(levels: Levels, segments: Segments, row: Method, found: Fit) -> FloatArray:
    """Values of one array without a fit, its own or one that was kept; groups are matched by label.

    Raises
    ------
    OptionError
        A group that the fit lacks.
    """
    values: FloatArray = apply_method(levels.values, segments, row, found, covariate=_covariates(levels, row))
    return values


def normalize_levels(
    levels: Levels,
    segments: Segments,
    row: Method,
    use: SpotUse,
    options: Mapping[str, Any],
    position: Position | None = None,
    judged: NDArray[np.bool_] | None = None,
) -> WithinResult:
    """Fit and apply one method, with what the groups differ by before and after; parameters as in ``fit_one``.

    Spots that are dropped may be in the fit; they are missing in what comes out. ``judged`` bool (spot,): those by
    which groups are compared, before and after; None: those that enter the fit.
    """
    start = np.where(use.dropped, np.nan, levels.values)
    counted = use.use if use.weights is None else use.use & (use.weights > 0)
    counted, shown = (counted, use.use) if judged is None else (judged, judged)
    n, before = group_shifts(levels.values, segments, shown, levels.ratio)
    if row.statistic is None:
        real = real_difference(levels.values, segments, use=counted)
        return WithinResult(start, start, None, segments.labels, n, before, before, real, real)
    found = fit_one(levels, segments, row, use, options, position)
    values = apply_one(levels, segments, row, found)
    _, after = group_shifts(values, segments, shown, levels.ratio)

    def again(items: IntArray, some: Segments, seen: Any, share: float) -> FloatArray:
        few = levels._replace(
            values=levels.values[:, items],
            covariates={name: given[..., items] for name, given in levels.covariates.items()},
        )
        place = None if position is None else (position[0][items], position[1][items])
        part = fit_one(few, some, row, use.of(items, seen), options_of_share(options, share), place)
        return apply_one(few, some, row, part)

    real, left = differences(levels.values, values, segments, again, use=counted)
    values = np.where(use.dropped, np.nan, values)
    return WithinResult(values, start, found, segments.labels, found.n, before, after, real, left)


def within_one(
    raw: RawArray, levels: Levels, layout: Layout | None, recipe: Recipe, weights: FloatArray | None = None
) -> Within:
    """One array normalized within groups of its spots.

    Parameters
    ----------
    raw
        Where spots, flags and weights come from.
    levels
        What is normalized.
    weights
        float64 (spot,): instead of what ``recipe.weights`` names.
    """
    row, options = recipe.within(raw.channels)
    given = spot_weights(recipe.weights, raw) if weights is None else weights
    if row.statistic is not None and not options.get("clamp_weights"):
        refuse_weightless(raw, given, recipe.weights if weights is None else "given")
    use = use_of(raw.flags, raw.n_spots, recipe.flags, given, raw.not_found)
    named = "by" in recipe.given
    if named:
        refuse_without_tips(recipe.by, raw.spots, raw.columns, raw.name)
    segments = groups_of(recipe, raw.spots, layout, raw.n_spots, raw.name)
    use = replace(use, use=use_of_types(use.use, raw, recipe.exclude_types, ()))
    judged = None
    if row.use is not None or row.marks or recipe.fit_types:
        # Controls that alone are in a fit show nothing of what it did to the rest.
        judged = use.use if use.weights is None else use.use & (use.weights > 0)
    if row.use is not None:
        use = replace(use, use=use.use & _chosen(row, raw, options))
    use = replace(use, use=use_of_types(use.use, raw, (), recipe.fit_types))
    needed = {name: covariate_of(name, raw, layout, options) for name in row.covariates if name != "level"}
    position = None
    if options.get("small_groups") == "merge" and layout is not None:
        position = slide_position(raw.spots, layout)
    with on_device(recipe.device == "gpu"):
        levels = levels._replace(covariates={**levels.covariates, **needed})
        done = normalize_levels(levels, segments, row, use, options, position, judged)
    notes = weight_doubts(raw, given, recipe.weights if weights is None else "given")
    notes += [*type_doubts(raw, recipe.exclude_types, recipe.fit_types), *control_doubts(raw, options)]
    if "match" in needed and done.fit is not None:
        seen = use.use & np.isfinite(levels.values).any(axis=0)
        notes += match_doubts(raw.name, needed["match"][0], seen, done.fit.n.max(axis=0), options)
    if row.statistic is not None:
        notes += one_group(raw, segments, recipe.by, named)
    notes += [
        *flag_doubts(raw, segments, recipe.flags, done.n.min(axis=0) == 0),
        *group_doubts(raw.name, done, row, options, by_text(recipe.by), recipe.typed),
    ]
    if recipe.left_alone(raw.channels):
        notes.append(f"{raw.whole}: {_left_alone(raw, layout, done)}")
    elif levels.ratio and not raw.part_of and (same := same_content(raw.spots, layout)):
        notes.append(f"{raw.name}: {same}")
    return Within(done, use, recipe.within_step(raw.channels, "given" if weights is not None else None), tuple(notes))


def normalize_one(
    raw: RawArray,
    recipe: Recipe,
    layout: Layout | None,
    *,
    name: str | None = None,
    record: ArrayRecord | None = None,
    weights: FloatArray | None = None,
) -> ArraySet:
    """The whole chain for one array.

    Parameters
    ----------
    raw
        The array.
    recipe
        What to do. Of an array that has been corrected already, ``background="auto"`` means to leave it so.
    layout
        Where its blocks lie, or None.
    name
        What it is called; the file's name by default.
    record
        What is known of it already; its history goes on.
    weights
        float64 (spot,): instead of what ``recipe.weights`` names.

    Returns
    -------
    ArraySet
        Of one array, at stage ``levels``.

    Raises
    ------
    GridnormError
    """
    known = record_of(raw, layout) if record is None else record
    if recipe.background == "auto" and known.history.has("background_correct"):
        corrected = CorrectedArray(raw)
    else:
        corrected = correct_one(raw, layout, recipe)
    levels, n_bad = levels_of(corrected.raw)
    done, use, step, doubts = within_one(raw, levels, layout, recipe, weights)
    history = replace(known.history, steps=(*known.history.steps, *corrected.steps, step))
    background = str(history.parameters().get("background"))
    idle = [f"{raw.name}: {text}" for text in recipe.idle(raw.channels, raw.background is not None)]
    intensities = recipe.takes_intensities
    notes = (*idle, *corrected.notes, *counted(raw, 0 if intensities else n_bad, background), *doubts)
    models, affine = corrected.models or known.models, corrected.affine or known.affine
    known = known._replace(history=history, models=models, affine=affine)
    made = as_set(raw, layout, name or raw.name, levels, done, use, known, notes)
    return as_intensities(made, corrected.raw, use) if intensities else made


def _covariates(levels: Levels, row: Method) -> FloatArray | None:
    """The covariates of a method, (1, spot) or (1, spot, k)."""
    if not row.covariates:
        return None
    if "level" in row.covariates and "level" not in levels.covariates:
        rows = levels.values.shape[0]
        raise OptionError(
            f"{row.name} needs two channels (its curve runs over A)",
            found="one channel" if rows == 1 else f"{rows} channels",
            hint=f"Use {option_word('method')} median, or choose two with {option_word('channels')}",
        )
    if len(row.covariates) == 1:
        return levels.covariates[row.covariates[0]]
    shape = (1, levels.values.shape[1])
    return np.stack([np.broadcast_to(levels.covariates[name], shape) for name in row.covariates], axis=2)


def _chosen(row: Method, raw: RawArray, options: Mapping[str, Any]) -> Any:
    """The spots that a method wants in its fit."""
    for column in row.columns:
        find_column(column, raw.spots, raw.name, "method")
    assert row.use is not None
    chosen = np.asarray(row.use(raw.spots, options))
    if chosen.dtype != np.bool_ or chosen.shape != (raw.n_spots,):
        raise OptionError(
            f"method {row.name} chooses spots in a way that cannot be used", file=raw.name,
            found=f"{chosen.dtype} {chosen.shape}", expected=f"bool ({raw.n_spots},)",
        )  # fmt: skip
    return chosen


def _left_alone(raw: RawArray, layout: Layout | None, done: WithinResult) -> str:
    """That nothing was done, and what the blocks look like; the groups are the blocks where nobody named others.

    Of parts the same for all: whoever splits an array has decided what its blocks are.
    """
    k = len(raw.channels)
    if raw.part_of:
        return f"its parts, of {k} channel{'s' if k > 1 else ''}, are left as they are (method none)"
    said = "one channel is left as it is" if k == 1 else f"{k} channels are left as they are"
    blocks = blocks_in_words(raw.spots, layout, done.before[0])
    return f"{said} (method none)" + (f": {blocks}" if blocks else "")


def _models(channels: tuple[str, ...], corrected: bg.Corrected) -> dict[str, dict[str, float]] | None:
    """The normexp model of each channel and its offset, to nine digits, in the unit of the intensities."""
    if corrected.fits is None:
        return None
    shown = {}
    for channel, fit, offset in zip(channels, corrected.fits, corrected.offsets, strict=True):
        numbers = {"mu": fit.mu, "sigma": fit.sigma, "alpha": fit.alpha, "offset": offset}
        shown[channel] = {name: float(f"{number:.9g}") for name, number in numbers.items()}
    return shown


def _lines(channels: tuple[str, ...], corrected: bg.Corrected) -> dict[str, dict[str, float]] | None:
    """Offset and gain that affine took out of each channel, to nine digits."""
    if not corrected.lines:
        return None
    return {
        channel: {"offset": float(f"{offset:.9g}"), "gain": float(f"{gain:.9g}")}
        for channel, (offset, gain) in zip(channels, corrected.lines, strict=True)
    }
