"""gridnorm against marray on real files: the swirl arrays of its own vignette, through the public functions."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn

EXACT = 1e-9  # of M; marray computes local fits directly where groups are small enough
# Of the whole array R interpolates between the cells of a tree, gridnorm computes each fit: off by that on average.
OF_THE_TREE = 0.02
# marray subtracts the background, fits all spots, and leaves small groups alone.
AS_MARRAY: dict[str, Any] = {"background": "subtract", "offset": 0.0, "flags": "ignore"}
LOCAL: dict[str, Any] = {"span": 0.4, "iterations": 5, "surface": "direct", "small_groups": "own"}
WITHIN: dict[str, tuple[dict[str, Any], float]] = {
    "median": ({"by": "array", "method": "median"}, EXACT),
    "printTipLoess": ({"method": "loess", **LOCAL}, EXACT),
    "twoD": ({"method": "loess2d", **LOCAL}, EXACT),
    "loess": ({"by": "array", "method": "loess", **LOCAL}, OF_THE_TREE),
}


@pytest.fixture(scope="module")
def marray(shared: Path) -> dict[str, np.ndarray]:
    """marray's M: ``a1.twoD`` of the first array, rows in the order of the files."""
    path = shared / "data" / "golden" / "peers" / "marray.tsv.gz"
    if not path.is_file():
        pytest.skip("marray's numbers are absent")
    with gzip.open(path, "rt") as handle:
        titles = handle.readline().rstrip("\n").split("\t")
        cells = np.array(handle.read().replace("NA", "nan").split(), float).reshape(-1, len(titles))
    return dict(zip(titles, cells.T, strict=True))


@pytest.fixture(scope="module")
def swirl(shared: Path) -> gn.ArraySet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return gn.read([shared / "data" / "arrays" / "bioc_marray" / f"swirl.{i}.spot.gz" for i in (1, 2, 3, 4)])


@pytest.mark.parametrize("name", WITHIN)
def test_within_arrays(swirl: gn.ArraySet, marray: dict[str, np.ndarray], name: str) -> None:
    options, limit = WITHIN[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(swirl, preset="recommended", **AS_MARRAY, **options)
    for j in range(len(swirl)):
        theirs = marray[f"a{j + 1}.{name}"]
        assert np.array_equal(np.isnan(done.M[:, j]), np.isnan(theirs))
        away = done.M[:, j] - theirs
        off = np.sqrt(np.nanmean(away**2)) if limit == OF_THE_TREE else np.nanmax(np.abs(away))
        assert off <= limit, (j, off)
