"""marray's results on swirl, and how gridnorm is asked for the same."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

import gridnorm as gn

EXACT, DRAWN = 1e-9, 0.02
# marray's method → options beside its preset, and the limit; its whole-array loess fits spots that it draws at random.
GIVEN: dict[str, tuple[dict[str, Any], float]] = {
    "median": ({"by": "array", "method": "median"}, EXACT),
    "loess": ({"by": "array", "method": "loess"}, DRAWN),
    "printTipLoess": ({"method": "loess"}, EXACT),
    "twoD": ({"method": "loess2d"}, EXACT),
    "scalePrintTipMAD": ({"method": "loess", "scale": "mad"}, EXACT),
    "printTipMAD_after_printTipLoess": ({"method": "loess", "scale": "mad"}, EXACT),
    "globalMAD_after_printTipLoess": ({"method": "loess", "between": "mad"}, EXACT),
}


def swirl(shared: Path) -> gn.ArraySet:
    """The four arrays, as marray reads them."""
    return gn.read([shared / "data" / "arrays" / "bioc_marray" / f"swirl.{k}.spot.gz" for k in (1, 2, 3, 4)])


def read_golden(shared: Path) -> dict[str, np.ndarray]:
    """Columns of the results by title, in the order of the files."""
    with gzip.open(shared / "data" / "golden" / "peers" / "marray.tsv.gz", "rt") as handle:
        titles = handle.readline().split()
        cells = np.array(handle.read().replace("NA", "nan").split(), dtype=float).reshape(-1, len(titles))
    return dict(zip(titles, cells.T, strict=True))
