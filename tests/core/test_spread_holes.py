"""How close a permuted statistic counts as a tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridnorm.core.segments import Segments
from gridnorm.core.spread import permutation_test


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
