"""One distribution: ranks, ties, missing values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gridnorm.core.across import normalize_across
from gridnorm.core.segments import Segments


def reference(values: np.ndarray) -> np.ndarray:
    """The same by ``numpy.interp`` and ranks counted one by one."""
    n = values.shape[1]
    even = np.linspace(0, 1, n)
    points = []
    for row in values:
        own = np.sort(row[np.isfinite(row)])
        points.append(np.interp(even, np.linspace(0, 1, own.size), own) if own.size > 1 else np.full(n, own[0]))
    mean = np.mean(points, axis=0)
    out = np.full(values.shape, np.nan)
    for b, row in enumerate(values):
        own = row[np.isfinite(row)]
        for i, value in enumerate(row):
            if np.isfinite(value):
                rank = (own < value).sum() + ((own == value).sum() - 1) / 2
                out[b, i] = np.interp(rank / (own.size - 1) if own.size > 1 else 0.5, even, mean)
    return out


@settings(max_examples=60, deadline=None)
@given(arrays(float, (3, 12), elements=st.sampled_from([0.0, 1.0, 2.5, -4.0, 7.0, 7.5, np.nan])))
def test_ties_and_missing_values_are_as_ranks_say(values: np.ndarray) -> None:
    values[:, 0] = 3.0
    found = normalize_across(values, Segments.single(12), "quantile").values
    np.testing.assert_allclose(found, reference(values), rtol=0, atol=1e-13)


def test_all_have_one_distribution_and_keep_their_order() -> None:
    x = np.random.default_rng(5).lognormal(size=(4, 301))
    found = normalize_across(x, Segments.single(301), "quantile").values
    np.testing.assert_array_equal(np.sort(found, axis=1), np.broadcast_to(np.sort(found[0]), found.shape))
    np.testing.assert_array_equal(found.argsort(axis=1), x.argsort(axis=1))


def test_a_single_value_gets_the_middle() -> None:
    x = np.array([[1.0, 2.0, 3.0], [9.0, np.nan, np.nan]])
    found = normalize_across(x, Segments.single(3), "quantile").values
    assert found[1, 0] == pytest.approx(5.5) and np.isnan(found[1, 1:]).all()


def test_items_not_used_lie_between_their_neighbours_of_value() -> None:
    x = np.vstack([np.arange(10.0), np.arange(10.0) * 10])
    use = np.ones((2, 10), bool)
    use[:, [0, 4, 9]] = False
    found = normalize_across(x, Segments.single(10), "quantile", use=use).values
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[:, 3] < found[:, 4]).all() and (found[:, 4] < found[:, 5]).all()
    np.testing.assert_array_equal(found[:, 0], found[:, 1])  # beyond the ends: held
    np.testing.assert_array_equal(found[:, 9], found[:, 8])
