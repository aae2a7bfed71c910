"""Large segments of unlike sizes: the chunks that the smaller ones do not fill end where the next one's begin."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda.median import BLOCK, median

sys.path.insert(0, str(Path(__file__).parent))
import groupings as g


@pytest.mark.parametrize("sizes", [(3, 1), (1, 3), (3, 2, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_large_segments_in_any_order_of_their_sizes(device, small, sizes, weighted):
    """The last one short: what is written behind its chunks lies outside of the memory, as the sanitizer sees."""
    if small:
        pytest.skip("no other kernel than before")
    segments = g.segments_of([size * BLOCK + 1 for size in sizes])
    values = np.random.default_rng(3).normal(size=(2, segments.n_items, 1))
    weights = np.random.default_rng(4).uniform(size=values.shape[:2]) if weighted else None
    for one, two in zip(
        median(values, segments, weights, None), numpy_engine.median(values, segments, weights, None), strict=True
    ):
        np.testing.assert_array_equal(g.host(one), two)
