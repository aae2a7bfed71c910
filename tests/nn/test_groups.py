"""Labels of channels, equivariance of the groups that they make, and the doctor's findings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.core.apply import apply
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.core.spread import share_explained
from gridnorm.errors import OptionError
from gridnorm.nn import groups
from gridnorm.nn.groups import contiguous, doctor, from_permutation, orbits, pruned, strided


def normalized(x: np.ndarray, labels: Any) -> np.ndarray:
    """Group normalization without weight and bias: the core on (sample, channel, position)."""
    values, segments = x.reshape(*x.shape[:2], -1), Segments.from_labels(np.asarray(labels))
    return apply(values, segments, fit(values, segments, "moments"), "standardize").reshape(x.shape)


def activations(deviations: Any, shape: tuple[int, int, int] = (4, 16, 16), seed: int = 0) -> np.ndarray:
    n, *size = shape
    scale = np.asarray(deviations, float)
    return np.random.default_rng(seed).normal(size=(n, scale.size, *size)) * scale[:, None, None]


# Builders


def test_contiguous_and_strided() -> None:
    assert contiguous(8, 2).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert contiguous(5, sizes=[1, 3, 1]).tolist() == [0, 1, 1, 1, 2]
    assert strided(8, 2).tolist() == [0, 1] * 4
    assert strided(5, 3).tolist() == [0, 1, 2, 0, 1]


def test_orbits_in_both_layouts_are_one_partition() -> None:
    fields, order = 6, 4
    first = orbits(fields, order, fields_per_group=2)
    assert first.tolist() == np.repeat([0, 1, 2], 8).tolist()
    second = orbits(fields, order, "orientation-major", fields_per_group=2)
    assert (second.reshape(order, fields).T.ravel() == first).all()
    assert (orbits(fields, order, "orientation-major") == strided(24, 6)).all()


def quarter_turn(fields: int, layout: str) -> np.ndarray:
    """Which channel comes to each place when the input turns by 90 degrees."""
    if layout == "field-major":
        return np.roll(np.arange(fields * 4).reshape(fields, 4), 1, axis=1).ravel()
    return np.roll(np.arange(fields * 4).reshape(4, fields), 1, axis=0).ravel()


@pytest.mark.parametrize("layout", ["field-major", "orientation-major"])
def test_orbits_are_those_of_the_rotation(layout: str) -> None:
    assert (from_permutation(quarter_turn(5, layout)) == orbits(5, 4, layout)).all()


def test_two_generators_join_what_each_leaves_apart() -> None:
    # The square's symmetries on 8 orientations: a turn has orbits of 4, with a mirror there is one of 8.
    turn, mirror = [1, 2, 3, 0, 5, 6, 7, 4], [4, 7, 6, 5, 0, 3, 2, 1]
    assert from_permutation(turn).tolist() == [0] * 4 + [1] * 4
    assert from_permutation(mirror).tolist() == [0, 1, 2, 3, 0, 3, 2, 1]
    assert from_permutation(turn, mirror).tolist() == [0] * 8


@given(st.integers(1, 40).flatmap(lambda n: st.lists(st.permutations(range(n)), min_size=1, max_size=3)))
def test_orbits_against_a_walk(permutations: list[list[int]]) -> None:
    labels = from_permutation(*permutations)
    expected: dict[int, int] = {}
    for start in range(len(permutations[0])):
        if start not in expected:
            group, todo = len(set(expected.values())), [start]
            while todo:
                channel = todo.pop()
                if channel not in expected:
                    expected[channel] = group
                    todo += [permutation[channel] for permutation in permutations]
    assert labels.tolist() == [expected[channel] for channel in range(labels.size)]


def test_a_long_cycle_is_one_orbit() -> None:
    order = np.random.default_rng(0).permutation(5000)
    cycle = np.empty(5000, int)
    cycle[order] = np.roll(order, 1)
    assert from_permutation(cycle).max() == 0


def test_pruning_keeps_groups_together() -> None:
    labels = [0, 0, 1, 1, 2, 2, -1, -1]
    mask = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert pruned(labels, mask).tolist() == [0, 1, 1, -1]
    assert pruned(labels, np.flatnonzero(mask)).tolist() == [0, 1, 1, -1]
    # Numbers give the order in which the channels lie afterwards.
    assert pruned(labels, [5, 0, 6, 4]).tolist() == [1, 0, -1, 1]
    assert pruned(labels, [6]).tolist() == [-1]


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=20), st.data())
def test_pruned_channels_share_a_group_if_they_did(labels: list[int], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(range(len(labels))), min_size=1, unique=True))
    new, old = pruned(labels, kept), np.array(labels)[kept]
    assert ((new < 0) == (old < 0)).all()
    both = (old >= 0)[:, None] & (old >= 0)
    assert ((new[:, None] == new) == (old[:, None] == old))[both].all()
    assert set(new.tolist()) - {-1} == set(range(len(set(old.tolist()) - {-1})))


def test_pruned_groups_normalize_as_before_among_themselves() -> None:
    labels, kept = contiguous(12, 3), np.array([0, 1, 2, 3, 8, 9, 10, 11])
    x = activations(np.arange(1.0, 13))
    assert (normalized(x[:, kept], pruned(labels, kept)) == normalized(x, labels)[:, kept]).all()


@pytest.mark.parametrize(
    "build", [lambda: contiguous(6, 2), lambda: contiguous(6, sizes=(1, 5)), lambda: strided(6, 4)]
)
def test_labels_are_int64(build: Callable[[], np.ndarray]) -> None:
    assert build().dtype == np.int64


def test_other_builders_give_int64_too() -> None:
    narrow = np.array([1, 0, 2], np.int8)
    assert orbits(2, 3).dtype == from_permutation(narrow).dtype == pruned(narrow, [0]).dtype == np.int64


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "not a divisor": (lambda: contiguous(10, 4), "10 channels cannot be cut into 4 .*nearest: 2 and 5.*sizes="),
    "no groups": (lambda: contiguous(10, 0), "num_groups must be a whole number of at least 1; found 0"),
    "a text": (lambda: contiguous(10, "5"), "num_groups must be a whole number .* found '5'"),
    "both": (lambda: contiguous(4, 2, sizes=[2, 2]), "one of num_groups= and sizes="),
    "neither": (lambda: contiguous(4), "one of num_groups= and sizes="),
    "sizes short": (lambda: contiguous(8, sizes=[3, 4]), r"found 7 = 3 \+ 4, expected 8"),
    "empty size": (lambda: contiguous(4, sizes=[4, 0]), "each of sizes must be .* found 0"),
    "too many": (lambda: strided(3, 4), r"more groups than channels; found 4, expected 1…3"),
    "order": (lambda: orbits(2, 0), "order must be a whole number of at least 1; found 0"),
    "layout": (lambda: orbits(2, 4, "field"), "found 'field', expected field-major or orientation-major"),
    "fields": (lambda: orbits(6, 4, fields_per_group=4), "found 4 for 6 fields, expected 1, 2, 3, 6"),
    "no permutation": (lambda: from_permutation(), "no permutation was given"),
    "repeated": (lambda: from_permutation([0, 2, 2, 1]), "permutation 0 .* found 2 again at entry 2"),
    "outside": (lambda: from_permutation([0, 1], [1, 2]), "permutation 1 .* found 2 at entry 1, expected each of 0…1"),
    "lengths": (lambda: from_permutation([0, 1], [0, 1, 2]), "permutation 1 has another length; found 3, expected 2"),
    "not whole": (lambda: from_permutation([0.0, 1.0]), "dtype float64"),
    "mask": (lambda: pruned([0, 0, 1], [True, False]), "found 2, expected 3"),
    "0/1 mask": (lambda: pruned([0, 0, 1], [1, 0, 1]), "a mask must be boolean.*found 1 again at entry 2"),
    "beyond": (lambda: pruned([0, 0, 1], [0, 3]), "found 3 at entry 1"),
    "negative": (lambda: pruned([0, 0, 1], [-1]), "found -1 at entry 0"),
    "nothing": (lambda: pruned([0, 0, 1], [False] * 3), "no channel remains"),
    "labels": (lambda: pruned([0, -2, 1], [0]), "found -2 for channel 1"),
    "float labels": (lambda: pruned([0.5, 1], [0]), "labels must be one row of whole numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(OptionError, match=message):
        call()


# Equivariance


def commutes(labels: np.ndarray, layout: str) -> float:
    """Relative ‖N(ρx) − ρN(x)‖ for a turn by 90 degrees of fields with 4 orientations."""
    channels = labels.size
    x = np.random.default_rng(1).normal(size=(3, channels, 8, 8)) * np.linspace(0.5, 3, channels)[:, None, None]

    def turned(values: np.ndarray) -> np.ndarray:
        return np.rot90(values, axes=(2, 3))[:, quarter_turn(channels // 4, layout)]

    expected = turned(normalized(x, labels))
    found = normalized(np.ascontiguousarray(turned(x)), labels)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("layout", ["field-major", "orientation-major"])
@pytest.mark.parametrize("fields_per_group", [1, 2, 8])
def test_orbit_groups_commute_with_a_quarter_turn(layout: str, fields_per_group: int) -> None:
    assert commutes(orbits(8, 4, layout, fields_per_group), layout) <= 1e-14


def test_groups_of_one_orientation_commute_as_well() -> None:
    # The turn maps this partition to itself, one group to the next.
    assert commutes(strided(32, 4), "field-major") <= 1e-14


@pytest.mark.parametrize(
    "labels",
    [contiguous(32, sizes=[6, 6, 6, 6, 8]), contiguous(32, 16), orbits(6, 4, "orientation-major")],
    ids=["across orbits", "half orbits", "other layout"],
)
def test_misaligned_groups_do_not(labels: np.ndarray) -> None:
    assert commutes(labels, "field-major") > 1e-2


# Doctor

SQUASHING = [10, 10, 10, 0.1] * 2


def test_the_squash_is_found_and_the_proposal_undoes_it() -> None:
    x = activations(SQUASHING, (4, 48, 48))
    found = doctor(x, contiguous(8, 2))
    assert found.squashed == (3, 7)
    assert [group.dominant for group in found.groups] == [(0, 1, 2), (4, 5, 6)]
    assert [group.channels for group in found.groups] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert found.proposal.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert found.proposal.dtype == np.int64
    assert found.proposal_squashed == ()
    for group in found.groups:
        np.testing.assert_allclose(group.deviations, [10, 10, 10, 0.1], rtol=0.03)
        np.testing.assert_allclose(group.ratio, 100, rtol=0.05)
        np.testing.assert_allclose(group.after[3], 0.1 / np.sqrt(75), rtol=0.05)
    assert found.share < 0.01
    assert found.proposal_share > 0.999
    # What normalization itself leaves: next to nothing before, a unit with the proposal.
    assert normalized(x, contiguous(8, 2))[:, [3, 7]].std(axis=(0, 2, 3)).max() < 0.03
    repaired = normalized(x, found.proposal).std(axis=(0, 2, 3))
    np.testing.assert_allclose(repaired, 1, atol=0.03)
    assert doctor(x, found.proposal).squashed == ()


def test_after_is_what_a_channels_own_signal_becomes() -> None:
    x = activations([1.0, 2.0, 5.0, 0.3, 0.3, 0.6], (6, 32, 32))
    found = doctor(x, contiguous(6, 2), eps=0.0)
    y = normalized(x, contiguous(6, 2))
    # Within samples, so without the group means that the other channels make.
    measured = np.sqrt(y.var(axis=(2, 3)).mean(axis=0))
    np.testing.assert_allclose([a for group in found.groups for a in group.after], measured, rtol=0.01)


def test_deviations_pool_samples_and_positions_for_any_axes() -> None:
    x = np.random.default_rng(2).normal(size=(3, 5, 6, 4)) * [1, 2, 3, 4] + [0, 5, 0, 1]
    expected = x.std(axis=(0, 1, 2))
    for given_x, axes in (
        (x, {"channel_axis": -1}),
        (x, {"channel_axis": 3, "batch_axes": (0, 1)}),
        (x, {"channel_axis": 3, "batch_axes": ()}),
        (np.moveaxis(x, -1, 1), {}),
    ):
        found = doctor(given_x, contiguous(4, 2), **axes)
        np.testing.assert_allclose([d for group in found.groups for d in group.deviations], expected, rtol=1e-12)


def test_chunks_of_samples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = activations(SQUASHING, (5, 4, 4))
    whole = doctor(x, 2)
    monkeypatch.setattr("gridnorm.nn.group_doctor._CHUNK", 1)
    assert doctor(x, 2).groups == whole.groups


def test_like_channels_are_left_alone() -> None:
    found = doctor(activations(np.linspace(1, 2, 16)), 4)
    assert found.squashed == ()
    assert all(group.dominant == () for group in found.groups)
    assert "No channel is squashed" in str(found)


def test_passed_and_constant_channels_are_named_and_take_no_part() -> None:
    x = activations([*np.array(SQUASHING) / 10, 1000.0, 1.0])
    x[:, 9] = 333333.3
    labels = [0, 0, 0, 0, 1, 1, 1, 1, -1, 1]
    found = doctor(x, labels)
    assert (found.passed, found.constant) == ((8,), (9,))
    assert found.squashed[0] == 3
    assert found.proposal.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, -1, 1]
    assert found.groups[1].deviations[4] == 0


def test_levels_are_told_apart_from_variances() -> None:
    x = activations([1.0] * 4) + np.array([-50.0, 0.0, 0.0, 50.0])[:, None, None]
    found = doctor(x, 1)
    assert found.squashed == (0, 1, 2, 3)
    assert found.groups[0].dominant == ()
    assert found.groups[0].levels > 0.99
    assert found.proposal_squashed == (0, 1, 2, 3)
    assert "no help" in str(found)


def test_one_position_a_sample_gets_no_group_of_one_value() -> None:
    x = np.random.default_rng(3).normal(size=(500, 6)) * [1, 1.1, 0.9, 1, 1, 100]
    assert np.bincount(doctor(x, 2).proposal).min() == 2
    assert np.bincount(doctor(x, 2, min_channels=1).proposal).min() == 1
    # Instance normalization of single values leaves nothing.
    assert doctor(x, 6).squashed == (0, 1, 2, 3, 4, 5)


def test_the_proposal_explains_most_and_takes_another_number_of_groups() -> None:
    deviations = np.exp(np.random.default_rng(5).normal(size=24))
    x = activations(deviations, (4, 12, 12))
    found = doctor(x, strided(24, 4))
    logs = np.log(x.std(axis=(0, 2, 3)))
    by_rank = np.empty(24, int)
    by_rank[np.argsort(logs)] = contiguous(24, 4)
    np.testing.assert_allclose(found.share, share_explained(logs, Segments.from_labels(strided(24, 4)))[0], rtol=1e-9)
    assert found.proposal_share > share_explained(logs, Segments.from_labels(by_rank))[0] > found.share
    assert found.proposal[0] == 0
    assert len(set(doctor(x, 4, num_groups=6).proposal.tolist())) == 6


def test_the_test_of_groups_that_follow_variance_is_significant() -> None:
    x = activations(np.repeat([0.1, 1.0, 10.0], 6))
    found = doctor(x, 3)
    assert found.p < 1e-6
    assert found.permutation_p == 0.001
    assert (found.df1, found.df2) == (2, 15)
    assert doctor(x, strided(18, 3)).permutation_p > 0.05


def test_missing_values_and_half_precision() -> None:
    x = activations(SQUASHING)
    holes = x.copy()
    holes[0, 0, :8] = np.nan
    assert doctor(holes, 2).proposal.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert doctor(x.astype(np.float16), 2).squashed == (3, 7)


def test_the_report_reads_as_a_table_and_a_verdict() -> None:
    text = str(doctor(activations(SQUASHING), 2))
    lines = text.splitlines()
    assert lines[0].split() == ["group", "channels", "deviation", "ratio", "after", "levels", "squashed", "by"]
    assert lines[1].endswith("0, 1, 2")
    assert "2 of 8 channels are squashed: below 0.25 after normalization." in lines
    assert "With groups by variance (.proposal) none would be." in lines
    assert max(map(len, lines)) <= 100


def test_the_report_of_many_groups_shows_the_worst() -> None:
    deviations = np.ones(80)
    deviations[78] = 100
    text = str(doctor(activations(deviations, (2, 6, 6)), 40))
    assert "and 20 more groups" in text
    assert text.splitlines()[1].split()[0] == "39"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [0, 1]}, "labels and channels differ in number; found 2, expected 8"),
        ({"groups": 3}, "8 channels cannot be cut into 3"),
        ({"groups": [-1] * 8}, "no channel in a group has any spread"),
        ({"channel_axis": 4}, "axes must be different axes of x; found channel_axis=4"),
        ({"channel_axis": 0}, "axes must be different axes of x"),
        ({"limit": 1}, "limit must be above 1"),
        ({"num_groups": 9}, "8 items are too few for the groups; found 9 groups"),
        ({"x": np.zeros((0, 8, 4, 4))}, "no activations"),
        ({"x": np.zeros((2, 8, 4, 4))}, "no channel in a group has any spread"),
    ],
)
def test_the_doctor_says_what_it_cannot_take(change: dict[str, Any], message: str) -> None:
    arguments = {"x": activations(SQUASHING), "groups": 2, **change}
    with pytest.raises(OptionError, match=message):
        doctor(arguments.pop("x"), arguments.pop("groups"), **arguments)


def test_the_face_is_complete() -> None:
    assert all(hasattr(groups, name) for name in groups.__all__)
