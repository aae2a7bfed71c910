#!/usr/bin/env python3
"""GenePix results files for benchmarks: two colours, 48 blocks, 56 columns of which the job needs a dozen.

usage: make_gpr.py OUTDIR FILES [--rows 21] [--cols 20] [--seed 1]

Unlike ``gridnorm simulate``, which knows the truth and writes what a program reads, these files have the bulk of real
ones: every column of GenePix Pro 6, long quoted names, ``Error`` cells, spots below their background.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.io.gpr_write import gpr_blocks

Column = NDArray[Any]

BLOCK_ROWS, BLOCK_COLUMNS = 12, 4
MORE_RECORDS = {
    "Settings": r"C:\GenePix\Settings\standard.gps",
    "GalFile": r"C:\GAL\example48.gal",
    "FocusPosition": "0",
    "Temperature": "27.4",
    "LinesAveraged": "1",
    "PMTGain": "610\t520",
    "ScanPower": "100\t100",
    "LaserPower": "3.4\t2.9",
    "Filters": "<Empty>\t<Empty>",
    "ScanRegion": "60,60,2160,6960",
}
WORDS = (
    "hypothetical protein", "zinc finger", "solute carrier family 25, member", "complete cds, mRNA",
    "transcript variant", "ATP-binding cassette, sub-family", "similar to RIKEN cDNA",
    "chromosome 12 open reading frame", "Homo sapiens",
)  # fmt: skip


def columns(rng: np.random.Generator, spot_rows: int, spot_columns: int) -> dict[str, Column]:
    """One array: title to column; NaN is written ``Error``."""
    blocks = BLOCK_ROWS * BLOCK_COLUMNS
    numbers = np.meshgrid(*(np.arange(1, k + 1) for k in (blocks, spot_rows, spot_columns)), indexing="ij")
    block, row, column = (part.ravel() for part in numbers)
    n = block.size
    red, green = _signals(rng, block, n)
    b635 = _counts(rng.gamma(30, 2.6, n) + 12 * np.sin(row / 7))
    b532 = _counts(rng.gamma(40, 2.2, n) + 9)
    absent = rng.random(n) < 0.01  # these end below their background, about 200 of an array
    means = [np.where(absent, b - rng.integers(0, 6, n), _counts(f + b)) for f, b in ((red, b635), (green, b532))]
    medians = [_counts(mean * rng.normal(0.985, 0.02, n)) for mean in means]
    down, across = np.divmod(block - 1, BLOCK_COLUMNS)
    out = {"Block": block, "Column": column, "Row": row, "Name": _names(n), "ID": _identifiers(n)}
    out["X"] = 1500 + across * 4500 + column * 210 + rng.integers(-12, 12, n)
    out["Y"] = 2000 + down * 4500 + row * 210 + rng.integers(-12, 12, n)
    out["Dia."] = rng.integers(8, 14, n) * 10
    for nm, mean, median, back in (("635", means[0], medians[0], b635), ("532", means[1], medians[1], b532)):
        out |= _channel(rng, nm, mean, median, back)
    out |= _ratios(rng, means, medians, b635, b532)
    flags = np.where(absent, -50, np.where(rng.random(n) < 0.015, -100, 0))
    zero = np.zeros(n, np.int64)
    return out | {"Flags": flags, "Normalize": zero, "Autoflag": zero}


def _signals(rng: np.random.Generator, block: Column, n: int) -> tuple[Column, Column]:
    """Red and green above background: every tip bends M over A in its own way."""
    blocks = int(block.max())
    a = np.clip(rng.gamma(2.2, 1.25, n) + 6.0, 5.5, 15.6)
    m = np.where(rng.random(n) < 0.06, rng.normal(0, 1.6, n), rng.normal(0, 0.12, n))
    offset, slope, bend = rng.normal(0, 0.35, blocks), rng.normal(-0.08, 0.04, blocks), rng.normal(0.012, 0.006, blocks)
    d, at = a - 9.0, block - 1
    m += offset[at] + slope[at] * d + bend[at] * d * d - 0.45 * np.exp(-0.6 * (a - 5.5))
    m += rng.normal(0, 0.10, n) + 0.9 * rng.normal(0, 1, n) * np.exp(-0.55 * (a - 5.5))
    return np.exp2(a + m / 2), np.exp2(a - m / 2)


def _channel(rng: np.random.Generator, nm: str, mean: Column, median: Column, back: Column) -> dict[str, Column]:
    sd = _counts(mean * 0.22 + rng.normal(20, 4, mean.size))
    back_mean, back_sd = _counts(back * rng.normal(1.05, 0.02, mean.size)), _counts(back * 0.3 + 4)
    above = (mean - back) / back_sd
    return {
        f"F{nm} Median": median, f"F{nm} Mean": mean, f"F{nm} SD": sd, f"F{nm} CV": 100 * sd // np.maximum(mean, 1),
        f"B{nm}": back, f"B{nm} Median": back, f"B{nm} Mean": back_mean, f"B{nm} SD": back_sd,
        f"B{nm} CV": 100 * back_sd // np.maximum(back_mean, 1),
        f"% > B{nm}+1SD": np.clip(above * 40, 0, 100).astype(np.int64),
        f"% > B{nm}+2SD": np.clip(above * 25, 0, 100).astype(np.int64),
        f"F{nm} % Sat.": np.where(mean >= 65000, 80, 0),
    }  # fmt: skip


def _ratios(
    rng: np.random.Generator, means: list[Column], medians: list[Column], b635: Column, b532: Column
) -> dict[str, Column]:
    net_mean, net_median = [means[0] - b635, means[1] - b532], [medians[0] - b635, medians[1] - b532]
    with np.errstate(all="ignore"):
        median, mean = net_median[0] / net_median[1], net_mean[0] / net_mean[1]
        log = np.log2(median)
        median, mean, log = (np.where(np.isfinite(x), x, np.nan) for x in (median, mean, log))
    n, pixels, of = log.size, rng.integers(52, 140, log.size), "(635/532)"
    out = {f"Ratio of Medians {of}": median, f"Ratio of Means {of}": mean}
    out |= {f"Median of Ratios {of}": median * 1.01, f"Mean of Ratios {of}": mean * 0.99}
    out |= {f"Ratios SD {of}": 1 + rng.random(n), f"Rgn Ratio {of}": mean * 1.02, f"Rgn R2 {of}": rng.random(n)}
    out |= {"F Pixels": pixels, "B Pixels": pixels * 5 + 11, "Circularity": rng.integers(60, 100, n)}
    out |= {f"Sum of Medians {of}": net_median[0] + net_median[1], f"Sum of Means {of}": net_mean[0] + net_mean[1]}
    out[f"Log Ratio {of}"] = log
    out |= {"F635 Median - B635": net_median[0], "F532 Median - B532": net_median[1]}
    out |= {"F635 Mean - B635": net_mean[0], "F532 Mean - B532": net_mean[1]}
    out |= {"F635 Total Intensity": means[0] * pixels, "F532 Total Intensity": means[1] * pixels}
    return out | {"SNR 635": net_mean[0] / (b635 * 0.3 + 4), "SNR 532": net_mean[1] / (b532 * 0.3 + 4)}


def _order(n: int) -> Column:
    return np.random.default_rng(48).permutation(n)  # one print run: every file has the same spots


def _names(n: int) -> Column:
    texts = (f"FLJ{i:05d} " + "; ".join(WORDS[(i * k) % 9] for k in range(3, 6 + i % 5)) for i in _order(n).tolist())
    return np.array([text.encode() for text in texts])


def _identifiers(n: int) -> Column:
    return np.array([b"AGhsA%06d" % i if i % 50 else b"EMPTY" for i in _order(n).tolist()])


def _counts(values: Column) -> Column:
    return np.clip(np.rint(values), 1, 65535).astype(np.int64)


def make(folder: Path, files: int, spot_rows: int = 21, spot_columns: int = 20, seed: int = 1) -> list[Path]:
    """Write ``bench_001.gpr`` … and return their paths; file k is the same whatever the number of files."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for k in range(files):
        made = columns(np.random.default_rng([seed, k]), spot_rows, spot_columns)
        assert len(made) == 56, len(made)
        out.append(folder / f"bench_{k + 1:03d}.gpr")
        out[-1].write_bytes(b"".join(gpr_blocks(made, ("635", "532"), MORE_RECORDS)))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("files", type=int)
    parser.add_argument("--rows", type=int, default=21)
    parser.add_argument("--cols", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    make(given.outdir, given.files, given.rows, given.cols, given.seed)
