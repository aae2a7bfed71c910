"""Groups too small for a fit of their own: every rule, at and around its limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend

from gridnorm.core.fit import MERGED, OWN, SHRUNK, WHOLE_FIT, Fit, fit
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments
from gridnorm.core.small import RULES, replace_small
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import FitError, OptionError

SIZES = [20, 10, 9, 0]
SEGMENTS = Segments.from_codes(np.repeat([0, 1, 2, 3], SIZES), "abcd")
VALUES = np.random.default_rng(2).normal(size=(2, 39)) + np.repeat([0.0, 3.0, -2.0, 0.0], SIZES)
POSITION = np.stack([np.repeat([0.0, 10.0, 9.0, 0.0], SIZES), np.zeros(39)], axis=1)


def by_rule(backend: Backend, rule: str, minimum: int = 10, **more: Any) -> Fit:
    own = backend.run(fit, VALUES, SEGMENTS, "median")
    arguments = {"weights": None, "use": None}
    return backend.run(
        replace_small, own, VALUES, SEGMENTS, minimum, rule, statistic=STATISTICS["median"], arguments=arguments, **more
    )


def test_ten_values_are_enough_for_a_minimum_of_ten_and_nine_are_not(backend: Backend) -> None:
    found = by_rule(backend, "whole")
    assert found.source.tolist() == [[OWN, OWN, WHOLE_FIT, WHOLE_FIT]] * 2
    assert found.n.tolist() == [SIZES] * 2, "the report has the group's own number"
    np.testing.assert_allclose(found.location[:, 2], np.median(VALUES, axis=1), rtol=1e-15)
    assert by_rule(backend, "whole", 9).source.tolist() == [[OWN, OWN, OWN, WHOLE_FIT]] * 2


def test_shrinking_goes_a_share_of_the_way_towards_the_own(backend: Backend) -> None:
    found = by_rule(backend, "shrink")
    whole, own = np.median(VALUES, axis=1), np.median(VALUES[:, 30:], axis=1)
    np.testing.assert_allclose(found.location[:, 2], whole + found.shares[:, 2, 0] * (own - whole), rtol=1e-13)
    assert (found.shares[:, 2, 0] > 0.9).all(), "groups differ by many times their noise"
    np.testing.assert_allclose(found.location[:, 3], whole, rtol=1e-15)  # nothing of its own
    assert found.source.tolist() == [[OWN, OWN, SHRUNK, WHOLE_FIT]] * 2


def test_merging_pools_with_the_nearest_that_is_large_enough(backend: Backend) -> None:
    found = by_rule(backend, "merge", position=POSITION)
    pooled = np.median(VALUES[:, 20:], axis=1)
    np.testing.assert_allclose(found.location[:, 1:3], np.stack([pooled, pooled], axis=1), rtol=1e-15)
    # The empty group lies nowhere, and joins the first that is large enough.
    assert found.source.tolist() == [[MERGED, MERGED, MERGED, MERGED]] * 2
    with pytest.raises(OptionError, match="merged only where their positions are known"):
        by_rule(backend, "merge")
    with pytest.raises(
        FitError, match="no group is large enough to merge the small ones with; found largest group: 20"
    ):
        by_rule(backend, "merge", 21, position=POSITION)


def test_refusing_names_the_groups_and_own_has_no_rule(backend: Backend) -> None:
    with pytest.raises(
        FitError, match=r"4 groups have fewer than 10 usable values; found c \(9\), d \(0\), c \(9\), d \(0\)"
    ):
        by_rule(backend, "error")
    with pytest.raises(FitError, match=r"^1 group has fewer than 9 usable values; found d \(0\)$"):
        normalize_within(VALUES[:1], SEGMENTS, "median", minimum=9, small_groups="error")
    assert not by_rule(backend, "own").source.any()
    with pytest.raises(OptionError, match="unknown rule for small groups; found 'drop', expected " + ", ".join(RULES)):
        by_rule(backend, "drop")


def test_too_few_in_all_is_an_error(backend: Backend) -> None:
    by_rule(backend, "whole", 39)
    with pytest.raises(FitError, match="found 39 in all groups together, expected at least 40"):
        by_rule(backend, "whole", 40)


# The small group first, then two large ones: places of the three, and with which the first is merged.
PLACES = {
    "across": ([(0, 0), (5, 0), (3, 0)], 2),
    "down": ([(0, 0), (0, 3), (0, 5)], 1),
    "a little down rather than far across": ([(0, 0), (4, 1), (1, 2)], 2),
    "a little across rather than far down": ([(0, 0), (2, 1), (1, 4)], 1),
    "to the left and up": ([(9, 9), (3, 3), (5, 5)], 2),
    "far up": ([(0, 9), (7, 0), (0, 8)], 2),
    "far right": ([(9, 0), (0, 7), (8, 0)], 2),
    "the first of two as near": ([(0, 0), (3, 0), (0, 3)], 1),
    "unknown places are the farthest": ([(0, 0), (np.nan, 0), (7, 7)], 2),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_small_group_is_merged_with_the_nearest_in_the_plane(name: str) -> None:
    places, nearest = PLACES[name]
    labels = np.repeat([0, 1, 2], [3, 8, 8])
    values = np.array([0.0, 10.0, 20.0])[labels]
    position = np.array(places, float)[labels]
    segments = Segments.from_labels(labels)
    done = normalize_within(values, segments, "mean", minimum=5, small_groups="merge", position=position)
    pooled = values[(labels == 0) | (labels == nearest)].mean()
    expected = [pooled if group in (0, nearest) else 10.0 * group for group in range(3)]
    np.testing.assert_allclose(done.fit.location[0], expected, rtol=1e-15)


@pytest.mark.parametrize(("size", "small"), [(4, True), (5, False), (6, False)])
def test_a_group_is_small_below_the_minimum_of_5(size: int, small: bool) -> None:
    segments = Segments.from_labels(np.repeat([0, 1], [size, 20]))
    values = np.repeat([1.0, 2.0], [size, 20])
    done = normalize_within(values, segments, "median", minimum=5, small_groups="whole")
    assert done.fit.location[0].tolist() == [2.0 if small else 1.0, 2.0]
