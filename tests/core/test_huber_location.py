"""Huber's location: MASS's numbers, and what must hold whatever the numbers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gridnorm.core.fit import Fit, fit
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError

RNG = np.random.default_rng(11)
LABELS = np.repeat(["a", "b", "c"], [40, 25, 7])
VALUES = np.stack([RNG.standard_t(2, 72) + np.repeat([0, 5, 9], [40, 25, 7]), RNG.exponential(2, 72)])
SEGMENTS = Segments.from_labels(LABELS)


def test_it_is_that_of_mass(golden: Path) -> None:
    sample, y, location, scale = np.loadtxt(golden / "huber.tsv", skiprows=1).T
    found = fit(y, Segments.from_labels(sample.astype(int)), "huber")
    first = np.unique(sample, return_index=True)[1]
    np.testing.assert_allclose(found.location[0], location[first], rtol=1e-14, atol=1e-15)  # sums in another order
    np.testing.assert_allclose(found.scale[0], scale[first], rtol=1e-14)


def test_it_solves_its_equation_and_stops_within_a_millionth_of_a_deviation() -> None:
    found = fit(VALUES, SEGMENTS, "huber")
    for b in range(2):
        for g, label in enumerate("ab"):
            z = (VALUES[b, label == LABELS] - found.location[b, g]) / found.scale[b, g]
            assert abs(np.clip(z, -1.5, 1.5).mean()) < 1e-6
            assert (np.abs(z) > 1.5).any(), "nothing was clipped: a mean would do"


def test_it_moves_with_its_values_and_forgets_their_order() -> None:
    plain = fit(VALUES, SEGMENTS, "huber")
    moved = fit(3 * VALUES - 7, SEGMENTS, "huber")
    np.testing.assert_allclose(moved.location, 3 * plain.location - 7, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved.scale, 3 * plain.scale, rtol=1e-12)
    order = RNG.permutation(72)
    again = fit(VALUES[:, order], Segments.from_labels(LABELS[order]), "huber")
    np.testing.assert_allclose(again.location, plain.location, rtol=0, atol=1e-13)


def test_no_entry_depends_on_another() -> None:
    """Each stops by itself: those that take long do not move the others on."""
    together = fit(VALUES, SEGMENTS, "huber").location
    for b in range(2):
        np.testing.assert_array_equal(fit(VALUES[b : b + 1], SEGMENTS, "huber").location[0], together[b])
    alone = [fit(VALUES[0, label == LABELS], Segments.single(int((label == LABELS).sum())), "huber") for label in "abc"]
    np.testing.assert_allclose([one.location[0, 0] for one in alone], together[0], rtol=0, atol=1e-14)


def test_without_spread_it_is_the_median_and_without_values_missing() -> None:
    y = np.array([1.0, 1.0, 1.0, 1.0, 5.0, np.nan, np.inf, 4.0])
    found = fit(y, Segments.from_codes(np.array([0, 0, 0, 0, 0, 1, 1, 2]), "abc"), "huber")
    np.testing.assert_array_equal(found.location, [[1.0, np.nan, 4.0]])  # MASS's refuses such samples
    assert found.n.tolist() == [[5, 0, 1]]


def test_what_is_not_used_has_no_part_and_weights_are_refused() -> None:
    use = RNG.random(72) < 0.7
    some = fit(VALUES, SEGMENTS, "huber", use=use)
    kept = fit(VALUES[:, use], Segments.from_labels(LABELS[use]), "huber")
    np.testing.assert_allclose(some.location, kept.location, rtol=0, atol=1e-14)
    with pytest.raises(OptionError, match="huber takes no weights"):
        fit(VALUES, SEGMENTS, "huber", weights=np.ones(72))
    assert Fit.from_plain(some.to_plain()).location.tolist() == some.location.tolist()
