"""Fits that know their groups: applied by label, kept as plain data, taken apart and put together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from backends import Backend
from covariates import covariate_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridnorm.core.apply import apply, evaluate
from gridnorm.core.fit import Fit, fit, pick
from gridnorm.core.methods import METHODS, apply_method, fit_method, normalize_within
from gridnorm.core.option import effective
from gridnorm.core.payload import Locations
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import OptionError

RNG = np.random.default_rng(3)
N = 240
LABELS = RNG.integers(0, 4, N)
X = RNG.normal(size=(2, N)) + LABELS
A = RNG.uniform(6, 15, (2, N))
FITTED = [name for name, row in METHODS.items() if row.statistic]


def over(name: str, covariate: np.ndarray = A, table: Any = STATISTICS) -> dict[str, Any]:
    """The covariates of a statistic, or of another row."""
    found = covariate_for(table[name], covariate)
    return {} if found is None else {"covariate": found}


def same(one: Fit, two: Fit) -> None:
    assert (one.statistic, one.labels) == (two.statistic, two.labels)
    for name in ("n", "source", "location", "scale", "points", "level"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert type(one.payload) is type(two.payload)
    assert one.payload.to_plain() == two.payload.to_plain()


@pytest.mark.parametrize("statistic", STATISTICS)
def test_plain_data_and_back_is_the_same_fit(backend: Backend, statistic: str) -> None:
    values = np.where(RNG.random((2, N)) < 0.05, np.nan, X)
    for segments in (
        Segments.from_labels(LABELS), Segments.from_labels(LABELS, np.array(["b", "a"])[LABELS % 2]),
        Segments.from_codes(LABELS, ["w", "x", "y", "z", "empty"]), Segments.single(N),
    ):  # fmt: skip
        if statistic == "rlm" and segments.n_segments == 1:
            continue  # it compares groups
        found = backend.run(fit, values, segments, statistic, **over(statistic))
        same(Fit.from_plain(json.loads(json.dumps(found.to_plain(), allow_nan=False))), found)


def test_data_that_are_no_fit_are_refused(backend: Backend) -> None:
    kept = backend.run(fit, X, Segments.from_labels(LABELS), "median").to_plain()
    with pytest.raises(OptionError, match="unknown statistic; found 'mode'"):
        Fit.from_plain({**kept, "statistic": "mode"})
    with pytest.raises(OptionError, match="no data of a fit; found no 'payload'"):
        Fit.from_plain({name: value for name, value in kept.items() if name != "payload"})
    for wrong in (
        None,
        [],
        {**kept, "labels": None},
        {**kept, "labels": ["a"]},
        {**kept, "n": [[1]]},
        {**kept, "payload": {"location": [[1.0]], "scale": None}},
    ):
        with pytest.raises(OptionError, match="these are no data of a fit"):
            Fit.from_plain(wrong)  # type: ignore[arg-type]
    numbers = backend.run(
        fit, np.zeros(2), Segments.from_codes(np.array([0, 1]), [np.int64(4), np.float64(0.5)]), "median"
    )
    assert numbers.to_plain()["labels"] == [4, 0.5]
    with pytest.raises(OptionError, match="cannot be kept"):
        backend.run(
            fit, np.zeros(2), Segments.from_labels(np.array(["2020-01-01", "2021-01-01"], "M8[D]")), "median"
        ).to_plain()


@pytest.mark.parametrize("method", FITTED)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_kept_fit_is_applied_by_label(backend: Backend, method: str, seed: int) -> None:
    """Groups in another order, of other sizes, some absent: every item is what its group's own fit makes of it."""
    rng = np.random.default_rng(seed)
    segments = Segments.from_labels(np.array(["d", "a", "c", "b"])[LABELS])
    covariate = over(method, table=METHODS)
    options = effective(METHODS[method].options, {})
    found = backend.run(fit_method, X, segments, method, minimum=0, keep_level=True, options=options, **covariate)
    kept = Fit.from_plain(json.loads(json.dumps(found.to_plain())))
    items = rng.permutation(N)[: rng.integers(5, N)]
    other = Segments.from_labels(np.array(["d", "a", "c", "b"])[LABELS[items]])
    more = over(method, A[:, items], METHODS)
    whole = backend.run(apply_method, X, segments, method, found, **covariate)
    np.testing.assert_array_equal(backend.run(apply_method, X[:, items], other, method, kept, **more), whole[:, items])
    np.testing.assert_array_equal(
        whole, backend.run(normalize_within, X, segments, method, minimum=0, keep_level=True, **covariate).values
    )


