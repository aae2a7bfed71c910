"""Normalization within one array: what each method promises."""

from __future__ import annotations

import numpy as np
import pytest
from covariates import column, names_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gridnorm.arrays.chain import Levels, normalize_levels
from gridnorm.arrays.weights import SpotUse, use_of
from gridnorm.arrays.within import WithinResult, choose_method, options_of_share, take_options
from gridnorm.core.methods import METHODS
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError

N, TIPS = 200, 4
FITTED = [name for name, row in METHODS.items() if row.statistic]
# What composite goes over to is one curve of all groups, so that groups keep what they are apart where levels are high.
APART = [name for name in FITTED if name != "composite"]
GROUPS = Segments.from_labels(np.arange(N) % TIPS)
ALL = use_of(None, N, "ignore")
# Sums in another order.
CLOSE = {"rtol": 0, "atol": 1e-9}


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.uniform(6, 14, N)
    return (np.arange(N) % TIPS * 0.3 + 0.05 * a + 0.3 * rng.standard_normal(N))[None], a[None]


def within_array(
    m: np.ndarray, a: np.ndarray | None, groups: Segments, method: str, use: SpotUse, position=None, **options
) -> WithinResult:
    """One array, with keywords as a user gives them; groups have their own fits where nothing else is said."""
    row = choose_method(method, ())
    if row.statistic is not None and not row.pools_itself:
        options.setdefault("small_groups", "own")
    names = {"level", *names_of(row)}
    levels = Levels(m, {} if a is None else {name: column(name, a) for name in names}, a is not None)
    return normalize_levels(levels, groups, row, use, take_options(row, options), position)


def test_automatic_method_follows_the_channels() -> None:
    channels = (("R", "G"), ("E",), ("635", "532", "594"))
    assert [choose_method("auto", c).name for c in channels] == ["loess", "none", "none"]
    assert [choose_method("auto", c, grouped=True).name for c in channels] == ["loess", "median", "median"]


