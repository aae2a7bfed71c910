"""Rows of statistics: what their options mean to the engine, and what they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from covariates import over

from gridnorm.core.apply import evaluate
from gridnorm.core.engines.numpy.loess import loess
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import OptionError

N = 400
RNG = np.random.default_rng(17)
X, PLACES = RNG.uniform(6, 14, N), RNG.uniform(0, 1, (N, 2)) * [20, 30]
Y = np.sin(X) + 0.05 * PLACES[:, 0] + RNG.normal(0, 0.2, N)
W = np.where(RNG.random(N) < 0.2, 0.0, RNG.uniform(0.1, 1, N))
SEGMENTS = Segments.from_codes(np.arange(N) % 2, "ab")


def engine(covariate: np.ndarray, weights: np.ndarray | None = None, **options: Any) -> np.ndarray:
    chosen = {"span": 0.3, "iterations": 4, "degree": 1, "zero_weights": "exclude", **options}
    w = None if weights is None else weights[None]
    return loess(Y[None, :, None], covariate.reshape(1, N, -1), SEGMENTS, w, None, **chosen)[1][0]


def found(statistic: str, covariate: np.ndarray, **options: Any) -> np.ndarray:
    made = fit(Y, SEGMENTS, statistic, covariate=covariate, **options)
    return evaluate(made, covariate.reshape(1, N, -1), SEGMENTS)[0]


def test_options_of_local_regression_reach_the_engine() -> None:
    for given, means in (
        ({}, {}), ({"span": 0.5}, {"span": 0.5}), ({"iterations": 1}, {"iterations": 1}),
        ({"weights": W}, {"weights": W}),
    ):  # fmt: skip
        for degree in (0, 1):
            np.testing.assert_allclose(
                found("loess", X, degree=degree, **given), engine(X, degree=degree, **means), rtol=0, atol=1e-13
            )
        np.testing.assert_allclose(
            found("lowess", X, surface="direct", **given), engine(X, **means), rtol=0, atol=1e-13
        )
        direct = found("surface", PLACES, surface="direct", **given)
        np.testing.assert_allclose(direct, engine(PLACES, **means), rtol=0, atol=1e-13)


def test_surfaces_are_interpolated_from_a_lattice_unless_direct_is_asked_for() -> None:
    np.testing.assert_array_equal(found("surface", PLACES, span=1.0), engine(PLACES, span=1.0, lattice=True))
    assert not np.array_equal(found("surface", PLACES, span=1.0), engine(PLACES, span=1.0))


def test_clamped_weights_count_items_of_weight_0_in_windows() -> None:
    """As R has it: they hold a place in the window, and weigh nothing."""
    kept = found("loess", X, weights=W, clamp_weights=True)
    np.testing.assert_allclose(kept, engine(X, W, zero_weights="keep"), rtol=0, atol=1e-13)
    assert np.abs(kept - found("loess", X, weights=W)).max() > 1e-3
    assert fit(Y, SEGMENTS, "loess", covariate=X, weights=W, clamp_weights=True).n.sum() == N
    assert fit(Y, SEGMENTS, "loess", covariate=X, weights=W).n.sum() == np.count_nonzero(W)


@pytest.mark.parametrize("name", [name for name, row in STATISTICS.items() if row.inner])
def test_the_fit_of_the_groups_takes_the_options_and_the_first_covariates(name: str) -> None:
    row = STATISTICS[name]
    assert row.grouped is STATISTICS[row.inner] and row.grouped.covariates < row.covariates
    given = over(row, X)
    one, other = (fit(Y, SEGMENTS, name, span=span, **given) for span in (0.2, 0.9))
    if name == "composite":
        own = fit(Y, SEGMENTS, row.inner, covariate=X, span=0.2).payload
        assert one.payload.own.to_plain() == own.to_plain()
    assert one.payload.own.to_plain() != other.payload.own.to_plain()
    assert one.n.tolist() == [[N // 2, N // 2]]


@pytest.mark.parametrize(
    ("statistic", "options", "says"),
    [
        ("loess", {"degree": 2}, "degree is out of range; found 2, expected 0 to 1"),
        ("loess", {"surface": "direct"}, "surface has no meaning for statistic loess"),
        ("lowess", {"surface": "flat"}, "surface"),
        ("joint", {"space_span": 0.0}, "space_span is out of range"),
        ("joint", {"space_span": 1.5}, "space_span is out of range"),
        ("composite", {"degree": 1}, "degree has no meaning for statistic composite"),
    ],
)
def test_options_that_cannot_be_are_refused(statistic: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        fit(Y, SEGMENTS, statistic, **over(STATISTICS[statistic], X), **options)


def test_covariates_that_are_missing_are_counted() -> None:
    with pytest.raises(OptionError, match="joint needs 3 covariates"):
        fit(Y, SEGMENTS, "joint")
    with pytest.raises(OptionError, match="loess needs a covariate"):
        fit(Y, SEGMENTS, "loess")
    with pytest.raises(OptionError, match=r"covariates do not fit the values; found shape \(1, 400, 2\)"):
        fit(Y, SEGMENTS, "joint", covariate=PLACES)
