"""Natural splines: against SciPy's, and what makes them natural."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline, CubicSpline

from gridnorm.core.robust.natural import basis, evaluate, knots_at, pieces

RNG = np.random.default_rng(5)
X = RNG.normal(10, 2, 300)


@pytest.mark.parametrize("df", [2, 3, 5, 9])
def test_knots_are_evenly_spaced_quantiles(df: int) -> None:
    np.testing.assert_allclose(knots_at(X, df), np.quantile(X, np.linspace(0, 1, df)), rtol=1e-15)


def test_equal_knots_are_one() -> None:
    assert knots_at(np.full(9, 3.0), 5).tolist() == [3.0]
    assert knots_at(np.array([1.0, 1, 1, 1, 2, 3, 3, 3, 3]), 5).tolist() == [1.0, 2.0, 3.0]
    # Nearer than 1e-9 of the range is equal; the outer knots stay the range.
    for gap, count in ((1.5e-9, 3), (0.5e-9, 2)):
        found = knots_at(np.array([0.0, 1.0 - gap, 1.0]), 3)
        assert found.size == count and (found[0], found[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("df", [2, 3, 5, 9])
def test_the_basis_spans_splines_that_do_not_bend_at_their_ends(df: int) -> None:
    knots = knots_at(X, df)
    found = basis(X, knots)
    assert np.linalg.matrix_rank(found) == df
    t = np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3])
    full = BSpline(t, np.eye(df + 2), 3)
    beyond = np.linalg.lstsq(full(X), found, rcond=None)[0]
    np.testing.assert_allclose(full(X) @ beyond, found, rtol=0, atol=1e-12)
    bend = full.derivative(2)(knots[[0, -1]]) @ beyond
    np.testing.assert_allclose(bend, 0, rtol=0, atol=1e-9)
    # Columns of the B-splines' combinations are orthonormal.
    np.testing.assert_allclose(beyond.T @ beyond, np.eye(df), rtol=0, atol=1e-10)


@pytest.mark.parametrize("df", [2, 3, 5, 9])
def test_a_curve_is_its_values_at_the_knots(df: int) -> None:
    knots = knots_at(X, df)
    values = RNG.normal(size=df)
    at = np.concatenate([X, knots])
    coefficients = np.linalg.solve(basis(knots, knots), values)
    found = evaluate(knots[None], pieces(knots[None], values[None]), np.zeros(at.size, int), at)
    np.testing.assert_allclose(found, basis(at, knots) @ coefficients, rtol=0, atol=1e-11)
    if df > 2:
        np.testing.assert_allclose(found, CubicSpline(knots, values, bc_type="natural")(at), rtol=0, atol=1e-11)


def test_beyond_the_knots_a_curve_is_a_line() -> None:
    knots = np.array([[0.0, 1.0, 2.0, 4.0]])
    values = np.array([[1.0, 0.0, 3.0, 2.0]])
    cubics = pieces(knots, values)
    spline = CubicSpline(knots[0], values[0], bc_type="natural")
    for end, sign in ((0.0, -1), (4.0, 1)):
        at = end + sign * np.array([0.0, 1.0, 2.0, 50.0])
        found = evaluate(knots, cubics, np.zeros(4, int), at)
        np.testing.assert_allclose(found, spline(end) + spline(end, 1) * (at - end), rtol=1e-12)


def test_curves_of_fewer_knots_lie_beside_others() -> None:
    nan = np.nan
    knots = np.array([[0.0, 1.0, 2.0, 4.0], [0.0, 2.0, 4.0, nan], [1.0, 3.0, nan, nan], [5.0, nan, nan, nan]])
    values = np.array([[1.0, 0.0, 3.0, 2.0], [1.0, 0.0, 2.0, nan], [1.0, 5.0, nan, nan], [7.0, nan, nan, nan]])
    cubics, at = pieces(knots, values), np.array([-1.0, 0.5, 1.7, 3.0, 9.0])
    for g in range(4):
        k = int(np.isfinite(knots[g]).sum())
        alone = evaluate(
            knots[g : g + 1, :k], pieces(knots[g : g + 1, :k], values[g : g + 1, :k]), np.zeros(5, int), at
        )
        np.testing.assert_array_equal(evaluate(knots, cubics, np.full(5, g), at), alone)
    np.testing.assert_allclose(evaluate(knots, cubics, np.full(5, 2), at), 2 * at - 1, rtol=1e-14)
    assert (evaluate(knots, cubics, np.full(5, 3), at) == 7.0).all()


def test_missing_places_and_curves_are_missing() -> None:
    knots, values = np.array([[0.0, 1.0, 2.0], [np.nan] * 3]), np.array([[1.0, 2.0, 0.0], [np.nan] * 3])
    found = evaluate(knots, pieces(knots, values), np.array([0, 0, 1]), np.array([np.nan, 1.0, 1.0]))
    assert np.isnan(found).tolist() == [True, False, True] and found[1] == 2.0
