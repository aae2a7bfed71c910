"""Intensities of one array, corrected: for their background first, then as the recipe has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from gridnorm.arrays import background as bg
from gridnorm.arrays.corrections.correction import CORRECT
from gridnorm.arrays.corrections.rows import correct_array
from gridnorm.arrays.doubts import channel_doubts
from gridnorm.arrays.grouping import slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.recipe import Recipe
from gridnorm.errors import OptionError
from gridnorm.provenance import History, Step

_NO_HISTORY = History()


class CorrectedArray(NamedTuple):
    """One array after background correction and others: no background left; the steps, the models and doubts.

    ``affine``: offset and gain by channel, where those were taken out.
    """

    raw: RawArray
    steps: tuple[Step, ...] = ()
    models: Mapping[str, Mapping[str, float]] | None = None
    notes: tuple[str, ...] = ()
    affine: Mapping[str, Mapping[str, float]] | None = None


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


def correct_further(
    corrected: CorrectedArray, layout: Layout | None, recipe: Recipe, history: History = _NO_HISTORY
) -> CorrectedArray:
    """The array with the recipe's corrections of intensities, one after the other; ``history`` is what was done to it.

    Raises
    ------
    OptionError
        One of them was done before.
    """
    raw, notes = corrected.raw, corrected.notes
    done = history.parameters().get(CORRECT, ())
    for row, options in recipe.corrections():
        if row.name in done:
            raise OptionError(
                f"{row.name} has been carried out already", file=raw.name, found=str(history),
                expected=f"other corrections than {', '.join(done)}",
            )  # fmt: skip
        raw, more = correct_array(raw, layout, row, options, recipe.given)
        notes = (*notes, *more)
    return corrected._replace(raw=raw, steps=(*corrected.steps, *recipe.correction_steps()), notes=notes)


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
