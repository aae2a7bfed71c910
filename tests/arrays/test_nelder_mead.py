"""The minimizer: where it ends, and that it ends."""

from __future__ import annotations

import math

import pytest
from scipy.optimize import minimize

from gridnorm.arrays.nelder_mead import nelder_mead


def bowl(p: list[float]) -> float:
    return (p[0] - 3) ** 2 + 10 * (p[1] + 1) ** 2


def valley(p: list[float]) -> float:
    return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2


@pytest.mark.parametrize(("function", "at"), [(bowl, (3, -1)), (valley, (1, 1))])
def test_the_lowest_place_is_found(function: object, at: tuple[float, float]) -> None:
    best, lowest, evaluations = nelder_mead(function, [-1.2, 1.0])  # type: ignore[arg-type]
    assert best == pytest.approx(at, abs=2e-3) and lowest < 1e-5 and evaluations < 500
    assert lowest <= minimize(function, [-1.2, 1.0], method="Nelder-Mead").fun + 1e-5


def test_it_stops_soon_after_500_evaluations() -> None:
    counted = []

    def falling(p: list[float]) -> float:
        counted.append(1)
        return -sum(p)  # has no lowest place

    evaluations = nelder_mead(falling, [1.0, 1.0])[2]
    assert evaluations == len(counted) and 500 < evaluations <= 504  # the last step is finished


def test_numbers_that_are_none_count_as_high() -> None:
    best, lowest, _ = nelder_mead(lambda p: math.inf if p[0] < 0 else math.nan if p[0] > 5 else (p[0] - 1) ** 2, [2.0])
    assert best[0] == pytest.approx(1, abs=1e-3) and lowest < 1e-6
