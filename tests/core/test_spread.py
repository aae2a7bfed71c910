"""Share of variance by grouping, its tests, and the tightest grouping, against SciPy, enumeration and known answers."""

from __future__ import annotations

import warnings
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from gridnorm.core import spread
from gridnorm.core.segments import Segments
from gridnorm.core.spread import f_test, permutation_test, share_explained, tightest, variance_shares
from gridnorm.errors import OptionError

GROUPED = st.lists(st.tuples(st.integers(0, 3), st.floats(-100, 100)), min_size=4, max_size=30)


def scattered(seed: int = 0, n: int = 40, groups: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, groups, n)
    return random.normal(size=n) + 0.5 * labels, labels


def split(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [values[labels == label] for label in np.unique(labels)]


def test_share_of_known_sums_of_squares() -> None:
    # Means 2 and 6 around 4: between 4·4 = 16; within (1 + 1) + (1 + 1) = 4.
    share = share_explained(np.array([1.0, 3.0, 5.0, 7.0]), Segments.from_labels([0, 0, 1, 1]))
    np.testing.assert_allclose(share, [16 / 20], rtol=1e-15)


def test_the_adjusted_share_is_of_mean_squares_and_zero_by_chance() -> None:
    # 4 within of 20, two groups of four values: 1 − (4/2)/(20/3).
    values, segments = np.array([1.0, 3.0, 5.0, 7.0]), Segments.from_labels([0, 0, 1, 1])
    np.testing.assert_allclose(variance_shares(values, segments).adjusted, [0.7], rtol=1e-15)
    np.testing.assert_allclose(variance_shares(values, segments).chance, [1 / 3], rtol=1e-15)
    dealt = np.random.default_rng(0).normal(size=(500, 60))
    groups = Segments.from_labels(np.arange(60) % 7)
    assert abs(variance_shares(dealt, groups).adjusted.mean()) < 4 * variance_shares(
        dealt, groups
    ).adjusted.std() / np.sqrt(500)
    assert variance_shares(dealt, groups).chance[0] == 6 / 59
    assert abs(share_explained(dealt, groups).mean() - 6 / 59) < 0.01


def test_adjusted_and_chance_shares_count_what_is_used_and_are_missing_where_nothing_is_left() -> None:
    values, labels = scattered(2)
    values[5], use = np.nan, np.random.default_rng(3).random(40) < 0.8
    kept = use & np.isfinite(values)
    own = Segments.from_labels(labels[kept])
    found, alone = variance_shares(values, Segments.from_labels(labels), use=use), variance_shares(values[kept], own)
    for part, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        each = Segments.from_labels(np.arange(4))
        assert (
            np.isnan(variance_shares(np.arange(4.0), each).adjusted[0])
            and variance_shares(np.arange(4.0), each).chance[0] == 1
        )
        assert np.isnan(variance_shares(np.array([1.0, np.nan, np.nan, np.nan]), each).chance[0])


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_f_and_p_are_scipys(offset: float) -> None:
    for seed in range(5):
        values, labels = scattered(seed)
        expected = stats.f_oneway(*split(values, labels))
        found = f_test(values + offset, Segments.from_labels(labels))
        tolerance = 1e-12 if offset == 0 else 1e-7
        np.testing.assert_allclose(found.F, [expected.statistic], rtol=tolerance)
        np.testing.assert_allclose(found.p, [expected.pvalue], rtol=tolerance)
        assert (found.df1[0], found.df2[0]) == (3, 36)


def test_f_of_two_groups_is_t_squared() -> None:
    values, labels = scattered(7, groups=2)
    t = stats.ttest_ind(*split(values, labels))
    found = f_test(values, Segments.from_labels(labels))
    np.testing.assert_allclose(found.F, [t.statistic**2], rtol=1e-12)
    np.testing.assert_allclose(found.p, [t.pvalue], rtol=1e-12)


def test_share_and_f_agree() -> None:
    values, labels = scattered(3)
    segments = Segments.from_labels(labels)
    found, share = f_test(values, segments), share_explained(values, segments)
    np.testing.assert_allclose(found.F, share / found.df1 / ((1 - share) / found.df2), rtol=1e-12)


def test_every_batch_entry_is_tested_by_itself_without_missing_and_unused_values() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 10)
    values = random.normal(size=(3, 30)) + labels * np.array([[0.0], [0.3], [2.0]])
    values[1, [0, 11]] = np.nan
    use = random.random((3, 30)) < 0.8
    segments = Segments.from_labels(labels)
    found = f_test(values, segments, use=use)
    p = permutation_test(values, segments, permutations=99, seed=5, use=use)
    share = share_explained(values, segments, use=use)
    for row in range(3):
        kept = use[row] & np.isfinite(values[row])
        alone, own = values[row][kept], Segments.from_labels(labels[kept])
        expected = stats.f_oneway(*split(alone, labels[kept]))
        np.testing.assert_allclose(found.F[row], expected.statistic, rtol=1e-12)
        np.testing.assert_allclose(found.p[row], expected.pvalue, rtol=1e-12)
        np.testing.assert_allclose(share[row], share_explained(alone, own)[0], rtol=1e-12)
        assert found.df2[row] == kept.sum() - 3
        assert p[row] == permutation_test(alone, own, permutations=99, seed=5)[0]


