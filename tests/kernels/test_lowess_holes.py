"""Seeds so close to each other, beside the range of x, that items between them take the mean of both fits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gridnorm.core.engines import numpy as twin
from gridnorm.core.engines.cuda import curves as verbs

sys.path.insert(0, str(Path(__file__).parent))
from lowess_cases import assert_same, fit, segments_of


@pytest.mark.parametrize("far", [(), (1e3,), (-1e3,), (-1e3, 1e3)], ids=["none", "above", "below", "both"])
@pytest.mark.parametrize("width", [1e-6, 1e-3])
def test_a_far_item_at_either_end_counts_for_what_is_close(device, small, far, width):
    if small:
        pytest.skip("seeds lie apart from 200 items on")
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(0, width, 420), far])[None, :]
    y = np.sin(6 * x / width) + rng.standard_t(2, x.shape)
    w = rng.uniform(0.5, 1, x.shape)
    segments = segments_of((x.size,))
    found, expected = (fit(b, x, y, w, segments) for b in (verbs, twin))
    assert_same(found, expected, np.abs(y).max())
