from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.arrays import normexp
from gridnorm.arrays.normexp import NormexpFit, exact, normal, saddle, values
from gridnorm.errors import FitError, OptionError

GOLDEN = Path(__file__).parents[1] / "golden"
SETS = ("float", "integer", "dark", "sharp")


def simulated(n: int = 2000, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(200, 40, n) + rng.exponential(800, n)


def rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(newline="") as f:
        return list(csv.DictReader(f, delimiter="\t"))


def number(text: str) -> float:
    return float("nan") if text == "NA" else float(text)


def column(rs: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([number(r[name]) for r in rs])


def own_set(name: str) -> tuple[np.ndarray, list[dict[str, str]], dict[str, dict[str, str]]]:
    data = [r for r in rows("background.tsv") if r["set"] == name]
    par = {r["method"]: r for r in rows("normexp.tsv") if r["set"] == name}
    return column(data, "E") - column(data, "Eb"), data, par


# ---- against limma -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_saddle_fit_equals_limma_in_estimates_likelihood_and_evaluation_count(name: str) -> None:
    x, _, par = own_set(name)
    want = par["saddle"]
    got = normexp.fit(x, "saddle")
    assert got.evaluations == int(want["evaluations"])
    assert got.mu == pytest.approx(float(want["mu"]), rel=1e-9)
    assert got.log_sigma == pytest.approx(float(want["log_sigma"]), abs=1e-9)
    assert got.log_alpha == pytest.approx(float(want["log_alpha"]), abs=1e-9)
    assert got.minus_two_log_likelihood == pytest.approx(float(want["m2loglik"]), rel=1e-11)


@pytest.mark.parametrize("name", SETS)
def test_mle_reaches_limmas_likelihood_and_mu(name: str) -> None:
    x, _, par = own_set(name)
    want = par["mle"]
    got = normexp.fit(x, "mle")
    # sigma is not identified where it goes to 0 (set "sharp"): limma stops on the way, hence the wider bound
    assert got.minus_two_log_likelihood == pytest.approx(float(want["m2loglik"]), abs=2e-2 if name == "sharp" else 1e-6)
    assert got.minus_two_log_likelihood <= float(want["m2loglik"]) + 1e-6
    assert got.mu == pytest.approx(float(want["mu"]), rel=1e-4)
    assert got.log_alpha == pytest.approx(float(want["log_alpha"]), abs=1e-3 if name == "sharp" else 1e-4)
    if name != "sharp":
        assert got.log_sigma == pytest.approx(float(want["log_sigma"]), abs=1e-4)


def test_shared_golden_values_take_109_and_219_evaluations(shared: Path) -> None:
    small = shared / "data" / "golden" / "small"
    read = {f: np.array([number(v) for v in (small / f).read_text().split()]) for f in ("X.txt", "X2.txt", "X_sig.txt")}
    x_saddle, x_mle, x2_saddle = (
        [float(v) for v in line.split()] for line in (small / "X_par.txt").read_text().strip().splitlines()
    )
    fits = [normexp.fit(read["X.txt"], "saddle"), normexp.fit(read["X2.txt"], "saddle")]
    assert [f.evaluations for f in fits] == [109, 219]
    for f, want in zip(fits, (x_saddle, x2_saddle), strict=True):
        got = [f.mu, f.log_sigma, f.log_alpha, f.minus_two_log_likelihood]
        np.testing.assert_allclose(got, want[:4], rtol=1e-11)
    mle = normexp.fit(read["X.txt"], "mle")
    assert mle.minus_two_log_likelihood == pytest.approx(x_mle[3], abs=1e-6)
    assert mle.mu == pytest.approx(x_mle[0], rel=1e-6)
    got = normexp.signal(fits[0], read["X.txt"])
    np.testing.assert_allclose(got, read["X_sig.txt"], rtol=1e-12)  # 15 digits in the file; NaN must meet NaN


# ---- the normal tail ---------------------------------------------------------------------------------------------


def test_log_normal_cdf_agrees_with_scipy_everywhere() -> None:
    from scipy.special import log_ndtr

    t = np.concatenate([np.linspace(-60, 37, 40_001), -np.logspace(0, 150, 2001), [-5.0, np.nextafter(-5, -6), 0.0]])
    np.testing.assert_allclose(normal.log_normal_cdf(t), log_ndtr(t), rtol=1e-13)


@given(st.one_of(st.floats(-1e8, 1e4), st.floats(-12, 12)))
@settings(max_examples=200, deadline=None)
def test_signal_is_the_mean_of_a_normal_cut_at_zero(t: float) -> None:
    # sigma 1, alpha huge; the density exp(-(s - t)**2/2) on s > 0 is integrated over the part that matters
    low, high = max(0.0, t - 12), max(t, 0.0) + min(12.0, 40 / max(-t, 1e-9))
    nodes, weights = np.polynomial.legendre.leggauss(120)
    s = low + (high - low) * (nodes + 1) / 2
    density = weights * np.exp(s * (t - s / 2) - (t * t / 2 if t > 0 else 0))
    got = float(normexp.signal(NormexpFit(0.0, 0.0, 690.0, 0.0, 0), np.array([t]))[0])
    assert got == pytest.approx(float((s * density).sum() / density.sum()), rel=1e-12)


def test_signal_is_positive_rising_and_continuous_where_the_formulas_meet() -> None:
    x = np.linspace(-4000, 4000, 80_001)
    s = normexp.signal(NormexpFit(100.0, 3.0, 6.0, 0.0, 0), x)
    assert (s > 0).all()
    step = np.diff(s)
    assert (step > 0).all()
    assert (step < 0.1 * (1 + 1e-9)).all()  # the slope of a posterior mean lies between 0 and 1; the grid step is 0.1


def test_signal_keeps_shape_and_missing_values() -> None:
    x = np.array([[1.0, np.nan, 300.0], [np.nan, 5000.0, -7.0]])
    s = normexp.signal(normexp.fit(simulated()), x)
    assert s.shape == x.shape
    np.testing.assert_array_equal(np.isnan(s), np.isnan(x))


# ---- properties of the fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["saddle", "mle"])
@pytest.mark.parametrize("digits", [0, 12])
def test_fit_does_not_depend_on_the_order_or_on_missing_values(method: str, digits: int) -> None:
    x = simulated().round(digits)
    shuffled = np.random.default_rng(1).permutation(np.append(x, [np.nan] * 7))
    assert normexp.fit(shuffled, method) == normexp.fit(x, method)  # to the last bit


def test_counts_of_equal_values_change_nothing_but_rounding() -> None:
    x = np.round(simulated(500) / 10) * 10
    got = saddle.Saddle(*values.distinct_counts(x))([150.0, 3.0, 6.5])
    want = saddle.Saddle(np.sort(x), None)([150.0, 3.0, 6.5])
    assert got == pytest.approx(want, rel=1e-13)


def test_chunks_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    x = simulated(1000)
    whole = normexp.fit(x, "saddle")
    monkeypatch.setattr(saddle, "_CHUNK", 64)
    parts = normexp.fit(x, "saddle")
    assert parts.mu == pytest.approx(whole.mu, rel=1e-9)
    assert parts.evaluations == whole.evaluations


@pytest.mark.parametrize("par", [(150.0, 3.0, 6.5), (-400.0, 5.0, 1.0), (3000.0, 2.0, 7.0), (200.0, -9.0, 6.0)])
def test_closed_form_saddle_point_solves_its_equation(par: tuple[float, float, float]) -> None:
    """The density again, from the cumulant function and a bisected saddle point."""
    mu, s2, alpha = par[0], math.exp(2 * par[1]), math.exp(par[2])
    x = np.array([-900.0, 0.0, 149.0, 150.5, 800.0, 40_000.0])
    total = 0.0
    for v in x:
        # K'(theta) rises from -inf to inf on (-inf, 1/alpha); z = 1 - alpha*theta keeps digits near the pole
        low, high = -800.0, 800.0  # log z
        for _ in range(200):
            middle = (low + high) / 2
            z = math.exp(middle)
            slope = mu + s2 * (1 - z) / alpha + alpha / z
            low, high = (middle, high) if slope > v else (low, middle)
        theta, k2 = (1 - z) / alpha, s2 + alpha**2 / z**2
        k3, k4 = 2 * alpha**3 / z**3, 6 * alpha**4 / z**4
        k = mu * theta + s2 * theta**2 / 2 - math.log(z)
        total += -0.5 * math.log(2 * math.pi * k2) + k - v * theta + k4 / (8 * k2**2) - 5 * k3**2 / (24 * k2**3)
    assert saddle.Saddle(x, None)(list(par)) == pytest.approx(-2 * total, rel=1e-8)


@given(st.floats(0.01, 100.0), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_mle_scales_with_the_data(factor: float, seed: int) -> None:
    x = simulated(600, seed)
    one, other = normexp.fit(x, "mle"), normexp.fit(x * factor, "mle")
    assert other.mu == pytest.approx(one.mu * factor, rel=1e-5)
    assert other.log_alpha == pytest.approx(one.log_alpha + math.log(factor), abs=1e-6)
    shift = 2 * x.size * math.log(factor)
    assert other.minus_two_log_likelihood == pytest.approx(one.minus_two_log_likelihood + shift, abs=1e-6)


def test_exact_derivatives_agree_with_differences() -> None:
    x = np.sort(simulated(300).round(0))
    seen, counts = np.unique(x, return_counts=True)
    par = np.array([190.0, 2 * 3.5, 6.6])
    f = lambda p: exact.exact(seen, counts.astype(float), p, True)  # noqa: E731
    _, g, hess = f(par)
    for i, h in enumerate((1e-3, 1e-5, 1e-5)):
        up, down = par.copy(), par.copy()
        up[i] += h
        down[i] -= h
        assert (f(up)[0] - f(down)[0]) / (2 * h) == pytest.approx(g[i], rel=1e-5, abs=1e-5)
        np.testing.assert_allclose((f(up)[1] - f(down)[1]) / (2 * h), hess[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_mle_is_no_worse_than_the_saddle_estimate_and_finds_the_truth(seed: int) -> None:
    x = simulated(20_000, seed)
    start, mle = normexp.fit(x, "saddle"), normexp.fit(x, "mle")
    at_saddle = exact.exact(
        *values.distinct_counts(x), np.array([start.mu, 2 * start.log_sigma, start.log_alpha]), False
    )[0]
    assert mle.minus_two_log_likelihood <= at_saddle
    assert mle.mu == pytest.approx(200, abs=5)
    assert math.exp(mle.log_sigma) == pytest.approx(40, rel=0.1)
    assert math.exp(mle.log_alpha) == pytest.approx(800, rel=0.03)


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.full(50, 7.0), "1 of them distinct"),
        (np.array([5.0, 6.0] * 20), "2 of them distinct"),
        (np.array([1.0, 2.0, 3.0, np.nan]), "3 values that are not missing"),
        (np.full(9, np.nan), "0 values that are not missing"),
        (np.array([]), "0 values that are not missing"),
        (np.array([1.0, 2.0, 3.0, np.inf]), "infinite values; found 1 of 4"),
        (np.array([1.0, 2.0, 3.0, 4.0]) * 1e-300, "not a number in double precision"),
        (np.array([1.0, 2.0, 3.0, 4.0]) * 1e300, "not a number in double precision"),
    ],
)
@pytest.mark.parametrize("method", ["saddle", "mle"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_without_information_are_a_clear_error(x: np.ndarray, says: str, method: str) -> None:
    with pytest.raises(FitError, match=says) as caught:
        normexp.fit(x, method)
    assert str(caught.value).startswith("normexp cannot be fitted")


def test_few_values_are_fitted_as_limma_does() -> None:
    got = normexp.fit([5.0, 6.0, 7.0, 5.0], "saddle")
    # printed by limma's normexp.fit(c(5,6,7,5)); sigma goes to 0 and nothing but the likelihood is well defined
    assert got.minus_two_log_likelihood == pytest.approx(5.71672, abs=1e-5)
    assert (got.mu, got.log_alpha) == pytest.approx((5.000000, -0.287441), abs=1e-3)


def test_unknown_method_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="'rma'"):
        normexp.fit(simulated(50), "rma")


def test_default_path_needs_no_scipy() -> None:
    code = (
        "import sys; from gridnorm.arrays import normexp as n;"
        "x=[float(i*i) for i in range(99)]; n.signal(n.fit(x),x); n.fit(x,'mle'); n.fit(x,'saddle');"
        "bad={'scipy','pandas','statsmodels'} & {m.split('.')[0] for m in sys.modules}; print(*bad)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
