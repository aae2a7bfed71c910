"""Scans in a set: which arrays are one slide, what the merged set keeps, and what is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gridnorm as gn
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.errors import GridnormWarning, LayoutError, OptionError

SLIDES = ["s1", "s1", "s1", "alone"]


def scans(channels: int = 2, **more: Any) -> ArraySet:
    arrays = gn.simulate(4, blocks=(2, 2), spots=(15, 15), gains=(0.3, 1, 3, 1), channels=channels, seed=1).arrays
    targets = {"FileName": list("abcd"), "Slide": SLIDES, "Cy3": ["ref"] * 3 + ["wt"]}
    return replace(arrays, targets=targets, **more)


def merged(arrays: ArraySet, by: Any = "Slide") -> tuple[ArraySet, list[str]]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        done = gn.merge_scans(arrays, by)
    assert {one.filename for one in seen} <= {__file__}
    return done, [str(one.message) for one in seen]


def test_a_slide_becomes_one_array_and_an_array_alone_stays_as_it_is() -> None:
    arrays = scans()
    done, said = merged(arrays)
    assert done.names == ("s1", "array4") and done.n_spots == arrays.n_spots
    np.testing.assert_array_equal(done["array4"].R, arrays["array4"].R)
    assert done.targets == {"FileName": ["a | b | c", "d"], "Slide": ["s1", "alone"], "Cy3": ["ref", "wt"]}
    assert len(done.record(0).scans) == 3 and done.record(1).scans == ()
    assert done.record(0).file == "s1 (3 scans)" and done.layout is arrays.layout
    assert done.history.parameters()["merge_scans"] == "Slide"
    assert str(done.history).endswith("merge_scans(by=Slide)")
    assert all(text.startswith("s1 (3 scans): ") for text in said) and set(said) <= {
        text.replace("--merge-scans", "merge_scans") for text in done.warnings
    }
    assert list(done.columns) == list(arrays.columns)


def test_a_merged_set_goes_through_the_chain() -> None:
    done, _ = merged(scans())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = gn.normalize(done, by="array")
    assert result.M.shape == (900, 2) and result.record(0).scans == done.record(0).scans
    assert [step.operation for step in result.history.steps] == [
        "merge_scans",
        "background_correct",
        "normalize_within",
    ]
    assert result.history.parameters()["by"] == "array"


@pytest.mark.parametrize(
    "by",
    [
        "slide",
        SLIDES,
        np.array(SLIDES),
        pd.Series(SLIDES[::-1], index=["array4", "array3", "array2", "array1"]),
        ["s1", "s1", "s1", 7],
    ],
    ids=["title", "list", "array", "series", "numbers"],
)
def test_labels_come_from_a_column_or_are_given(by: Any) -> None:
    done, _ = merged(scans(), by)
    assert done.names == ("s1", "array4")
    np.testing.assert_array_equal(done.R, merged(scans())[0].R)


def test_one_channel_is_merged_as_two_are() -> None:
    done, _ = merged(scans(1))
    assert done.E.shape == (900, 2) and list(done.record(0).scans[0].channels) == ["E"]


def test_what_says_no_slides_is_refused() -> None:
    arrays = scans()
    for by, words in (
        ("Slid", "by names no column of the targets table; found 'Slid'. Its columns: FileName, Slide, Cy3"),
        (
            ["x"] * 3,
            "by names no slides; found 3 labels, expected a column of the targets table, or a label for each of 4",
        ),
        (5, "by names no slides; found an int, expected a column"),
        (
            ["s", "s", None, "t"],
            "an array has no entry in labels; found array3, expected the slide that it is a scan of",
        ),
        (["s", "s", "", "t"], "an array has no entry in labels; found array3"),
        (list("abcd"), "there are no scans to merge: no slide has two; found a, b, c, d in labels"),
        (["array4", "array4", "b", "c"], "two arrays would be called 'array4'"),
    ):
        with pytest.raises(OptionError) as caught:
            gn.merge_scans(arrays, by)  # type: ignore[arg-type]
        assert str(caught.value).startswith(words)
    with pytest.raises(OptionError, match="A targets table with a column FileName has further columns"):
        gn.merge_scans(replace(arrays, targets={}), "Slide")


def test_what_is_no_raw_scan_is_refused() -> None:
    arrays = scans()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normal, corrected = gn.normalize(arrays, by="array"), gn.background_correct(arrays)
        parts, once = gn.split(scans(1), "Block"), merged(arrays)[0]
    for given in (normal, corrected):
        with pytest.raises(OptionError, match="scans are merged before anything is done to them"):
            gn.merge_scans(given, ["a"] * 4)
    with pytest.raises(OptionError, match="these arrays are parts already.*Merge first, then split"):
        gn.merge_scans(parts, ["a"] * len(parts))
    with pytest.raises(OptionError, match="these arrays are merged already"):
        gn.merge_scans(once, ["a"] * 2)
    with pytest.raises(OptionError, match="no set of arrays"):
        gn.merge_scans(["a.gpr"], "Slide")  # type: ignore[arg-type]


def test_scans_of_other_rows_are_refused_and_both_are_named() -> None:
    arrays = scans()
    absent = np.zeros((4, 900), bool)
    absent[1, :6] = True
    with pytest.raises(LayoutError) as caught:
        gn.merge_scans(replace(arrays, absent=absent), "Slide")
    assert str(caught.value).startswith(
        "array2: its spots are not those of array1, a scan of the same slide; found 6 spots missing, 0 more"
    )
    absent[:3, :6] = True
    done, _ = merged(replace(arrays, absent=absent))
    assert done.absent is not None and done.absent[0].sum() == 6 and done.record(0).spots == 894


def test_a_share_of_saturated_pixels_of_the_first_array_says_nothing_of_the_others() -> None:
    arrays = scans(1)
    told = replace(arrays, columns={**arrays.columns, "F635 % Sat.": np.full(900, 100)})
    np.testing.assert_array_equal(merged(told)[0].E, merged(arrays)[0].E)


def test_merging_says_what_it_did() -> None:
    with pytest.warns(GridnormWarning) as seen:
        gn.merge_scans(scans(), "Slide")
    assert str(seen[0].message).startswith("s1 (3 scans): array1, array2 and array3 are merged, in the unit of the low")
