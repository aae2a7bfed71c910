"""Small groups: what partial pooling is worth beside the array's fit and the groups' own.

**One small print-tip of 16** (the others 400 spots), defaults of the simulator but for an offset of the tips with sd 0.4,
so that the array's curve alone has the error it had in the study that set the limits (0.44 to 0.46). 40 arrays. The
error is M against the true M in that tip, after one constant an array; outliers take part in every fit and are left
out of the error, which they would be most of; flagged spots are left out of both. *Small* groups make this measure
kind to curves that follow the noise: their own spots are what it is measured at.

**Without any tip bias** the same, against the array's curve alone, which is right there.

**Real arrays, thinned** to 36 usable spots a tip, four draws each: M against that of the full array's own curves at the
spots kept; errors clipped at ± 2. Background subtracted, flags ignored.

**16 tips of 33 spots**, four arrays: the mean error of each tip, over its spots with neither flag nor accident.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from judged import Judged
from numpy.typing import NDArray

import gridnorm as gn
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments

TOPIC = "small groups"
ARRAYS = 40
RULES: dict[str, dict[str, Any]] = {
    "shrink": {},
    "array": {"small_groups": "array", "min_group": 100},
    "own": {"small_groups": "own"},
}
NO_BIAS = {"tip_offset_sd": 0.0, "tip_slope_sd": 0.0, "tip_curve_sd": 0.0, "tip_scale_sd": 0.0, "spatial": 0.0}
SHARED = Path(os.environ.get("GRIDNORM_SHARED", Path(__file__).parents[3] / "shared"))
REAL = {
    "swirl 1–4": ([f"bioc_marray/swirl.{k}.spot.gz" for k in (1, 2, 3, 4)], 0.085),
    "mouse (neu9, neu10, wap3)": ([f"caArray/{k}.gpr.gz" for k in ("21160_neu9", "21161_neu10", "18258_wap3")], 0.135),
}

Vector = NDArray[np.float64]


def errors(made: Any, **options: Any) -> Vector:
    """M against the truth after one constant an array, (array, spot); NaN where a spot is flagged or an outlier."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(made.arrays, by="print-tip", **options).M.T
    left = np.where((made.flags < 0) | made.outlier, np.nan, done - made.true_m)
    return np.asarray(left - np.nanmedian(left, axis=1, keepdims=True))


def one_small(spots: int, **options: Any) -> dict[str, float]:
    """Root mean square error in the one tip of so many spots, by rule."""
    squares: dict[str, list[Vector]] = {rule: [] for rule in RULES}
    for seed in range(ARRAYS):
        made = gn.simulate(1, blocks=(4, 4), spots=(20, 20), small_tips=1, small_tip_spots=spots, seed=seed, **options)
        tip = made.block == np.argmin(np.bincount(made.block)[1:]) + 1
        for rule, given in RULES.items():
            squares[rule].append(errors(made, **given)[0, tip] ** 2)
    return {rule: float(np.sqrt(np.nanmean(np.concatenate(parts)))) for rule, parts in squares.items()}


def thinned(files: list[str], each: int, draws: int = 4) -> float:
    """Root mean square difference of thinned arrays from the full ones."""
    squares = []
    for file in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", gn.GridnormWarning)
            full = gn.normalize(
                str(SHARED / "data" / "arrays" / file), method="none", background="subtract", flags="ignore"
            )
        block, good = np.asarray(full.spots["Block"]), np.isfinite(full.M[:, 0])
        block, m, a = block[good], full.M[good, 0], full.A[good, 0]
        reference = normalize_within(m, Segments.from_labels(block), "loess", covariate=a, small_groups="own").values[0]
        for draw in range(1, draws + 1):
            rng = np.random.default_rng(draw)
            kept = np.sort(
                np.concatenate([rng.permutation(np.flatnonzero(block == b))[:each] for b in np.unique(block)])
            )
            done = normalize_within(
                m[kept], Segments.from_labels(block[kept]), "loess", covariate=a[kept], small_groups="shrink"
            ).values[0]
            squares.append(np.mean(np.clip(done - reference[kept], -2, 2) ** 2))
    return float(np.sqrt(np.mean(squares)))


def tips_of_33() -> float:
    """Standard deviation over tips and arrays of the mean error of a tip."""
    made = gn.simulate(4, blocks=(4, 4), spots=(3, 11), bad=0.05, not_found=0.05, seed=1)
    left = errors(made)
    return float(np.std([np.nanmean(left[:, made.block == tip], axis=1) for tip in range(1, 17)]))


def rows() -> Iterator[Judged]:
    for spots in (8, 15, 25, 60):
        found = one_small(spots, tip_offset_sd=0.4)
        where = f"one tip of {spots} spots"
        yield Judged(TOPIC, where, "RMSE, of the array's curve's", found["shrink"] / found["array"], "<=", 0.6)
        yield Judged(TOPIC, where, "RMSE, of own loess's", found["shrink"] / found["own"], "<=", 1.03)
    for spots in (8, 15, 25, 60):
        found = one_small(spots, **NO_BIAS)
        share = found["shrink"] / found["array"]
        yield Judged(
            TOPIC, f"the same without tip bias, {spots} spots", "RMSE, of the array's curve's", share, "<=", 1.03
        )
    for name, (files, limit) in REAL.items():
        yield Judged(
            TOPIC, f"{name} thinned to 36 spots a tip", "RMSE against full arrays", thinned(files, 36), "<=", limit
        )
    yield Judged(TOPIC, "16 tips of 33 spots, 4 arrays", "sd of the tips' mean error", tips_of_33(), "<=", 0.08)


if __name__ == "__main__":
    for row in rows():
        print("holds" if row.holds else "FAILS", row)
