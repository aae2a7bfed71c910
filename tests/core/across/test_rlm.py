"""Entries and groups compared by items that match: MASS's numbers, targets, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import Backend
from robust_cases import table

from gridnorm.core.across import Target, normalize_across
from gridnorm.core.across.rlm import Matched
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError

RNG = np.random.default_rng(6)
ENTRIES, N = 5, 240
GROUP, MATCH = np.repeat(np.arange(4), 60), np.tile(np.arange(60.0), 4)
OF_ENTRY, OF_GROUP = np.array([1.0, -1, 0.5, -0.5, 0]), np.array([0.3, -0.3, 0.6, -0.6])
NOISE = 0.1 * RNG.standard_t(3, (ENTRIES, N))
X = OF_ENTRY[:, None] + OF_GROUP[GROUP] + RNG.normal(8, 2, 60)[MATCH.astype(int)] + NOISE
GROUPS, ALL = Segments.from_codes(GROUP, "abcd"), Segments.single(N)


def done(x: np.ndarray = X, segments: Segments = GROUPS, match: np.ndarray = MATCH, **more: Any) -> np.ndarray:
    return normalize_across(x, segments, "rlm", covariate=match, **more).values


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", ["array", "both"])
def test_what_is_taken_off_is_what_mass_finds(backend: Backend, golden: Path, case: str, weighted: bool) -> None:
    given = table(golden / "robust_effects.tsv")
    some = given["case"] == case
    array, group, match = (given[name][some].astype(int) - 1 for name in ("array", "group", "match"))
    # An item of ours for each of the table's rows, which only one entry has.
    values = np.full((6, some.sum()), np.nan)
    values[array, np.arange(some.sum())] = given["y"][some]
    weights = np.broadcast_to(given["weight"][some], values.shape) if weighted else None
    segments = Segments.from_codes(group, range(group.max() + 1))

    def run(values: Any, **more: Any) -> Any:
        return normalize_across(values, segments, "rlm", **more).values

    found = backend.run(run, values, covariate=match.astype(float), weights=weights)
    off = (values - found)[array, np.arange(some.sum())]
    np.testing.assert_allclose(off, given["weighted" if weighted else "effect"][some], rtol=0, atol=1e-9)


def test_effects_of_entries_and_groups_are_taken_off() -> None:
    off = X - done()
    np.testing.assert_allclose(off, OF_ENTRY[:, None] + OF_GROUP[GROUP], rtol=0, atol=0.05)
    assert abs(off[:, [0, 60, 120, 180]].sum()) < 1e-10, "they sum to zero"
    alone = X - done(segments=ALL)
    np.testing.assert_allclose(alone, np.repeat(OF_ENTRY[:, None], N, axis=1), rtol=0, atol=0.05)
    assert np.ptp(alone, axis=1).max() < 1e-12, "of one group only the entries differ"


def test_order_shift_and_missing_values() -> None:
    base, order = done(), RNG.permutation(N)
    shuffled = done(X[:, order], Segments.from_codes(GROUP[order], "abcd"), MATCH[order])
    np.testing.assert_allclose(shuffled, base[:, order], rtol=0, atol=1e-11)
    np.testing.assert_allclose(done(X[::-1]), base[::-1], rtol=0, atol=1e-11)
    moved = X + np.array([3.0, -3, 0, 1, -1])[:, None]
    np.testing.assert_allclose(done(moved), base, rtol=0, atol=1e-11)
    holes = RNG.random(X.shape) < 0.1
    found = done(np.where(holes, np.nan, X))
    np.testing.assert_array_equal(np.isnan(found), holes)
    # What is not used teaches nothing, and is treated like any.
    wild = np.where(holes, 1e4, X)
    for more in ({"use": ~holes}, {"weights": np.where(holes, 0.0, 1.0)}):
        used = done(wild, **more)
        np.testing.assert_allclose(used[~holes], found[~holes], rtol=0, atol=1e-11)
        assert (used[holes] > 9e3).all()
    hidden = np.where(MATCH < 20, np.nan, MATCH)
    np.testing.assert_allclose(done(match=hidden) - base, 0, atol=0.05)
    np.testing.assert_array_equal(done(), base)


def test_a_group_may_be_missing_in_an_entry_and_in_all() -> None:
    lacking = X.copy()
    lacking[1, GROUP == 2] = np.nan
    np.testing.assert_allclose(done(lacking) - done(), np.where(np.isnan(lacking), np.nan, 0.0), atol=0.05)
    lacking[:, GROUP == 2] = np.nan
    three = GROUP != 2
    fewer = Segments.from_codes((GROUP - (GROUP > 2))[three], "abd")
    np.testing.assert_allclose(done(lacking)[:, three], done(X[:, three], fewer, MATCH[three]), rtol=0, atol=1e-11)


def test_further_entries_are_brought_to_the_target() -> None:
    first = normalize_across(X, GROUPS, "rlm", covariate=MATCH)
    assert first.target is not None
    kept = Target.from_plain(json.loads(json.dumps(first.target.to_plain(), allow_nan=False)))
    again = normalize_across(X[1:2] + 2.0, GROUPS, "rlm", target=kept).values
    np.testing.assert_allclose(again[0], first.values[1], rtol=0, atol=0.05)
    assert np.ptp(again[0] - first.values[1]) < 1e-12, "but for its own effect"
    # Every entry by itself.
    two = normalize_across(X[1:3] + 2.0, GROUPS, "rlm", target=kept).values
    np.testing.assert_array_equal(two[0], again[0])
    weighed = normalize_across(X[1:2], GROUPS, "rlm", target=kept, weights=np.where(GROUP == 0, 1.0, 1e-9)).values
    expected = np.median((X[1] - first.target.payload.level - first.target.payload.groups[GROUP])[GROUP == 0])
    assert (X[1] - weighed[0])[0] == pytest.approx(expected + first.target.payload.groups[0], abs=0.05)
    lone = np.where(np.arange(N) == 7, X[1], np.nan)[None]
    with pytest.raises(FitError, match="entry 0 has too few items to be compared with the target; found 1"):
        normalize_across(lone, GROUPS, "rlm", target=kept)


def test_damaged_targets_are_told() -> None:
    whole = Matched(np.zeros(4), np.zeros(2))
    assert whole.check([2, 2], {}) is None
    assert whole.check([2, 3], {}) == "levels and effects of shapes (4,) and (2,)"
    assert Matched(np.zeros(4), np.array([0.0, np.nan])).check([2, 2], {}) == "effects that are missing"


def test_what_shares_nothing_is_named() -> None:
    hint = "Leave them out, or say with match and control_type what is alike"
    with pytest.raises(FitError) as caught:
        done(match=np.where(GROUP == 3, 100 + MATCH, MATCH))
    assert str(caught.value) == (
        "groups that share nothing with the others cannot be compared with them; found d, expected groups that hang "
        f"together by what match names. {hint}"
    )
    apart = X.copy()
    apart[0, MATCH >= 30], apart[1:, MATCH < 30] = np.nan, np.nan
    with pytest.raises(FitError) as entries:
        done(apart, names=["a.gpr", *"bcde"])
    assert str(entries.value) == (
        "entries that share nothing with the others cannot be compared with them; found a.gpr, expected entries that "
        f"hang together by what match names. {hint}"
    )
    with pytest.raises(FitError, match="groups that share nothing.*found d, expected"):
        done(match=np.where(GROUP == 3, np.nan, MATCH))


def test_groups_that_are_entries_cannot_be_told_from_them() -> None:
    mixed = np.full((2, N), np.nan)
    mixed[0, GROUP < 2], mixed[1, GROUP >= 2] = X[0, GROUP < 2], X[1, GROUP >= 2]
    two = Segments.from_codes(GROUP // 2, ["left", "right"])
    with pytest.raises(FitError) as caught:
        done(mixed, two)
    assert str(caught.value) == (
        "what groups differ by cannot be told from what those differ by that hold them; found left, right, expected "
        "groups that occur in several entries, and match there. Name other groups with between_by"
    )


def test_what_is_not_given_is_asked_for() -> None:
    with pytest.raises(OptionError, match="rlm needs a covariate. Give covariate=, one number per item"):
        normalize_across(X, GROUPS, "rlm")
    with pytest.raises(OptionError, match="quantile takes no covariate"):
        normalize_across(X, GROUPS, "quantile", covariate=MATCH)
    with pytest.raises(OptionError, match="rlm makes several alike; found 1, expected 2 or more"):
        done(X[:1])
    with pytest.raises(FitError, match="no usable value in b"):
        done(np.where(np.arange(ENTRIES)[:, None] == 1, np.nan, X), names="abcde")
