"""How errors are calibrated by neighbouring backgrounds, within blocks."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.arrays.kooperberg.calibration import calibration, local_sd, neighbours_in_blocks
from gridnorm.errors import FitError

BLOCK, ROW, COLUMN = (part.ravel() for part in np.meshgrid([1, 2], np.arange(1, 5), np.arange(1, 4), indexing="ij"))
NEAR = neighbours_in_blocks(BLOCK, ROW, COLUMN)


def by_hand(values: dict[tuple[int, int, int], float], at: tuple[int, int, int]) -> float:
    block, row, column = at
    beside = [(block, row - 1, column), (block, row + 1, column), (block, row, column - 1), (block, row, column + 1)]
    seen = [values[one] for one in [at, *beside] if one in values]
    if len(seen) == 3:
        down, across = (1 if row == 1 else -1), (1 if column == 1 else -1)
        seen.append(values[block, row + down, column + across])
    return float(np.std(seen, ddof=1))


def test_the_sd_of_a_spot_and_those_beside_it_in_its_block() -> None:
    x = np.random.default_rng(0).normal(100, 9, BLOCK.size)
    keys = list(zip(BLOCK.tolist(), ROW.tolist(), COLUMN.tolist(), strict=True))
    wanted = [by_hand(dict(zip(keys, x.tolist(), strict=True)), key) for key in keys]
    np.testing.assert_allclose(local_sd(x, NEAR), wanted, rtol=1e-12)


def test_errors_that_are_too_small_by_a_factor_are_multiplied_by_it() -> None:
    rng = np.random.default_rng(1)
    x, error = rng.normal(100, 9, BLOCK.size), rng.uniform(1, 3, BLOCK.size)
    a = calibration(x, error, NEAR)
    np.testing.assert_allclose(calibration(100 + 3 * (x - 100), error, NEAR), 3 * a, rtol=1e-12)
    y = local_sd(x, NEAR)
    np.testing.assert_allclose(calibration(x, y, NEAR), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.full(24, 5.0), np.ones(24), "no background differs from those around it"),
        (np.full(24, np.nan), np.ones(24), "0 spots with a neighbour"),
        (np.arange(24.0), np.zeros(24), "0 with spread"),
    ],
)
def test_what_cannot_be_calibrated_is_named(x: np.ndarray, error: np.ndarray, words: str) -> None:
    with pytest.raises(FitError) as caught:
        calibration(x, error, NEAR)
    assert words in str(caught.value) and 'neighbours="none"' in str(caught.value)
