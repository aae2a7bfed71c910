"""The one chain: correct → levels → groups → fit → apply, for one array.

The command line, ``normalize`` and the step functions are three ways into it. Everything that happens to an array,
and the record of it, is written here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays import background as bg
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.covariates import covariate_of
from gridnorm.arrays.grouping import GROUPINGS, Grouping, group_spots, grouping_options, slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matrices import LEVELS, declared
from gridnorm.arrays.raw import Column, FloatArray, RawArray
from gridnorm.arrays.record import ArrayRecord, record_of
from gridnorm.arrays.weights import SpotUse, spot_weights, use_of
from gridnorm.arrays.within import Levels, WithinResult, choose_method, method_options, normalize_levels, take_options
from gridnorm.core.engines import on_device
from gridnorm.core.methods import METHODS, Method
from gridnorm.core.option import Option, Table, effective, no_meaning, take
from gridnorm.core.segments import Segments
from gridnorm.errors import option_word
from gridnorm.provenance import Step


@dataclass(frozen=True)
class Recipe:
    """What the chain is asked to do; rows by name or as objects, their options as far as they are given."""

    by: str | Grouping = "print-tip"
    method: str | Method = "auto"
    background: str | bg.Background = "auto"
    flags: str = "exclude"
    weights: str = "none"
    device: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    def within(self, channels: tuple[str, ...]) -> tuple[Method, dict[str, Any]]:
        """The method for these channels and all its options."""
        row = choose_method(self.method, channels)
        return row, take_options(row, self._of(method_options(row)))

    def correction(self, measured: bool) -> tuple[bg.Background, dict[str, Any]]:
        """The background method, where a background was measured or not, and all its options."""
        row = bg.choose_background(self.background, measured)
        return row, take(row.options, self._of(row.options), f"{option_word('background')} {row.name}")

    def grouping(self) -> dict[str, Any]:
        """All options of the groupings."""
        options = grouping_options(self.by)
        return effective(options, self._of(options))

    def background_step(self, measured: bool) -> Step:
        """The first step with every effective setting."""
        row, options = self.correction(measured)
        return Step("background_correct", {"method": row.name, **plain(row.options, options)})

    def within_step(self, channels: tuple[str, ...], weights: str | None = None) -> Step:
        """The last step with every effective setting; ``weights`` stands for weights given as numbers."""
        row, options = self.within(channels)
        if "clamp_weights" in options:
            options["clamp_weights"] = options["clamp_weights"] or self.flags == "downweight"
        parameters = {
            "by": self.by if isinstance(self.by, str) else self.by.name,
            **plain(grouping_options(self.by), self.grouping()),
            "method": row.name,
            **plain(method_options(row), options),
            "flags": self.flags,
            "weights": weights or self.weights,
            "device": "gpu" if self.device == "gpu" else "cpu",
        }
        return Step("normalize_within", parameters)

    def _of(self, options: tuple[Option, ...]) -> dict[str, Any]:
        taken = {option.name for option in options}
        return {name: value for name, value in self.options.items() if name in taken}


class Corrected(NamedTuple):
    """One array after background correction: no background left; the step, the models and doubts."""

    raw: RawArray
    step: Step
    models: Mapping[str, Mapping[str, float]] | None
    notes: tuple[str, ...]


def correct_one(raw: RawArray, layout: Layout | None, recipe: Recipe) -> Corrected:
    """Foreground corrected for background.

    The background model sees every spot; flags decide about fits within the array only, as in limma.
    """
    row, options = recipe.correction(raw.background is not None)
    position = None
    if row.needs_position and layout is not None:
        position = slide_position(raw.spots, layout)
    done = bg.correct(raw.foreground, raw.background, row, position=position, names=raw.channels, **options)
    return Corrected(
        replace(raw, foreground=done.values, background=None),
        recipe.background_step(raw.background is not None),
        _models(raw.channels, done),
        tuple(f"{raw.name}: {note}" for note in done.notes),
    )


def levels_of(raw: RawArray) -> tuple[Levels, int]:
    """What is normalized, from corrected intensities, and how many of them were not positive."""
    values, mean, n_bad = bg.to_levels(raw.channels, raw.foreground)
    return Levels(values, {} if mean is None else {"level": mean}, mean is not None), n_bad


def within_one(
    raw: RawArray, levels: Levels, layout: Layout | None, recipe: Recipe, weights: FloatArray | None = None
) -> tuple[WithinResult, SpotUse, Step]:
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
    use = use_of(raw.flags, raw.n_spots, recipe.flags, given)
    segments = groups_of(recipe, raw.spots, layout, raw.n_spots, raw.name)
    if row.use is not None:
        chosen = np.asarray(row.use(raw.spots, options), np.bool_)
        use = replace(use, use=use.use & chosen)
    needed = {name: covariate_of(name, levels, raw, layout) for name in row.covariates if name != "level"}
    position = None
    if options.get("small_groups") == "merge" and layout is not None:
        position = slide_position(raw.spots, layout)
    with on_device(recipe.device == "gpu"):
        done = normalize_levels(
            levels._replace(covariates={**levels.covariates, **needed}), segments, row, use, options, position
        )
    step = recipe.within_step(raw.channels, "given" if weights is not None else None)
    return done, use, step


def groups_of(
    recipe: Recipe, columns: Mapping[str, Column], layout: Layout | None, n_spots: int, file: str = ""
) -> Segments:
    """The groups that the chain makes of these spots."""
    return group_spots(recipe.by, columns, layout, n_spots, file, recipe.grouping())


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
        What to do.
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
    corrected = correct_one(raw, layout, recipe)
    levels, n_bad = levels_of(corrected.raw)
    done, use, step = within_one(raw, levels, layout, recipe, weights)
    known = record_of(raw, layout) if record is None else record
    notes = (*corrected.notes, *counted(raw, n_bad, str(corrected.step.parameters["method"])))
    history = replace(known.history, steps=(*known.history.steps, corrected.step, step))
    return as_set(
        raw, layout, name or raw.name, levels, done, use, known._replace(history=history), notes, corrected.models
    )


def as_set(
    raw: RawArray,
    layout: Layout | None,
    name: str,
    levels: Levels,
    done: WithinResult,
    use: SpotUse,
    record: ArrayRecord,
    notes: tuple[str, ...] = (),
    models: Mapping[str, Mapping[str, float]] | None = None,
) -> ArraySet:
    """A set of one array from what was done to it."""
    names = [m.name for m in declared(raw.channels, LEVELS).values() if m.role == "level"]
    values = {matrix: done.values[k : k + 1] for k, matrix in enumerate(names)}
    if levels.ratio:
        values["A"] = levels.covariates["level"]
    record = record._replace(
        missing=int(np.count_nonzero(np.isnan(done.values[0]))),
        layout=layout,
        models=record.models if models is None else models,
        warnings=(*record.warnings, *notes),
    )
    return ArraySet(
        names=(name,),
        channels=raw.channels,
        values=values,
        columns=raw.spots,
        layout=layout,
        flag_codes=None if raw.flags is None else raw.flags[None, :],
        spot_weights=use.reported[None, :] if bool((use.reported != 1).any()) else None,
        fits=(done,),
        history=record.history,
        warnings=record.warnings,
        stage=LEVELS,
        records=(record,),
    )


def counted(raw: RawArray, n_bad: int, background: str) -> list[str]:
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


def plain(options: tuple[Option, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Effective options as JSON holds them, in the order of the row."""
    return {option.name: option.plain(values[option.name]) for option in options if option.name in values}