def test_one_mask_serves_all_batch_entries() -> None:
    values = np.random.default_rng(2).normal(size=(2, 12))
    segments, use = Segments.from_labels(np.arange(12) % 3), np.arange(12) < 9
    assert (
        f_test(values, segments, use=use).F == f_test(values[:, :9], Segments.from_labels(np.arange(9) % 3)).F
    ).all()


NOTHING: dict[str, tuple[Any, Any]] = {
    "one group": ([1.0, 2.0, 4.0], [0, 0, 0]),
    "groups of one": ([1.0, 2.0, 4.0], [0, 1, 2]),
    "constant": ([0.1] * 7, [0, 0, 0, 1, 1, 2, 2]),
    "large constant": ([333333.3] * 7, [0, 0, 0, 1, 1, 2, 2]),
    "no values": ([np.nan] * 4, [0, 0, 1, 1]),
}


@pytest.mark.parametrize("case", NOTHING)
def test_where_there_is_nothing_to_test_f_and_p_are_missing_without_complaint(case: str) -> None:
    values, labels = NOTHING[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = f_test(np.array(values), Segments.from_labels(labels))
    assert np.isnan(found.F[0])
    assert np.isnan(found.p[0])


def test_shares_and_permutations_at_the_edges() -> None:
    expected = {"one group": (0.0, 1.0), "groups of one": (1.0, 1.0)}
    for case, (values, labels) in NOTHING.items():
        segments = Segments.from_labels(labels)
        share, p = expected.get(case, (np.nan, np.nan))
        np.testing.assert_equal(share_explained(np.array(values), segments)[0], share)
        np.testing.assert_equal(permutation_test(np.array(values), segments, permutations=19, seed=0)[0], p)


def test_groups_without_spread_within_have_an_infinite_f() -> None:
    found = f_test(np.array([0.1, 0.1, 0.1, 0.7, 0.7, 0.7]), Segments.from_labels([0, 0, 0, 1, 1, 1]))
    assert np.isinf(found.F[0])
    assert found.p[0] == 0


def test_a_group_of_one_among_others_and_an_empty_group_count_as_scipy_counts_them() -> None:
    values, labels = np.array([1.0, 2.0, 4.0, 9.0, 7.0]), np.array([0, 0, 1, 3, 3])
    expected = stats.f_oneway(values[:2], values[2:3], values[3:])
    found = f_test(values, Segments.from_codes(labels, range(4)))
    np.testing.assert_allclose(found.F, [expected.statistic], rtol=1e-12)
    assert (found.df1[0], found.df2[0]) == (2, 2)


def test_rounding_makes_no_share_negative() -> None:
    # Groups of equal means: some of these sums round to more than the whole.
    for seed in range(200):
        values = np.random.default_rng(seed).integers(0, 9, 5) / 10
        share = share_explained(np.tile(values, 2), Segments.from_labels(np.repeat([0, 1], 5)))[0]
        assert 0 <= share < 1e-14


@given(GROUPED, st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_shift_scale_and_new_names_change_nothing(rows: list[tuple[int, float]], shift: float, scale: float) -> None:
    labels, values = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assume(values.std() > 1e-2)
    first, renamed = Segments.from_labels(labels), Segments.from_labels([f"{9 - label}" for label in labels])
    share = share_explained(values, first)[0]
    assert 0 <= share <= 1
    # The shift can cost digits: up to 1e3/1e-2/1e-3 times the rounding of one.
    np.testing.assert_allclose(share_explained(-scale * values + shift, first)[0], share, atol=1e-7)
    np.testing.assert_allclose(share_explained(values, renamed)[0], share, atol=1e-13)
    p = permutation_test(values, first, permutations=19, seed=3)
    assert permutation_test(values, renamed, permutations=19, seed=3)[0] == p[0]


def test_permutation_p_near_the_exact_one() -> None:
    values = np.array([0.3, 1.1, 2.0, 2.2, 1.0, 3.5, 4.1, 2.9])
    segments = Segments.from_labels([0, 0, 0, 0, 1, 1, 1, 1])
    found = share_explained(values, segments)[0]
    shares = []
    for chosen in combinations(range(8), 4):
        labels = np.ones(8, int)
        labels[list(chosen)] = 0
        shares.append(share_explained(values, Segments.from_labels(labels))[0])
    exact = np.mean(np.array(shares) >= found - 1e-12)
    assert 0.02 < exact < 0.5
    n = 9999
    p = permutation_test(values, segments, permutations=n, seed=11)[0]
    # Four standard errors of a count of n draws.
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / n)


def test_permutation_p_with_ties_counts_them() -> None:
    values, labels = np.array([0.1, 0.1, 0.7, 0.7]), [0, 0, 1, 1]
    shares = [share_explained(values[list(q)], Segments.from_labels(labels))[0] for q in permutations(range(4))]
    exact = np.mean(np.array(shares) > 0.999)
    assert exact == 1 / 3
    p = permutation_test(values, Segments.from_labels(labels), permutations=2999, seed=2)[0]
    assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / 2999)


