"""How much of the variance each grouping of an inspected array explains, beside what chance would."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.chain import Levels, groups_of
from gridnorm.arrays.grouping import GROUPINGS, By, by_text
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.recipe import Recipe
from gridnorm.arrays.tip_effect import tip_effect
from gridnorm.core.segments import Segments
from gridnorm.core.spread.shares import variance_shares

TIPS = "print-tip"
ALPHA = 0.05  # below it a tip effect is named
_DIGITS = 6


def explained_by(
    levels: Levels, raw: RawArray, layout: Layout | None, recipe: Recipe, use: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Share of the variance that each possible grouping explains, among the spots that may enter a fit.

    Largest adjusted share first. ``null`` is the share that as many groups explain by chance. ``after_surface`` and
    ``p`` are those of print-tips after an intensity curve and a smooth surface, None where they cannot be told.
    """
    level = levels.values[0]
    by = by_text(recipe.by)
    words: dict[str, By] = {name: name for name in GROUPINGS if name != "array"}
    words = {by: recipe.by} | words
    out = []
    for word, grouping in words.items():
        if layout is None and word not in (TIPS, by):
            continue
        segments: Segments = groups_of(recipe._replace(by=grouping), raw.spots, layout, raw.n_spots, raw.name)
        if segments.n_segments > 1:
            shares = variance_shares(level, segments, use=use)
            row = {"by": word, "groups": segments.n_segments}
            row |= {name: _number(found[0]) for name, found in zip(("share", "adjusted", "null"), shares, strict=True)}
            out.append(row | _tips(levels, raw, layout, use) if word == TIPS else row)
    return sorted(out, key=lambda row: -np.inf if row["adjusted"] is None else row["adjusted"], reverse=True)


def _tips(levels: Levels, raw: RawArray, layout: Layout | None, use: NDArray[np.bool_]) -> dict[str, float | None]:
    mean = levels.covariates.get("level")
    found = None
    if layout is not None:
        found = tip_effect(levels.values[0], None if mean is None else mean[0], raw.spots, layout, use)
    return {
        "after_surface": None if found is None else _number(found.share),
        "p": None if found is None else _number(found.p),
    }


def _number(value: Any) -> float | None:
    return round(float(value), _DIGITS) if np.isfinite(value) else None


def in_words(row: dict[str, Any], *, curve: bool = True) -> str:
    """One row for people: the share, what chance would explain, and what is left of print-tips.

    Arrays of two channels have a ``curve`` over A, which was taken off before the surface.
    """
    if row["share"] is None:
        return f"{row['by']}: nothing to explain"
    text = f"{row['by']}: {100 * row['share']:.1f} % ({100 * row['null']:.1f} % expected by chance)"
    if "p" not in row:
        return text
    if row["p"] is None:
        return f"{text}; not tested against shifted lattices: they need a layout with more or larger blocks"
    if curve:
        verdict = "a tip effect" if row["p"] < ALPHA else "no tip effect shown"
    else:  # blocks of one channel may be samples
        verdict = "blocks differ" if row["p"] < ALPHA else "no difference between blocks shown"
    left = f"{max(100 * row['after_surface'], 0.0):.1f} %"
    after = "curve and surface" if curve else "surface"
    return f"{text}; after {after} {left}, p = {row['p']:.2g}: {verdict}"
