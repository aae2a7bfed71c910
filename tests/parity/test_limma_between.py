"""limma's normalizeBetweenArrays and normalizeCyclicLoess on real arrays: every set that has their results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from limma_sets import SETS, Golden, LimmaSet, difference, files, golden

import gridnorm as gn
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import normalize_between

WITH = ["swirl", "caarray_mm", "paa_dummy"]
START = {"normexp": "normexp_printtiploess", "subtract": "printtiploess"}
METHODS = {
    "scale": ("scale", "MA"), "quantile": ("quantile", "MA"), "aquantile": ("Aquantile", "A"),
    "gquantile": ("Gquantile", "A"), "rquantile": ("Rquantile", "A"), "tquantile": ("Tquantile", "MA"),
}  # fmt: skip


def start(one: LimmaSet, within: Golden, background: str) -> ArraySet:
    """The arrays as limma had them before it made them alike."""
    count = len(one.files)
    own = f"{START[background]}.A" if background == "normexp" else "A"
    values = {
        "M": np.stack([within[f"a{k + 1}.{START[background]}.M"] for k in range(count)]),
        "A": np.stack([within[f"a{k + 1}.{own}"] for k in range(count)]),
    }
    n = values["M"].shape[1]
    columns = {name: within[name.lower()].astype(int) for name in ("Block", "Row", "Column")}
    return ArraySet(
        tuple(f"a{k + 1}" for k in range(count)), ("R", "G"), values, {**columns, "ID": np.arange(n)}, stage="levels",
        targets={"Cy3": ["Cy3ref"] * count, "Cy5": ["Cy5trt"] * count},
    )  # fmt: skip


@pytest.mark.parametrize("background", START)
@pytest.mark.parametrize("label", WITH)
def test_scale_and_the_quantile_family(shared: Path, label: str, background: str) -> None:
    one = SETS[label]
    within, between = golden(shared, one, "within"), golden(shared, one, "between")
    given = start(one, within, background)
    for method, (theirs, matrices) in METHODS.items():
        found = normalize_between(given, method)
        for name in matrices:
            for k in range(len(one.files)):
                limma = between[f"a{k + 1}.{background}.{theirs}.{name}"]
                assert difference(found.values[name][k], limma) <= 1e-12, (method, name, k)


@pytest.mark.parametrize("label", WITH)
def test_cyclic_loess_of_the_channels(shared: Path, label: str) -> None:
    """limma gives back its input for two channels; on the matrix of all channels it has these numbers."""
    one = SETS[label]
    within, between = golden(shared, one, "within"), golden(shared, one, "between")
    given = start(one, within, "normexp")
    tested = 0
    for form in ("fast", "affy", "pairs"):
        if f"a1.G.cyclicloess_{form}.log2" not in between:
            continue
        found = normalize_between(given, "cyclic-loess", cyclic_method=form)
        channels = {"G": found.values["A"] - found.values["M"] / 2, "R": found.values["A"] + found.values["M"] / 2}
        for name, channel in channels.items():
            for k in range(len(one.files)):
                assert difference(channel[k], between[f"a{k + 1}.{name}.cyclicloess_{form}.log2"]) <= 1e-11
        tested += 1
    assert tested >= 1


def test_one_channel(shared: Path) -> None:
    one = SETS["pepdat"]
    bc, between = golden(shared, one, "bc"), golden(shared, one, "between")
    values = {"E": np.stack([bc[f"a{k + 1}.normexp.E"] for k in range(3)])}
    values = {"E": np.log2(values["E"]) if np.nanmax(values["E"]) > 100 else values["E"]}
    n = values["E"].shape[1]
    given = ArraySet(("a1", "a2", "a3"), ("E",), values, {"ID": np.arange(n)}, stage="levels")
    for method, options, theirs in (
        ("scale", {}, "scale"),
        ("quantile", {}, "quantile"),
        ("cyclic-loess", {}, "cyclicloess"),
        ("cyclic-loess", {"cyclic_method": "affy"}, "cyclicloess_affy"),
        ("cyclic-loess", {"cyclic_method": "pairs"}, "cyclicloess_pairs"),
    ):
        found = normalize_between(given, method, **options)
        for k in range(3):
            assert difference(found.values["E"][k], between[f"a{k + 1}.normexp.{theirs}.log2E"]) <= 1e-12, theirs


def test_from_the_files_to_the_end(shared: Path) -> None:
    """The whole way on swirl, by the options that stand for limma's."""
    one = SETS["swirl"]
    result = gn.normalize(files(shared, one), preset="limma", layout="4x4x22x24")
    between = golden(shared, one, "between")
    given = replace(result, targets={"Cy3": ["Cy3ref"] * 4, "Cy5": ["Cy5trt"] * 4})
    for method, (theirs, matrices) in METHODS.items():
        found = normalize_between(given, method)
        for name in matrices:
            for k in range(4):
                limma = between[f"a{k + 1}.subtract.{theirs}.{name}"]
                assert difference(found.values[name][k], limma) <= 1e-12, (method, name, k)