@pytest.mark.parametrize("method", [name for name in APART if not METHODS[name].pools_itself])
@given(shift=st.floats(-5, 5), seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_a_constant_on_a_group_disappears(method: str, shift: float, seed: int) -> None:
    m, a = data(seed)
    moved = m + np.where(np.arange(N) % TIPS == 2, shift, 0.0)
    one, two = (within_array(v, a, GROUPS, method, ALL).values for v in (m, moved))
    np.testing.assert_allclose(one, two, **CLOSE)


@pytest.mark.parametrize("method", FITTED)
def test_the_order_of_the_spots_means_nothing(method: str) -> None:
    m, a = data()
    order = np.random.default_rng(1).permutation(N)
    one = within_array(m, a, GROUPS, method, ALL)
    two = within_array(m[:, order], a[:, order], Segments.from_labels((np.arange(N) % TIPS)[order]), method, ALL)
    np.testing.assert_allclose(one.values[:, order], two.values, **CLOSE)
    np.testing.assert_allclose(one.before, two.before, **CLOSE)


@pytest.mark.parametrize("method", FITTED)
def test_spots_left_out_get_the_fit_and_do_not_shape_it(method: str) -> None:
    m, a = data()
    flags = np.where(np.arange(N) % 7 == 0, -50, 0)
    wild = np.where(flags < 0, m + 1000.0, m)
    one, two = (within_array(v, a, GROUPS, method, use_of(flags, N, "exclude")) for v in (m, wild))
    np.testing.assert_allclose(one.values[:, flags == 0], two.values[:, flags == 0], **CLOSE)
    assert np.isfinite(one.values).all()
    enters = (flags == 0) & ((column("control", a[0]) > 0) if METHODS[method].marks else True)
    assert (one.n == np.bincount(np.arange(N)[enters] % TIPS)).all()
    dropped = within_array(m, a, GROUPS, method, use_of(flags, N, "drop"))
    np.testing.assert_array_equal(np.isnan(dropped.values[0]), flags < 0)
    np.testing.assert_array_equal(dropped.values[:, flags == 0], one.values[:, flags == 0])


@pytest.mark.parametrize("method", METHODS)
def test_missing_values_stay_missing_and_are_nobody_elses_business(method: str) -> None:
    m, a = data()
    holes = np.arange(N) % 11 == 3
    one = within_array(np.where(holes, np.nan, m), a, GROUPS, method, ALL).values
    np.testing.assert_array_equal(np.isnan(one[0]), holes)
    kept = ~holes
    alone = within_array(
        m[:, kept],
        a[:, kept],
        Segments.from_labels((np.arange(N) % TIPS)[kept]),
        method,
        use_of(None, int(kept.sum()), "ignore"),
    )
    np.testing.assert_allclose(one[:, kept], alone.values, **CLOSE)


@pytest.mark.parametrize("method", ["median", "mean", "mad"])
def test_one_channel_keeps_the_level_of_the_array(method: str) -> None:
    m, _ = data()
    done = within_array(m, None, GROUPS, method, ALL)
    middle = np.mean if method == "mean" else np.median
    for g in range(TIPS):
        np.testing.assert_allclose(middle(done.values[0, g::TIPS]), middle(m), **CLOSE)


def test_none_changes_nothing_and_says_so() -> None:
    m, a = data()
    done = within_array(m, a, GROUPS, "none", ALL)
    np.testing.assert_array_equal(done.values, m)
    assert done.fit is None and done.sources() == ["none"] * TIPS
    np.testing.assert_array_equal(done.before, done.after)


def test_before_and_after_are_medians_of_the_groups() -> None:
    m, a = data()
    done = within_array(m, a, GROUPS, "loess", ALL)
    for g in range(TIPS):
        np.testing.assert_allclose(done.before[0, g], np.median(m[0, g::TIPS]), **CLOSE)
        np.testing.assert_allclose(done.after[0, g], np.median(done.values[0, g::TIPS]), **CLOSE)


@pytest.mark.parametrize("rule", ["array", "merge", "shrink"])
def test_small_groups_are_named_and_leave_the_others_alone(rule: str) -> None:
    m, a = data()
    labels = np.where(np.arange(N) < 3, 9, np.arange(N) % TIPS)
    position = np.divmod(np.arange(N), 20)
    done = within_array(m, a, Segments.from_labels(labels), "loess", ALL, position, small_groups=rule, min_group=30)
    named = dict(zip((0, 1, 2, 3, 9), done.sources(), strict=True))
    assert named[9] == {"array": "array", "merge": "merged", "shrink": "shrunk"}[rule]
    assert sum(source == "own" for source in named.values()) == (3 if rule == "merge" else 4)
    assert [shares is not None for shares in done.shares()] == [source == "shrunk" for source in done.sources()]
    assert np.isfinite(done.values).all()
    if rule == "array":
        whole = within_array(m, a, Segments.single(N), "loess", ALL).values
        np.testing.assert_allclose(done.values[0, :3], whole[0, :3], **CLOSE)


def test_what_cannot_be_fitted_says_why() -> None:
    m, a = data()
    small = Segments.from_labels(np.where(np.arange(N) < 3, 9, 1))
    with pytest.raises(FitError, match=r"1 group.* 9 \(3\)"):
        within_array(m, a, small, "loess", ALL, small_groups="error")
    with pytest.raises(FitError, match="no usable value"):
        within_array(np.full_like(m, np.nan), a, GROUPS, "median", ALL)
    with pytest.raises(OptionError, match="needs two channels"):
        within_array(m, None, GROUPS, "loess", ALL)
    with pytest.raises(OptionError, match="unknown method"):
        within_array(m, a, GROUPS, "lowess", ALL)
    with pytest.raises(OptionError, match="small_groups"):
        within_array(m, a, GROUPS, "median", ALL, small_groups="whole")


def test_shifts_of_one_channel_are_measured_from_the_array_and_vanish() -> None:
    rng = np.random.default_rng(4)
    groups = Segments.from_labels(np.repeat([0, 1, 2], [100, 100, 40]))
    level = 10 + np.repeat([0.5, -1.0, 4.0], [100, 100, 40]) + rng.normal(0, 0.1, 240)
    done = within_array(level[None, :], None, groups, "median", use_of(None, 240, "ignore"))
    medians = np.array([np.median(level[groups.codes == g]) for g in range(3)])
    np.testing.assert_allclose(done.before[0], medians - np.median(level), atol=1e-12)
    np.testing.assert_allclose(done.after, 0, atol=1e-12)
    assert np.median(done.values) == pytest.approx(np.median(level), abs=1e-12)


@pytest.mark.parametrize("method", APART)
def test_every_method_says_what_groups_are_apart_before_and_after(method: str) -> None:
    rng = np.random.default_rng(5)
    groups = Segments.from_labels(np.repeat(np.arange(8), 120))
    a = rng.uniform(6, 14, 960)[None]
    m = (0.5 * rng.standard_normal(8)[groups.codes] + 0.3 * rng.standard_normal(960))[None]
    done = within_array(m, a, groups, method, use_of(None, 960, "ignore"))
    assert done.real_before.low[0] > 0.2
    assert done.real_after.low[0] == 0 and done.real_after.sd[0] < 0.1
    nothing = within_array(m - m.mean(), a, groups, "none", use_of(None, 960, "ignore"))
    assert nothing.real_before is nothing.real_after


def test_small_groups_are_as_small_in_a_part_of_the_spots() -> None:
    assert options_of_share({"min_group": 31, "span": 0.3}, 0.5) == {"min_group": 15, "span": 0.3}
    assert options_of_share({"span": 0.3}, 0.25) == {"span": 0.3}
    # Half of 40 spots is fewer than 30, and still every group has a fit of its own.
    rng, groups = np.random.default_rng(6), Segments.from_labels(np.repeat(np.arange(40), 40))
    m = (0.5 * rng.standard_normal(40)[groups.codes] + 0.2 * rng.standard_normal(1600))[None]
    done = within_array(m, rng.uniform(6, 14, (1, 1600)), groups, "loess", use_of(None, 1600, "ignore"))
    assert done.real_before.sd[0] > 0.3 and done.real_after.sd[0] < 0.1


def test_one_group_has_no_difference_and_its_fit_is_made_once() -> None:
    m, a = data()
    done = within_array(m, a, Segments.single(N), "loess", ALL)
    assert np.isnan(done.real_before.sd[0]) and np.isnan(done.real_after.sd[0])
