"""Fits against obvious one-group-at-a-time references, and the properties that must hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridnorm.core.apply import apply, evaluate, relative_scale
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

RNG = np.random.default_rng(5)
FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=64)


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 40))
    batch = draw(st.integers(1, 3))
    values = draw(hnp.arrays(np.float64, (batch, n), elements=st.one_of(FINITE, st.just(np.nan))))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 4)))
    return values, labels


def each(values: np.ndarray, labels: np.ndarray, reference) -> np.ndarray:
    groups = np.unique(labels)
    out = np.full((values.shape[0], groups.size), np.nan)
    for b in range(values.shape[0]):
        for k, g in enumerate(groups):
            x = values[b, labels == g]
            x = x[np.isfinite(x)]
            if x.size:
                out[b, k] = reference(x)
    return out


@given(grouped())
@settings(max_examples=150)
def test_moments_equal_numpy_per_group(data) -> None:
    values, labels = data
    found = fit(values, Segments.from_labels(labels), "moments")
    np.testing.assert_allclose(found.location, each(values, labels, np.mean), rtol=1e-13, atol=1e-9)
    np.testing.assert_allclose(found.scale, each(values, labels, np.std), rtol=1e-9, atol=1e-9)
    assert (found.n == each(values, labels, np.size)).sum() == (found.n > 0).sum()


@given(grouped())
@settings(max_examples=150)
def test_median_and_mad_equal_numpy_per_group(data) -> None:
    values, labels = data
    segments = Segments.from_labels(labels)
    mad = lambda x: 1.4826 * np.median(np.abs(x - np.median(x)))  # noqa: E731
    np.testing.assert_allclose(fit(values, segments, "median").location, each(values, labels, np.median), rtol=1e-15)
    np.testing.assert_allclose(fit(values, segments, "mad").scale, each(values, labels, mad), rtol=1e-14, atol=1e-9)


@given(grouped(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(max_examples=100)
def test_quantiles_equal_numpy_per_group(data, probabilities) -> None:
    values, labels = data
    found = fit(values, Segments.from_labels(labels), "quantiles", probabilities=probabilities).points
    for k, p in enumerate(probabilities):
        np.testing.assert_allclose(
            found[:, :, k], each(values, labels, lambda x, p=p: np.quantile(x, p)), rtol=1e-12, atol=1e-9
        )


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6, 1e9])
def test_moments_survive_a_large_offset(offset: float) -> None:
    x = RNG.normal(size=(2, 1000))
    labels = RNG.integers(0, 7, 1000)
    near = fit(x, Segments.from_labels(labels), "moments")
    far = fit(x + offset, Segments.from_labels(labels), "moments")
    np.testing.assert_allclose(far.scale, near.scale, rtol=1e-16 * offset * 10 + 1e-13)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad"])
def test_relabelling_groups_only_reorders_fits(statistic: str) -> None:
    x = RNG.normal(size=(2, 300))
    labels = RNG.integers(0, 6, 300)
    renamed = np.array([3, 5, 0, 1, 4, 2])[labels]
    one, two = (fit(x, Segments.from_labels(v), statistic) for v in (labels, renamed))
    np.testing.assert_array_equal(two.location[:, [3, 5, 0, 1, 4, 2]], one.location)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "lowess"])
def test_a_batch_entry_does_not_see_its_neighbours(statistic: str) -> None:
    x = RNG.normal(size=(3, 400))
    z = RNG.uniform(6, 15, size=(3, 400))
    segments = Segments.from_labels(RNG.integers(0, 5, 400))
    options = {"covariate": z} if statistic == "lowess" else {}
    alone = {"covariate": z[1]} if statistic == "lowess" else {}
    together, single = fit(x, segments, statistic, **options), fit(x[1], segments, statistic, **alone)
    if statistic == "lowess":
        one, all_of = evaluate(single, z[1], segments)[0], evaluate(together, z, segments)[1]
        np.testing.assert_array_equal(one, all_of)
    else:
        np.testing.assert_array_equal(together.location[1], single.location[0])


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "lowess"])
def test_a_group_inside_equals_the_group_alone(statistic: str) -> None:
    x, z = RNG.normal(size=500), RNG.uniform(6, 15, 500)
    labels = RNG.integers(0, 4, 500)
    inside = labels == 2
    segments, alone = Segments.from_labels(labels), Segments.single(int(inside.sum()))
    if statistic == "lowess":
        one = evaluate(fit(x[inside], alone, statistic, covariate=z[inside]), z[inside], alone)[0]
        many = evaluate(fit(x, segments, statistic, covariate=z), z, segments)[0][inside]
        np.testing.assert_array_equal(one, many)
    else:
        assert fit(x, segments, statistic).location[0, 2] == pytest.approx(
            fit(x[inside], alone, statistic).location[0, 0], rel=1e-15
        )


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "quantiles"])
def test_use_means_the_same_as_taking_items_away(statistic: str) -> None:
    x = RNG.normal(size=(2, 200))
    labels = RNG.integers(0, 3, 200)
    use = RNG.random(200) < 0.7
    masked = fit(x, Segments.from_labels(labels), statistic, use=use)
    cut = fit(x[:, use], Segments.from_labels(labels[use]), statistic)
    for name in ("n", "location", "scale", "points"):
        if getattr(cut, name) is not None:
            np.testing.assert_allclose(getattr(masked, name), getattr(cut, name), rtol=1e-14)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad"])
def test_equal_weights_equal_no_weights_and_weight_zero_is_absence(statistic: str) -> None:
    x = RNG.normal(size=(1, 200))
    segments = Segments.from_labels(RNG.integers(0, 3, 200))
    plain = fit(x, segments, statistic)
    np.testing.assert_allclose(
        fit(x, segments, statistic, weights=np.full(200, 3.0)).location, plain.location, rtol=1e-14
    )
    weights = np.where(RNG.random(200) < 0.3, 0.0, 2.0)
    zeroed, left_out = fit(x, segments, statistic, weights=weights), fit(x, segments, statistic, use=weights > 0)
    np.testing.assert_allclose(zeroed.location, left_out.location, rtol=1e-13)
    np.testing.assert_array_equal(zeroed.n, left_out.n)


def test_whole_number_weights_count_like_repeated_items() -> None:
    x = RNG.normal(size=60)
    k = RNG.integers(1, 5, 60)
    for statistic in ("moments", "median"):
        weighted = fit(x, Segments.single(60), statistic, weights=k.astype(float))
        repeated = fit(np.repeat(x, k), Segments.single(int(k.sum())), statistic)
        np.testing.assert_allclose(weighted.location, repeated.location, rtol=1e-13)
    np.testing.assert_allclose(
        fit(x, Segments.single(60), "moments", weights=k).scale, [[np.std(np.repeat(x, k))]], rtol=1e-13
    )


def test_width_pools_with_its_item() -> None:
    x = RNG.normal(size=(2, 6, 5))
    segments = Segments.from_labels([0, 1, 0, 1, 1, 0])
    found = fit(x, segments, "moments")
    np.testing.assert_allclose(found.location[1, 0], x[1, [0, 2, 5]].mean(), rtol=1e-13)
    np.testing.assert_allclose(fit(x, segments, "median").location[0, 1], np.median(x[0, [1, 3, 4]]), rtol=1e-15)


def test_read_only_input_is_not_written() -> None:
    x, z = RNG.normal(size=(1, 100)), RNG.uniform(size=(1, 100))
    for array in (x, z):
        array.flags.writeable = False
    segments = Segments.from_labels(RNG.integers(0, 2, 100))
    before = x.copy()
    for statistic in ("moments", "median", "mad", "quantiles", "lowess"):
        fit(x, segments, statistic, **({"covariate": z} if statistic == "lowess" else {}))
    np.testing.assert_array_equal(x, before)


def test_empty_and_one_item_segments() -> None:
    segments = Segments.from_codes(np.array([2, 0, 2]), ["a", "b", "c"])
    found = fit(np.array([1.0, 5.0, 3.0]), segments, "moments")
    assert found.n.tolist() == [[1, 0, 2]]
    np.testing.assert_array_equal(found.location, [[5.0, np.nan, 2.0]])
    assert np.isnan(fit(np.array([1.0, 5.0, 3.0]), segments, "moments", ddof=1).scale[0, 0])
    assert np.isnan(fit(np.array([1.0, 5.0, 3.0]), segments, "median").location[0, 1])


def test_nothing_at_all() -> None:
    segments = Segments.single(0)
    assert fit(np.empty((2, 0)), segments, "moments").n.tolist() == [[0], [0]]
    assert fit(np.empty((2, 0)), segments, "median").n.tolist() == [[0], [0]]


def test_centre_and_standardize_leave_zero_location_and_unit_scale() -> None:
    x = RNG.normal(3, 5, size=(2, 300))
    segments = Segments.from_labels(RNG.integers(0, 5, 300))
    moments = fit(x, segments, "moments")
    done = fit(apply(x, segments, moments, "standardize"), segments, "moments")
    np.testing.assert_allclose(done.location, 0, atol=1e-14)
    np.testing.assert_allclose(done.scale, 1, rtol=1e-13)
    centred = apply(x, segments, fit(x, segments, "median"), "centre")
    np.testing.assert_allclose(fit(centred, segments, "median").location, 0, atol=1e-15)


def test_a_constant_group_stays_finite_when_standardized() -> None:
    x = np.array([2.0, 2.0, 1.0, 3.0])
    segments = Segments.from_labels([0, 0, 1, 1])
    np.testing.assert_allclose(apply(x, segments, fit(x, segments, "moments"), "standardize"), [0, 0, -1, 1])


def test_relative_scales_have_geometric_mean_one_and_skip_zeros() -> None:
    x = np.concatenate([RNG.normal(0, s, 50) for s in (0.5, 2, 4)] + [np.ones(10)])
    found = relative_scale(fit(x, Segments.from_labels(np.repeat([0, 1, 2, 3], [50, 50, 50, 10])), "mad"))
    assert np.exp(np.log(found.scale[0, :3]).mean()) == pytest.approx(1, rel=1e-14)
    assert found.scale[0, 3] == 0


def test_shape_of_the_input_comes_back() -> None:
    segments = Segments.from_labels([0, 1, 0])
    for shape in ((3,), (2, 3), (2, 3, 4)):
        x = RNG.normal(size=shape)
        assert apply(x, segments, fit(x, segments, "median"), "centre").shape == shape


def test_wrong_shapes_and_names_are_refused_with_what_was_found() -> None:
    segments = Segments.from_labels([0, 1, 0])
    with pytest.raises(OptionError, match="found 4 items, expected 3"):
        fit(np.zeros(4), segments)
    with pytest.raises(OptionError, match="unknown statistic"):
        fit(np.zeros(3), segments, "mode")
    with pytest.raises(OptionError, match="needs a covariate"):
        fit(np.zeros(3), segments, "lowess")
    with pytest.raises(OptionError, match="weights do not fit"):
        fit(np.zeros(3), segments, weights=np.ones(2))
    with pytest.raises(OptionError, match="must not be negative"):
        fit(np.zeros(3), segments, weights=np.array([1, -1, 0]))
    with pytest.raises(OptionError, match="takes no weights"):
        fit(np.zeros(3), segments, "quantiles", weights=np.ones(3))
    with pytest.raises(OptionError, match="must be numbers"):
        fit(np.array(["a", "b", "c"]), segments)
    with pytest.raises(OptionError, match="takes no covariate"):
        fit(np.zeros(3), segments, "median", covariate=np.zeros(3))
    with pytest.raises(
        OptionError, match="lacks 2 of the 2 groups it is applied to; found 0, 1, expected groups of the fit: all"
    ):
        apply(np.zeros(3), segments, fit(np.zeros(3), Segments.single(3)), "centre")
    with pytest.raises(OptionError, match="of another batch; found 1 entries, expected 2"):
        apply(np.zeros((2, 3)), segments, fit(np.zeros(3), segments), "centre")
    with pytest.raises(OptionError, match="span is out of range; found 0, expected more than 0"):
        fit(np.zeros(3), segments, "lowess", covariate=np.zeros(3), span=0)
    with pytest.raises(OptionError, match="span has no meaning for statistic median"):
        fit(np.zeros(3), segments, "median", span=0.5)
    with pytest.raises(OptionError, match="covariates do not fit"):
        fit(np.zeros(3), segments, "lowess", covariate=np.zeros((1, 3, 2)))


def test_curves_are_linear_between_knots_and_held_at_the_ends() -> None:
    x = np.sort(RNG.uniform(0, 10, 200))
    segments = Segments.single(200)
    found = fit(np.sin(x), segments, "lowess", covariate=x)
    far = evaluate(found, np.r_[np.full(100, -5.0), np.full(100, 50.0)], segments)[0]
    np.testing.assert_array_equal(far, np.repeat(found.curve.y[[0, -1]], 100))
    middle = 0.5 * (found.curve.x[3] + found.curve.x[4])
    at = evaluate(found, np.full(200, middle), segments)[0, 0]
    assert at == pytest.approx(0.5 * (found.curve.y[3] + found.curve.y[4]), rel=1e-13)
    assert np.isnan(evaluate(found, np.full(200, np.nan), segments)).all()


def test_a_curve_of_one_knot_is_a_constant_except_where_the_covariate_is_missing() -> None:
    x = np.full(20, 3.0)
    found = fit(np.arange(20.0), Segments.single(20), "lowess", covariate=x)
    assert found.curve.x.size == 1
    at = evaluate(found, np.r_[np.full(10, 7.0), np.full(10, np.nan)], Segments.single(20))[0]
    np.testing.assert_array_equal(at, np.r_[np.full(10, found.curve.y[0]), np.full(10, np.nan)])
