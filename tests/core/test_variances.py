"""Weights of columns by a log-linear variance model: limma's numbers, and what they should not depend on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gridnorm.core.variances import by_scoring, contrasts, model_of, row_by_row

GOLDEN = Path(__file__).parent.parent / "golden" / "array_weights.tsv"
DESIGN = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1]])
REPLICATES = np.ones((6, 1))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    found: dict[str, list[list[float]]] = {}
    for line in GOLDEN.read_text().splitlines():
        name, *cells = line.split("\t")
        found.setdefault(name, []).append([float(cell.replace("NA", "nan")) for cell in cells])
    return {name: np.squeeze(np.array(rows)) for name, rows in found.items()}


@pytest.mark.parametrize(
    ("name", "design", "prior", "tol", "steps"),
    [
        ("reml", DESIGN, 10, 1e-5, 50),
        ("reml.end", DESIGN, 10, 1e-14, 50),
        ("reml.prior", DESIGN, 100, 1e-14, 50),
        ("reml.three.steps", DESIGN, 100, 1e-14, 3),
        ("reml.replicates", REPLICATES, 10, 1e-14, 50),
    ],
)
def test_reml_is_limmas(
    golden: dict[str, np.ndarray], name: str, design: np.ndarray, prior: float, tol: float, steps: int
) -> None:
    found = by_scoring(model_of(golden["x"], design), prior, tol, steps)
    assert found.converged == (steps == 50)
    np.testing.assert_allclose(found.weights, golden[name], rtol=1e-12)


def test_weighted_reml_is_limmas_where_no_weight_is_zero(golden: dict[str, np.ndarray]) -> None:
    found = by_scoring(model_of(golden["x"], DESIGN, golden["w"]).whole(), 10, 1e-14, 50)
    # Another way to the same end: both stop a step of about the root of tol short of it.
    np.testing.assert_allclose(found.weights, golden["reml.weighted"], rtol=5e-6)


@pytest.mark.parametrize(
    ("name", "values", "weights", "design", "prior"),
    [
        ("gene", "x", None, DESIGN, 10),
        ("gene.prior", "x", None, DESIGN, 100),
        ("gene.replicates", "x", None, REPLICATES, 10),
        ("gene.some", "some", None, DESIGN, 10),
        ("gene.weighted", "x", "w", DESIGN, 10),
        ("gene.some.weighted", "some", "w", DESIGN, 10),
    ],
)
def test_row_by_row_is_limmas(
    golden: dict[str, np.ndarray], name: str, values: str, weights: str | None, design: np.ndarray, prior: float
) -> None:
    given = None if weights is None else golden[weights]
    found = row_by_row(model_of(golden[values], design, given), prior)
    np.testing.assert_allclose(found.weights, golden[name], rtol=1e-12)


@pytest.mark.parametrize(("tip", "rows"), [("1", slice(0, 40)), ("2", slice(40, 80))])
def test_row_by_row_within_a_tip_is_limmas(golden: dict[str, np.ndarray], tip: str, rows: slice) -> None:
    prior = 10 * (1 - 2 / 6)
    found = row_by_row(model_of(golden["x"][rows], DESIGN), prior, one_for_all=True)
    np.testing.assert_allclose(found.weights, golden[f"tips.{tip}"], rtol=1e-12)


def test_a_high_level_does_not_make_noise_exact() -> None:
    """Noise of a billionth of the level counts; of what is less than 1e-10 rounding would decide."""
    values = np.random.default_rng(3).normal(size=(50, 4)) * [1, 2, 1, 1]
    low, high, far = (by_scoring(model_of(values + level, np.ones((4, 1))), 10, 1e-14, 50) for level in (0, 1e9, 1e11))
    np.testing.assert_allclose(high.weights, low.weights, rtol=1e-4)
    np.testing.assert_array_equal(far.weights, 1)


def test_reml_takes_what_a_row_has() -> None:
    """Its maximum is where the slope of the restricted likelihood, written out row by row, is zero."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(60, 6)) * [1, 1.5, 0.7, 1, 2, 1]
    values[rng.random(values.shape) < 0.25] = np.nan
    values[0], values[1, :3], values[2] = np.nan, np.nan, 7.0
    found = by_scoring(model_of(values, DESIGN), 10, 1e-22, 200)
    assert found.converged
    z = contrasts(6)

    def likelihood(gamma: np.ndarray) -> float:
        total = -5.0 * float(np.sum(np.exp(-z @ gamma)))
        for row in values:
            seen = np.flatnonzero(np.isfinite(row))
            x, variances, y = DESIGN[seen], np.exp(z @ gamma)[seen], row[seen]
            x = x[:, np.linalg.norm(x, axis=0) > 0]
            x = x[:, : np.linalg.matrix_rank(x)] if x.size else x
            if seen.size <= x.shape[1] or np.ptp(y) == 0:
                continue
            root = x / np.sqrt(variances)[:, None]
            rest = y / np.sqrt(variances)
            rest = rest - root @ np.linalg.lstsq(root, rest, rcond=None)[0]
            total -= 0.5 * (np.log(variances).sum() + np.linalg.slogdet(root.T @ root)[1])
            total -= 0.5 * (seen.size - x.shape[1]) * np.log(rest @ rest)
        return total

    gamma = -np.log(found.weights)[:-1]
    for step in np.eye(5) * 1e-4:
        slope = (likelihood(gamma + step) - likelihood(gamma - step)) / 2e-4
        assert abs(slope) < 1e-5


