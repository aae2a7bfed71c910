"""No trend between entries: what is taken off, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.across import CYCLIC_ROUNDS, MOST_ROUNDS, normalize_across
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

LEVEL = np.sort(np.random.default_rng(2).uniform(6, 14, 400))
BENT = np.stack([LEVEL, LEVEL + 0.05 * (LEVEL - 10) ** 2, LEVEL + 0.6 - 0.1 * LEVEL])
WHOLE = Segments.single(400)


@pytest.mark.parametrize("form", ["fast", "affy", "pairs"])
def test_smooth_trends_between_entries_go(form: str) -> None:
    found = normalize_across(BENT, WHOLE, "cyclic", cyclic_method=form).values
    assert np.ptp(BENT, axis=0).max() > 0.8
    assert np.ptp(found, axis=0).mean() < 0.05 * np.ptp(BENT, axis=0).mean()
    np.testing.assert_allclose(found.mean(axis=0), BENT.mean(axis=0), atol=0.02)


def test_items_that_differ_keep_their_difference() -> None:
    noisy = BENT + np.random.default_rng(1).normal(0, 0.05, BENT.shape)
    noisy[0, ::40] += 2
    found = normalize_across(noisy, WHOLE, "cyclic").values
    assert (found[0, ::40] - found[1, ::40]).mean() == pytest.approx(2, abs=0.1)


def test_more_entries_than_are_fitted_at_once_are_the_same() -> None:
    many = np.concatenate([BENT] * 7) + np.random.default_rng(4).normal(0, 0.1, (21, 400))
    target = normalize_across(many, WHOLE, "cyclic").target
    one = normalize_across(many[20:], WHOLE, "cyclic", target=target).values
    np.testing.assert_array_equal(one[0], normalize_across(many, WHOLE, "cyclic").values[20])


def test_the_number_of_rounds_has_an_end() -> None:
    assert CYCLIC_ROUNDS.read(MOST_ROUNDS) == MOST_ROUNDS
    with pytest.raises(OptionError, match="out of range"):
        CYCLIC_ROUNDS.read(MOST_ROUNDS + 1)