def check_options(recipe: Recipe, steps: tuple[str, ...] = ("background", "method")) -> None:
    """Refuse options that no row takes which these steps of the chain may choose.

    Raises
    ------
    OptionError
        Naming the option and the row.
    """
    rows: dict[str, dict[str, tuple[Option, ...]]] = {}
    if "background" in steps:
        chosen = [bg.choose_background(recipe.background, measured) for measured in (True, False)]
        rows["background"] = {row.name: row.options for row in chosen}
    if "method" in steps:
        methods = [choose_method(recipe.method, channels) for channels in (("R", "G"), ("E",))]
        rows["method"] = {row.name: method_options(row) for row in methods}
        rows["by"] = {str(getattr(recipe.by, "name", recipe.by)): grouping_options(recipe.by)}
        for row in methods:
            take_options(row, {o.name: recipe.options[o.name] for o in method_options(row) if o.name in recipe.options})
    taken = {option.name for kind in rows.values() for options in kind.values() for option in options}
    for name in recipe.options:
        if name not in taken:
            word = next(
                (kind for kind in rows if name in _TABLES[kind].options()),
                list(rows)[-1] if len(rows) == 1 else "method",
            )
            row_name, options = next(iter(rows[word].items()))
            raise no_meaning(name, f"{option_word(word)} {row_name}", [option.name for option in options])


_TABLES: dict[str, Table[Any]] = {"background": bg.BACKGROUNDS, "by": GROUPINGS, "method": METHODS}


def _models(channels: tuple[str, ...], corrected: bg.Corrected) -> dict[str, dict[str, float]] | None:
    """Parameters of the normexp model of each channel, to nine digits, in the unit of the intensities."""
    if corrected.fits is None:
        return None
    shown = {}
    for channel, fit in zip(channels, corrected.fits, strict=True):
        numbers = {"mu": fit.mu, "sigma": math.exp(fit.log_sigma), "alpha": math.exp(fit.log_alpha)}
        shown[channel] = {name: float(f"{number:.9g}") for name, number in numbers.items()}
    return shown
