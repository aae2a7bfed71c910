"""Fits found by their labels, and float32 beside a location that it cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.apply import apply
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments


@pytest.mark.parametrize("labels", ["the same", "equal", "in another order"])
def test_a_fit_is_copied_only_for_another_order_of_groups(labels: str) -> None:
    values, codes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), [0, 0, 1, 1, 2, 2]
    segments = Segments.from_codes(codes, ["a", "b", "c"])
    found = fit(values, segments, "median")
    same = {"the same": segments, "equal": Segments.from_codes(codes[::-1], ["a", "b", "c"])}
    other = same.get(labels) or Segments.from_codes(codes, ["c", "a", "b"])
    moved = found.on(other)
    assert (moved is found) is (labels != "in another order")
    assert dict(zip(moved.labels, moved.location[0].tolist(), strict=True)) == {"a": 1.5, "b": 6.0, "c": 24.0}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("application", ["centre", "standardize"])
@pytest.mark.parametrize("level", [0.0, 3.0, 1000.1, -50_000.3])
def test_what_is_left_has_the_digits_of_the_values_and_not_of_the_location(
    dtype: type, application: str, level: float
) -> None:
    random = np.random.default_rng(1)
    x = (level + random.normal(size=400)).astype(dtype)
    segments = Segments.from_labels(np.repeat([0, 1, 2, 3], 100))
    found = fit(x.astype(np.float64), segments, "moments")
    exact = x.astype(np.float64) - found.location[0, segments.codes]
    if application == "standardize":
        exact /= found.scale[0, segments.codes]
    left = apply(x, segments, found, application)
    assert left.dtype == dtype
    # Two roundings of what is left; one of the location's second part, in float32 where values are half.
    floor = np.spacing(np.float32(abs(level))) * 1e-6
    np.testing.assert_allclose(left.astype(np.float64), exact, rtol=4 * np.finfo(dtype).eps, atol=floor)
