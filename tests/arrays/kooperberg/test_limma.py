"""R's quadrature, and limma's bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from gridnorm.arrays.kooperberg.limma import DEVIATIONS, FARTHEST, TOLERANCE, integrals, limmas_mean
from gridnorm.arrays.kooperberg.posterior import posterior_mean


def test_smooth_functions_have_their_integral() -> None:
    low, high, power = np.zeros(4), np.array([1.0, 2.0, 3.0, -1.0]), np.array([1.0, 4.0, 9.0, 2.0])
    found = integrals(lambda x, k: x**k, low, high, (power,))
    np.testing.assert_allclose(found, high ** (power + 1) / (power + 1), rtol=1e-14)


def test_halves_and_more_are_those_of_quadpack() -> None:
    """A normal density in intervals that are too long for 21 nodes: one panel, two, and QUADPACK's own course."""
    density = lambda x, centre, width: np.exp(-0.5 * ((x - centre) / width) ** 2)  # noqa: E731
    centre = np.array([50.0, 30.0, 17.0, 81.0, 3.0])
    width = np.array([20.0, 9.0, 2.0, 0.7, 1.0])
    found = integrals(density, np.zeros(5), np.full(5, 100.0), (centre, width))
    wanted = [
        quad(density, 0, 100, args=(c, w), epsabs=TOLERANCE, epsrel=TOLERANCE, limit=100)[0]
        for c, w in zip(centre, width, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_the_bounds_are_four_deviations() -> None:
    """Where Phi is 1 both integrals have a closed form; the rule's error is within its tolerance."""
    assert DEVIATIONS == 4
    z, error, below = np.array([-3.0, -1.0, 0.5, 2.0, 6.0]), 30.0, 0.01
    scale = np.hypot(error, below)
    back = np.full(5, 500.0)
    found = limmas_mean(back + z * scale, back, np.full(5, error), np.full(5, below))
    phi = lambda t: np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)  # noqa: E731
    least = np.maximum(-z, -4.0)
    above = z * (ndtr(4) - ndtr(least)) + phi(least) - phi(4.0)
    np.testing.assert_allclose(found, scale * above / (ndtr(z * scale / error) * (ndtr(4) - ndtr(-4))), rtol=2e-3)


@pytest.mark.parametrize(("high", "exact"), [(-1e-9, True), (1e-9, False)])
def test_signals_go_to_1000_where_four_deviations_end_below_zero(high: float, exact: bool) -> None:
    """A wide density is integrated well up to 1000; just above the border there is nothing between the bounds."""
    assert FARTHEST == 1000
    error, below, back = np.full(1, 100.0), np.full(1, 1e-3), np.full(1, 5000.0)
    fore = back - 4 * np.hypot(error, below) + high
    found, wanted = (mean(fore, back, error, below)[0] for mean in (limmas_mean, posterior_mean))
    assert (found == pytest.approx(wanted, rel=1e-3)) == exact
    assert exact or found < 1e-6


def test_where_both_integrals_are_zero_nothing_is_known() -> None:
    found = limmas_mean(np.array([50.0]), np.array([100.0]), np.array([1e-4]), np.array([1.0]))
    assert np.isnan(found).all()
