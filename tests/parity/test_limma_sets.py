"""gridnorm with ``preset="limma"`` against limma 3.54.1 on real files, through the public functions."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from limma_sets import SETS, LimmaSet, difference, files, golden

import gridnorm as gn

EXACT = 1e-10  # of M and A; limma's own reader is off by up to 1 ulp on decimal text
AFTER_NORMEXP = 1e-6
MLE_M = 2e-4  # where sigma is not identified limma's mle stops early (numerics: −2 log L flat)


ALL = list(SETS)
TWO_CHANNELS = [label for label, one in SETS.items() if one.channels == 2]
WITHIN = [
    (label, method, weighted)
    for label in TWO_CHANNELS
    for method in ("none", "median", "loess", "printtiploess", "robustspline")
    for weighted in (False, True)
    # Weights mean nothing without a fit and to limma's splines, and limma refuses print-tips in a cut file.
    if not (weighted and method in ("none", "robustspline"))
    if method not in ("printtiploess", "robustspline") or SETS[label].print_tips
]


@pytest.fixture(scope="module")
def one(request: pytest.FixtureRequest) -> LimmaSet:
    return SETS[request.param]


@pytest.fixture(scope="module")
def arrays(one: LimmaSet, shared: Path) -> gn.ArraySet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return gn.read(files(shared, one), preset="limma", keep="area" if one.area_weights else "", **one.options)


@pytest.fixture(scope="module")
def order(one: LimmaSet, arrays: gn.ArraySet, shared: Path) -> np.ndarray:
    """Row of limma's tables for every spot of ours."""
    raw = golden(shared, one, "raw")
    place = lambda b, r, c: (b * 1000 + r) * 1000 + c  # noqa: E731
    theirs = place(raw["block"], raw["row"], raw["column"])
    ours = place(*(arrays.columns[name] for name in ("Block", "Row", "Column")))
    if one.name == "paa_dummy":
        # limma numbers blocks alike, but takes them for one column of blocks; the order of the rows is the same.
        assert np.array_equal(ours, theirs)
    found = np.argsort(theirs, kind="stable")[np.argsort(np.argsort(ours, kind="stable"), kind="stable")]
    assert np.array_equal(theirs[found], ours)
    return found


def weights_of(one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray) -> np.ndarray:
    raw = golden(shared, one, "raw")
    return np.stack([raw[f"a{j + one.first}.weight"][order] for j in range(len(arrays))], axis=1)


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return function(*args, **kwargs)


@pytest.mark.parametrize("one", ALL, indirect=True)
def test_raw_intensities_are_limmas(one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray) -> None:
    raw = golden(shared, one, "raw")
    names = ["E", "Eb"] if "E" in arrays.values else ["R", "G", "Rb", "Gb"]
    for j in range(len(arrays)):
        for name in names:
            theirs = raw[f"a{j + one.first}.{name}"][order]
            theirs = np.where(np.isinf(theirs), np.nan, theirs)
            # R reads decimal text with an error of up to 1 ulp.
            np.testing.assert_allclose(getattr(arrays, name)[:, j], theirs, rtol=3e-16)


@pytest.mark.parametrize("one", ALL, indirect=True)
@pytest.mark.parametrize("method", ["none", "subtract", "half", "minimum", "edwards", "normexp", "normexp_mle"])
def test_background(one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray, method: str) -> None:
    table = golden(shared, one, "bc")
    name, _, kind = method.partition("_")
    options = {"normexp_method": kind or "saddle", "offset": 50.0} if name == "normexp" else {"offset": 0.0}
    corrected = quiet(gn.background_correct, arrays, name, **options)
    tolerance = MLE_M if kind else AFTER_NORMEXP if name == "normexp" else EXACT
    compared = 0
    for j in range(len(arrays)):
        if "E" in arrays.values:
            ours = {"E": corrected.E[:, j]}
        else:
            done = quiet(gn.normalize_within, corrected, "array", "none", flags="ignore")
            ours = {"M": done.M[:, j], "A": done.A[:, j]}
        for key, values in ours.items():
            title = f"a{j + one.first}.{method}.{key}"
            if title in table:
                compared += 1
                limit = tolerance * (1000 if key == "E" and name == "normexp" else 1)  # E is not a logarithm
                assert difference(values, table[title][order]) <= limit, title
    assert compared == len(arrays) * (1 if "E" in arrays.values else 2)