def test_blocks_of_rows_do_not_show(golden: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = by_scoring(model_of(golden["x"], DESIGN), 10, 1e-14, 50)
    monkeypatch.setattr("gridnorm.core.variances.ROWS_AT_ONCE", 7 * 24)
    parts = by_scoring(model_of(golden["x"], DESIGN), 10, 1e-14, 50)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-13)


def test_weights_multiply_to_one_and_noise_lowers_them() -> None:
    rng = np.random.default_rng(2)
    sd = np.array([0.5, 1, 1, 2, 4])
    found = by_scoring(model_of(rng.normal(size=(4000, 5)) * sd, np.ones((5, 1))), 10, 1e-14, 100)
    assert np.prod(found.weights) == pytest.approx(1)
    truth = 1 / sd**2 / np.prod(1 / sd**2) ** 0.2
    np.testing.assert_allclose(found.weights, truth, rtol=0.15)


@pytest.mark.parametrize("noisier", [2, 4, 10, 40])
def test_one_bad_column_is_found_and_its_fellow_of_a_pair_shares_its_weight(noisier: float) -> None:
    """A whole step of the scoring from equal variances goes too far here; of a pair alone nothing tells which it is."""
    rng = np.random.default_rng(7)
    pairs = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    values = rng.normal(size=(1500, 2)) @ pairs.T + rng.normal(0, 0.2, (1500, 4)) * [1, 1, 1, noisier]
    found = by_scoring(model_of(values, pairs), 10, 1e-14, 200)
    assert found.converged
    np.testing.assert_allclose(found.weights[[0, 2]], found.weights[[1, 3]], rtol=1e-6)
    assert (1 + noisier**2) / 4 < found.weights[0] / found.weights[2] < (1 + noisier**2) / 1.5
    alone = by_scoring(model_of(values[:, [0, 1, 3]], np.ones((3, 1))), 10, 1e-14, 200)
    assert alone.converged and alone.weights.argmin() == 2
    assert alone.weights[0] / alone.weights[2] > noisier**2 / 3


def test_no_step_lowers_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    from gridnorm.core import variances

    rng = np.random.default_rng(8)
    values = rng.normal(size=(800, 1)) + rng.normal(0, 0.1, (800, 3)) * [1, 1, 30]
    model, z = model_of(values, np.ones((3, 1))), np.linalg.qr(contrasts(3))[0]
    reached = []
    for steps in range(1, 12):
        gamma = -np.log(by_scoring(model, 10, 0.0, steps).weights)
        reached.append(variances._state(model, gamma - gamma.mean(), 10).likelihood)
    rounding = variances.ROUNDING * abs(reached[-1])
    assert (np.diff(reached) >= -rounding).all() and reached[-1] > reached[0]
    # Without halving the search leaves every bound.
    monkeypatch.setattr(variances, "SHORTEST", 1.0)
    with np.errstate(all="ignore"), pytest.raises((np.linalg.LinAlgError, AssertionError)):
        assert np.isfinite(by_scoring(model, 10, 1e-14, 200).weights).all() and z.size == 0