def test_permutation_p_is_the_count_of_its_own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values, labels = scattered(4, n=12, groups=3)
    segments = Segments.from_labels(labels)
    random, reached = np.random.default_rng(8), 0
    for _ in range(50):
        order = random.permuted(np.arange(12))
        reached += share_explained(values[order], segments)[0] >= share_explained(values, segments)[0]
    p = permutation_test(values, segments, permutations=50, seed=8)
    assert p[0] == (reached + 1) / 51
    assert p[0] == permutation_test(values, segments, permutations=50, seed=8)[0]
    assert permutation_test(np.arange(12.0), Segments.uniform(12, 2), seed=1)[0] == permutation_test(
        np.arange(12.0), Segments.uniform(12, 2), permutations=999, seed=1
    )
    for chunk in (40, 11):  # several at a time, and fewer items than there are
        monkeypatch.setattr("gridnorm.core.spread.permutation._CHUNK", chunk)
        assert p[0] == permutation_test(values, segments, permutations=50, seed=8)[0]


def test_permutation_p_is_uniform_where_labels_mean_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(200, 20))
    p = permutation_test(values, Segments.from_labels(np.arange(20) % 4), permutations=99, seed=1)
    assert len(set(p.tolist())) > 50
    # Two-sided test of uniformity; the seed is fixed, so it cannot flicker.
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_permutation_takes_another_statistic() -> None:
    values, labels = scattered(6, n=20, groups=2)

    def gap(rows: Any, segments: Segments) -> Any:
        first = segments.codes == 0
        return np.abs(rows[:, first].mean(axis=1) - rows[:, ~first].mean(axis=1))

    segments = Segments.from_labels(labels)
    # |difference of means| orders the permutations of two groups as the share does.
    expected = permutation_test(values, segments, permutations=199, seed=4)
    assert permutation_test(values, segments, permutations=199, seed=4, statistic=gap)[0] == expected[0]


@pytest.mark.parametrize("count", [0, -1, 2.5, None])
def test_permutations_must_be_a_whole_number(count: Any) -> None:
    with pytest.raises(OptionError, match="permutations must be a whole number of at least 1; found"):
        permutation_test(np.arange(4.0), Segments.single(4), permutations=count, seed=0)


def test_values_with_width_are_refused() -> None:
    with pytest.raises(OptionError, match="one value per item"):
        share_explained(np.zeros((2, 4, 3)), Segments.single(4))


