"""A set is a container: names pick arrays, slices, numbers and masks pick spots, and everything goes with them."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pandas as pd
import pytest

import gridnorm as gn
from gridnorm.arrays.subset import SHOWN_ROWS, html

RAW = gn.simulate(3, (2, 2), (8, 7), seed=1).arrays
DONE = gn.normalize(RAW, weights=np.linspace(0, 1, 3 * RAW.n_spots).reshape(-1, 3), small_groups="own")
HALF = np.arange(224) % 2 == 0


def everything(one: gn.ArraySet) -> dict[str, np.ndarray]:
    """All that a set has for (spot, array)."""
    found = {name: matrix.T for name, matrix in one.values.items()}
    found |= {"flags": one.flags, "flagged": one.flagged}
    if one.weights is not None:
        found["weights"] = one.weights
    for k, fit in enumerate(one.fits):
        found[f"start{k}"], found[f"values{k}"] = fit.start.T, fit.values.T
    return found


ROWS: list[tuple[Any, Any]] = [
    (slice(None, 100), np.arange(100)),
    (slice(200, None, 3), np.arange(200, 224, 3)),
    (slice(None, None, -1), np.arange(224)[::-1]),
    (HALF, np.flatnonzero(HALF)),
    (HALF.tolist(), np.flatnonzero(HALF)),
    (pd.Series(HALF).sample(frac=1, random_state=1), np.flatnonzero(HALF)),
    ([5, 2, -1], np.array([5, 2, 223])),
    (np.array([], int), np.array([], int)),
    (np.array([7], np.uint8), np.array([7])),
]


@pytest.mark.parametrize("arrays", [RAW, DONE], ids=["raw", "done"])
@pytest.mark.parametrize(("key", "rows"), ROWS, ids=[str(k) for k in range(len(ROWS))])
def test_spots_take_everything_with_them(arrays: gn.ArraySet, key: Any, rows: np.ndarray) -> None:
    some = arrays[key]
    assert some.shape == (rows.size, 3) and some.names == arrays.names and len(some) == 3
    for name, whole in everything(arrays).items():
        np.testing.assert_array_equal(everything(some)[name], whole[rows])
    pd.testing.assert_frame_equal(some.spots, arrays.spots.iloc[rows].reset_index(drop=True), check_dtype=rows.size > 0)
    assert [record.spots for record in some.records] == [rows.size] * 3
    assert [record.flagged for record in some.records] == arrays.flagged[rows].sum(axis=0).tolist()
    assert some.history.steps == (*arrays.history.steps, some.history.steps[-1])
    assert some.history.steps[-1] == ("subset", {"rows": rows.size})


ARRAYS: list[tuple[Any, list[int]]] = [
    ("array2", [1]), (["array3", "array1"], [2, 0]), ((slice(None), "array2"), [1]), ((slice(None), 0), [0]),
    ((slice(None), -1), [2]), ((slice(None), slice(1, None)), [1, 2]), ((slice(None), [2, 1]), [2, 1]),
    ((slice(None), np.array([True, False, True])), [0, 2]), ((slice(None), ("array1", "array3")), [0, 2]),
    ((slice(None), pd.Index(["array3"])), [2]),
]  # fmt: skip


@pytest.mark.parametrize("arrays", [RAW, DONE], ids=["raw", "done"])
@pytest.mark.parametrize(("key", "which"), ARRAYS, ids=[str(k) for k in range(len(ARRAYS))])
def test_arrays_take_everything_with_them(arrays: gn.ArraySet, key: Any, which: list[int]) -> None:
    arrays = replace(arrays, targets={"Cy3": ["x", "y", "z"]}, warnings=("of the run",))
    some = arrays[key]
    assert some.names == tuple(f"array{k + 1}" for k in which) and some.shape == (224, len(which))
    for name, whole in everything(arrays).items():
        if name[-1].isdigit():
            continue
        np.testing.assert_array_equal(everything(some)[name], whole[:, which])
    assert [fit.labels for fit in some.fits] == [arrays.fits[k].labels for k in which if arrays.fits]
    assert some.targets == {"Cy3": ["xyz"[k] for k in which]} and some.columns is arrays.columns
    assert [record.file for record in some.records] == [arrays.records[k].file for k in which]
    assert some.history.steps == arrays.history.steps  # of what was done to the arrays nothing is another


def test_both_keys_at_once_and_nothing_left_out() -> None:
    some = DONE[RAW.spots["Block"] == 2, "array3"]
    np.testing.assert_array_equal(some.M[:, 0], DONE.M[RAW.spots["Block"] == 2, 2])
    assert RAW[:] is RAW and RAW[:, :] is RAW
    assert DONE[:, ["array1", "array2", "array3"]] is DONE


def test_a_part_of_a_set_is_normalized_as_a_set_of_its_own() -> None:
    part = RAW[RAW.spots["Block"] == 2]
    done = gn.normalize(part, method="median", small_groups="own", background="half")
    whole = gn.normalize(RAW, method="median", small_groups="own", background="half")
    np.testing.assert_array_equal(done.M, whole.M[RAW.spots["Block"] == 2])
    assert [step.operation for step in done.history.steps] == ["subset", "background_correct", "normalize_within"]
    one = gn.normalize(RAW["array2"], background="half")
    np.testing.assert_array_equal(one.M[:, 0], gn.normalize(RAW, background="half").M[:, 1])


def test_spots_that_an_array_lacks_stay_absent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        parts = gn.split(RAW, np.where(np.arange(224) < 200, "a", "b"))
    assert parts.absent is not None
    some = parts[20:60]
    assert some.absent is not None
    np.testing.assert_array_equal(some.absent, parts.absent[:, 20:60])
    assert [record.spots for record in some.records] == (~parts.absent[:, 20:60]).sum(axis=1).tolist()
    assert [record.missing for record in some.records] == [0] * len(some)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("aray2", "no array of this name; found 'aray2', expected array1, array2, array3. Did you mean 'array2'"),
        (["array1", "q"], "no array of this name; found 'q'"),
        (0, r"a number alone could be a spot or an array; found \[0\], expected \[:, 0\] for the array"),
        ((slice(None), 3), "there is no such array; found 3, expected 0 to 2"),
        ([300], "there is no such spot; found 300, expected 0 to 223"),
        (("array1", 0), "this chooses no spots"),
        ((0, 0, 0), "arrays have two axes; found 3 keys"),
        (HALF[:-1], "the mask of spots has another length; found 223, expected 224"),
        ([0.5], "this chooses no spots"),
        (slice("a", "b"), "a slice of spots needs whole numbers"),
        ((slice(None), []), "no array is left"),
        ((slice(None), ["array1", "array1"]), "two arrays have one name"),
        (None, "this chooses no spots"),
        (pd.Series(HALF, np.arange(224) + 1), "the index of the spots is not that of the spots"),
    ],
)
def test_keys_that_mean_nothing_are_refused(key: Any, says: str) -> None:
    with pytest.raises(gn.OptionError, match=says):
        RAW[key]


def test_an_unknown_name_is_a_key_error_too() -> None:
    with pytest.raises(KeyError):
        RAW["nobody"]
    with pytest.raises(gn.OptionError) as found:
        RAW["nobody"]
    error = pickle.loads(pickle.dumps(found.value))
    assert isinstance(error, KeyError) and str(error).startswith("no array of this name; found 'nobody'")


def test_length_names_and_iteration_are_of_arrays() -> None:
    assert RAW.shape == (224, 3) == RAW.R.shape and len(RAW) == 3
    assert "array1" in RAW and "R" not in RAW
    assert [one.names for one in RAW] == [("array1",), ("array2",), ("array3",)]
    assert all(isinstance(one, gn.ArraySet) for one in DONE)


def test_the_record_of_a_part_says_that_it_is_one(tmp_path: Path) -> None:
    gn.write(DONE[:100, "array2"], tmp_path / "x.tsv")
    record = damage.sidecar(tmp_path / "x.tsv")
    assert record["history"][-1] == {"operation": "subset", "parameters": {"rows": 100}}
    assert record["output"]["rows"] == 100 and [one["spots"] for one in record["arrays"]] == [100]


def test_a_set_is_no_matrix() -> None:
    for call in (np.asarray, lambda one: gn.normalize_groups(one, ["a"] * 224)):
        with pytest.raises(gn.OptionError, match=r"a set is not one matrix; .*: \.R, \.G, \.Rb, \.Gb$"):
            call(RAW)


def test_sets_and_parts_are_copied_and_pickled() -> None:
    for one in (RAW, DONE, DONE[:10, "array2"]):
        for again in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            assert again.names == one.names and again.history == one.history
            for name, matrix in one.values.items():
                np.testing.assert_array_equal(again.values[name], matrix)


def test_a_page_shows_a_small_table_in_which_nothing_acts() -> None:
    shown = html(DONE)
    assert shown == DONE._repr_html_() and shown.count("<tr>") == 4
    assert "3 arrays of 224 spots; M A; " in shown and "<td>4 own</td>" in shown and "<td>array2.gpr</td>" in shown
    assert RAW[:0]._repr_html_() and repr(RAW[:0]) == (
        "<ArraySet: 3 arrays of 0 spots (array1, array2, array3); R G Rb Gb>"
    )
    hostile = replace(RAW, names=("<script>alert(1)</script>", "a&b", "\x1b[2J"))
    text = html(hostile)
    assert "<script" not in text and "&lt;script&gt;" in text and "a&amp;b" in text and "\x1b" not in text


def test_a_page_shows_20_arrays_and_counts_the_others() -> None:
    for n, more in ((20, ""), (21, "<p>and 1 more</p>")):
        text = html(gn.simulate(n, (1, 1), (3, 3), seed=1).arrays)
        assert text.count("<tr>") == 1 + SHOWN_ROWS and text.endswith(f"</table>{more}")