def test_labels_that_the_fit_lacks_are_named() -> None:
    found = fit(X, Segments.from_labels(np.array(["a", "b"])[LABELS % 2]), "median")
    strange = Segments.from_labels(np.array(["b", "c"])[LABELS % 2])
    for call in (lambda: apply(X, strange, found, "centre"), lambda: evaluate(found, None, strange)):
        with pytest.raises(
            OptionError,
            match="the fit lacks 1 of the 2 groups it is applied to; found c, expected groups of the fit: a, b",
        ):
            call()
    many = Segments.from_labels(np.arange(N))
    with pytest.raises(OptionError, match="found 0, 1, 2 and 237 more"):
        apply(X, many, found, "centre")


@pytest.mark.parametrize("statistic", [name for name in STATISTICS if name != "quantiles"])
def test_shift_lifts_what_is_removed(backend: Backend, statistic: str) -> None:
    segments = Segments.from_labels(LABELS)
    found = backend.run(fit, X, segments, statistic, **over(statistic))
    move = RNG.normal(size=found.n.shape)
    covariate = over(statistic).get("covariate")
    moved = found.payload.shift(move)
    one, two = (
        Fit(found.statistic, found.n, payload, found.source, found.labels) for payload in (found.payload, moved)
    )  # fmt: skip
    lifted = backend.run(evaluate, two, covariate, segments) - backend.run(evaluate, one, covariate, segments)
    np.testing.assert_allclose(lifted, move[:, segments.codes], rtol=0, atol=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_fit_is_its_parts(backend: Backend, statistic: str) -> None:
    segments = Segments.from_labels(LABELS)
    both = backend.run(fit, X, segments, statistic, **over(statistic))
    apart = [backend.run(fit, X[b], segments, statistic, **over(statistic, A[b])) for b in range(2)]
    which = np.repeat([[0], [1]], 4, axis=1)
    same(backend.run(pick, apart, which, np.tile(np.arange(4), (2, 1)), both.source), both)


def test_an_application_that_the_fit_has_nothing_for_is_refused(backend: Backend) -> None:
    segments = Segments.from_labels(LABELS)
    curves, medians, points = (
        backend.run(fit, X, segments, name, **over(name)) for name in ("lowess", "median", "quantiles")
    )
    for found, how, says in (
        (curves, "centre", "this fit has no location; found a fit of lowess"), (medians, "scale", "this fit has no scale"),
        (points, "standardize", "this fit has no location"), (curves, "subtract", "a fit of lowess needs its covariate"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=says):
            backend.run(apply, X, segments, found, how)


def test_covariates_of_one_and_of_several(backend: Backend) -> None:
    segments = Segments.from_labels(LABELS)
    one = backend.run(fit, X[0], segments, "lowess", covariate=A[0])
    for form in (A[:1], A[:1, :, None]):
        same(backend.run(fit, X[0], segments, "lowess", covariate=form), one)
    shared = backend.run(fit, X, segments, "lowess", covariate=A[:1, :, None])
    same(shared, backend.run(fit, X, segments, "lowess", covariate=np.stack([A[0], A[0]])))
    with pytest.raises(
        OptionError, match=r"covariates do not fit the values; found shape \(2, 240, 2\), expected \(2, 240, 1\)"
    ):
        backend.run(fit, X, segments, "lowess", covariate=np.stack([A, A], axis=2))


def test_no_rule_for_small_groups_is_a_rule(backend: Backend) -> None:
    labels = np.where(np.arange(N) < 3, 9, LABELS)
    segments = Segments.from_labels(labels)
    own = backend.run(normalize_within, X, segments, "median", minimum=30, small_groups="own")
    np.testing.assert_array_equal(own.values, backend.run(normalize_within, X, segments, "median", minimum=0).values)
    assert own.fit is not None and not own.fit.source.any()


def test_the_only_scale_that_there_is_is_its_own_measure() -> None:
    found = Locations(np.zeros((2, 3)), np.array([[2.0, 0.0, np.nan], [0.0, 0.0, np.nan]])).relative().scale
    np.testing.assert_array_equal(found, [[1, 0, np.nan], [0, 0, np.nan]])
