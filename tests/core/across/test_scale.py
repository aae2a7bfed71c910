"""One scale: the median absolute value."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.across import normalize_across
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError


def test_scales_become_their_geometric_mean() -> None:
    x = np.array([[-1.0, 2.0, 3.0], [10.0, -20.0, 30.0], [0.1, 0.2, -0.3]])
    found = normalize_across(x, Segments.single(3), "scale").values
    np.testing.assert_allclose(np.median(np.abs(found), axis=1), (2 * 20 * 0.2) ** (1 / 3), rtol=1e-15)
    np.testing.assert_allclose(found / x, np.broadcast_to((found / x)[:, :1], x.shape), rtol=1e-15)


def test_the_scale_of_all_times_a_constant_is_that_constant_times_the_result() -> None:
    x = np.random.default_rng(1).normal(size=(3, 40))
    whole = Segments.single(40)
    np.testing.assert_allclose(
        normalize_across(8 * x, whole, "scale").values, 8 * normalize_across(x, whole, "scale").values, rtol=1e-13
    )


def test_a_median_of_zero_is_refused_by_name() -> None:
    """It made an array NaN and all others zero, without a word."""
    x = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    with pytest.raises(FitError, match="the median absolute value is 0 in slide2, so there is no scale"):
        normalize_across(x, Segments.single(3), "scale", names=["slide1", "slide2"])
