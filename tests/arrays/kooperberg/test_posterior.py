"""The exact mean against SciPy's quadrature with a tight tolerance, and where the density turns sharply."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_ndtr

from gridnorm.arrays.kooperberg.posterior import CERTAIN, posterior_mean

EXACT = 1e-10


def by_scipy(fore: float, back: float, error: float, below: float) -> float:
    """The mean over signals of at least 0, in pieces that are narrow where the density is."""
    scale = np.hypot(error, below)
    z = (fore - back) / scale
    level, slope = (fore * below / error + back * error / below) / scale, below / error
    log = lambda x: -0.5 * (x - z) ** 2 + log_ndtr(level - slope * x)  # noqa: E731
    x = np.linspace(0, max(z, 0) + 12, 100_001)
    peak = log(x).max()
    there = x[log(x) > peak - 50]
    low, high = max(there[0] - x[1], 0), there[-1] + x[1]
    edges = (level - np.linspace(9, -9, 37)) / slope
    cuts = np.unique(np.concatenate([np.linspace(low, high, 21), edges[(edges > low) & (edges < high)]]))
    total = moment = 0.0
    for a, b in pairwise(cuts):
        total += quad(lambda u: np.exp(log(u) - peak), a, b, epsabs=0, epsrel=1e-12)[0]
        moment += quad(lambda u: u * np.exp(log(u) - peak), a, b, epsabs=0, epsrel=1e-12)[0]
    return float(scale * moment / total)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("share", [1e-3, 0.03, 0.3, 1.0, 3.0, 100.0])
def test_every_kind_of_spot_has_its_mean(share: float) -> None:
    """``share``: the background's error in errors of the foreground."""
    rng = np.random.default_rng(int(1000 * share))
    n = 12
    error = 10 ** rng.uniform(-1, 2, n)
    below = share * error
    back = rng.uniform(-4, 14, n) * below
    # A channel has no foregrounds of 0 and less: they stay as they are.
    fore = np.maximum(back + rng.uniform(-25, 15, n) * np.hypot(error, below), rng.uniform(0.05, 5, n) * error)
    found = posterior_mean(fore, back, error, below)
    wanted = np.array([by_scipy(*one) for one in zip(fore, back, error, below, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=EXACT)


def test_above_nine_deviations_it_is_the_difference() -> None:
    fore, back = np.array([200.0, 5000.0]), np.array([100.0, 90.0])
    np.testing.assert_array_equal(posterior_mean(fore, back, np.full(2, 6.0), np.full(2, 8.0)), fore - back)


def test_a_foreground_without_error_leaves_backgrounds_up_to_itself() -> None:
    """The background is then a truncated normal one between 0 and the foreground."""
    from scipy.stats import truncnorm

    fore, back, below = np.array([12.0, 3.0, 30.0]), np.array([5.0, 5.0, 5.0]), np.full(3, 4.0)
    found = posterior_mean(fore, back, np.zeros(3), below)
    wanted = fore - truncnorm.mean(-back / below, (fore - back) / below, back, below)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_the_two_ways_meet() -> None:
    """Just on either side of the border where Phi is taken as 1 the result is the same."""
    back = np.linspace(60, 100, 2001)
    found = posterior_mean(back + 5, back, np.full(back.size, 3.0), np.full(back.size, 4.0))
    assert np.ptp(found) < 1e-12 * found[0]
    assert CERTAIN == 8.5


def test_the_mean_rises_with_the_foreground_far_below_the_background_too() -> None:
    fore = np.linspace(-1e4, 1e4, 4001)
    for error, below in ((3.0, 4.0), (0.01, 4.0), (30.0, 0.1)):
        found = posterior_mean(fore, np.full(fore.size, 50.0), np.full(fore.size, error), np.full(fore.size, below))
        assert (found > 0).all() and (np.diff(found) > 0).all()


def test_one_spot_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(8)
    given = [rng.uniform(1, 30, 200) for _ in range(4)]
    whole = posterior_mean(*given)
    alone = np.concatenate([posterior_mean(*(one[k : k + 1] for one in given)) for k in range(200)])
    np.testing.assert_allclose(alone, whole, rtol=1e-13)
