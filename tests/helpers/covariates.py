"""Covariates for every row of methods and statistics, made of the levels of the items alone.

An item has its place and its mark by the digits of its level: whatever order the items are in, and whichever of them
there are, each keeps its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MARKED = 0.5  # share of the items that are marked
# What statistics of several covariates, or of one that is no level, take: the words that methods use for them.
STANDS_FOR = {
    "surface": ("slide-row", "slide-column"),
    "composite": ("level", "control"),
    "joint": ("level", "slide-row", "slide-column"),
    "rlm": ("match",),
}


def digits(level: np.ndarray, factor: float) -> np.ndarray:
    """Numbers from 0 to 1 that look as if drawn evenly, and belong to the level."""
    return np.modf(np.abs(level) * factor)[0]


def column(name: str, level: np.ndarray, marked: float = MARKED) -> np.ndarray:
    """One covariate, of the shape of the levels."""
    made = {
        "level": lambda: level,
        "match": lambda: np.round(level),  # one that items share
        "control": lambda: (digits(level, 4099.3) < marked).astype(float),
        "slide-row": lambda: 20 * digits(level, 1021.7),
        "slide-column": lambda: 30 * digits(level, 7919.1),
    }
    return made[name]()


def names_of(row: Any) -> tuple[str, ...]:
    """The names of what a method or a statistic takes."""
    if isinstance(row.covariates, int):
        return STANDS_FOR.get(row.name, ("level",)) if row.covariates else ()
    return tuple(row.covariates)


def covariate_for(row: Any, level: np.ndarray, marked: float = MARKED) -> np.ndarray | None:
    """What a row takes, (…, item) or, of several, (…, item, k); None where it takes none. A share is marked."""
    names = names_of(row)
    if len(names) < 2:
        return column(names[0], level, marked) if names else None
    return np.stack([column(name, level, marked) for name in names], axis=-1)


def over(row: Any, level: np.ndarray, marked: float = MARKED) -> dict[str, np.ndarray]:
    """The same as a keyword, where there is one."""
    found = covariate_for(row, level, marked)
    return {} if found is None else {"covariate": found}
