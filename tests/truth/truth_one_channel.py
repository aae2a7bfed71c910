"""One channel, spots that were not found, and second wavelengths without signal: what the defaults do to real slides.

**Repeats.** The slides of RPPanalyzer print the same 384 samples twelve times over eight blocks. Nothing but repeats
judges: the intraclass correlation ICC(1) of E over samples (one-way, random) rises where blocks are brought together
and falls where a step is put between them. Left alone: .991 (S1), .971 (old_S8), .383 (S2), .918 (S4), .888 (old_S10) at
offset 50; with flagged spots left out of the medians .904, .756, .797, .968, .922.

**Samples.** AutoAntigen, KK2-06 and Slide1 hold samples or antibodies in their blocks. Without options they must come
out as they went in, and say so.

**Simulated.** Spots that were not found are the dim ones of each tip, at rates that differ between tips. The root mean
square of (value − truth − its median) over spots with signal (true A above 8) that are neither damaged nor outliers,
beside the same array with these spots left out of the fit, and beside flags ignored. Blocks with a level of their own:
beside medians levelled.
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

TOPIC = "one channel"
SHARED = Path(os.environ.get("GRIDNORM_SHARED", Path(gn.__file__).parents[2] / "shared")) / "data" / "arrays"
# Slide: least ICC at offset 50, and with the automatic offset.
REPEATS = {
    "S1": (0.99, 0.986),
    "old_S8": (0.975, 0.967),
    "S2": (0.82, 0.84),
    "S4": (0.965, 0.962),
    "old_S10": (0.93, 0.917),
}
SAMPLES = (
    "AutoAntigen/Slide1_532.gpr.gz",
    "AutoAntigen/Slide1_635.gpr.gz",
    "bioc_protGear/KK2-06.txt.gz",
    "cran_RPPanalyzer/Slide1.gpr.gz",
)
TWO_COLOURS = (
    "bioc_marray/swirl.*.spot.gz",
    "caArray/*.gpr.gz",
    "HenrikBengtsson_aroma/gpr123.gpr.gz",
    "HenrikBengtsson_aroma/spot123.spot.gz",
    "doelan/Demo.gpr.gz",
    "geworkbench/*.gpr.gz",
)
LOST = ((0.08, 0.5), (0.3, 1.0), (0.5, 1.0))  # share not found, and its spread over tips in log odds
SEEDS = range(1, 5)
SIGNAL = 8.0  # log2; below it the background decides

Vector = NDArray[np.float64]


def rows() -> Iterator[Judged]:
    """Every figure beside its limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from _repeats()
        yield from _wavelengths()
        yield from _not_found()
        yield from _contents()
    yield from _samples()


def icc(values: Vector, labels: NDArray[Any]) -> float:
    """ICC(1): share of the variance between labels, for any number of repeats."""
    known = np.isfinite(values)
    _, code = np.unique(labels[known], return_inverse=True)
    x, n = values[known], np.bincount(code)
    means = np.bincount(code, x) / n
    within = float(((x - means[code]) ** 2).sum()) / (x.size - n.size)
    between = float((n * (means - x.mean()) ** 2).sum()) / (n.size - 1)
    repeats = (x.size - float((n**2).sum()) / x.size) / (n.size - 1)
    return (between - within) / (between + (repeats - 1) * within)


def _repeats() -> Iterator[Judged]:
    for slide, limits in REPEATS.items():
        arrays = gn.read(SHARED / "cran_RPPanalyzer" / f"{slide}.gpr.gz")
        for offset, limit in zip((50, "auto"), limits, strict=True):
            done = gn.normalize(arrays, by="print-tip", offset=offset)
            found = icc(done.E[:, 0], arrays.columns["ID"])
            yield Judged(TOPIC, f"{slide}, by print-tip, offset {offset}", "ICC of repeats", found, ">=", limit)


