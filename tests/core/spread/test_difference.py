"""What groups are apart beyond chance, and what a fit leaves: against known values, at its edges, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend

from gridnorm.core.engines import backend_for
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments
from gridnorm.core.spread import difference
from gridnorm.core.spread.difference import MANY_ITEMS, differences, real_difference
from gridnorm.errors import FitError


def groups(*sizes: int) -> Segments:
    return Segments.from_labels(np.repeat(np.arange(len(sizes)), sizes))


def noise(segments: Segments, rows: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, segments.n_items))


def centred(values: np.ndarray, segments: Segments) -> tuple[Any, Any]:
    """Values without medians, and what does that again for some of the items."""

    def again(items: np.ndarray, some: Segments, seen: np.ndarray, share: float) -> Any:
        return normalize_within(values[:, items], some, "median", use=seen, minimum=0).values

    return normalize_within(values, segments, "median", minimum=0).values, again


def fixed(normalized: Any) -> Any:
    """What a fit leaves that was kept from elsewhere."""
    return lambda items, some, seen, share: normalized[:, backend_for(normalized).xp.asarray(items)]


def test_groups_that_mean_nothing_are_named_in_one_of_forty_draws() -> None:
    segments = groups(*[25] * 16)
    found = real_difference(noise(segments, 1000), segments)
    assert abs(found.variance.mean()) < 4 * found.variance.std() / np.sqrt(1000)
    assert 0.01 < (found.low > 0).mean() < 0.05  # one side of 95 %
    assert (found.low <= found.sd).all() and (found.sd <= found.high + 1e-12).all()


@pytest.mark.parametrize(("sizes", "allowed"), [((100,) * 2, 0.1), ((100,) * 4, 0.06), ((8,) * 6 + (200,) * 6, 0.06)])
def test_few_and_uneven_groups_are_not_named_more_often(sizes: tuple[int, ...], allowed: float) -> None:
    segments = groups(*sizes)
    sd = np.where(np.repeat(sizes, sizes) < 10, 4.0, 1.0)
    assert (real_difference(noise(segments, 500, 1) * sd, segments).low > 0).mean() < allowed


@pytest.mark.parametrize("sizes", [(4000, 8), (8, 4000, 8), (1500, 10, 60), (4000, *[8] * 7)])
def test_small_groups_beside_a_large_one_are_named_in_one_of_forty_draws(sizes: tuple[int, ...]) -> None:
    """Nearly all of the uncertainty is that of the small ones, nearly all of the weight that of the large one."""
    segments = groups(*sizes)
    found = real_difference(noise(segments, 400, 8), segments)
    assert (found.low > 0).mean() < 0.05
    shifts = np.zeros((400, len(sizes)))
    shifts[:, np.argmin(sizes)] = 5.0
    apart = real_difference(noise(segments, 400, 9) + np.repeat(shifts, sizes, axis=1), segments)
    assert (apart.low > 0).mean() > 0.95


@pytest.mark.parametrize("unit", [2.0**-400, 1e-12, 3.0, 2.0**300])
def test_the_unit_means_nothing(unit: float) -> None:
    segments = groups(40, 8, 100)
    values = noise(segments) + segments.codes
    one, other = (real_difference(given, segments) for given in (values, values * unit))
    for name, power in {"low": 1, "high": 1, "sd": 1, "share": 0}.items():
        np.testing.assert_allclose(getattr(other, name) / unit**power, getattr(one, name), rtol=1e-9)


def test_the_interval_holds_the_difference_that_there_is() -> None:
    segments = groups(*[100] * 12)
    shifts = np.random.default_rng(2).normal(size=(300, 12)) * 0.3
    found = real_difference(noise(segments, 300, 3) + np.repeat(shifts, 100, axis=1), segments)
    true = shifts.std(axis=1, ddof=1)
    assert ((found.low <= true) & (true <= found.high)).mean() > 0.92
    assert abs(found.sd.mean() / true.mean() - 1) < 0.02
    # 0.09 of 0.09 + 1.
    assert abs(found.share.mean() - 0.09 / 1.09) < 0.02


def test_every_group_counts_by_its_items() -> None:
    segments = groups(300, 100)
    values = np.r_[np.zeros(300), np.ones(100)][None]
    found = real_difference(values, segments)
    # (3/4 · 1/4) · 1², times 1/(1 − Σw²) = 1/(3/8).
    np.testing.assert_allclose(found.variance, [0.5], rtol=1e-12)
    np.testing.assert_allclose([found.low[0], found.high[0]], np.sqrt([0.5, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(found.share, [1.0])


def test_neighbours_and_repeats_of_a_group_are_no_difference() -> None:
    """Twins side by side or half a group apart, and rows that follow one another, stay in one part."""
    segments, random = groups(*[160] * 16), np.random.default_rng(4)
    named = {}
    twins = random.normal(size=(300, 16, 80))
    named["side by side"] = np.repeat(twins, 2, axis=2)
    named["half a group apart"] = np.concatenate([twins, twins], axis=2)
    follow = random.normal(size=(300, 16 * 160))
    for k in range(1, follow.shape[1]):
        follow[:, k] += 0.3 * follow[:, k - 1]
    named["one after the other"] = follow
    for name, values in named.items():
        assert (real_difference(values.reshape(300, -1), segments).low > 0).mean() < 0.07, name


def test_a_trend_along_every_group_is_no_difference_between_them() -> None:
    segments = groups(*[160] * 16)
    values = noise(segments, 200, 5) + np.tile(np.linspace(-2, 2, 160), 16)
    found = real_difference(values, segments)
    assert (found.low > 0).mean() < 0.07
    assert abs(found.variance.mean()) < 4 * found.variance.std() / np.sqrt(200)


@pytest.mark.parametrize(("least", "known"), [(4, True), (3, False)])
def test_two_groups_of_four_items_are_needed(least: int, known: bool) -> None:
    segments = groups(least, 50, 2)
    values = noise(segments)
    for found in (real_difference(values, segments), *differences(values, values, segments, fixed(values))):
        assert [np.isnan(part[0]) for part in found] == [not known] * 4
    assert np.isnan(real_difference(values, segments).sd[0]) == (not known)


def test_missing_and_unused_values_are_those_of_fewer_items() -> None:
    segments, random = groups(30, 41, 25, 60), np.random.default_rng(6)
    values = noise(segments, 2, 6)
    keep = random.random(segments.n_items) < 0.7
    fewer = Segments.from_labels(segments.codes[keep])
    expected = real_difference(values[:, keep], fewer)
    for found in (
        real_difference(values, segments, use=keep),
        real_difference(np.where(keep, values, np.nan), segments),
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_batch_entry_is_what_it_is_alone(backend: Backend) -> None:
    segments, random = groups(30, 300, 25, 260), np.random.default_rng(10)
    values = noise(segments, 3, 11) + 0.3 * segments.codes
    values[1, random.random(segments.n_items) < 0.3] = np.nan

    def found(rows: slice) -> Any:
        done, again = backend.on_numpy(centred, values[rows], segments)

        def refit(*given: Any) -> Any:
            return backend.asarray(backend.on_numpy(again, *given))

        def both(x: Any, y: Any) -> Any:
            before, left = differences(x, y, segments, refit)
            return tuple(before), tuple(left), tuple(real_difference(x, segments))

        return np.array(backend.run(both, values[rows], done))

    together = found(slice(0, 3))
    for b in range(3):
        np.testing.assert_array_equal(together[:, :, b], found(slice(b, b + 1))[:, :, 0])


def test_scale_and_shift_change_what_they_should() -> None:
    segments = groups(*[40] * 6)
    values = noise(segments, 1, 7) + segments.codes
    one, two = real_difference(values, segments), real_difference(-3 * values + 1000, segments)
    np.testing.assert_allclose(two.sd, 3 * one.sd, rtol=1e-9)
    np.testing.assert_allclose([two.low, two.high], 3 * np.array([one.low, one.high]), rtol=1e-9)
    np.testing.assert_allclose(two.share, one.share, rtol=1e-9)


def test_constant_values_are_no_difference() -> None:
    segments = groups(20, 20)
    found = real_difference(np.full((1, 40), 7.0), segments)
    assert (found.variance[0], found.low[0], found.high[0]) == (0, 0, 0) and np.isnan(found.share[0])


@pytest.mark.parametrize(("size", "share"), [(MANY_ITEMS, 0.25), (MANY_ITEMS - 1, 0.5)])
def test_of_large_groups_a_quarter_is_fitted_again_else_a_half(size: int, share: float) -> None:
    segments, asked = groups(MANY_ITEMS, size, 3), []
    values = noise(segments)

    def refit(items: np.ndarray, some: Segments, seen: np.ndarray, given: float) -> np.ndarray:
        asked.append((given, some.count(seen), some.labels))
        return values[:, items]

    differences(values, values, segments, refit)
    ((given, seen, labels),) = asked
    assert given == share and seen[0] == MANY_ITEMS * share and labels == (0, 1)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [((375,) * 16, 16), ((376,) * 16, 16), ((401,) * 16, 15), ((42,) * 200, 143), ((700,) * 12, 12), ((700,) * 24, 12)],
)
def test_after_a_fit_groups_of_6000_items_stand_for_all_and_twelve_at_least(
    sizes: tuple[int, ...], chosen: int
) -> None:
    segments, asked = groups(*sizes, 2), []
    values = noise(segments)
    values[0, 5] = np.nan

    def refit(items: np.ndarray, some: Segments, seen: np.ndarray, share: float) -> np.ndarray:
        asked.append(some.labels)
        assert 5 not in items and [segments.labels[g] for g in segments.codes[items]] == [
            some.labels[g] for g in some.codes
        ]
        return values[:, items]

    differences(values, values, segments, refit)
    gaps = np.diff([-1, *asked[0], len(sizes)])
    assert len(asked[0]) == chosen and gaps.max() - gaps[1:-1].min() <= 1


@pytest.mark.parametrize("size", [60, 300])
def test_what_a_fit_leaves_and_adds_is_measured(size: int) -> None:
    segments = groups(*[size] * 16)
    shifts = 0.3 * np.random.default_rng(8).normal(size=(60, 16))
    values = noise(segments, 60, 9) + np.repeat(shifts, size, axis=1)
    done, refit = centred(values, segments)
    before, after = differences(values, done, segments, refit)
    np.testing.assert_array_equal(before, real_difference(values, segments))
    # A median of n values is off by 1.25/√n, and that is what is left: nothing else would be 0 in expectation.
    left = 1.2533**2 / size
    assert 0.8 * left < after.variance.mean() < 1.5 * left
    # Half of the groups' shifts removed: half of them is left.
    removed = values - np.repeat(shifts, size, axis=1) / 2
    half = differences(values, removed, segments, fixed(removed))[1]
    assert abs(np.sqrt(half.variance.mean()) - 0.15) < 0.03


def test_groups_drawn_at_random_are_no_success() -> None:
    segments = groups(*[42] * 200)
    values = noise(segments, 20, 10)
    done, refit = centred(values, segments)
    before, after = differences(values, done, segments, refit)
    assert (before.low > 0).mean() <= 0.05 and (after.sd > before.sd).mean() > 0.9 and (after.low > 0).mean() > 0.3


def test_too_few_items_for_the_fit_are_no_answer() -> None:
    def refuse(items: np.ndarray, some: Segments, seen: np.ndarray, share: float) -> np.ndarray:
        raise FitError("too few")

    segments = groups(20, 20)
    before, after = differences(noise(segments), noise(segments), segments, refuse)
    assert np.isfinite(before.variance[0]) and np.isnan(after.variance[0])


def test_a_group_that_lacks_a_part_after_the_fit_is_no_answer() -> None:
    segments = groups(4, 4)
    values = noise(segments)
    lacking = np.where(np.arange(8) == 0, np.nan, values)
    before, after = differences(values, values, segments, fixed(lacking))
    assert np.isfinite(before.variance[0]) and [np.isnan(part[0]) for part in after] == [True] * 4


def test_it_is_the_same_on_every_backend(backend: Backend) -> None:
    segments = groups(20, 31, 44)
    values = noise(segments, 2, 11) + 0.5 * segments.codes
    values[0, 3] = np.nan
    done = values - 0.5 * segments.codes
    expected = differences(values, done, segments, fixed(done))

    def both(values: Any, done: Any) -> list[Any]:
        return [part for found in differences(values, done, segments, fixed(done)) for part in found]

    found = backend.run(both, values, done)
    np.testing.assert_allclose(np.array(found), np.concatenate(expected), rtol=1e-9, atol=1e-9)
    sd = backend.run(lambda x: real_difference(x, segments).sd, values)
    np.testing.assert_allclose(sd, expected[0].sd, rtol=1e-9)


@pytest.mark.parametrize(("size", "first"), [(15, [0, 1, 2, 3, 0]), (16, [0, 1, 2, 3, 3]), (32, [0, 0, 1, 1, 2])])
def test_sixteen_items_are_dealt_in_runs(size: int, first: list[int]) -> None:
    segments = groups(size)
    assert difference._deal(segments, np.ones(size, bool))[:5].tolist() == first


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 7, 50, 400])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_bounds_use_students_distribution(groups: int, parts: int) -> None:
    from scipy.stats import t

    assert difference._student(groups, parts) == pytest.approx(t.ppf(0.975, groups * parts), rel=3e-3)


@pytest.mark.parametrize("groups", [2, 3, 8])
def test_few_groups_have_bounds_that_hold_the_truth(groups: int) -> None:
    """95 % are meant; with a normal quantile two groups had 84."""
    held = named = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        shifts = rng.normal(0, 0.5, groups)
        labels = np.repeat(np.arange(groups), 60)
        noise = rng.normal(size=(1, labels.size))
        segments = Segments.from_codes(labels, range(groups))
        named += real_difference(noise, segments).low[0] > 0
        found = real_difference(noise + shifts[labels], segments)
        held += found.low[0] <= shifts.std(ddof=1) <= found.high[0]
    assert held / 400 > 0.92 and named / 400 < 0.04
