"""Scale between arrays: what it is worth where arrays differ in scale, and what it costs where they do not.

Sets of six simulated arrays. *They differ*: the log-ratios of each array, true ones, noise and print-tip bias, are
stretched by a factor of its own (log-normal, sd 0.3), by moving red and green, less their background, apart at the same
mean level. *They do not*: as simulated. The error is M against the true M over spots that are neither flagged nor
outliers, after one constant an array. The truth has no stretch: arrays are to come back to their common scale, which is
the geometric mean of the factors, so that they have a geometric mean of 1 here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from judged import Judged

import gridnorm as gn
from gridnorm.arrays.arrayset import ArraySet

TOPIC = "between arrays"
SETS, ARRAYS = 24, 6


def stretched(arrays: ArraySet, factors: np.ndarray) -> ArraySet:
    """The set with its log-ratios times a factor each; intensities that the background hides stay as they are."""
    values = dict(arrays.values)
    red, green = values["R"] - values["Rb"], values["G"] - values["Gb"]
    seen = (red > 0) & (green > 0)
    safe = np.where(seen, red, 1.0), np.where(seen, green, 1.0)
    level, half = (
        (np.log2(safe[0]) + np.log2(safe[1])) / 2,
        factors[:, None] * (np.log2(safe[0]) - np.log2(safe[1])) / 2,
    )
    values["R"] = np.where(seen, np.exp2(level + half) + values["Rb"], values["R"])
    values["G"] = np.where(seen, np.exp2(level - half) + values["Gb"], values["G"])
    return replace(arrays, values=values)


def root_mean_square(differ: bool) -> dict[str, float]:
    """Error of each method between arrays, over all sets."""
    squares: dict[str, list[np.ndarray]] = {"none": [], "scale": []}
    for seed in range(SETS):
        made = gn.simulate(ARRAYS, blocks=(4, 4), spots=(15, 15), seed=seed)
        logs = np.random.default_rng(seed).normal(0, 0.3, ARRAYS) if differ else np.zeros(ARRAYS)
        given = stretched(made.arrays, np.exp(logs - logs.mean())) if differ else made.arrays
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gn.GridnormWarning)
            done = gn.normalize(given)
            for method, found in squares.items():
                m = gn.normalize_between(done, method).M.T
                left = np.where((made.flags < 0) | made.outlier, np.nan, m - made.true_m)
                found.append((left - np.nanmedian(left, axis=1, keepdims=True)).ravel() ** 2)
    return {method: float(np.sqrt(np.nanmean(np.concatenate(parts)))) for method, parts in squares.items()}


def rows() -> Iterator[Judged]:
    for differ, limit in ((True, 0.90), (False, 1.01)):
        found = root_mean_square(differ)
        setting = f"{SETS} sets of {ARRAYS} arrays that {'differ' if differ else 'do not differ'} in scale"
        yield Judged(TOPIC, setting, "RMSE of scale, × none", found["scale"] / found["none"], "<=", limit)


if __name__ == "__main__":
    for row in rows():
        print(row)
