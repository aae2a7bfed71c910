"""gridnorm with ``preset="limma"`` against limma 3.54.1 on simulated files that are part of the project.

The whole chain: read, background, M and A, within-array normalization; through Python and through the command line.
``tests/golden/make_within.R`` made the expected numbers.
"""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.cli import run

TOLERANCE = {"subtract": 1e-10, "normexp": 1e-6}  # limma's search for normexp's parameters stops at 1.5e-8
METHODS = {
    "none": ("array", "none"),
    "median": ("array", "median"),
    "loess": ("array", "loess"),
    "printtiploess": ("print-tip", "loess"),
}
CASES = [
    pytest.param(background, method, weighted, id=f"{background}-{method}{'-weighted' if weighted else ''}")
    for background in TOLERANCE
    for method in METHODS
    for weighted in (False, True)
    if not (weighted and method == "none")  # weights mean nothing without a fit
]


def options(background: str, method: str, weighted: bool) -> dict[str, str]:
    by, name = METHODS[method]
    offset = "50" if background == "normexp" else "0"
    given = {"preset": "limma", "background": background, "offset": offset, "by": by, "method": name}
    return given | ({"flags": "downweight"} if weighted else {})


@pytest.fixture(scope="module")
def files(golden: Path) -> list[str]:
    return [str(golden / "within" / f"simulated{j}.gpr.gz") for j in (1, 2)]


@pytest.fixture(scope="module")
def limma(golden: Path) -> dict[str, np.ndarray]:
    with gzip.open(golden / "within" / "within.tsv.gz", "rt") as handle:
        titles = handle.readline().split()
        cells = np.array(handle.read().replace("NA", "nan").split(), float).reshape(-1, len(titles))
    return dict(zip(titles, cells.T, strict=True))


@pytest.fixture(scope="module")
def at(limma: dict[str, np.ndarray]) -> np.ndarray:
    """Row of ours for each row of limma's: 14 × 14 spots a block, in the order of block, row, column."""
    block, row, column = (limma[name].astype(int) - 1 for name in ("Block", "Row", "Column"))
    return (block * 14 + row) * 14 + column


def check(ours: np.ndarray, theirs: np.ndarray, at: np.ndarray, tolerance: float) -> None:
    assert np.array_equal(np.isnan(ours[at]), np.isnan(theirs))
    assert not np.isnan(np.delete(ours, at)).any()  # limma's table has every spot that is missing
    assert np.nanmax(np.abs(ours[at] - theirs)) <= tolerance


def quiet(*args: object, **given: object) -> gn.ArraySet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return gn.normalize(*args, **given)


@pytest.mark.parametrize(("background", "method", "weighted"), CASES)
def test_python_gives_limmas_numbers(
    files: list[str], limma: dict[str, np.ndarray], at: np.ndarray, background: str, method: str, weighted: bool
) -> None:
    done = quiet(files, **options(background, method, weighted))
    for j in range(2):
        title = f"{j + 1}.{background}.{method}{'.weighted' if weighted else ''}"
        check(done.M[:, j], limma[title], at, TOLERANCE[background])
        check(done.A[:, j], limma[f"{j + 1}.{background}.A"], at, TOLERANCE[background])


@pytest.mark.parametrize(("background", "weighted"), [("subtract", False), ("subtract", True), ("normexp", False)])
def test_command_line_gives_limmas_numbers(
    files: list[str], limma: dict[str, np.ndarray], at: np.ndarray, tmp_path: Path, background: str, weighted: bool
) -> None:
    out = tmp_path / "out.tsv"
    given = options(background, "printtiploess", weighted)
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    assert run(["normalize", *files, *words, "--precision", "full", "--quiet", "-o", str(out)]) == 0
    with out.open() as handle:
        titles = handle.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in handle]
    table = dict(zip(titles, zip(*rows, strict=True), strict=True))
    # Rows are found by their labels, not by their place.
    place = np.array([[int(cell) - 1 for cell in table[name]] for name in ("Block", "Row", "Column")])
    order = np.argsort((place[0] * 14 + place[1]) * 14 + place[2])
    for j in range(2):
        for ours, theirs in (("M", f"printtiploess{'.weighted' if weighted else ''}"), ("A", "A")):
            values = np.array([float(cell) if cell else np.nan for cell in table[f"{ours}.simulated{j + 1}"]])[order]
            check(values, limma[f"{j + 1}.{background}.{theirs}"], at, TOLERANCE[background])


def test_weights_of_flagged_spots_are_limmas(files: list[str], limma: dict[str, np.ndarray], at: np.ndarray) -> None:
    done = quiet(files, **options("subtract", "printtiploess", True))
    assert done.weights is not None
    for j in range(2):
        np.testing.assert_array_equal(done.weights[at, j], limma[f"{j + 1}.weight"])
        assert int((done.weights[:, j] == 0).sum()) == int((limma[f"{j + 1}.weight"] == 0).sum()) > 100


def test_the_files_have_what_they_are_to_test(files: list[str], limma: dict[str, np.ndarray]) -> None:
    for j, file in enumerate(files, 1):
        with gzip.open(file) as handle:
            text = handle.read()
        assert text.count(b"\tError\t") > 20
        assert all(code in text for code in (b"\t-50\r\n", b"\t-100\r\n"))
        assert np.isnan(limma[f"{j}.subtract.none"]).sum() > 50  # spots at or below their background