def within(values: np.ndarray, codes: np.ndarray) -> float:
    return float(sum(((part - part.mean()) ** 2).sum() for part in split(values, codes)))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 3))
def test_tightest_is_as_good_as_the_best_of_all_cuts(numbers: list[int], k: int, least: int) -> None:
    assume(k * least <= len(numbers))
    values = np.array(numbers) / 4
    codes = tightest(values, k, least)
    assert np.bincount(codes, minlength=k).min() >= least
    assert codes.size == values.size
    order = np.argsort(values, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    best = np.inf
    for cuts in combinations(range(1, values.size), k - 1):
        edges = [0, *cuts, values.size]
        if min(np.diff(edges)) >= least:
            labels = np.empty(values.size, int)
            labels[order] = np.repeat(np.arange(k), np.diff(edges))
            best = min(best, within(values, labels))
    np.testing.assert_allclose(within(values, codes), best, atol=1e-10)


def test_tightest_of_many_values_equals_the_plain_recursion() -> None:
    values = np.sort(np.random.default_rng(3).standard_t(3, size=150)) + 1e4
    sums, squares = np.cumsum(np.r_[0, values - 1e4]), np.cumsum(np.r_[0, (values - 1e4) ** 2])
    cost = np.full(151, np.inf)
    cost[0] = 0
    for _ in range(7):
        new = np.full(151, np.inf)
        for j in range(1, 151):
            i = np.arange(j)
            new[j] = (cost[:j] + squares[j] - squares[i] - (sums[j] - sums[i]) ** 2 / (j - i)).min()
        cost = new
    codes = tightest(values, 7)
    assert len(set(codes.tolist())) == 7
    np.testing.assert_allclose(within(values, codes), cost[-1], rtol=1e-9)


@pytest.mark.parametrize("scatter", [1e-6, 1e-8, 1e-10, 1e-13])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_tightest_sees_groups_whose_scatter_is_a_trifle_of_the_range(scatter: float, offset: float) -> None:
    """Two heaps far apart, each of two heaps: sums of squares of the whole lose the inner ones beyond 1e-8."""
    random = np.random.default_rng(7)
    inner = np.repeat([0.0, 1.0, 2.0], [5, 9, 6]) + 0.05 * random.uniform(-1, 1, 20)
    values = np.r_[inner * scatter, 1.0 + inner * scatter] + offset * scatter
    expected = np.r_[np.repeat([0, 1, 2], [5, 9, 6]), np.repeat([3, 4, 5], [5, 9, 6])]
    mixed = random.permutation(40)
    if scatter * np.finfo(float).eps ** -1 > 100:  # else the values themselves are rounded to nothing
        assert tightest(values[mixed], 6).tolist() == expected[mixed].tolist()


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_tightest_takes_any_unit(unit: float) -> None:
    assert tightest(np.array([0.0, 1.0, 0.1, 1.1]) * unit, 2).tolist() == [0, 1, 0, 1]


def test_tightest_refuses_what_cannot_be_cut() -> None:
    with pytest.raises(OptionError, match="3 items are too few for the groups; found 2 groups of at least 2"):
        tightest([1.0, 2.0, 3.0], 2, 2)
    with pytest.raises(OptionError, match="1 items are too few for the groups; found 2 groups, expected at most 1"):
        tightest([1.0], 2)
    with pytest.raises(OptionError, match="finite"):
        tightest([1.0, np.nan], 1)


@pytest.mark.parametrize("found", [0.25, 1.0, -1.0, 4e6])
@pytest.mark.parametrize(("below", "ties"), [(0.0, True), (0.9e-12, True), (1.1e-12, False)])
def test_statistics_tie_within_1e_12_of_the_larger_of_one_and_their_size(
    found: float, below: float, ties: bool
) -> None:
    def statistic(values: Any, segments: Any) -> Any:
        permuted = len(values) > 1
        return np.full(len(values), found - permuted * below * max(abs(found), 1.0))

    segments = Segments.from_labels([0, 0, 0, 1, 1, 1])
    p = permutation_test(np.arange(6.0), segments, permutations=9, seed=0, statistic=statistic)
    assert p.tolist() == [1.0 if ties else 0.1]


def test_every_name_of_the_package_is_found_and_no_other() -> None:
    assert all(callable(getattr(spread, name)) for name in spread.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'tight'"):
        _ = spread.tight
