"""What a method may look at beside the value of a spot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.covariates import covariate_of
from gridnorm.arrays.layout import infer_layout
from gridnorm.arrays.raw import RawArray
from gridnorm.errors import GridnormError, LayoutError, OptionError


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(1, (2, 3), (4, 5), seed=3).arrays


def test_places_on_the_slide_run_over_all_blocks(arrays: gn.ArraySet) -> None:
    raw = arrays.raw(0)
    row, column = (covariate_of(name, raw, arrays.layout)[0] for name in ("slide-row", "slide-column"))
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


@pytest.fixture(scope="module")
def raw() -> RawArray:
    return gn.simulate(1, (2, 3), (4, 5), seed=1).raw(0)


@pytest.mark.parametrize("name", ["slide-row", "slide-column"])
def test_a_place_on_the_slide_is_a_number_of_each_spot(raw: RawArray, name: str) -> None:
    block, row, column = (raw.spots[title] - 1 for title in ("Block", "Row", "Column"))
    layout = infer_layout(block + 1, row + 1, column + 1, raw.spots["X"], raw.spots["Y"])
    expected = {"slide-row": block // 3 * 4 + row, "slide-column": block % 3 * 5 + column}[name]
    found = covariate_of(name, raw, layout)
    assert found.shape == (1, raw.n_spots) and found.dtype == np.float64
    assert found[0].tolist() == expected.tolist()
    with pytest.raises(GridnormError, match=name):
        covariate_of(name, raw, None)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
def test_a_column_of_numbers_is_a_covariate_and_text_is_not(raw: RawArray, kind: type) -> None:
    numbers = np.arange(raw.n_spots).astype(kind)
    own = replace(raw, spots={**raw.spots, "Dip": numbers, "Note": np.full(raw.n_spots, b"7")})
    found = covariate_of("Dip", own, None)
    assert found.dtype == np.float64 and found.tolist() == [numbers.tolist()]
    with pytest.raises(OptionError, match="'Note' is text"):
        covariate_of("Note", own, None)
