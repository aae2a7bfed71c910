"""Methods, small groups, and ``normalize_groups`` on plain tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from backends import Backend
from covariates import covariate_for

from gridnorm.core.fit import fit
from gridnorm.core.groups import normalize_groups
from gridnorm.core.methods import METHODS, normalize_within
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, GridnormWarning, OptionError

RNG = np.random.default_rng(11)
LABELS = np.repeat([1, 2, 3], [200, 150, 6])
SHIFT = np.repeat([0.5, -1.0, 4.0], [200, 150, 6])
A = RNG.uniform(6, 15, LABELS.size)
M = RNG.normal(0, 0.2, LABELS.size) + SHIFT + 0.1 * (A - 10)
SEGMENTS = Segments.from_labels(LABELS)


FITTED = [name for name, row in METHODS.items() if row.statistic]


def over(method: str, covariate: np.ndarray = A) -> dict[str, np.ndarray]:
    """The covariates that the method takes."""
    found = covariate_for(METHODS[method], covariate)
    return {} if found is None else {"covariate": found}


def done_by(backend: Backend, method: str = "loess", **options):
    return backend.run(normalize_within, M, SEGMENTS, method, **over(method), **options)


@pytest.mark.parametrize("method", [name for name in FITTED if name != "rlm"])  # which compares groups
def test_one_group_is_the_global_method(backend: Backend, method: str) -> None:
    whole = backend.run(normalize_within, M, Segments.single(M.size), method, **over(method))
    same = backend.run(normalize_within, M, Segments.from_labels(np.full(M.size, "x")), method, **over(method))
    np.testing.assert_array_equal(whole.values, same.values)


@pytest.mark.parametrize("method", FITTED)
def test_permuting_items_permutes_the_result(backend: Backend, method: str) -> None:
    order = RNG.permutation(M.size)
    one = backend.run(normalize_within, M, SEGMENTS, method, **over(method), minimum=0).values[0, order]
    shuffled = Segments.from_labels(LABELS[order])
    two = backend.run(normalize_within, M[order], shuffled, method, **over(method, A[order]), minimum=0).values[0]
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-13)


# Methods that compare groups do not, and what composite goes over to is one curve of all groups.
@pytest.mark.parametrize("method", [name for name in FITTED if not METHODS[name].pools_itself and name != "composite"])
def test_a_constant_per_group_is_removed(backend: Backend, method: str) -> None:
    moved = M + np.repeat([3.0, -7.0, 11.0], [200, 150, 6])
    one = backend.run(normalize_within, M, SEGMENTS, method, **over(method), minimum=0).values
    two = backend.run(normalize_within, moved, SEGMENTS, method, **over(method), minimum=0).values
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", ["median", "mean", "loess"])
def test_scaling_values_scales_the_result(backend: Backend, method: str) -> None:
    one = backend.run(normalize_within, M, SEGMENTS, method, **over(method), minimum=0).values
    two = backend.run(normalize_within, 8 * M, SEGMENTS, method, **over(method), minimum=0).values
    np.testing.assert_allclose(two, 8 * one, rtol=0, atol=1e-12)


def test_zscore_is_unchanged_by_scale_and_has_unit_deviation(backend: Backend) -> None:
    done = done_by(backend, "zscore", minimum=0).values
    np.testing.assert_allclose(
        done_by(backend, "zscore", minimum=0).values,
        backend.run(normalize_within, 5 * M + 2, SEGMENTS, "zscore", minimum=0).values,
        atol=1e-12,
    )
    np.testing.assert_allclose(backend.run(fit, done, SEGMENTS, "moments", ddof=1).scale, 1, rtol=1e-12)


def test_mad_makes_spreads_equal_and_keeps_their_geometric_mean(backend: Backend) -> None:
    x = np.concatenate([RNG.normal(0, s, 400) for s in (0.5, 1, 2)])
    segments = Segments.from_labels(np.repeat([0, 1, 2], 400))
    before, after = (
        backend.run(fit, x, segments, "mad").scale,
        backend.run(fit, backend.run(normalize_within, x, segments, "mad").values, segments, "mad").scale,
    )
    np.testing.assert_allclose(after, np.exp(np.log(before).mean()), rtol=1e-12)


def test_keep_level_adds_the_location_of_all_items(backend: Backend) -> None:
    done = backend.run(normalize_within, M, SEGMENTS, "median", minimum=0, keep_level=True).values
    np.testing.assert_allclose(backend.run(fit, done, SEGMENTS, "median").location, np.median(M), rtol=1e-14)


def test_small_group_takes_the_curve_of_the_whole(backend: Backend) -> None:
    done = done_by(backend)
    whole = backend.run(normalize_within, M, Segments.single(M.size), "loess", covariate=A).values[0]
    assert done.fit.source.tolist() == [[0, 0, 1]]
    assert done.fit.n.tolist() == [[200, 150, 6]]
    np.testing.assert_allclose(done.values[0, 350:], whole[350:], atol=1e-12)
    np.testing.assert_array_equal(done.values[0, :350], done_by(backend, minimum=0).values[0, :350])


def test_a_small_group_is_pooled_toward_the_whole(backend: Backend) -> None:
    """It lies 4 from the others, with a scatter of 0.2: nearly all of that distance is its own."""
    whole, done = done_by(backend).values[0, 350:], done_by(backend, small_groups="shrink", minimum=100)
    level, shape = done.fit.shares[0, 2]
    assert done.fit.source.tolist() == [[0, 0, 3]] and level > 0.98 and 0 <= shape < level
    assert abs(np.median(done.values[0, 350:])) < 0.05 * np.median(whole)
    centred = backend.run(normalize_within, M, SEGMENTS, "median", minimum=10, small_groups="shrink").fit
    expected = np.median(M) + centred.shares[0, 2, 0] * (np.median(M[350:]) - np.median(M))
    assert centred.location[0, 2] == pytest.approx(expected, rel=1e-12)


def test_small_group_merges_with_the_nearest_large_one(backend: Backend) -> None:
    position = np.stack([np.repeat([0.0, 10.0, 9.0], [200, 150, 6]), np.zeros(M.size)], axis=1)
    done = done_by(backend, small_groups="merge", position=position)
    pooled = backend.run(normalize_within, M, Segments.from_labels(np.minimum(LABELS, 2)), "loess", covariate=A)
    np.testing.assert_array_equal(done.values, pooled.values)
    assert done.fit.source.tolist() == [[0, 2, 2]]
    assert done.fit.n.tolist() == [[200, 150, 6]]


def test_small_groups_can_be_refused_by_name(backend: Backend) -> None:
    with pytest.raises(FitError, match=r"fewer than 30 usable values; found 3 \(6\)"):
        done_by(backend, small_groups="error")


def test_too_few_values_in_all_is_an_error_not_a_guess(backend: Backend) -> None:
    with pytest.raises(FitError, match="found 6 in all groups together, expected at least 30"):
        backend.run(normalize_within, M[350:], Segments.single(6), "loess", covariate=A[350:])
    with pytest.raises(FitError, match="no usable value"):
        backend.run(normalize_within, np.full(5, np.nan), Segments.single(5), "median")


def test_rules_work_entry_by_entry(backend: Backend) -> None:
    two = np.stack([M, np.where(LABELS == 1, np.nan, M)])
    done = backend.run(normalize_within, two, SEGMENTS, "loess", covariate=np.stack([A, A]))
    assert done.fit.source.tolist() == [[0, 0, 1], [1, 0, 1]]
    np.testing.assert_array_equal(done.values[0], done_by(backend).values[0])


def test_excluded_items_get_the_curve_of_the_others(backend: Backend) -> None:
    use = np.ones(M.size, bool)
    use[:20] = False
    spoiled = np.where(use, M, 100.0)
    done = backend.run(normalize_within, spoiled, SEGMENTS, "loess", covariate=A, use=use, minimum=0).values[0]
    clean = backend.run(
        normalize_within, M[20:], Segments.from_labels(LABELS[20:]), "loess", covariate=A[20:], minimum=0
    ).values[0]
    np.testing.assert_allclose(done[20:], clean, atol=1e-12)
    assert np.isfinite(done[:20]).all()
    assert (done[:20] > 90).all()


def test_frames_series_and_lists_keep_their_kind() -> None:
    frame = pd.DataFrame({"a": [1.0, 2, 3, 10, 20, 30], "b": [5.0, 5, 8, 1, 1, np.nan]}, index=list("uvwxyz"))
    groups = ["g", "g", "g", "h", "h", "h"]
    done = normalize_groups(frame, groups)
    assert done.index.tolist() == list("uvwxyz")
    np.testing.assert_array_equal(done["a"], [-1, 0, 1, -10, 0, 10])
    np.testing.assert_array_equal(done["b"], [0, 0, 3, 0, 0, np.nan])
    series = normalize_groups(frame["a"], pd.Series(groups, index=list("uvwxyz")))
    assert series.name == "a"
    np.testing.assert_array_equal(series, done["a"])
    np.testing.assert_array_equal(normalize_groups([1.0, 2, 3, 10, 20, 30], groups), done["a"])


def test_axis_one_is_the_transpose_of_axis_zero() -> None:
    x = RNG.normal(size=(40, 7))
    labels = RNG.integers(0, 3, 40)
    z = RNG.uniform(size=(40, 7))
    for method in METHODS:
        several = len(METHODS[method].covariates) > 1  # which belong to the items, not to an axis of the values
        given = z[:, 0] if several else 5 * z if method == "rlm" else z
        options = over(method, given) | (
            {"span": 0.9} if any(o.name == "span" for o in METHODS[method].options) else {}
        )
        flipped = options | ({"covariate": options["covariate"].T} if "covariate" in options and not several else {})
        one = normalize_groups(x, labels, method, **options)
        np.testing.assert_array_equal(normalize_groups(x.T, labels, method, axis=1, **flipped).T, one)


def test_crossed_groups_in_one_call() -> None:
    x = RNG.normal(size=12)
    tip, plate = np.tile([0, 1], 6), np.repeat([0, 1], 6)
    np.testing.assert_array_equal(
        normalize_groups(x, [tip, plate], "mean"), normalize_groups(x, tip * 10 + plate, "mean")
    )


def test_groups_too_small_for_loess_are_told() -> None:
    with pytest.warns(GridnormWarning, match=r"groups of fewer than 14 values: 3"):
        normalize_groups(M, LABELS, "loess", covariate=A)


def test_bad_calls_say_what_is_wrong(backend: Backend) -> None:
    with pytest.raises(OptionError, match="found 3 labels, expected 2 along axis 0"):
        normalize_groups([1.0, 2.0], ["a", "b", "c"])
    with pytest.raises(OptionError, match="unknown method"):
        normalize_groups([1.0, 2.0], ["a", "b"], "mode")
    with pytest.raises(OptionError, match="loess needs a covariate"):
        normalize_groups([1.0, 2.0], ["a", "b"], "loess")
    with pytest.raises(OptionError, match="merged only where"):
        backend.run(normalize_within, M, SEGMENTS, "loess", covariate=A, small_groups="merge")