@pytest.mark.parametrize(("one", "method", "weighted"), WITHIN, indirect=["one"])
def test_within(
    one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray, method: str, weighted: bool
) -> None:
    table = golden(shared, one, "within")
    of_tips = {"printtiploess": "loess", "robustspline": "spline"}
    by, name = ("print-tip", of_tips[method]) if method in of_tips else ("array", method)
    options = {"preset": "limma", "by": by, "method": name}
    if weighted and one.area_weights:
        options["weights"] = weights_of(one, arrays, shared, order)
    elif weighted:
        options["flags"] = "downweight"
    done = quiet(gn.normalize, arrays, **options)
    for j in range(len(arrays)):
        title = f"a{j + one.first}.{method}{'.weighted' if weighted else ''}.M"
        assert difference(done.M[:, j], table[title][order]) <= EXACT, title
        assert difference(done.A[:, j], table[f"a{j + one.first}.A"][order]) <= EXACT


def with_controls(arrays: gn.ArraySet, listed: Path, order: np.ndarray) -> gn.ArraySet:
    """The arrays with the control spots that limma was given, by their rows in its tables."""
    control = np.zeros(order.size, bool)
    control[np.loadtxt(listed, dtype=int) - 1] = True
    types = np.where(control[order], b"control", b"gene")
    return dataclasses.replace(arrays, columns={**arrays.columns, "SpotType": types})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("method", "by"), [("composite", "print-tip"), ("control", "array")])
@pytest.mark.parametrize("one", TWO_CHANNELS, indirect=True)
def test_within_by_control_spots(
    one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray, method: str, by: str, weighted: bool
) -> None:
    listed = shared / "data" / "golden" / "limma" / one.name / "controlspots.txt"
    table = golden(shared, one, "within")
    columns = [f"a{j + one.first}.{method}{'.weighted' if weighted else ''}.M" for j in range(len(arrays))]
    if not listed.is_file() or columns[0] not in table:
        pytest.skip("no numbers of limma for control spots of this set")
    options = {"weights": weights_of(one, arrays, shared, order)} if weighted else {}
    done = quiet(gn.normalize, with_controls(arrays, listed, order), preset="limma", by=by, method=method, **options)
    for j, title in enumerate(columns):
        assert difference(done.M[:, j], table[title][order]) <= EXACT, title


@pytest.mark.parametrize("one", TWO_CHANNELS, indirect=True)
def test_normexp_then_loess(one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray) -> None:
    table = golden(shared, one, "within")
    last = "printtiploess" if one.print_tips else "loess"
    by = "print-tip" if one.print_tips else "array"
    done = quiet(gn.normalize, arrays, preset="limma", background="normexp", offset=50, by=by)
    for j in range(len(arrays)):
        for key in "MA":
            ours, theirs = getattr(done, key)[:, j], table[f"a{j + one.first}.normexp_{last}.{key}"][order]
            assert difference(ours, theirs) <= AFTER_NORMEXP, (j, key)


@pytest.mark.parametrize("one", [label for label in ALL if SETS[label].area_weights], indirect=True)
def test_area_weights_are_those_of_wtarea(one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray) -> None:
    done = quiet(gn.normalize, files(shared, one), preset="limma", method="none", weights="area:100,100")
    np.testing.assert_array_equal(done.weights, weights_of(one, arrays, shared, order))


@pytest.mark.parametrize("one", [label for label in ALL if not SETS[label].area_weights], indirect=True)
def test_flagged_spots_are_limmas_weight_zero(
    one: LimmaSet, arrays: gn.ArraySet, shared: Path, order: np.ndarray
) -> None:
    np.testing.assert_array_equal(arrays.flagged, weights_of(one, arrays, shared, order) == 0)
