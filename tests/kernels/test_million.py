"""Segments from one item to a million in one call: every size class at once, against NumPy in float64."""

from __future__ import annotations

import groupings as g
import numpy as np
import pytest

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda.device import Device
from gridnorm.core.engines.cuda.median import median
from gridnorm.core.engines.cuda.moments import moments
from gridnorm.core.segments import Segments

pytestmark = pytest.mark.slow
SIZES = (1, 40, 600, 5000, 1_000_000)


@pytest.fixture(scope="module", params=["contiguous", "scattered"])
def segments(request: pytest.FixtureRequest) -> Segments:
    codes = np.repeat(np.arange(len(SIZES)), SIZES)
    if request.param == "scattered":
        codes = np.random.default_rng(3).permutation(codes)
    return Segments.from_codes(codes, range(len(SIZES)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_moments(device: Device, segments: Segments, dtype: str) -> None:
    values = np.random.default_rng(1).normal(1e6, 2.0, (1, segments.n_items, 1)).astype(dtype)
    got = [g.host(a) for a in moments(device.xp.asarray(values), segments, None, None)]
    n, mean, deviation = numpy_engine.moments(values.astype(np.float64), segments, None, None)
    np.testing.assert_array_equal(got[0], n)
    # In deviations; the issue asks for 4e-6 of float32 up to an offset of 1e6.
    np.testing.assert_allclose(got[1], mean, rtol=0, atol=4e-6 * 2)
    np.testing.assert_allclose(got[2], deviation, rtol=4e-6, atol=4e-6)


def test_median(device: Device, segments: Segments) -> None:
    values = np.random.default_rng(2).normal(size=(1, segments.n_items, 1))
    got = [g.host(a) for a in median(device.xp.asarray(values), segments, None, None)]
    for ours, theirs in zip(got, numpy_engine.median(values, segments, None, None), strict=True):
        np.testing.assert_array_equal(ours, theirs)
