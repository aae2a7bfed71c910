"""Payloads over several covariates: places of surfaces, and curves beside something of the whole."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from covariates import over

from gridnorm.core.apply import evaluate
from gridnorm.core.fit import Fit, fit, pick
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import STATISTICS
from gridnorm.core.surfaces import BENDS, WINDOW, Surfaces, curves_at, surfaces_at

N, NAMES = 300, ("d", "a", "c", "b")
CODES = np.random.default_rng(1).integers(0, 4, N)
SEGMENTS = Segments.from_codes(CODES, NAMES)
LEVEL = np.random.default_rng(2).uniform(6, 14, (2, N))
Y = np.sin(LEVEL) + 0.3 * CODES + np.random.default_rng(3).normal(0, 0.2, (2, N))
Y[1, ::3] = np.nan  # batch entries hold different numbers of places and knots
SEVERAL = ["surface", "composite", "joint"]


def fitted(statistic: str, b: slice = slice(None)) -> tuple[Fit, Any]:
    given = over(STATISTICS[statistic], LEVEL[b])
    return fit(Y[b], SEGMENTS, statistic, **given), given["covariate"]


def test_curves_have_a_knot_wherever_there_is_a_value() -> None:
    x = np.array([[3.0, 1.0, 3.0, 2.0], [1.0, 1.0, 5.0, np.nan]])
    y = np.array([[30.0, 10.0, 30.0, np.nan], [np.nan, 11.0, 51.0, np.nan]])
    knots = curves_at(x, y, Segments.from_codes(np.array([0, 0, 0, 1]), "ab")).knots
    assert knots.x.tolist() == [1, 3, 1, 5] and knots.y.tolist() == [10, 30, 11, 51]
    assert knots.offsets.tolist() == [0, 2, 2, 4, 4]


def test_surfaces_are_those_of_the_nearest_known_place() -> None:
    places = np.array([[[0.0, 0.0], [4.0, 0.0], [0.0, 9.0], [7.0, 7.0]]])
    segments = Segments.from_codes(np.array([0, 0, 1, 1]), "ab")
    found = surfaces_at(places, np.array([[1.0, 2.0, np.nan, np.nan]]), segments)
    assert found.offsets.tolist() == [0, 2, 2]
    there = found.evaluate(np.array([[[1.9, 1.0], [2.1, 5.0], [0.0, 9.0], [0.0, 0.0]]]), segments)
    np.testing.assert_array_equal(there, [[1, 2, np.nan, np.nan]])
    nowhere = found.evaluate(np.array([[[np.nan, 1.0], [4.0, 0.0], [0.0, 9.0], [0.0, 0.0]]]), segments)
    np.testing.assert_array_equal(nowhere, [[np.nan, 2, np.nan, np.nan]])


def test_few_values_are_fitted_with_36_in_a_window() -> None:
    spans = {n: Surfaces.few({"span": 0.3}, n, 300)["span"] for n in (1, 36, 37, 72, 119, 120, 299)}
    assert spans[1] == spans[36] == 1
    assert spans[37] == pytest.approx(36 / 37) and spans[72] == 0.5 and spans[119] == pytest.approx(36 / 119)
    assert spans[120] == spans[299] == 0.3
    assert Surfaces.few({"span": 0.1}, 60, 60)["span"] == pytest.approx(0.1), "at any limit what was asked for"
    assert Surfaces.few({"other": 1}, 10, 150) == {"other": 1} and WINDOW == 36


@pytest.mark.parametrize("n", [64, 144])
def test_the_noise_of_a_shape_is_what_it_is_said_to_be(n: int) -> None:
    """Of normal values without a surface, on places that are drawn: the mean square beyond its median."""
    rng, groups = np.random.default_rng(n), 3000 // n
    segments = Segments.uniform(n * groups, groups)
    places, y = rng.uniform(0, 1, (n * groups, 2)), rng.normal(size=n * groups)
    options = Surfaces.few({"span": 0.3}, n, 300)
    found = evaluate(fit(y, segments, "surface", covariate=places, **options), places, segments)[0].reshape(groups, n)
    bend = n * np.mean((found - np.median(y.reshape(groups, n), axis=1)[:, None]) ** 2)
    assert bend * options["span"] == pytest.approx(BENDS, rel=0.25)
    assert Surfaces.freedom(options) == BENDS / options["span"]


def test_going_over_takes_the_places_of_the_own_surface_or_of_the_whole() -> None:
    whole = Surfaces(np.array([[0.0, 0.0], [1.0, 1.0]] * 2), np.array([1.0, 2.0] * 2), np.array([0, 2, 4]))
    own = Surfaces(np.array([[0.0, 0.1], [0.9, 1.0]]), np.array([5.0, 8.0]), np.array([0, 2, 2]))
    level = np.array([[4.5, 9.0]])
    half = whole.toward(own, level, np.array([[0.5, 0.0]]), np.array([[0.25, 0.0]]))
    # The own one differs from the whole by 4 and 6, by −0.5 and 1.5 beyond the level.
    np.testing.assert_allclose(half.y, [1 + 2.25 - 0.125, 2 + 2.25 + 0.375, 1, 2], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(half.at, [[0.0, 0.1], [0.9, 1.0], [0.0, 0.0], [1.0, 1.0]])
    full = whole.toward(own, level, np.ones((1, 2)), np.ones((1, 2)))
    np.testing.assert_allclose(full.y[:2], own.y, rtol=0, atol=1e-15)


# ---- what every payload promises -----------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", SEVERAL)
def test_plain_data_and_back(statistic: str) -> None:
    found, covariate = fitted(statistic)
    moved = Fit(found.statistic, found.n, found.payload.shift(np.arange(8.0).reshape(2, 4)), found.source, found.labels)
    for one in (found, moved):
        kept = Fit.from_plain(json.loads(json.dumps(one.to_plain(), allow_nan=False)))
        assert kept.payload.to_plain() == one.payload.to_plain()
        np.testing.assert_array_equal(evaluate(kept, covariate, SEGMENTS), evaluate(one, covariate, SEGMENTS))


@pytest.mark.parametrize("statistic", SEVERAL)
def test_parts_of_batches_of_other_sizes_are_put_together(statistic: str) -> None:
    """Entries change places, from a fit of both and from one that was moved."""
    both, covariate = fitted(statistic)
    alone, _ = fitted(statistic, slice(1, 2))
    move = np.array([[1.0, 2.0, 3.0, 4.0]])
    lifted = Fit(alone.statistic, alone.n, alone.payload.shift(move), alone.source, alone.labels)
    which = np.array([[1] * 4, [0] * 4])
    index = np.array([[0, 1, 2, 3], [0, 1, 2, 3]])
    found = pick([both, lifted], which, index, both.source)
    np.testing.assert_array_equal(found.n, both.n[::-1])
    at = covariate[::-1]
    expected = evaluate(both, covariate, SEGMENTS)[::-1] + np.array([move[0], [0.0] * 4])[:, CODES]
    np.testing.assert_allclose(evaluate(found, at, SEGMENTS), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("statistic", SEVERAL)
def test_groups_in_another_order_and_fewer_of_them(statistic: str) -> None:
    found, covariate = fitted(statistic)
    expected = evaluate(found, covariate, SEGMENTS)
    move = np.arange(8.0).reshape(2, 4)
    moved = Fit(found.statistic, found.n, found.payload.shift(move), found.source, found.labels)
    items = np.flatnonzero(CODES != 1)
    other = Segments.from_labels(np.array(NAMES)[CODES[items]])
    assert other.labels != found.labels
    np.testing.assert_array_equal(evaluate(found, covariate[:, items], other), expected[:, items])
    np.testing.assert_array_equal(found.on(other).n, found.n[:, [NAMES.index(label) for label in other.labels]])
    again = evaluate(moved.on(other), covariate[:, items], other)
    np.testing.assert_allclose(again, (expected + move[:, CODES])[:, items], rtol=0, atol=1e-13)


@pytest.mark.parametrize("statistic", SEVERAL)
def test_several_covariates_may_be_given_once_for_all_entries(statistic: str) -> None:
    given = over(STATISTICS[statistic], LEVEL[0])["covariate"]
    assert given.shape == (N, STATISTICS[statistic].covariates)
    found = fit(Y, SEGMENTS, statistic, covariate=given)
    np.testing.assert_array_equal(evaluate(found, given, SEGMENTS), evaluate(found, np.stack([given, given]), SEGMENTS))
