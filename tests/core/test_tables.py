"""Pandas indexes: what belongs together is matched, never taken by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from gridnorm.core.groups import normalize_groups
from gridnorm.core.segments import Segments
from gridnorm.errors import GridnormWarning, OptionError

RNG = np.random.default_rng(5)
INDEX = [f"i{k}" for k in range(60)]
FRAME = pd.DataFrame(RNG.normal(size=(60, 3)), INDEX, list("abc")) + np.repeat([0.0, 8.0, 3.0], 20)[:, None]
PLATE = pd.Series(np.repeat(["p", "q", "r"], 20), INDEX)
BATCH = pd.Series(["x", "x", "y"], list("abc"))
WEIGHTS = pd.DataFrame(RNG.uniform(size=(60, 3)), INDEX, list("abc"))


def mixed(data: Any) -> Any:
    return data.sample(frac=1, random_state=3)


def test_a_shuffled_series_gives_what_pandas_gives() -> None:
    """By position it was off by the distance of the groups."""
    values = mixed(FRAME["a"])
    expected = values - values.groupby(PLATE).transform("median")
    pd.testing.assert_series_equal(normalize_groups(values, PLATE), expected)
    pd.testing.assert_frame_equal(normalize_groups(FRAME, mixed(PLATE)), normalize_groups(FRAME, PLATE))
    crossed = normalize_groups(FRAME, [mixed(PLATE), PLATE.to_numpy()])
    pd.testing.assert_frame_equal(crossed, normalize_groups(FRAME, PLATE))


@pytest.mark.parametrize("name", ["weights", "covariate", "use"])
@pytest.mark.parametrize("shape", ["frame", "vector"])
def test_all_that_belongs_to_the_values_is_matched(name: str, shape: str) -> None:
    given: Any = WEIGHTS if shape == "frame" else WEIGHTS["a"]
    given = given > 0.3 if name == "use" else given
    shuffled = mixed(given)[["c", "a", "b"]] if shape == "frame" else mixed(given)
    more: dict[str, Any] = {"method": "loess", "span": 0.9} if name == "covariate" else {}
    plain = normalize_groups(FRAME, PLATE, **more, **{name: given.to_numpy()})
    pd.testing.assert_frame_equal(normalize_groups(FRAME, PLATE, **more, **{name: shuffled}), plain)
    flipped = shuffled.T if shape == "frame" else shuffled
    turned = normalize_groups(FRAME.T, mixed(PLATE), axis=1, **more, **{name: flipped})
    pd.testing.assert_frame_equal(turned.T, plain)


def test_labels_of_columns_go_by_the_columns() -> None:
    done = normalize_groups(FRAME, BATCH, axis=1)
    pd.testing.assert_frame_equal(normalize_groups(FRAME, BATCH[::-1], axis=1), done)
    with pytest.raises(OptionError, match="the index of groups is not that of the values; found it lacks 'a', 'b'"):
        normalize_groups(FRAME, BATCH.reset_index(drop=True), axis=1)


def test_values_without_an_index_go_by_position_and_the_rest_with_the_labels() -> None:
    values = FRAME["a"].to_numpy()
    plain = normalize_groups(values, PLATE.to_numpy(), "mean", weights=WEIGHTS["a"].to_numpy())
    np.testing.assert_array_equal(normalize_groups(values, PLATE, "mean", weights=mixed(WEIGHTS["a"])), plain)
    turned = normalize_groups(FRAME.to_numpy().T, PLATE, axis=1)
    np.testing.assert_array_equal(turned.T, normalize_groups(FRAME, PLATE))


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (PLATE.reset_index(drop=True), r"found it lacks 'i0', 'i1', 'i2' and 57 more; it has beside them 0, 1, 2 and"),
        (PLATE[:-1], r"is not that of the values; found it lacks 'i59', expected the same entries, in any order"),
        (pd.concat([PLATE, pd.Series(["p"], ["new"])]), r"it has beside them 'new'.*\.to_numpy\(\)"),
        (pd.concat([PLATE, PLATE[:1]]), r"cannot be matched with that of the values; found 'i0' more than once"),
    ],
)
def test_an_index_with_other_entries_is_refused(groups: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        normalize_groups(FRAME["a"], groups)
    with pytest.raises(OptionError, match="the index of weights"):
        normalize_groups(FRAME["a"], PLATE, weights=groups)


def test_the_very_same_index_may_repeat_itself() -> None:
    twice = ["a", "a", "b", "b"]
    done = normalize_groups(pd.Series([1.0, 3.0, 5.0, 9.0], twice), pd.Series(twice, twice))
    assert done.tolist() == [-1, 1, -2, 2]


def test_label_vectors_with_indexes_are_crossed_by_index() -> None:
    kinds = pd.Series(np.arange(60) % 4, INDEX)
    crossed = Segments.from_labels(PLATE, mixed(kinds), np.arange(60) % 2)
    expected = Segments.from_labels(PLATE.to_numpy(), kinds.to_numpy(), np.arange(60) % 2)
    assert crossed.labels == expected.labels
    np.testing.assert_array_equal(crossed.codes, expected.codes)
    with pytest.raises(OptionError, match="the index of labels is not that of the first labels"):
        Segments.from_labels(PLATE, kinds[1:])
    with pytest.raises(OptionError, match="cannot be matched with that of the first labels"):
        Segments.from_labels(PLATE, kinds.set_axis(["x"] * 60))


def test_labels_that_are_all_different_are_told() -> None:
    values = FRAME["a"]
    with pytest.warns(GridnormWarning, match="every group holds one value: all 60 labels are different"):
        done = normalize_groups(values, np.arange(60))
    assert (done == 0).all()
    with pytest.warns(GridnormWarning, match="every group holds one value") as told:
        normalize_groups(values, INDEX, "loess", covariate=np.arange(60.0))
    assert len(told) == 1
    normalize_groups(values, np.arange(60), "none")
    normalize_groups(values[:1], ["a"])  # of one value there is nothing to tell
    labels = np.arange(60)
    labels[1] = 0
    normalize_groups(values, labels)
