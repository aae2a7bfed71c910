"""Sets of different rows into one: where each spot goes, and a layout with room for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.join import covering, join, merged, moved, unique_among
from gridnorm.arrays.layout import Layout, infer_layout


@pytest.fixture(scope="module")
def one() -> gn.ArraySet:
    return gn.simulate(1, (2, 2), (3, 4), seed=3, bad=0.2).arrays


def some(one: gn.ArraySet, rows: np.ndarray, name: str) -> gn.ArraySet:
    return replace(moved(one, rows), names=(name,), columns={t: c[rows] for t, c in one.columns.items()})


def test_moving_places_everything_of_a_spot_and_marks_what_is_not_there(one: gn.ArraySet) -> None:
    at = np.array([5, -1, 0])
    done = moved(one, at, weighted=True)
    assert done.absent is not None and done.absent.tolist() == [[False, True, False]]
    for name, matrix in one.values.items():
        np.testing.assert_array_equal(done.values[name][0], [matrix[0, 5], np.nan, matrix[0, 0]])
    assert one.flags is not None and done.weights is not None
    flagged = moved(replace(one, flag_codes=np.arange(1, 49)[None]), at)
    assert flagged.flags is not None and flagged.flags[:, 0].tolist() == [6, 0, 1]
    np.testing.assert_array_equal(done.weights[:, 0], [1, np.nan, 1])
    fitted = gn.normalize(one, background="half", flags="ignore", small_groups="own")
    for values in (
        fitted.fits[0].values,
        fitted.fits[0].values[:, :0],
    ):  # a set that has them as well may leave them out
        (fit,) = moved(replace(fitted, fits=(replace(fitted.fits[0], values=values),)), at).fits
        np.testing.assert_array_equal(fit.values[0], [values[0, 5], np.nan, values[0, 0]] if values.size else [])
        start = fitted.fits[0].start[0]
        np.testing.assert_array_equal(fit.start[0], [start[5], np.nan, start[0]])
    assert moved(one, None) is one and moved(one, np.array([1, 0])).absent is None


def test_every_spot_of_every_set_has_one_row(one: gn.ArraySet) -> None:
    first, second = some(one, np.arange(30), "x"), some(one, np.arange(47, 9, -1), "y")
    done = join([first, replace(second, targets={"Dose": ["2"]})])
    assert done.n_spots == 48 and done.names == ("x", "y") and dict(done.targets) == {"Dose": ["", "2"]}
    np.testing.assert_array_equal(done.columns["ID"], one.columns["ID"])
    np.testing.assert_array_equal(done.R[:30, 0], one.R[:30, 0])
    np.testing.assert_array_equal(done.R[10:, 1], one.R[10:, 0])
    assert done.absent is not None and done.absent.sum(axis=1).tolist() == [18, 10]


def test_an_array_without_weights_has_those_of_1_beside_one_with_weights(one: gn.ArraySet) -> None:
    halves = replace(one, spot_weights=np.full((1, 48), 0.5))
    weights = join([one, halves]).weights
    assert weights is not None and np.unique(weights, axis=0).tolist() == [[1, 0.5]]
    assert join([one, one]).weights is None


def test_equal_names_are_numbered(one: gn.ArraySet) -> None:
    assert join([one, one, one]).names == ("array1", "array1 (2)", "array1 (3)")
    assert unique_among({"a", "a (2)"}, "a") == "a (3)"


def test_columns_are_filled_from_the_first_array_that_has_the_spot() -> None:
    tables = [{"ID": np.array([b"x"]), "D": np.array([1.5])}, {"ID": np.array([b"long", b"y"])}]
    found = merged(tables, [np.array([0, -1, -1]), np.array([-1, 0, 1])])
    assert found["ID"].tolist() == [b"x", b"long", b"y"]
    np.testing.assert_array_equal(found["D"], [1.5, np.nan, np.nan])


def of(blocks: list[int], rows: int, columns: int) -> Layout:
    return infer_layout(
        *np.array([(b, r, c) for b in blocks for r in range(1, rows + 1) for c in range(1, columns + 1)]).T
    )


def test_a_layout_covers_all_and_is_the_first_one_if_that_does() -> None:
    small, wide, more = of([1, 2], 2, 3), of([1, 2], 3, 3), of([1, 2, 3], 2, 2)
    assert covering([wide, small, wide]) is wide and covering([]) is None and covering([wide, None]) is None
    assert covering([None]) is None
    both = covering([small, wide, more])
    assert both is not None and not both.complete
    assert (both.blocks.tolist(), both.rows_per_block.tolist(), both.spot_columns) == ([1, 2, 3], [3, 3, 2], 3)
    assert both.slide_position([3, 1], [2, 3], [2, 3])[0].shape == (2,)
    for sizes in ((2, 5), (5, 3)):
        one = covering([of([1], 2, 3), of([1], *sizes)])
        assert one is not None and (one.rows_per_block[0], one.columns_per_block[0]) == sizes
        assert (one.spot_rows, one.spot_columns) == sizes
