"""A grouping among given alternatives."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.segments import Segments
from gridnorm.core.spread import variance_shares
from gridnorm.core.spread.ranking import rank_among
from gridnorm.errors import OptionError

CODES = np.repeat([0, 1, 2], 20)


def shifted() -> list[np.ndarray]:
    return [(np.arange(60) + step) % 60 // 20 for step in range(1, 20)]


def test_share_is_the_adjusted_one_and_p_counts_what_reaches_it() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        x, own = random.normal(size=60), Segments.from_labels(CODES)
        x[3], use = np.nan, random.random(60) < 0.9
        found = rank_among(x, own, shifted(), use=use)
        share = variance_shares(x, own, use=use).adjusted[0]
        np.testing.assert_allclose(found.share, share, atol=1e-12)
        reached = sum(
            variance_shares(x, Segments.from_labels(codes), use=use).adjusted[0] >= share - 1e-12 for codes in shifted()
        )
        assert found.alternatives == 19 and found.p == (reached + 1) / 20


def test_the_grouping_itself_ties_and_counts() -> None:
    x = np.random.default_rng(1).normal(size=60)
    assert rank_among(x, Segments.from_labels(CODES), [CODES, CODES + 5]).p == 1.0


def test_items_of_negative_code_take_no_part() -> None:
    x = np.random.default_rng(2).normal(size=60)
    cut = np.where(np.arange(60) < 40, CODES, -1)
    whole = rank_among(x[:40], Segments.from_labels(CODES[:40]), [CODES[:40]])
    found = rank_among(x, Segments.from_labels(CODES), [cut])
    expected = 1.0 if whole.share >= found.share - 1e-12 else 0.5
    assert found.p == expected


def test_p_is_uniform_on_a_circle_without_any_groups() -> None:
    """Neighbours are dependent; a permutation test would name groups here in half of the draws."""
    random, named = np.random.default_rng(3), []
    for _ in range(300):
        x = random.normal(size=60)
        x = x + 0.8 * np.roll(x, 1)
        named.append(rank_among(x, Segments.from_labels(CODES), shifted()).p <= 0.05)
    assert np.mean(named) < 0.09


@pytest.mark.parametrize("unit", [1e-150, 1e-3, 1e150])
def test_the_unit_means_nothing(unit: float) -> None:
    x = np.random.default_rng(5).normal(size=60)
    one, other = (rank_among(values, Segments.from_labels(CODES), shifted()) for values in (x, x * unit))
    assert other.p == one.p
    np.testing.assert_allclose(other.share, one.share, atol=1e-12)


# The mean of sixty times 0.1 is not 0.1.
@pytest.mark.parametrize("values", [np.ones(60), np.full(60, 0.1), np.full(60, np.nan)])
def test_nothing_to_rank_is_nan(values: np.ndarray) -> None:
    found = rank_among(values, Segments.from_labels(CODES), shifted())
    assert np.isnan(found.share) and np.isnan(found.p) and found.alternatives == 19


def test_no_alternative_gives_no_p() -> None:
    found = rank_among(np.arange(60.0), Segments.from_labels(CODES), [])
    assert found.share > 0.8 and np.isnan(found.p)


def test_several_rows_are_refused() -> None:
    for shape in ((2, 60), (1, 60), (59,)):
        with pytest.raises(OptionError, match="must be one row"):
            rank_among(np.zeros(shape), Segments.from_labels(CODES), [])


def test_a_group_of_one_item_counts_as_a_group() -> None:
    x = np.random.default_rng(4).normal(size=60)
    codes = np.where(np.arange(60) == 59, 3, CODES)
    own = Segments.from_labels(codes)
    found = rank_among(x, own, [codes[::-1]])
    np.testing.assert_allclose(found.share, variance_shares(x, own).adjusted[0], atol=1e-12)
    assert found.p in (0.5, 1.0)
