"""The steps one by one give what the whole chain gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(2, (2, 2), (8, 7), bad=0.1, seed=1).arrays


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
@pytest.mark.parametrize("background", ["none", "subtract", "half", "minimum", "movingmin", "edwards", "normexp"])
@pytest.mark.parametrize("method", ["none", "median", "mad", "loess"])
def test_two_steps_are_the_whole_chain(arrays: gn.ArraySet, background: str, method: str) -> None:
    one = gn.normalize_within(gn.background_correct(arrays, background, offset=20), method=method)
    two = gn.normalize(arrays, background=background, offset=20, method=method)
    np.testing.assert_array_equal(one.M, two.M)
    np.testing.assert_array_equal(one.A, two.A)
    np.testing.assert_array_equal(one.weights, two.weights)


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_one_channel_too() -> None:
    arrays = gn.simulate(2, (2, 2), (8, 7), channels=1, seed=1).arrays
    np.testing.assert_array_equal(gn.normalize_within(gn.background_correct(arrays)).E, gn.normalize(arrays).E)


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_the_automatic_offset_is_the_same_on_every_route_and_on_record(arrays: gn.ArraySet) -> None:
    routes = [gn.normalize(arrays), gn.normalize(arrays, offset="auto"), gn.normalize(arrays, offset=None)]
    routes += [gn.normalize_within(gn.background_correct(arrays, **given)) for given in ({}, {"offset": "auto"})]
    for done in routes:
        np.testing.assert_array_equal(done.M, routes[0].M)
        assert done.history.steps[0].parameters["offset"] == "auto"
    models = routes[0].record(1).models
    assert models is not None
    for channel in "RG":
        low, high = np.quantile(arrays.values[channel][1] - arrays.values[channel + "b"][1], [0.01, 0.05])
        assert models[channel]["offset"] == pytest.approx(1.1 * (high - low), rel=1e-8)
    # levels of one channel have none, and say so
    alone = gn.normalize(gn.simulate(1, (2, 2), (8, 7), channels=1, seed=1).arrays)
    assert alone.history.parameters()["offset"] == "auto"
    assert (alone.record(0).models or {})["E"]["offset"] == 0


def test_a_doubt_about_normexp_names_the_array_once() -> None:
    raw = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    low = replace(raw, values={name: values / 1000 for name, values in raw.values.items()})
    with pytest.warns(gn.GridnormWarning) as said:
        gn.normalize(low, offset=50)
    (doubt,) = [str(one.message) for one in said if "smaller than the offset" in str(one.message)]
    assert doubt.startswith("array1: R, G: normexp: most signals")


def test_background_is_corrected_once(arrays: gn.ArraySet) -> None:
    done = gn.background_correct(arrays, "half", offset=1)
    assert set(done.values) == {"R", "G"}
    assert (done.R >= 1.5).all()
    with pytest.raises(gn.OptionError, match="needs background"):
        gn.background_correct(done, "subtract")
    with pytest.raises(gn.OptionError, match="unknown background"):
        gn.background_correct(arrays, "substract")


def test_a_background_that_was_measured_and_forgotten_is_a_warning(arrays: gn.ArraySet) -> None:
    with pytest.warns(gn.GridnormWarning, match="measured but not corrected"):
        gn.normalize_within(arrays)


def test_normalizing_by_one_grouping_and_then_another(arrays: gn.ArraySet) -> None:
    first = gn.normalize_within(gn.background_correct(arrays, "half", offset=0), method="median")
    second = gn.normalize_within(first, by="slide-row", method="median", min_group=0)
    rows = np.asarray(second.columns["Row"]) + 8 * ((np.asarray(second.columns["Block"]) - 1) // 2)
    assert second.flags is not None
    use = second.flags[:, 0] != -100  # spots that were not found are in the fit
    for row in np.unique(rows):
        np.testing.assert_allclose(np.median(second.M[use & (rows == row), 0]), 0, atol=1e-12)
    np.testing.assert_array_equal(first.A, second.A)


def test_given_arrays_are_never_changed(arrays: gn.ArraySet) -> None:
    before = {name: matrix.copy() for name, matrix in arrays.values.items()}
    gn.normalize_within(gn.background_correct(arrays, "minimum", offset=5), method="mad", flags="drop")
    for name, matrix in before.items():
        np.testing.assert_array_equal(arrays.values[name], matrix)


def test_an_array_that_cannot_be_fitted_is_named(arrays: gn.ArraySet) -> None:
    values = dict(arrays.values)
    values["R"] = np.where(np.arange(2)[:, None] == 1, np.nan, values["R"])
    with pytest.raises(gn.FitError, match="^array2: "):
        gn.normalize_within(gn.background_correct(replace(arrays, values=values), "half"))


def test_weights_must_fit(arrays: gn.ArraySet) -> None:
    done = gn.background_correct(arrays, "half")
    with pytest.raises(gn.OptionError, match=r"weights do not fit.*\(224,\) or \(224, 2\)"):
        gn.normalize_within(done, weights=np.ones(5))
    one, two = (gn.normalize_within(done, weights=w).M for w in (np.full(224, 2.0), np.full((224, 2), 2.0)))
    np.testing.assert_array_equal(one, two)
