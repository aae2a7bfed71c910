from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.arrays import normexp
from gridnorm.arrays.normexp import scaled
from gridnorm.arrays.normexp.values import distinct_counts
from gridnorm.errors import FitError


def mixture(n: int = 1500, seed: int = 5, sigma: float = 40.0, alpha: float = 800.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(200, sigma, n) + rng.exponential(alpha, n)


@given(st.floats(1e-6, 1e6), st.integers(0, 5), st.sampled_from([0.0, 3.0, 40.0, 2000.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_fit_scales_with_the_data(factor: float, seed: int, sigma: float, whole: bool) -> None:
    x = mixture(600, seed, sigma)
    x = x.round() if whole else x
    one, other = normexp.fit(x), normexp.fit(x * factor)
    assert one.converged and other.converged
    np.testing.assert_allclose(normexp.signal(other, x * factor), normexp.signal(one, x) * factor, rtol=1e-9)
    assert other.spread == pytest.approx(one.spread * factor, rel=1e-12)


def test_a_constant_moves_mu_and_nothing_else() -> None:
    x = mixture()
    one, other = normexp.fit(x), normexp.fit(x - 5000)
    assert other.mu == pytest.approx(one.mu - 5000, abs=1e-8)
    assert (other.sigma, other.alpha) == pytest.approx((one.sigma, one.alpha), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("digits", [0, 12])
def test_it_is_the_optimum_of_the_exact_likelihood(seed: int, digits: int) -> None:
    x = mixture(3000, seed).round(digits)
    found, peer = normexp.fit(x), normexp.fit(x, "mle")
    assert found.minus_two_log_likelihood == pytest.approx(peer.minus_two_log_likelihood, abs=1e-8)
    assert (found.mu, found.sigma, found.alpha) == pytest.approx((peer.mu, peer.sigma, peer.alpha), rel=1e-6)


def test_likelihood_is_the_exact_one_with_its_derivatives() -> None:
    from gridnorm.arrays.normexp import exact

    z, counts = np.unique(np.round((mixture(400) - 200) / 40, 1), return_counts=True)
    counts = counts.astype(float)
    sums = float(counts.sum()), float((z * counts).sum())
    par = np.array([0.2, 0.1, 2.7])
    f, g, hess = scaled._likelihood(z, counts, sums, par)
    assert f == pytest.approx(exact.exact(z, counts, par * [1, 2, 1], False)[0], rel=1e-13)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        up, down = (scaled._likelihood(z, counts, sums, par + s) for s in (step, -step))
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(g[i], rel=1e-6, abs=1e-4)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, hess[i], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("t", [scaled.TAIL, scaled._BRIGHT])
def test_likelihood_is_continuous_where_the_formulas_meet(t: float) -> None:
    z = np.array([-20.0, t, 30.0])  # alpha is so large that t is nearly z: the shift of 1e-9 crosses the border
    parts = [
        scaled._likelihood(z + shift, None, (3.0, float((z + shift).sum())), np.array([0.0, 0.0, 25.0]))
        for shift in (-1e-9, 1e-9)
    ]
    np.testing.assert_allclose(parts[0][0], parts[1][0], rtol=1e-9)
    np.testing.assert_allclose(parts[0][1], parts[1][1], rtol=1e-7)
    np.testing.assert_allclose(parts[0][2], parts[1][2], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("counts", [None, [3, 1, 40, 2, 9, 1, 1, 300], [3, 1, 40, 2, 9, 1, 1, 1]])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5, 0.9999, 1.0])
def test_quantiles_are_those_of_numpy(counts: list[int] | None, share: float) -> None:
    values = np.array([-9.0, -2.5, 0.0, 1.0, 4.0, 4.5, 70.0, 900.0])
    every = values if counts is None else np.repeat(values, counts)
    got = scaled._quantile(values, None if counts is None else np.array(counts, float), share)
    assert got == pytest.approx(float(np.quantile(every, share)), rel=1e-14)


def test_spread_of_tied_values_is_that_of_the_next_ones() -> None:
    spread = lambda x: scaled.dark_spread(*distinct_counts(np.array(x)))  # noqa: E731
    assert spread(list(range(101))) == 4.0
    assert spread([0.0] * 100 + list(range(1, 302))) == 16.0  # clipped at 0, as some software does
    assert spread([0.0] * 990 + [5.0] * 9 + [7.0]) == 5.0
    assert spread([3.0, 4.0] + [5.0] * 1000) == 2.0


@pytest.mark.parametrize(("far", "spread"), [(3.0, 3.0), (4.0, 4.0), (5.0, 4.0), (3000.0, 4.0)])
def test_a_few_spots_far_below_all_others_are_no_noise(far: float, spread: float) -> None:
    x = np.arange(101.0)  # so that quantiles are order statistics
    x[:5] = 5.0 - far
    x[5], x[10] = 5.0, 6.0
    x[6:10] = [5.1, 5.2, 5.3, 5.4]
    assert scaled.dark_spread(*distinct_counts(x)) == pytest.approx(spread)
    clean = mixture(sigma=28, alpha=500)
    spoilt = clean.copy()
    spoilt[: clean.size // 50] = -3000.0
    assert normexp.fit(spoilt).spread < 4 * normexp.fit(clean).spread  # it was 3000


@pytest.mark.parametrize(("sigma", "at_bound"), [(0.0, True), (30.0, False)])
def test_sigma_is_never_less_than_a_twentieth_of_the_spread(sigma: float, at_bound: bool) -> None:
    # 0 + the exponential: without a bound the darkest spot would have no signal, and no logarithm
    found = normexp.fit(mixture(sigma=sigma, alpha=3000))
    assert (found.sigma == pytest.approx(scaled.LEAST_SIGMA * found.spread)) == at_bound
    assert found.sigma >= scaled.LEAST_SIGMA * found.spread * (1 - 1e-12)


@pytest.mark.parametrize(("alpha", "at_bound"), [(0.0, True), (800.0, False)])
def test_alpha_is_never_less_than_the_spread(alpha: float, at_bound: bool) -> None:
    found = normexp.fit(mixture(alpha=alpha))
    assert (found.alpha == pytest.approx(scaled.LEAST_ALPHA * found.spread)) == at_bound
    assert found.converged


def test_it_takes_few_evaluations() -> None:
    """The time of the main job: Nelder and Mead take a hundred or more, each over all values."""
    assert max(normexp.fit(mixture(seed=seed)).evaluations for seed in range(8)) <= 20


def test_hostile_values_are_fitted_or_refused() -> None:
    rng = np.random.default_rng(0)
    for x in (rng.normal(0, 1, 99), -rng.exponential(5, 99), rng.standard_cauchy(300), np.array([1.0, 2, 3, 4, 1e12])):
        found = normexp.fit(x)
        assert found.converged and (normexp.signal(found, x) > 0).all()
    with pytest.raises(FitError, match="not a number in double precision"):
        normexp.fit(np.array([-1e308, 0.0, 1.0, 1e308]))
    with pytest.raises(FitError, match="no finite optimum"):
        normexp.fit(np.append(10.0 * np.arange(200), -1e200))


def test_order_and_missing_values_do_not_matter_to_the_last_bit() -> None:
    x = mixture().round()
    shuffled = np.random.default_rng(1).permutation(np.append(x, [math.nan] * 7))
    assert normexp.fit(shuffled) == normexp.fit(x)
