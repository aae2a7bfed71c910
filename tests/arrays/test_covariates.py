"""What a method may look at beside the value of a spot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.covariates import COVARIATES, covariate_of
from gridnorm.errors import LayoutError, OptionError


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(1, (2, 3), (4, 5), seed=3).arrays


def test_places_on_the_slide_run_over_all_blocks(arrays: gn.ArraySet) -> None:
    raw = arrays.raw(0)
    row, column = (covariate_of(name, raw, arrays.layout)[0] for name in COVARIATES)
    assert (row.min(), row.max(), column.min(), column.max()) == (0, 7, 0, 14)
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == raw.n_spots
    with pytest.raises(LayoutError, match="slide-row needs the layout"):
        covariate_of("slide-row", raw, None)


def test_a_column_of_numbers_will_do_and_text_is_refused(arrays: gn.ArraySet) -> None:
    raw = arrays.raw(0)
    np.testing.assert_array_equal(covariate_of("block", raw, None), raw.spots["Block"][None].astype(float))
    assert covariate_of("Block", raw, None).dtype == np.float64
    with pytest.raises(OptionError, match="the covariate 'ID' is text; expected numbers"):
        covariate_of("ID", raw, None)
    with pytest.raises(OptionError, match="method names no column; found 'dose'"):
        covariate_of("dose", replace(raw, name="a.gpr"), None)
