"""The exact posterior mean: against integrals with tight tolerances, and what it must be whatever the numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_ndtr

from gridnorm.arrays.kooperberg.posterior import posterior_mean


def by_quad(f: float, b: float, sf: float, sb: float) -> float:
    """Over signals x and, in closed form, backgrounds of at least 0."""
    s = np.hypot(sf, sb)

    def log(x: float) -> float:
        mean = ((f - x) * sb**2 + b * sf**2) / s**2
        return float(-0.5 * ((x - (f - b)) / s) ** 2 + log_ndtr(mean * s / (sf * sb)))

    grid = np.linspace(0, max(f - b, 0) + 12 * s, 4001)
    logs = np.array([log(x) for x in grid])
    top, kept = logs.max(), grid[logs > logs.max() - 60]
    low, high = max(kept[0] - grid[1], 0.0), kept[-1] + grid[1]
    cuts = np.linspace(low, high, 41)
    parts = [
        [quad(lambda x, k=k: x**k * np.exp(log(x) - top), p, q, epsabs=0, epsrel=1e-12)[0] for k in (0, 1)]
        for p, q in pairwise(cuts)
    ]
    total, moment = np.sum(parts, axis=0)
    return float(moment / total)


CASES = [
    (98, 100, 3, 4), (100, 100, 3, 4), (150, 100, 3, 4), (60, 100, 3, 4), (5, 100, 8, 30), (5, 4, 20, 3), (5, 4, 3, 20),
    (20000, 300, 400, 2), (40, 39, 0.5, 100), (300, 10, 100, 100), (1, 1, 1, 1), (70, 100, 15, 0.2),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_integral(case: tuple[float, float, float, float]) -> None:
    found = posterior_mean(*(np.array([float(number)]) for number in case))
    np.testing.assert_allclose(found, by_quad(*case), rtol=1e-9)


def test_it_scales_is_positive_and_grows_with_the_foreground() -> None:
    rng = np.random.default_rng(3)
    n = 500
    f, b = rng.uniform(1, 300, n), rng.uniform(1, 300, n)
    sf, sb = rng.uniform(0.5, 60, n), rng.uniform(0.5, 60, n)
    values = posterior_mean(f, b, sf, sb)
    assert (values > 0).all()
    np.testing.assert_allclose(posterior_mean(8 * f, 8 * b, 8 * sf, 8 * sb), 8 * values, rtol=1e-12)
    assert (posterior_mean(f + 1, b, sf, sb) > values).all()
    np.testing.assert_allclose(posterior_mean(f[::-1], b[::-1], sf[::-1], sb[::-1]), values[::-1], rtol=1e-12)


def test_a_foreground_without_error_is_the_limit_of_small_ones() -> None:
    given = [np.array([120.0]), np.array([100.0])]
    none, small = (posterior_mean(*given, np.array([e]), np.array([9.0])) for e in (0.0, 1e-5))
    np.testing.assert_allclose(none, small, rtol=1e-9)
