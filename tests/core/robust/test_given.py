"""What a robust fit is given of each batch entry."""

from __future__ import annotations

import numpy as np

from gridnorm.core.engines import backend_for
from gridnorm.core.robust.given import entries, on_host


def test_an_item_counts_by_its_value_its_weight_and_its_use() -> None:
    view = np.array([[1.0, np.nan, 3.0, 4.0], [np.inf, 6.0, 7.0, 8.0]])[:, :, None]
    covariate = np.array([[1.0, 2.0, np.nan, 4.0]] * 2)[:, :, None]
    use = np.array([[True, True, True, False]] * 2)
    weights = np.array([[1.0, 1, 1, 1], [1, 0, 2, np.nan]])
    plain = list(entries(backend_for(view), view, {"use": None, "weights": None, "covariate": covariate}))
    assert [one.good.tolist() for one in plain] == [[True, False, True, True], [False, True, True, True]]
    assert plain[0].weights is None and plain[1].values.tolist() == [np.inf, 6, 7, 8]
    given = list(entries(backend_for(view), view, {"use": use, "weights": weights, "covariate": covariate}))
    assert [one.good.tolist() for one in given] == [[True, False, True, False], [False, False, True, False]]
    np.testing.assert_array_equal(given[1].weights, weights[1])


def test_arrays_of_any_shape_come_to_the_host() -> None:
    class Far:
        shape = (2, 0, 3)

        def tolist(self) -> list[list[float]]:
            return [[], []]

    assert on_host(Far()).shape == (2, 0, 3)
    here = np.arange(3)
    assert on_host(here) is here
