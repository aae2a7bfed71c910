"""The automatic offset and the fit in the channel's own unit, against fixed offsets, on arrays with known truth.

*Gain*: intensities of real and simulated arrays times numbers, not rounded, so that nothing but the computation can
differ. *Gain series*: one slide scanned at several voltages; regression of log2 level on that at 450 V, over the spots
that have 100 to 1500 counts there. *Noise*: eight experiments of four arrays each, beside the same with a fixed
offset of 50 counts and limma's fit, which was the default; ``recovery`` says what error, slope and power are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from judged import Judged
from numpy.typing import NDArray
from recovery import SIZE, judged_spots, low_slope, mean_square, moderated, normalized, power

import gridnorm as gn

SHARED = Path(os.environ.get("GRIDNORM_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"
FORMER: dict[str, Any] = {"offset": 50, "normexp_method": "saddle"}
SEEDS = range(1, 9)
VOLTS = (250, 300, 350, 400, 450, 500)
# Additive noise in counts, the most error beside that of offset 50, and the least slope in the low third.
NOISE = {
    "noise of 9 counts": ({"additive_sd": 9.0}, 1.03, None),
    "noise of 28 counts (default)": ({}, 1.03, 0.65),
    "the same, background 400": ({"background": 400.0}, 1.03, 0.65),
    "noise of 56 counts": ({"additive_sd": 56.0}, 1.0, 0.47),
    "noise of 84 counts": ({"additive_sd": 84.0}, 1.0, 0.47),
}  # fmt: skip
# Two spots of a thousand, four standard errors of the difference over these seeds.
POWER_LOST = 0.002


@cache
def read(*parts: str) -> gn.ArraySet:
    """An array of the shared folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return gn.read(SHARED.joinpath(*parts))


def times(arrays: gn.ArraySet, gains: dict[str, float]) -> gn.ArraySet:
    """The same arrays with every channel and its background times a number."""
    return replace(arrays, values={name: m * gains[name.rstrip("b")] for name, m in arrays.values.items()})


def moved(arrays: gn.ArraySet, red: float, green: float, **options: Any) -> float:
    """The largest change of M when the channels are multiplied, beyond the ratio of the numbers."""
    one = normalized(arrays, **options)
    other = normalized(times(arrays, {"R": red, "G": green}), **options)
    constant = 0.0 if options.get("method") != "none" else np.log2(red / green)
    return float(np.nanmax(np.abs(other - one - constant)))


def gain() -> Iterator[Judged]:
    """Both channels × 4, R × 1.7, and image software with small numbers."""
    arrays = {
        "swirl": read("arrays", "bioc_marray", "swirl.1.spot.gz"),
        "mouse": read("arrays", "caArray", "21161_neu10.gpr.gz"),
        "spot": read("arrays", "HenrikBengtsson_aroma", "spot123.spot.gz"),
        "simulated": gn.simulate(1, seed=1, **SIZE).arrays,
    }
    for name, one in arrays.items():
        for words, red, green in (("both × 4", 4.0, 4.0), ("R × 1.7", 1.7, 1.0), ("both × 0.001", 1e-3, 1e-3)):
            yield Judged(
                "offset", name, f"{words}: largest change of M", moved(one, red, green, method="none"), "<=", 1e-6
            )
    yield Judged(
        "offset", "swirl", "R × 1.7: largest change of normalized M", moved(arrays["swirl"], 1.7, 1.0), "<=", 1e-6
    )


def scans() -> Iterator[Judged]:
    """One simulated slide scanned at four gains, in whole counts: how large the faint changes look."""
    made = gn.simulate(4, gains=(0.25, 0.5, 1.0, 2.0), seed=3, **SIZE)
    m = normalized(made.arrays)
    faint = made.changed & (made.true_a <= np.quantile(made.true_a, 1 / 3)) & np.isfinite(m).all(axis=0)
    size = (np.sign(made.true_m) * m)[:, faint].mean(axis=1)
    least = float(size.min() / size.max())
    yield Judged(
        "offset", "a slide scanned at gains 0.25 to 2", "faint changes, smallest over largest", least, ">=", 0.9
    )


def levels(arrays: gn.ArraySet, **options: Any) -> NDArray[np.float64]:
    """E of one array of one channel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return np.asarray(gn.normalize(arrays, **options).E[:, 0])


def gain_series() -> Iterator[Judged]:
    """Slopes between scans of one slide."""
    scans = {volt: read("arrays", "gainscan", f"0000088695_iso_array1_pmt{volt}.gpr.gz") for volt in VOLTS}
    net = scans[450].E[:, 0] - scans[450].Eb[:, 0]
    seen = (net >= 100) & (net <= 1500)
    level = {volt: levels(scan, method="none")[seen] for volt, scan in scans.items()}
    slopes = [float(np.polyfit(level[450], level[volt], 1)[0]) for volt in VOLTS if volt != 450]
    yield Judged(
        "offset", "one slide, 250 to 500 V", "lowest slope of levels on those at 450 V", min(slopes), ">=", 0.9
    )
    yield Judged(
        "offset", "one slide, 250 to 500 V", "highest slope of levels on those at 450 V", max(slopes), "<=", 1.1
    )


def figures(options: dict[str, Any]) -> tuple[float, float, float]:
    """Error beside that of a fixed 50, slope in the low third, and power beyond that of a fixed 50."""
    squares, slopes, powers = np.zeros((len(SEEDS), 2)), np.zeros(len(SEEDS)), np.zeros((len(SEEDS), 2))
    for k, seed in enumerate(SEEDS):
        made = gn.simulate(4, seed=seed, **SIZE, **options)
        results = normalized(made.arrays), normalized(made.arrays, **FORMER)
        where = judged_spots(made) & np.isfinite(results).all(axis=0)
        slopes[k] = low_slope(made, results[0])
        for j, m in enumerate(results):
            squares[k, j] = mean_square(made, m, where)
            t, _, changed = moderated(made, m)
            powers[k, j] = power(t, changed)
    error = np.sqrt(squares.mean(axis=0))
    return float(error[0] / error[1]), float(slopes.mean()), float((powers[:, 0] - powers[:, 1]).mean())


def noise() -> Iterator[Judged]:
    """Low, usual and high noise, over low and high background."""
    for setting, (options, most, least) in NOISE.items():
        error, slope, gained = figures(options)
        yield Judged("offset", setting, "error of M, beside that of offset 50", error, "<=", most)
        yield Judged("offset", setting, "power, beyond that of offset 50", gained, ">=", -POWER_LOST)
        if least is not None:
            yield Judged("offset", setting, "slope of true effects in the low third", slope, ">=", least)


def rows() -> Iterator[Judged]:
    """Everything that is promised of the offset."""
    yield from gain()
    yield from scans()
    yield from gain_series()
    yield from noise()


if __name__ == "__main__":
    for row in rows():
        print(row.holds, row)
