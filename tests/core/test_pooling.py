"""Partial pooling: what a small group keeps of its own, and that nothing else decides about it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from backends import ON_HOST, Backend
from covariates import covariate_for
from own_method import PLANE

from gridnorm.core.apply import evaluate
from gridnorm.core.fit import OWN, SHRUNK, WHOLE_FIT, Fit, fit
from gridnorm.core.methods import METHODS, apply_method, normalize_within
from gridnorm.core.option import effective
from gridnorm.core.payload import BENDS, LOG_SCALE, MIDDLE, Curves
from gridnorm.core.pooling import _LONGEST, _MUTE, _share, passage
from gridnorm.core.segments import Segments
from gridnorm.core.small import replace_small
from gridnorm.core.statistic import STATISTICS

LIMIT = 60
SIZES = [80, 60, 59, 30, 12, 1, 0]
LABELS = np.repeat(np.arange(len(SIZES)), SIZES)
NAMES = [f"g{k}" for k in range(len(SIZES))]
SEGMENTS = Segments.from_codes(LABELS, NAMES)
OFFSET = np.array([0.4, -0.3, 0.2, -0.5, 0.3, 0.6, 0.0])[LABELS]
FITTED = [name for name, row in METHODS.items() if row.statistic and not row.pools_itself]


def data(seed: int = 0, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(6, 14, (batch, LABELS.size))
    return OFFSET + np.sin(x) + 0.1 * OFFSET * (x - 10) + rng.normal(0, 0.2, x.shape), x


def over(method: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """The covariates; all items are marked where only marked ones enter, so that groups have the sizes above."""
    found = covariate_for(METHODS[method], x, **({"marked": 1.0} if METHODS[method].marks else {}))
    return {} if found is None else {"covariate": found}


def pooled(
    backend: Backend, y: np.ndarray, x: np.ndarray, method: str = "loess", segments: Segments = SEGMENTS, **more: Any
):
    given = {"minimum": LIMIT, "small_groups": "shrink", **over(method, x), **more}
    return backend.run(normalize_within, y, segments, method, **given)


def curve(found: Fit, group: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(found.curve.offsets[group], found.curve.offsets[group + 1])
    return found.curve.x[part], found.curve.y[part]


def test_one_group_far_off_among_many_is_far_off() -> None:
    """Fifteen groups alike say that groups do not differ; one that is 9 σ off keeps its distance all the same."""
    sizes = [400] * 15 + [20]
    labels = np.repeat(np.arange(16), sizes)
    error, moved = [], []
    for seed in range(12):
        y = np.random.default_rng(seed).normal(0, 0.35, (1, labels.size))
        far, near = (normalize_within(y + off * (labels == 15), Segments.from_codes(labels, range(16)), "median",
                                      minimum=200, small_groups="shrink").fit for off in (0.8, 0.0))  # fmt: skip
        error.append(float(far.location[0, 15]) - 0.8)
        moved.append(float(near.shares[0, 15, 0]))
    # Own medians: 0.35 · 1.25 / √20 = 0.10; without the limit the error was 0.6. Held at 2.5 σ of a level.
    assert np.sqrt(np.mean(np.square(error))) < 0.3 and np.mean(moved) < 0.3


# ---- where the own fit begins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FITTED)
def test_from_the_limit_on_a_group_has_its_own_fit_bit_for_bit(backend: Backend, method: str) -> None:
    y, x = data()
    done, own = (pooled(backend, y, x, method, small_groups=rule) for rule in ("shrink", "own"))
    assert done.fit.source.tolist() == [[OWN, OWN, SHRUNK, SHRUNK, SHRUNK, SHRUNK, WHOLE_FIT]]
    assert done.fit.n.tolist() == [SIZES]
    assert done.fit.shares[0, :2].tolist() == [[1, 1], [1, 1]] and done.fit.shares[0, 6].tolist() == [0, 0]
    big = LABELS < 2
    if METHODS[method].relative:  # relative scales share their geometric mean
        for name in ("location", "n"):
            np.testing.assert_array_equal(getattr(done.fit, name)[0, :2], getattr(own.fit, name)[0, :2])
    else:
        np.testing.assert_array_equal(done.values[:, big], own.values[:, big])
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(done.values[:, LABELS == 4], own.values[:, LABELS == 4], atol=1e-3)


@pytest.mark.parametrize(
    "statistic", dict.fromkeys(METHODS[name].fitted.grouped.name for name in FITTED) | {"quantiles": None}
)
def test_at_the_limit_nothing_jumps(backend: Backend, statistic: str) -> None:
    """A group one value short of the limit has nearly its own fit, whatever its shares would be."""
    y, x = data()
    found = covariate_for(STATISTICS[statistic], x)
    more = {} if found is None else {"covariate": found}
    arguments = {"weights": None, "use": None, **more, **effective(STATISTICS[statistic].options, {})}
    # One that groups short of the limit have too: 25 in the window of a curve, 36 in that of a surface.
    arguments |= {"span": 0.65} if more else {}
    own = backend.run(fit, y, SEGMENTS, statistic, **arguments)
    done = backend.run(
        replace_small, own, y, SEGMENTS, LIMIT, "shrink", statistic=STATISTICS[statistic], arguments=arguments
    )
    one, two = (backend.run(evaluate, found, more.get("covariate"), SEGMENTS)[0, LABELS == 2] for found in (own, done))
    assert done.source[0, 2] == SHRUNK and (done.shares[0, 2] > 0.999).all()
    np.testing.assert_allclose(one, two, rtol=0, atol=2e-3)
    for name in ("scale", "points"):
        if getattr(own, name) is not None:
            np.testing.assert_allclose(getattr(own, name)[0, 2], getattr(done, name)[0, 2], rtol=0, atol=2e-3)


def test_the_passage_has_no_step_and_no_corner() -> None:
    at = passage(np.arange(0, 301), 150)
    assert (at[0], at[150], at[300]) == (0, 1, 1) and (np.diff(at) >= 0).all()
    assert np.abs(np.diff(at, 2)).max() < 3e-4


def test_few_values_are_fitted_with_25_in_a_window() -> None:
    spans = {n: Curves.few({"span": 0.3}, n, 150)["span"] for n in (1, 10, 25, 26, 50, 83, 84, 149)}
    assert spans[1] == spans[10] == spans[25] == 1
    assert spans[26] == pytest.approx(25 / 26) and spans[50] == 0.5 and spans[83] == pytest.approx(25 / 83)
    assert spans[84] == spans[149] == 0.3
    assert Curves.few({"span": 0.1}, 60, 60)["span"] == pytest.approx(0.1), "at any limit what was asked for"
    assert Curves.few({"other": 1}, 10, 150) == {"other": 1}


def test_groups_of_50_get_the_wider_span_and_groups_of_84_do_not(backend: Backend) -> None:
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [200, 84, 50])
    x = rng.uniform(0, 1, labels.size)
    y, segments = np.sin(9 * x) * (labels > 0) + rng.normal(0, 0.01, labels.size), Segments.from_labels(labels)
    found = pooled(backend, y[None], x[None], segments=segments, minimum=150).fit
    assert (found.shares[0, 1:] > 0.99).all(), "so that the curves are nearly their own"
    for group, span in ((1, 0.3), (2, 0.5)):
        mine = labels == group
        alone = backend.run(fit, y[mine], Segments.single(mine.sum()), "lowess", covariate=x[mine], span=span)
        at = np.interp(alone.curve.x, *curve(found, group))
        np.testing.assert_allclose(at, alone.curve.y, rtol=0, atol=0.02)


# ---- what must not matter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FITTED)
def test_order_names_and_units_mean_nothing(backend: Backend, method: str) -> None:
    y, x = data(3)
    base = pooled(backend, y, x, method)
    order = np.random.default_rng(1).permutation(LABELS.size)
    renamed = Segments.from_codes((len(SIZES) - 1 - LABELS)[order], NAMES)
    other = pooled(backend, y[:, order], x[:, order], method, renamed)
    np.testing.assert_allclose(other.values, base.values[:, order], rtol=0, atol=1e-10)
    np.testing.assert_allclose(other.fit.shares[:, ::-1], base.fit.shares, rtol=0, atol=1e-10)
    moved = pooled(backend, 8 * y + 3, x, method)
    level = 1 if method == "zscore" else 8
    np.testing.assert_allclose(moved.values, level * base.values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(moved.fit.shares, base.fit.shares, rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", FITTED)
def test_a_batch_entry_is_what_it_is_alone(backend: Backend, method: str) -> None:
    y, x = data(5, batch=3)
    y[1, LABELS == 3] = np.nan
    y[2, 70:95] = np.nan
    together = pooled(backend, y, x, method)
    for b in range(3):
        alone = pooled(backend, y[b : b + 1], x[b : b + 1], method)
        np.testing.assert_array_equal(together.values[b], alone.values[0])
        np.testing.assert_array_equal(together.fit.shares[b], alone.fit.shares[0])
        assert together.fit.source[b].tolist() == alone.fit.source[0].tolist()


@pytest.mark.parametrize("method", ["median", "mad", "loess"])
def test_what_is_not_used_has_no_say(backend: Backend, method: str) -> None:
    y, x = data(6)
    out = np.arange(LABELS.size) % 5 == 0
    wild = np.where(out, 1e6, y)
    kept = ~out
    fewer = Segments.from_codes(LABELS[kept], NAMES)
    alone = pooled(backend, y[:, kept], x[:, kept], method, fewer)
    for more in ({"use": kept}, {"weights": kept.astype(float)}):
        done = pooled(backend, wild, x, method, **more)
        np.testing.assert_allclose(done.values[:, kept], alone.values, rtol=0, atol=1e-12)
        np.testing.assert_allclose(done.fit.shares, alone.fit.shares, rtol=0, atol=1e-12)
        assert np.isfinite(done.values).all()
    missing = pooled(backend, np.where(out, np.nan, y), x, method)
    np.testing.assert_allclose(missing.values[:, kept], alone.values, rtol=0, atol=1e-12)


def test_small_weights_tell_less(backend: Backend) -> None:
    y, x = data(7)
    mostly_one = np.where((LABELS == 4) & (np.arange(LABELS.size) % 12 > 0), 0.01, 1.0)
    light, equal = (pooled(backend, y, x, weights=w).fit.shares[0, 4] for w in (mostly_one, np.full(LABELS.size, 2.0)))
    assert (light < equal).all()
    np.testing.assert_allclose(equal, pooled(backend, y, x).fit.shares[0, 4], rtol=1e-12)


def test_a_kept_fit_does_what_the_fit_did(backend: Backend) -> None:
    y, x = data(8, batch=2)
    for method in FITTED:
        if backend.name == "refusing" and METHODS[method].statistic in ON_HOST:
            continue
        done = pooled(backend, y, x, method)
        kept = Fit.from_plain(json.loads(json.dumps(done.fit.to_plain(), allow_nan=False)))
        again = backend.on_numpy(apply_method, y, SEGMENTS, method, kept, **over(method, x))
        np.testing.assert_allclose(again, done.values, rtol=0, atol=backend.tolerance(np.float64))
        np.testing.assert_array_equal(kept.shares, done.fit.shares)
        turned = kept.on(Segments.from_codes(LABELS, NAMES[::-1]))
        np.testing.assert_array_equal(turned.shares, kept.shares[:, ::-1])


# ---- how much is kept ----------------------------------------------------------------------------------------------


def test_a_group_of_one_has_a_level_and_an_empty_one_has_the_whole(backend: Backend) -> None:
    y, x = data(9)
    found = pooled(backend, y, x).fit
    whole = backend.run(fit, y, Segments.single(LABELS.size), "lowess", covariate=x)
    at, mine = x[0, LABELS == 5], y[0, LABELS == 5]
    share = found.shares[0, 5, 0]
    expected = np.interp(at, *curve(whole, 0)) * (1 - share) + mine * share
    np.testing.assert_allclose(np.interp(at, *curve(found, 5)), expected, rtol=0, atol=1e-12)
    assert 0.5 < share < 1, "groups differ by about 0.4, one value by 0.2"
    np.testing.assert_array_equal(curve(found, 6), curve(whole, 0))


def test_one_group_is_the_whole_and_keeps_its_fit(backend: Backend) -> None:
    y, x = data()
    only = np.where(LABELS == 3, y, np.nan)
    done, own = (pooled(backend, only, x, small_groups=rule) for rule in ("shrink", "own"))
    assert done.fit.source.tolist() == [[1, 1, 1, 0, 1, 1, 1]]
    np.testing.assert_array_equal(done.values, own.values)


def test_two_groups_are_told_apart_by_their_difference_alone(backend: Backend) -> None:
    rng = np.random.default_rng(2)
    segments = Segments.from_labels(np.repeat(["a", "b"], [40, 20]))
    noise = rng.normal(size=60)
    noise -= np.where(segments.codes == 0, np.median(noise[:40]), np.median(noise[40:]))
    near, far = (pooled(backend, (noise + d * segments.codes)[None], None, "median", segments) for d in (0.05, 5.0))
    assert near.fit.source.tolist() == [[SHRUNK, SHRUNK]]
    np.testing.assert_allclose(near.fit.shares[0, :, 0], passage([40, 20], LIMIT), rtol=1e-12)
    assert (far.fit.shares[0, :, 0] > 0.95).all()


def test_where_the_noise_cannot_be_told_nothing_is_kept(backend: Backend) -> None:
    """Up to five values lie around their own fit as closely as they like; the passage is all that moves them."""
    rng = np.random.default_rng(3)
    for size, told in ((_MUTE, False), (_MUTE + 1, True)):
        labels = np.repeat(np.arange(12), size)
        y = rng.normal(size=labels.size) + 20.0 * labels
        found = pooled(backend, y[None], None, "median", Segments.from_labels(labels), minimum=150).fit
        gone = passage(size, 150)
        assert np.allclose(found.shares[0, :, 0], gone) is not told
        assert (found.shares[0, :, 0] > 0.99).all() == told


@pytest.mark.parametrize(("singles", "told"), [(30, True), (31, False)])
def test_half_of_the_values_must_lie_in_groups_that_tell_the_noise(backend: Backend, singles: int, told: bool) -> None:
    """By gene, say: that many groups of one differ much says nothing where only a few groups show the noise."""
    labels = np.concatenate([np.repeat([0, 1], 15), np.arange(2, 2 + singles)])
    y = np.random.default_rng(5).normal(size=labels.size) * np.where(labels < 2, 0.1, 5.0)
    found = pooled(backend, y[None], None, "median", Segments.from_labels(labels), minimum=200).fit
    assert (found.shares[0, 5, 0] > 0.9) == told
    assert (found.shares[0, 5, 0] < 0.001) != told


@pytest.mark.parametrize("method", FITTED)
def test_constant_groups_and_equal_groups_are_no_trouble(backend: Backend, method: str) -> None:
    x = np.linspace(6, 14, LABELS.size)[None]
    for y in (np.zeros((1, LABELS.size)), np.full((1, LABELS.size), 7.0)):
        done = pooled(backend, y, x, method)
        np.testing.assert_allclose(done.values, 0, atol=1e-10)
        assert ((done.fit.shares >= 0) & (done.fit.shares <= 1)).all()
    steps = pooled(backend, OFFSET[None], x, method)
    assert np.isfinite(steps.values).all()


def test_groups_that_mean_nothing_keep_nothing_of_their_own(backend: Backend) -> None:
    rng = np.random.default_rng(10)
    labels = np.repeat(np.arange(16), 20)
    levels, bends = [], []
    for _ in range(12):
        x = rng.uniform(6, 14, labels.size)
        shares = pooled(
            backend, rng.normal(size=(1, labels.size)), x[None], segments=Segments.from_labels(labels), minimum=10**6
        ).fit.shares
        levels.append(shares[0, 0, 0])
        bends.append(shares[0, 0, 1])
    assert np.median(levels) < 0.1 and np.median(bends) < 0.1


def test_shares_are_those_of_the_true_variances() -> None:
    """Squares with a variance of 0.5 between groups and a noise of 1/n: on average the share that is best."""
    rng = np.random.default_rng(11)
    n = np.tile([2, 10, 50, 200], 50)
    count = np.broadcast_to(n, (200, n.size))
    level = rng.normal(size=count.shape) * np.sqrt(0.5 + 1 / count)
    found = _share(level**2, 1 / count, np.ones(count.shape, bool), count).mean(axis=0)
    np.testing.assert_allclose(found, 0.5 / (0.5 + 1 / n), rtol=0, atol=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_groups_of_a_few_values_follow_the_unit(backend: Backend, n: int) -> None:
    """Also where their own curves leave nothing but rounding."""
    rng, segments = np.random.default_rng(n), Segments.from_labels(np.repeat(np.arange(21), [200] + [n] * 20))
    x = rng.uniform(6, 14, (1, segments.n_items))
    y = np.sin(x) + rng.normal(0, 0.2, x.shape)
    one, other = (pooled(backend, unit * y, x, segments=segments, minimum=200) for unit in (1.0, 3.3))
    np.testing.assert_allclose(other.values / 3.3, one.values, rtol=0, atol=1e-10)


@pytest.mark.parametrize("of_the_large", [0.0, 4.0])
@pytest.mark.parametrize(("of_the_small", "low", "high"), [(100.0, 0.95, 1.0), (0.5, 0.0, 0.05)])
def test_a_large_group_that_is_the_whole_says_nothing_of_the_others(
    of_the_large: float, of_the_small: float, low: float, high: float
) -> None:
    """Its distance from the whole, which it hardly can have, decides neither for nor against them."""
    count = np.array([[10_000, 30]])
    noise = 1.0 / count
    square = np.array([[of_the_large, of_the_small]]) * noise
    share = _share(square, noise, np.ones((1, 2), bool), count)[0, 1]
    assert low <= share <= high


def test_one_small_group_beside_a_large_one_is_moved_to_where_it_is(backend: Backend) -> None:
    rng, sizes = np.random.default_rng(15), (4000, 20)
    segments = Segments.from_labels(np.repeat([0, 1], sizes))
    y = rng.normal(0, 0.3, (20, segments.n_items)) + 0.8 * segments.codes
    done = pooled(backend, y, y, "median", segments, minimum=200)
    assert (done.fit.shares[:, 1, 0] > 0.8).all()


def test_one_wild_shape_does_not_let_in_the_noise_of_the_others() -> None:
    noise, count = np.full((1, 16), 1.0), np.full((1, 16), 30)
    square = np.ones((1, 16))
    square[0, 0] = 400.0
    known = np.ones((1, 16), bool)
    assert _share(square, noise, known, count)[0, 1] > 0.9
    assert _share(square, noise, known, count, _LONGEST)[0, 1] < 0.3


def test_accidents_do_not_count_as_noise_without_end(backend: Backend) -> None:
    y, x = data(12)
    hit = np.where(np.arange(LABELS.size) % 50 == 7, 50.0, 0.0)
    clean, spoiled = (pooled(backend, v, x).fit.shares[0, 3] for v in (y, y + hit))
    np.testing.assert_allclose(spoiled, clean, rtol=0, atol=0.15)


@pytest.mark.parametrize("n", [8, 16, 30, 60, 120])
def test_the_noise_of_a_shape_is_what_it_is_said_to_be(n: int) -> None:
    """Of normal values without a curve: the mean square of what is fitted beyond its median."""
    rng, groups = np.random.default_rng(n), 4000 // n
    segments = Segments.uniform(n * groups, groups)
    x, y = rng.normal(10, 1.6, n * groups), rng.normal(size=n * groups)
    options = Curves.few({"span": 0.3}, n, 150)
    found = evaluate(fit(y, segments, "lowess", covariate=x, **options), x, segments)[0].reshape(groups, n)
    bend = n * np.mean((found - np.median(y.reshape(groups, n), axis=1)[:, None]) ** 2)
    assert bend * options["span"] == pytest.approx(BENDS, rel=0.25)


def test_the_noise_of_scales_and_medians_is_what_it_is_said_to_be() -> None:
    y, segments = np.random.default_rng(0).normal(size=40_000), Segments.uniform(40_000, 1000)
    found = fit(y, segments, "mad")
    assert 40 * np.log(found.scale).var() == pytest.approx(LOG_SCALE, rel=0.1)
    assert 40 * found.location.var() == pytest.approx(MIDDLE, rel=0.1)


# ---- other statistics ----------------------------------------------------------------------------------------------


def test_a_statistic_of_ones_own_has_its_level_pooled(backend: Backend) -> None:
    if backend.kind is not np.ndarray:
        pytest.skip("the plane of the helpers is NumPy's")
    y, x = data(13)
    z = np.stack([x, np.random.default_rng(1).uniform(0, 1, x.shape)], axis=2)
    method = PLANE.__class__(**{**PLANE.__dict__, "use": None, "columns": (), "more_options": ()})
    done = backend.run(normalize_within, y, SEGMENTS, method, covariate=z, minimum=LIMIT, small_groups="shrink")
    whole = backend.run(fit, y, Segments.single(LABELS.size), PLANE.statistic, covariate=z)
    slopes = done.fit.payload.coefficients[0, :, 1:]
    np.testing.assert_allclose(slopes[2:], np.broadcast_to(whole.payload.coefficients[0, 0, 1:], (5, 2)), rtol=1e-12)
    assert abs(np.median(done.values[0, LABELS == 3])) < 0.1
    assert (method.limit("shrink"), method.limit("whole")) == (6, 6), "its shape cannot go over"
    assert (METHODS["loess"].limit("shrink"), METHODS["loess"].limit("merge")) == (200, 30)


def test_quantiles_keep_their_order_of_size(backend: Backend) -> None:
    y, _ = data(14)
    own = backend.run(fit, y, SEGMENTS, "quantiles")
    arguments = {"weights": None, "use": None}
    done = backend.run(
        replace_small, own, y, SEGMENTS, LIMIT, "shrink", statistic=STATISTICS["quantiles"], arguments=arguments
    )
    whole = backend.run(fit, y, Segments.single(LABELS.size), "quantiles").points[0, 0]
    assert (np.diff(done.points, axis=2) > 0).all()
    level = done.points[0, 4, 1]
    assert min(whole[1], own.points[0, 4, 1]) < level < max(whole[1], own.points[0, 4, 1])
