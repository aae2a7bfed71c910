"""Values whose squares run over, with and without a mean taken off."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm import nn


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [1.0, 2.0**500, 2.0**511])
@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_the_unit_of_the_values_changes_nothing(center: bool, scale: float, mean: float) -> None:
    x = mean + np.random.default_rng(3).normal(size=(2, 4, 5))
    rows = x.reshape(2, 2, 10)
    about = rows - rows.mean(axis=2, keepdims=True) if center else rows
    expected = (about / np.sqrt((about * about).mean(axis=2, keepdims=True))).reshape(x.shape)
    found = nn.group_norm(x * scale, 2, eps=1e-300, center=center)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
