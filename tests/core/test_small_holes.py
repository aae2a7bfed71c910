"""Which group a small one is merged with, and from where on a group is small."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments

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
