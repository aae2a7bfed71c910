"""Labels become groups: any kind of label, missing ones, crossed ones, stable order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.core.segments import NONE_LABEL, Segments
from gridnorm.errors import OptionError

LABELS = st.one_of(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=40),
    st.lists(st.sampled_from(["a", "b", "", "ü", "10", "9"]), min_size=1, max_size=40),
    st.lists(st.sampled_from([1.5, float("nan"), -2.0]), min_size=1, max_size=40),
    st.lists(st.sampled_from(["a", None, 3, 2.5, float("nan"), b"x"]), min_size=1, max_size=40),
)


def is_missing(label: object) -> bool:
    return label is None or label != label or label in ("", b"")


def plain(label: object) -> object:
    if isinstance(label, bytes):
        return label.decode()
    return int(label) if isinstance(label, float) and label.is_integer() else label


@given(LABELS)
def test_every_item_is_in_the_segment_of_its_label(labels: list[object]) -> None:
    segments = Segments.from_labels(labels)
    assert segments.offsets[0] == 0
    assert segments.offsets[-1] == len(labels)
    assert sorted(segments.order.tolist()) == list(range(len(labels)))
    for item, code in enumerate(segments.codes.tolist()):
        expected = NONE_LABEL if is_missing(labels[item]) else plain(labels[item])
        assert segments.labels[code] == expected


@given(LABELS)
def test_order_within_a_segment_is_the_original_order(labels: list[object]) -> None:
    segments = Segments.from_labels(labels)
    for start, stop in zip(segments.offsets[:-1], segments.offsets[1:], strict=True):
        assert (np.diff(segments.order[start:stop]) > 0).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y", ""])), min_size=1, max_size=40))
def test_crossed_labels_equal_labels_of_pairs(pairs: list[tuple[int, str]]) -> None:
    first, second = [p[0] for p in pairs], [p[1] for p in pairs]
    crossed = Segments.from_labels(first, second)
    expected = {(a, b or NONE_LABEL) for a, b in pairs}
    assert set(crossed.labels) == expected
    assert all(
        crossed.labels[c] == (a, b or NONE_LABEL) for c, (a, b) in zip(crossed.codes.tolist(), pairs, strict=True)
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.array([b"b", b"a", b"", b"b"]),
        np.array(["b", "a", "", "b"]),
        pd.Series(["b", "a", None, "b"]),
        pd.Categorical(["b", "a", None, "b"], categories=["b", "a"]),
        ["b", "a", None, "b"],
    ],
)
def test_kind_of_container_does_not_matter(labels: object) -> None:
    segments = Segments.from_labels(labels)
    assert segments.labels == ("a", "b", NONE_LABEL)
    assert segments.codes.tolist() == [1, 0, 2, 1]


@pytest.mark.parametrize("kind", ["S", "U", "O"])
def test_numbers_in_text_count_as_numbers(kind: str) -> None:
    labels = ["P10", "P2", "b", "P2", "P010", "B1", "9" * 5000, "P10x2", ""]
    made = Segments.from_labels(np.array(labels, kind))
    assert made.labels == ("9" * 5000, "B1", "P2", "P010", "P10", "P10x2", "b", "(none)")
    assert [made.labels[code] for code in made.codes] == [label or "(none)" for label in labels]
    crossed = Segments.from_labels(np.array(["x2", "x10", "x2"], kind), np.array(["p10", "p1", "p9"], kind))
    assert crossed.labels == (("x2", "p9"), ("x2", "p10"), ("x10", "p1"))


def test_numbers_sort_by_value_and_missing_last() -> None:
    assert Segments.from_labels([10.0, 9.0, np.nan, 100.0]).labels == (9, 10, 100, NONE_LABEL)
    assert Segments.from_labels(np.array([True, False])).labels == (False, True)
    days = Segments.from_labels(np.array(["2020-01-02", "NaT", "2020-01-01"], "datetime64[D]"))
    assert days.codes.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("labels", "groups", "codes"),
    [
        ([2**63, 2**63 + 1, 1], (1, 2**63, 2**63 + 1), [1, 2, 0]),
        ([2**63 + 5, 2**63 + 1, 2**63], (2**63, 2**63 + 1, 2**63 + 5), [2, 1, 0]),
        ([2**64, 1, 2**64 + 1], (1, 2**64, 2**64 + 1), [1, 0, 2]),
        (np.array([2**64 - 1, 2**64 - 3], np.uint64), (2**64 - 3, 2**64 - 1), [1, 0]),
        ([-(2**63), 2**63 - 1], (-(2**63), 2**63 - 1), [0, 1]),
        (np.array([127, -128, 127], np.int8), (-128, 127), [1, 0, 1]),
        (np.array([255, 0], np.uint8), (0, 255), [1, 0]),
    ],
)
def test_whole_numbers_at_the_ends_of_their_types_are_told_apart(
    labels: object, groups: tuple[int, ...], codes: list[int]
) -> None:
    segments = Segments.from_labels(labels)
    assert segments.labels == groups and all(type(label) is int for label in segments.labels)
    assert segments.codes.tolist() == codes


DAY, NEXT, NAT = np.datetime64("2020-01-01"), np.datetime64("2020-01-02"), np.datetime64("NaT")


@pytest.mark.parametrize(
    ("labels", "codes", "missing"),
    [
        ([NEXT, NAT, DAY], [1, 2, 0], True),
        ([NEXT, NAT, DAY, None], [1, 2, 0, 2], True),
        ([NEXT.astype("M8[ns]"), DAY, NAT], [1, 0, 2], True),
        (np.array([NEXT, NAT, DAY], object), [1, 2, 0], True),
        ([np.timedelta64(2, "s"), np.timedelta64("NaT"), np.timedelta64(1, "s")], [1, 2, 0], True),
        ([np.int32(3), np.int32(1), np.int32(3)], [1, 0, 1], False),
        ([np.int32(3), 1, 3], [1, 0, 1], False),
        ([np.float32("nan"), np.float32(2), None, np.float32("nan")], [1, 0, 1, 1], True),
        ([True, False], [1, 0], False),
        (("b", "a", "b"), [1, 0, 1], False),
        (("b", None, "a"), [1, 2, 0], True),
        ((2.5, float("nan"), 1), [1, 2, 0], True),
        (iter(["b", "a"]), [1, 0], False),
        ([DAY, 3, "x"], [0, 1, 2], False),
    ],
)
def test_labels_may_come_as_lists_and_tuples_of_any_scalar(labels: object, codes: list[int], missing: bool) -> None:
    segments = Segments.from_labels(labels)
    assert segments.codes.tolist() == codes
    assert (segments.labels[-1] == NONE_LABEL) == missing
    assert not any(isinstance(label, np.generic) for label in segments.labels)


def test_many_crossed_vectors_do_not_overflow() -> None:
    vectors = [np.arange(2000) for _ in range(8)]
    assert Segments.from_labels(*vectors).n_segments == 2000


def test_uniform_cuts_and_its_error_names_divisors() -> None:
    segments = Segments.uniform(12, 3)
    assert segments.contiguous
    assert segments.sizes.tolist() == [4, 4, 4]
    with pytest.raises(OptionError, match="nearest: 4 and 6"):
        Segments.uniform(12, 5)


def test_empty_segments_are_kept_when_codes_name_them() -> None:
    segments = Segments.from_codes(np.array([2, 0, 2]), ["a", "b", "c"])
    assert segments.sizes.tolist() == [1, 0, 2]


def test_no_items_give_no_segments() -> None:
    segments = Segments.from_labels(np.array([], np.int64))
    assert (segments.n_items, segments.n_segments) == (0, 0)


def test_bad_labels_are_refused() -> None:
    with pytest.raises(OptionError, match="differ in length"):
        Segments.from_labels([1, 2], [1, 2, 3])
    with pytest.raises(OptionError, match="one-dimensional"):
        Segments.from_labels(np.zeros((2, 2)))
    with pytest.raises(OptionError, match="no labels"):
        Segments.from_labels()
    with pytest.raises(OptionError, match="outside the labels"):
        Segments.from_codes(np.array([0, 3]), ["a"])
