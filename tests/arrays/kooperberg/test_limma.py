"""limma's numbers, by its neighbours and its quadrature; and the exact mean, against an integral that is had tightly."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gridnorm.arrays.background import correct
from gridnorm.arrays.kooperberg import COLUMNS, MEASURES, PLACES
from gridnorm.arrays.kooperberg.limma import DEVIATIONS, integrals, limmas_mean

GOLDEN = Path(__file__).parents[2] / "golden" / "kooperberg.tsv"


def golden() -> tuple[dict[str, NDArray[Any]], list[dict[str, NDArray[Any]]]]:
    """Columns of the file, and those of each channel as a row of backgrounds sees them."""
    with GOLDEN.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    g = {title: np.array([float(row[title]) for row in rows]) for title in rows[0]}
    seen = [{title: g[title.replace("{nm}", nm)] for title in COLUMNS} for nm in ("635", "532")]
    assert set(seen[0]) == {*PLACES, *MEASURES}
    return g, seen


@pytest.mark.parametrize(("name", "neighbours"), [("plain", "none"), ("limma", "limma")])
@pytest.mark.parametrize(("quadrature", "tolerance", "lowest"), [("limma", 1e-10, -4.0), ("exact", 0.02, -2.0)])
def test_limmas_numbers(name: str, neighbours: str, quadrature: str, tolerance: float, lowest: float) -> None:
    """Spots farther below their background than ``lowest`` have numbers in limma that hang on its bounds."""
    g, columns = golden()
    foreground, background = np.stack([g["R"], g["G"]]), np.stack([g["Rb"], g["Gb"]])
    found = correct(
        foreground, background, "kooperberg", columns=columns, neighbours=neighbours, quadrature=quadrature,
    )  # fmt: skip
    variances = [c["F{nm} SD"] ** 2 / c["F Pixels"] + c["B{nm} SD"] ** 2 / c["B Pixels"] for c in columns]
    used = (foreground - background) / np.sqrt(variances) > lowest
    assert used.mean() > 0.9
    limmas = np.stack([g[f"{name}_R"], g[f"{name}_G"]])
    np.testing.assert_allclose(found.values[used], limmas[used], rtol=tolerance)
    assert found.notes == ()


def test_the_rule_integrates_polynomials_exactly() -> None:
    k = np.arange(20.0)
    found = integrals(lambda x, power: x**power, np.zeros(20), np.full(20, 2.0), (k,))
    np.testing.assert_allclose(found, 2 ** (k + 1) / (k + 1), rtol=1e-13)


def test_what_the_rule_cannot_do_is_done_in_halves() -> None:
    found = integrals(lambda x, k: np.sqrt(np.abs(x - k)), np.zeros(1), np.ones(1), (np.array([0.3]),))
    np.testing.assert_allclose(found, 2 / 3 * (0.3**1.5 + 0.7**1.5), rtol=1e-4)


def test_signals_four_deviations_below_zero_go_to_500() -> None:
    """Beyond that bound limma integrates up to 500, and finds something all the same."""
    s = np.hypot(3.0, 4.0)
    near, far = 100 - (DEVIATIONS - 1e-3) * s, 100 - (DEVIATIONS + 1e-3) * s
    values = limmas_mean(np.array([near, far]), np.full(2, 100.0), np.full(2, 3.0), np.full(2, 4.0))
    assert np.isfinite(values).all() and (values > 0).all()
