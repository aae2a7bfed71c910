"""The defaults beside limma's preset, setting by setting: none may be worse.

Both on the same spots, those that limma's subtraction leaves, which are the ones it is good at; ``recovery`` says what
error and false discoveries are. A share of false discoveries above 5 % is stated with the setting it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from judged import Judged
from recovery import SIZE, false_discoveries, judged_spots, mean_square, moderated, normalized

import gridnorm as gn

SEEDS = range(1, 7)
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "30 % up only": {"changed": 0.3, "up": 1.0},
    "background 400": {"background": 400.0},
    "noise of 70 counts": {"additive_sd": 70.0},
    "noise of 9 counts": {"additive_sd": 9.0},
    "no print-tip bias": {"tip_offset_sd": 0.0, "tip_slope_sd": 0.0, "tip_curve_sd": 0.0, "tip_scale_sd": 0.0},
    "strong trend over the slide": {"spatial": 1.0},
    "no dye bias": {"dye_bias": 0.0},
    "few spots a tip": {"small_tips": 4, "small_tip_spots": 15},
}


NOMINAL = 0.05
# Where more than that are false, and how many at most: changes that all go one way pull the curves with them.
ABOVE_NOMINAL = {"30 % up only": 0.08}


def compared(options: dict[str, Any]) -> tuple[float, float]:
    """Error of the defaults beside that of limma's preset, and the false discoveries of the defaults."""
    squares, false = np.zeros((len(SEEDS), 2)), np.zeros(len(SEEDS))
    for k, seed in enumerate(SEEDS):
        made = gn.simulate(4, seed=seed, **SIZE, **options)
        results = normalized(made.arrays), normalized(made.arrays, preset="limma")
        where = judged_spots(made) & np.isfinite(results).all(axis=0)
        squares[k] = [mean_square(made, m, where) for m in results]
        _, p, changed = moderated(made, results[0])
        false[k] = false_discoveries(p, changed)
    error = np.sqrt(squares.mean(axis=0))
    return float(error[0] / error[1]), float(false.mean())


def rows() -> Iterator[Judged]:
    """Error of every setting, and how many of the named spots are false."""
    for setting, options in SETTINGS.items():
        error, false = compared(options)
        yield Judged("settings", setting, "error of M, beside that of limma's preset", error, "<=", 1.0)
        most = ABOVE_NOMINAL.get(setting, NOMINAL)
        yield Judged("settings", setting, "false among those named at 5 %", false, "<=", most)


if __name__ == "__main__":
    for row in rows():
        print(row.holds, row)
