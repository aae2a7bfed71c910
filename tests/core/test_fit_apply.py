"""Fits against obvious one-group-at-a-time references, and the properties that must hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from backends import Backend
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridnorm.core.apply import apply, evaluate, relative_scale
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

RNG = np.random.default_rng(5)
FIXTURE = [HealthCheck.function_scoped_fixture]  # the backend keeps nothing of an example
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
@settings(max_examples=150, suppress_health_check=FIXTURE)
def test_moments_equal_numpy_per_group(backend: Backend, data) -> None:
    values, labels = data
    found = backend.run(fit, values, Segments.from_labels(labels), "moments")
    np.testing.assert_allclose(found.location, each(values, labels, np.mean), rtol=1e-13, atol=1e-9)
    np.testing.assert_allclose(found.scale, each(values, labels, np.std), rtol=1e-9, atol=1e-9)
    assert (found.n == each(values, labels, np.size)).sum() == (found.n > 0).sum()


@given(grouped())
@settings(max_examples=150, suppress_health_check=FIXTURE)
@example(data=(np.array([[2.22507386e-311, 5e-324]]), np.array([0, 0])))
def test_median_and_mad_equal_numpy_per_group(backend: Backend, data) -> None:
    values, labels = data
    segments = Segments.from_labels(labels)
    mad = lambda x: 1.4826 * np.median(np.abs(x - np.median(x)))  # noqa: E731
    np.testing.assert_allclose(
        backend.run(fit, values, segments, "median").location,
        each(values, labels, np.median),
        rtol=1e-15,
        atol=5e-324,  # one unit in the last place of a subnormal: halves are added here, a sum is halved there
    )
    np.testing.assert_allclose(
        backend.run(fit, values, segments, "mad").scale, each(values, labels, mad), rtol=1e-14, atol=1e-9
    )


@given(grouped(), st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(max_examples=100, suppress_health_check=FIXTURE)
def test_quantiles_equal_numpy_per_group(backend: Backend, data, probabilities) -> None:
    values, labels = data
    found = backend.run(fit, values, Segments.from_labels(labels), "quantiles", probabilities=probabilities).points
    for k, p in enumerate(probabilities):
        np.testing.assert_allclose(
            found[:, :, k], each(values, labels, lambda x, p=p: np.quantile(x, p)), rtol=1e-12, atol=1e-9
        )


@pytest.mark.parametrize("offset", [1.0, 1e3, 1e6, 1e9])
def test_moments_survive_a_large_offset(backend: Backend, offset: float) -> None:
    x = RNG.normal(size=(2, 1000))
    labels = RNG.integers(0, 7, 1000)
    near = backend.run(fit, x, Segments.from_labels(labels), "moments")
    far = backend.run(fit, x + offset, Segments.from_labels(labels), "moments")
    np.testing.assert_allclose(far.scale, near.scale, rtol=1e-16 * offset * 10 + 1e-13)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad"])
def test_relabelling_groups_only_reorders_fits(backend: Backend, statistic: str) -> None:
    x = RNG.normal(size=(2, 300))
    labels = RNG.integers(0, 6, 300)
    renamed = np.array([3, 5, 0, 1, 4, 2])[labels]
    one, two = (backend.run(fit, x, Segments.from_labels(v), statistic) for v in (labels, renamed))
    np.testing.assert_array_equal(two.location[:, [3, 5, 0, 1, 4, 2]], one.location)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "lowess"])
def test_a_batch_entry_does_not_see_its_neighbours(backend: Backend, statistic: str) -> None:
    x = RNG.normal(size=(3, 400))
    z = RNG.uniform(6, 15, size=(3, 400))
    segments = Segments.from_labels(RNG.integers(0, 5, 400))
    options = {"covariate": z} if statistic == "lowess" else {}
    alone = {"covariate": z[1]} if statistic == "lowess" else {}
    together, single = (
        backend.run(fit, x, segments, statistic, **options),
        backend.run(fit, x[1], segments, statistic, **alone),
    )
    if statistic == "lowess":
        one, all_of = backend.run(evaluate, single, z[1], segments)[0], backend.run(evaluate, together, z, segments)[1]
        np.testing.assert_array_equal(one, all_of)
    else:
        np.testing.assert_array_equal(together.location[1], single.location[0])


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "lowess"])
def test_a_group_inside_equals_the_group_alone(backend: Backend, statistic: str) -> None:
    x, z = RNG.normal(size=500), RNG.uniform(6, 15, 500)
    labels = RNG.integers(0, 4, 500)
    inside = labels == 2
    segments, alone = Segments.from_labels(labels), Segments.single(int(inside.sum()))
    if statistic == "lowess":
        one = backend.run(
            evaluate, backend.run(fit, x[inside], alone, statistic, covariate=z[inside]), z[inside], alone
        )[0]
        many = backend.run(evaluate, backend.run(fit, x, segments, statistic, covariate=z), z, segments)[0][inside]
        np.testing.assert_array_equal(one, many)
    else:
        assert backend.run(fit, x, segments, statistic).location[0, 2] == pytest.approx(
            backend.run(fit, x[inside], alone, statistic).location[0, 0], rel=1e-15
        )


@pytest.mark.parametrize("statistic", ["moments", "median", "mad", "quantiles"])
def test_use_means_the_same_as_taking_items_away(backend: Backend, statistic: str) -> None:
    x = RNG.normal(size=(2, 200))
    labels = RNG.integers(0, 3, 200)
    use = RNG.random(200) < 0.7
    masked = backend.run(fit, x, Segments.from_labels(labels), statistic, use=use)
    cut = backend.run(fit, x[:, use], Segments.from_labels(labels[use]), statistic)
    for name in ("n", "location", "scale", "points"):
        if getattr(cut, name) is not None:
            # A mean near 0 is the sum of values of about 1.
            np.testing.assert_allclose(getattr(masked, name), getattr(cut, name), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("statistic", ["moments", "median", "mad"])
def test_equal_weights_equal_no_weights_and_weight_zero_is_absence(backend: Backend, statistic: str) -> None:
    x = RNG.normal(size=(1, 200))
    segments = Segments.from_labels(RNG.integers(0, 3, 200))
    plain = backend.run(fit, x, segments, statistic)
    np.testing.assert_allclose(
        backend.run(fit, x, segments, statistic, weights=np.full(200, 3.0)).location, plain.location, rtol=1e-14
    )
    weights = np.where(RNG.random(200) < 0.3, 0.0, 2.0)
    zeroed, left_out = (
        backend.run(fit, x, segments, statistic, weights=weights),
        backend.run(fit, x, segments, statistic, use=weights > 0),
    )
    np.testing.assert_allclose(zeroed.location, left_out.location, rtol=1e-13)
    np.testing.assert_array_equal(zeroed.n, left_out.n)


def test_whole_number_weights_count_like_repeated_items(backend: Backend) -> None:
    x = RNG.normal(size=60)
    k = RNG.integers(1, 5, 60)
    for statistic in ("moments", "median"):
        weighted = backend.run(fit, x, Segments.single(60), statistic, weights=k.astype(float))
        repeated = backend.run(fit, np.repeat(x, k), Segments.single(int(k.sum())), statistic)
        np.testing.assert_allclose(weighted.location, repeated.location, rtol=1e-13)
    np.testing.assert_allclose(
        backend.run(fit, x, Segments.single(60), "moments", weights=k).scale, [[np.std(np.repeat(x, k))]], rtol=1e-13
    )


def test_width_pools_with_its_item(backend: Backend) -> None:
    x = RNG.normal(size=(2, 6, 5))
    segments = Segments.from_labels([0, 1, 0, 1, 1, 0])
    found = backend.run(fit, x, segments, "moments")
    np.testing.assert_allclose(found.location[1, 0], x[1, [0, 2, 5]].mean(), rtol=1e-13)
    np.testing.assert_allclose(
        backend.run(fit, x, segments, "median").location[0, 1], np.median(x[0, [1, 3, 4]]), rtol=1e-15
    )


def test_empty_and_one_item_segments(backend: Backend) -> None:
    segments = Segments.from_codes(np.array([2, 0, 2]), ["a", "b", "c"])
    found = backend.run(fit, np.array([1.0, 5.0, 3.0]), segments, "moments")
    assert found.n.tolist() == [[1, 0, 2]]
    np.testing.assert_array_equal(found.location, [[5.0, np.nan, 2.0]])
    assert np.isnan(backend.run(fit, np.array([1.0, 5.0, 3.0]), segments, "moments", ddof=1).scale[0, 0])
    assert np.isnan(backend.run(fit, np.array([1.0, 5.0, 3.0]), segments, "median").location[0, 1])


def test_nothing_at_all() -> None:
    segments = Segments.single(0)
    assert fit(np.empty((2, 0)), segments, "moments").n.tolist() == [[0], [0]]
    assert fit(np.empty((2, 0)), segments, "median").n.tolist() == [[0], [0]]


def test_centre_and_standardize_leave_zero_location_and_unit_scale(backend: Backend) -> None:
    x = RNG.normal(3, 5, size=(2, 300))
    segments = Segments.from_labels(RNG.integers(0, 5, 300))
    moments = backend.run(fit, x, segments, "moments")
    done = backend.run(fit, backend.run(apply, x, segments, moments, "standardize"), segments, "moments")
    np.testing.assert_allclose(done.location, 0, atol=1e-14)
    np.testing.assert_allclose(done.scale, 1, rtol=1e-13)
    centred = backend.run(apply, x, segments, backend.run(fit, x, segments, "median"), "centre")
    np.testing.assert_allclose(backend.run(fit, centred, segments, "median").location, 0, atol=1e-15)


def test_a_constant_group_stays_finite_when_standardized(backend: Backend) -> None:
    x = np.array([2.0, 2.0, 1.0, 3.0])
    segments = Segments.from_labels([0, 0, 1, 1])
    np.testing.assert_allclose(
        backend.run(apply, x, segments, backend.run(fit, x, segments, "moments"), "standardize"), [0, 0, -1, 1]
    )


def test_relative_scales_have_geometric_mean_one_and_skip_zeros(backend: Backend) -> None:
    x = np.concatenate([RNG.normal(0, s, 50) for s in (0.5, 2, 4)] + [np.ones(10)])
    found = backend.run(
        relative_scale, backend.run(fit, x, Segments.from_labels(np.repeat([0, 1, 2, 3], [50, 50, 50, 10])), "mad")
    )
    assert np.exp(np.log(found.scale[0, :3]).mean()) == pytest.approx(1, rel=1e-14)
    assert found.scale[0, 3] == 0


def test_shape_of_the_input_comes_back(backend: Backend) -> None:
    segments = Segments.from_labels([0, 1, 0])
    for shape in ((3,), (2, 3), (2, 3, 4)):
        x = RNG.normal(size=shape)
        assert backend.run(apply, x, segments, backend.run(fit, x, segments, "median"), "centre").shape == shape


def test_wrong_shapes_and_names_are_refused_with_what_was_found(backend: Backend) -> None:
    segments = Segments.from_labels([0, 1, 0])
    with pytest.raises(OptionError, match="found 4 items, expected 3"):
        backend.run(fit, np.zeros(4), segments)
    with pytest.raises(OptionError, match="unknown statistic"):
        backend.run(fit, np.zeros(3), segments, "mode")
    with pytest.raises(OptionError, match="needs a covariate"):
        backend.run(fit, np.zeros(3), segments, "lowess")
    with pytest.raises(OptionError, match="weights do not fit"):
        backend.run(fit, np.zeros(3), segments, weights=np.ones(2))
    with pytest.raises(OptionError, match="neither negative nor infinite"):
        backend.run(fit, np.zeros(3), segments, weights=np.array([1, -1, 0]))
    with pytest.raises(OptionError, match="takes no weights"):
        backend.run(fit, np.zeros(3), segments, "quantiles", weights=np.ones(3))
    with pytest.raises(OptionError, match="must be numbers"):
        backend.run(fit, np.array(["a", "b", "c"]), segments)
    with pytest.raises(OptionError, match="takes no covariate"):
        backend.run(fit, np.zeros(3), segments, "median", covariate=np.zeros(3))
    with pytest.raises(
        OptionError, match="lacks 2 of the 2 groups it is applied to; found 0, 1, expected groups of the fit: all"
    ):
        backend.run(apply, np.zeros(3), segments, backend.run(fit, np.zeros(3), Segments.single(3)), "centre")
    with pytest.raises(OptionError, match="of another batch; found 1 entries, expected 2"):
        backend.run(apply, np.zeros((2, 3)), segments, backend.run(fit, np.zeros(3), segments), "centre")
    with pytest.raises(OptionError, match="span is out of range; found 0, expected more than 0"):
        backend.run(fit, np.zeros(3), segments, "lowess", covariate=np.zeros(3), span=0)
    with pytest.raises(OptionError, match="span has no meaning for statistic median"):
        backend.run(fit, np.zeros(3), segments, "median", span=0.5)
    with pytest.raises(OptionError, match="covariates do not fit"):
        backend.run(fit, np.zeros(3), segments, "lowess", covariate=np.zeros((1, 3, 2)))


def test_curves_are_linear_between_knots_and_held_at_the_ends(backend: Backend) -> None:
    x = np.sort(RNG.uniform(0, 10, 200))
    segments = Segments.single(200)
    found = backend.run(fit, np.sin(x), segments, "lowess", covariate=x)
    far = backend.run(evaluate, found, np.r_[np.full(100, -5.0), np.full(100, 50.0)], segments)[0]
    np.testing.assert_array_equal(far, np.repeat(found.curve.y[[0, -1]], 100))
    middle = 0.5 * (found.curve.x[3] + found.curve.x[4])
    at = backend.run(evaluate, found, np.full(200, middle), segments)[0, 0]
    assert at == pytest.approx(0.5 * (found.curve.y[3] + found.curve.y[4]), rel=1e-13)
    assert np.isnan(backend.run(evaluate, found, np.full(200, np.nan), segments)).all()


def test_a_curve_of_one_knot_is_a_constant_except_where_the_covariate_is_missing(backend: Backend) -> None:
    x = np.full(20, 3.0)
    found = backend.run(fit, np.arange(20.0), Segments.single(20), "lowess", covariate=x)
    assert found.curve.x.size == 1
    at = backend.run(evaluate, found, np.r_[np.full(10, 7.0), np.full(10, np.nan)], Segments.single(20))[0]
    np.testing.assert_array_equal(at, np.r_[np.full(10, found.curve.y[0]), np.full(10, np.nan)])


@pytest.mark.parametrize("labels", ["the same", "equal", "in another order"])
def test_a_fit_is_copied_only_for_another_order_of_groups(labels: str) -> None:
    values, codes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), [0, 0, 1, 1, 2, 2]
    segments = Segments.from_codes(codes, ["a", "b", "c"])
    found = fit(values, segments, "median")
    same = {"the same": segments, "equal": Segments.from_codes(codes[::-1], ["a", "b", "c"])}
    other = same.get(labels) or Segments.from_codes(codes, ["c", "a", "b"])
    moved = found.on(other)
    assert (moved is found) is (labels != "in another order")
    assert dict(zip(moved.labels, moved.location[0].tolist(), strict=True)) == {"a": 1.5, "b": 6.0, "c": 24.0}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("application", ["centre", "standardize"])
@pytest.mark.parametrize("level", [0.0, 3.0, 1000.1, -50_000.3])
def test_what_is_left_has_the_digits_of_the_values_and_not_of_the_location(
    dtype: type, application: str, level: float
) -> None:
    random = np.random.default_rng(1)
    x = (level + random.normal(size=400)).astype(dtype)
    segments = Segments.from_labels(np.repeat([0, 1, 2, 3], 100))
    found = fit(x.astype(np.float64), segments, "moments")
    exact = x.astype(np.float64) - found.location[0, segments.codes]
    if application == "standardize":
        exact /= found.scale[0, segments.codes]
    left = apply(x, segments, found, application)
    assert left.dtype == dtype
    # Two roundings of what is left; one of the location's second part, in float32 where values are half.
    floor = np.spacing(np.float32(abs(level))) * 1e-6
    np.testing.assert_allclose(left.astype(np.float64), exact, rtol=4 * np.finfo(dtype).eps, atol=floor)