def _samples() -> Iterator[Judged]:
    for file in SAMPLES:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            arrays = gn.read(SHARED / file)
            done = gn.normalize(arrays)
            level = np.log2(gn.background_correct(arrays, "auto").E)
        moved = float(np.nanmax(np.abs(done.E - level)))
        said = sum("left as it is" in str(one.message) and "hold" in str(one.message) for one in seen)
        said += sum("left as it is" in str(one.message) and "contents" in str(one.message) for one in seen)
        yield Judged(TOPIC, f"{file}, no options", "largest change of log2 E", moved, "<=", 0.0)
        yield Judged(TOPIC, f"{file}, no options", "notes about its blocks", float(said), ">=", 1.0)


def _wavelengths() -> Iterator[Judged]:
    protein = sorted(SHARED.glob("bioc_PAA/dummy_GSM*.gpr*"))
    real = [path for pattern in TWO_COLOURS for path in sorted(SHARED.glob(pattern))]
    for name, paths, sense, limit in (
        (f"{len(protein)} protein arrays in two wavelengths", protein, ">=", 1.0),
        (f"{len(real)} two-colour arrays", real, "<=", 0.0),
    ):
        named = [any("no signal of probes" in text for text in gn.normalize(path).warnings) for path in paths]
        figure = "share said to look like one channel"
        yield Judged(TOPIC, name, figure, float(np.mean(named)) if named else np.nan, sense, limit)  # type: ignore[arg-type]


def _not_found() -> Iterator[Judged]:
    for channels, word in ((1, "one channel, median"), (2, "two channels, loess")):
        for share, spread in LOST:
            made = [
                gn.simulate(1, (4, 4), (20, 20), channels=channels, not_found=share, not_found_sd=spread, seed=seed)
                for seed in SEEDS
            ]
            error = {flags: _error(made, flags=flags) for flags in ("exclude", "exclude:-100,-75,-50", "ignore")}
            setting = f"{word}, {share:.0%} not found (spread {spread:g})"
            ours = error["exclude"]
            yield Judged(TOPIC, setting, "RMSE / left out", ours / error["exclude:-100,-75,-50"], "<=", 1.01)
            yield Judged(TOPIC, setting, "RMSE / flags ignored", ours / error["ignore"], "<=", 1.02)


def _contents() -> Iterator[Judged]:
    """Leaving alone is right where blocks have levels of their own; where they are print-tips, naming them pays."""
    for tip, content, named, limit in ((0.0, 0.6, False, 0.7), (0.1, 0.3, False, 0.9), (0.3, 0.0, True, 0.8)):
        made = [
            gn.simulate(
                1, (4, 4), (20, 20), channels=1, tip_offset_sd=tip, tip_slope_sd=0.0, tip_curve_sd=0.0, spatial=0.0,
                content_sd=content, seed=seed,
            )
            for seed in SEEDS
        ]  # fmt: skip
        alone, levelled = _error(made, by=None), _error(made)
        setting = f"one channel, tips {tip:g}, contents of blocks {content:g}"
        if named:
            yield Judged(TOPIC, setting, "RMSE by print-tip / without options", levelled / alone, "<=", limit)
        else:
            yield Judged(TOPIC, setting, "RMSE without options / by print-tip", alone / levelled, "<=", limit)


def _error(made: list[Any], by: str | None = "print-tip", **options: Any) -> float:
    """Root mean square of what is wrong, over arrays, after one constant an array."""
    squares = []
    for one in made:
        given = options if by is None else {**options, "by": by}
        done = gn.normalize(one.arrays, **given)
        two = len(one.channels) == 2
        wrong = (done.M if two else done.E)[:, 0] - (one.true_m if two else one.true_a + one.true_m)
        wrong = wrong[(one.true_a > SIGNAL) & (one.flags[0] != -100) & ~one.outlier[0]]
        squares.append(float(np.mean((wrong - np.median(wrong)) ** 2)))
    return float(np.sqrt(np.mean(squares)))


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok ' if row.holds else 'NOT'} {row.setting}: {row.figure} {row.value:.4f} {row.sense} {row.limit:g}")
