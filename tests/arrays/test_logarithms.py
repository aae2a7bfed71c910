from __future__ import annotations

import numpy as np

from gridnorm.arrays.logarithms import to_log, to_log_ratio


def test_log_ratio_counts_what_has_no_logarithm() -> None:
    m, a, dark = to_log_ratio(np.array([8.0, 0.0, -1.0, np.nan, 4.0]), np.array([2.0, 1.0, -2.0, 3.0, np.nan]))
    np.testing.assert_array_equal(m, [2, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(a, [2, np.nan, np.nan, np.nan, np.nan])
    assert dark == 3
    e, dark = to_log(np.array([[1.0, 0.0], [np.nan, 0.5]]))
    np.testing.assert_array_equal(e, [[0, np.nan], [np.nan, -1]])
    assert dark == 1
