"""Simulated arrays whose intensities depend on the order of printing, and limma's corrections of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import gridnorm as gn

TIPS, SPOTS = (2, 3), (9, 10)
WAYS = [
    (row, separate, start)
    for row in ("print-order", "plates")
    for separate in (False, True)
    for start in ("topleft", "topright")
]
METHOD = {"print-order": "loess", "plates": "plate"}


def frame(tips: tuple[int, int] = TIPS, spots: tuple[int, int] = SPOTS) -> pd.DataFrame:
    """Keys of the spots of a slide, in the order of blocks, rows and columns."""
    each, n = spots[0] * spots[1], tips[0] * tips[1]
    row, column = (part.ravel() + 1 for part in np.indices(spots))
    keys = {"Block": np.repeat(np.arange(n) + 1, each), "Row": np.tile(row, n), "Column": np.tile(column, n)}
    return pd.DataFrame({**keys, "ID": [f"s{k}" for k in range(n * each)]})


def two_channels(red: Any, green: Any, **columns: Any) -> gn.ArraySet:
    """A set of one array of these intensities, on the slide of ``frame``."""
    table = frame().assign(R=red, G=green, **columns)
    return gn.read(table, columns="R=R,G=G", layout="2x3x9x10", keep=",".join(columns))


def one_channel(intensity: Any, **columns: Any) -> gn.ArraySet:
    table = frame().assign(E=intensity, **columns)
    return gn.read(table, columns="E=E", layout="2x3x9x10", keep=",".join(columns))


def golden_table(folder: Path) -> pd.DataFrame:
    """``make_print_order.R``'s: R and G, and what limma makes of them."""
    return pd.read_csv(folder / "print_order.tsv", sep="\t")


LIVE = """
suppressMessages(library(limma))
given <- commandArgs(TRUE)
x <- as.matrix(read.table(given[1])); size <- as.integer(strsplit(given[2], "x")[[1]]); k <- ncol(x) / 2
printer <- list(ngrid.r = size[1], ngrid.c = size[2], nspot.r = size[3], nspot.c = size[4])
out <- NULL
for (method in c("loess", "plate")) for (separate in c(FALSE, TRUE)) for (start in c("topleft", "topright")) {
  rg <- new("RGList", list(R = x[, 1:k, drop = FALSE], G = x[, k + 1:k, drop = FALSE], printer = printer))
  b <- suppressWarnings(
    normalizeForPrintorder(rg, printer, start = start, method = method, separate.channels = separate))
  out <- cbind(out, b$R, b$G)
}
write.table(format(out, digits = 17), given[3], quote = FALSE, row.names = FALSE, col.names = FALSE)
"""


def has_limma() -> bool:
    """Whether R and limma are here."""
    if shutil.which("Rscript") is None:
        return False
    asked = ["Rscript", "--vanilla", "-e", "suppressMessages(library(limma))"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def live(red: np.ndarray, green: np.ndarray, layout: str, folder: Path) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """Corrected R and G (spot, array) of every way to ask, from limma itself."""
    given, script, made = folder / "in.txt", folder / "live.R", folder / "out.txt"
    np.savetxt(given, np.column_stack([red, green]), fmt="%.17g")
    given.write_text(given.read_text().replace("nan", "NA"))
    script.write_text(LIVE)
    subprocess.run(["Rscript", "--vanilla", script, given, layout, made], check=True, capture_output=True)
    numbers = np.array([float(c.replace("NA", "nan")) for c in made.read_text().split()]).reshape(len(red), -1)
    parts = np.split(numbers, 2 * len(WAYS), axis=1)
    return {way: (parts[2 * k], parts[2 * k + 1]) for k, way in enumerate(WAYS)}
