"""Neighbours inside blocks, and what their backgrounds tell about errors."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays.kooperberg.calibration import calibration, local_sd, neighbours_in_blocks


def grid(blocks: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    block, row, column = np.meshgrid(*(np.arange(1, k + 1) for k in (blocks, rows, columns)), indexing="ij")
    return block.ravel(), row.ravel(), column.ravel()


def plain_sd(values: np.ndarray) -> np.ndarray:
    """Of one block, (row, column), the plain way."""
    rows, columns = values.shape
    out = np.full(values.shape, np.nan)
    for i in range(rows):
        for j in range(columns):
            there = [(i, j)]
            there += [
                (a, b)
                for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
                if 0 <= a < rows and 0 <= b < columns
            ]
            vertical, across = [a for a, b in there if b == j and a != i], [b for a, b in there if a == i and b != j]
            if len(vertical) == 1 and len(across) == 1:
                there.append((vertical[0], across[0]))
            out[i, j] = np.std([values[at] for at in there], ddof=1) if len(there) > 1 else np.nan
    return out


@pytest.mark.parametrize("shape", [(3, 5), (6, 4), (2, 2), (1, 6), (7, 1)])
def test_five_spots_inside_four_at_edges_and_corners(shape: tuple[int, int]) -> None:
    places = grid(3, *shape)
    values = np.random.default_rng(1).normal(90, 7, places[0].size)
    found = local_sd(values, neighbours_in_blocks(*places)).reshape(3, *shape)
    for block in range(3):
        np.testing.assert_allclose(found[block], plain_sd(values.reshape(3, *shape)[block]), rtol=1e-13)


def test_limmas_lines_are_as_long_as_blocks_are_high() -> None:
    places = grid(2, 4, 6)
    values = np.random.default_rng(2).normal(90, 7, 48)
    found = local_sd(values, neighbours_in_blocks(*places, in_limmas_lines=True)).reshape(2, 6, 4)
    for block in range(2):
        np.testing.assert_allclose(found[block], plain_sd(values.reshape(2, 6, 4)[block]), rtol=1e-13)


def test_missing_spots_are_as_good_as_absent() -> None:
    places = grid(2, 5, 5)
    values = np.random.default_rng(3).normal(90, 7, 50)
    gone = np.isin(np.arange(50), (0, 7, 31))
    absent = local_sd(values[~gone], neighbours_in_blocks(*(place[~gone] for place in places)))
    missing = local_sd(np.where(gone, np.nan, values), neighbours_in_blocks(*places))
    assert np.isnan(missing[gone]).all()
    np.testing.assert_array_equal(missing[~gone], absent)


def test_two_rows_of_one_position_count_by_their_mean() -> None:
    places = grid(1, 3, 3)
    values = np.arange(9.0) ** 2
    twice = [np.append(place, place[4]) for place in places]
    found = local_sd(np.append(values, values[4] + 2), neighbours_in_blocks(*twice))
    values[4] += 1
    np.testing.assert_allclose(found[:9], local_sd(values, neighbours_in_blocks(*places)), rtol=1e-13)
    assert found[9] == found[4]


def test_far_positions_cost_nothing() -> None:
    block, row, column = grid(1, 3, 3)
    row[-1], column[-1] = 10**6, 10**6
    assert np.isnan(local_sd(np.arange(9.0), neighbours_in_blocks(block, row, column))[-1])


def test_the_factor_is_that_of_the_noise() -> None:
    """Errors that are a third of what neighbours differ by."""
    places = grid(16, 20, 20)
    rng = np.random.default_rng(4)
    error = rng.uniform(0.5, 2, places[0].size)
    back = rng.normal(100, 3 * np.sqrt(np.mean(error**2)), error.size)
    found = calibration(back, error, neighbours_in_blocks(*places))
    assert found == pytest.approx(3, rel=0.1)
    unusable = error.copy()
    unusable[::7] = np.nan
    unusable[::9] = 0
    assert calibration(back, unusable, neighbours_in_blocks(*places)) == pytest.approx(found, rel=0.05)
