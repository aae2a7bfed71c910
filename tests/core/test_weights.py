"""What a weight may be."""

from __future__ import annotations

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.core.fit import fit
from gridnorm.core.weights import LARGEST_WEIGHT, check_weights
from gridnorm.errors import OptionError

VALUES = np.array([1.0, 3.0, 5.0, 7.0])
ONE = gn.Segments.single(4)


@pytest.mark.parametrize("strange", [np.inf, -np.inf, 1e200, -0.5])
def test_every_fit_refuses_weights_that_are_none(strange: float) -> None:
    weights = np.array([1.0, 1.0, strange, 1.0])
    for statistic in ("moments", "median", "mad", "lowess"):
        more = {"covariate": VALUES} if statistic == "lowess" else {}
        with pytest.raises(OptionError, match="weights must be neither negative nor infinite; found .* at index"):
            fit(VALUES, ONE, statistic, weights=weights, **more)
    for method in ("median", "mad", "mean", "zscore"):
        with pytest.raises(OptionError, match="neither negative nor infinite"):
            gn.normalize_groups(VALUES, list("aaaa"), method, weights=weights)


def test_the_message_counts_and_names_the_first() -> None:
    with pytest.raises(OptionError, match=r"found inf at index \(1, 0\), 2 in all, expected finite numbers from 0 to"):
        check_weights(np.array([[1.0, np.nan], [np.inf, -1.0]]))
    with pytest.raises(OptionError, match="found -1 at index 1, expected"):
        check_weights(np.array([0.0, -1.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_weights_still_give_the_numbers_of_equal_ones(dtype: type) -> None:
    check_weights(np.array([0.0, np.nan, LARGEST_WEIGHT]))
    with pytest.raises(OptionError, match="neither negative nor infinite"):
        check_weights(np.array([np.nextafter(LARGEST_WEIGHT, np.inf)]))
    equal = np.full(4, LARGEST_WEIGHT)
    for statistic in ("moments", "median", "mad"):
        found, plain = (fit(VALUES.astype(dtype), ONE, statistic, weights=w) for w in (equal, None))
        np.testing.assert_allclose(found.location, plain.location, rtol=1e-6)  # float32 holds seven digits
