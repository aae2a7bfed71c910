"""Labels and weights that bring an index go by it; labels are a grouping, and a grouping is all that they are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gridnorm as gn
from gridnorm.arrays.given import as_arrays, column_of, placed, with_labels

ARRAYS = gn.simulate(2, (2, 2), (8, 7), seed=1).arrays
N = ARRAYS.n_spots
PLATES = np.array(list("cab"), object)[np.arange(N) % 3]


def same(one: gn.ArraySet, two: gn.ArraySet) -> bool:
    return all(np.array_equal(one.values[name], two.values[name], equal_nan=True) for name in one.values)


def shuffled(data: Any) -> Any:
    return data.sample(frac=1, random_state=3)


KINDS: dict[str, Any] = {
    "list": PLATES.tolist(),
    "array": PLATES,
    "bytes": PLATES.astype("S"),
    "Series": pd.Series(PLATES),
    "shuffled": shuffled(pd.Series(PLATES)),
    "by ID": shuffled(pd.Series(PLATES, ARRAYS.spots["ID"])),
    "Categorical": pd.Categorical(PLATES),
    "categories": pd.Series(pd.Categorical(PLATES)),
    "Index": pd.Index(PLATES),
    "string": pd.Series(PLATES, dtype="string"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_column_that_they_would_be(kind: str) -> None:
    within, column = gn.normalize_within(
        gn.background_correct(ARRAYS), KINDS[kind], "median", small_groups="own"
    ), gn.normalize(ARRAYS, by=KINDS[kind], method="median", small_groups="own")  # fmt: skip
    spelt = gn.ArraySet(**{**_parts(ARRAYS), "columns": {**ARRAYS.columns, "plate of mine": PLATES.astype("S")}})
    expected = gn.normalize(spelt, by="plate of mine", method="median", small_groups="own")
    assert same(column, expected) and same(within, expected)
    assert column.fits[0].labels == ("a", "b", "c")
    assert column.history.parameters()["by"] == "labels" and column.spots["labels"].tolist() == PLATES.tolist()
    parts, named = gn.split(ARRAYS, KINDS[kind]), gn.split(spelt, "plate of mine")
    assert parts.names == named.names and same(parts, named)


def _parts(arrays: gn.ArraySet) -> dict[str, Any]:
    return {name: getattr(arrays, name) for name in ("names", "channels", "values", "columns", "layout", "flag_codes")}


def test_a_series_has_a_name_of_its_own_unless_that_means_something_else() -> None:
    def word(labels: Any) -> Any:
        return with_labels(ARRAYS, labels)[1]

    assert word(pd.Series(PLATES, name="batch")) == "batch"
    assert word(ARRAYS.spots["Block"]) == "Block"  # that column, and no second one
    assert word(pd.Series(PLATES, name="Block")) == "Block (2)"
    for name in ("plate", "none", "a,b", " x", "", None, 3):
        assert word(pd.Series(PLATES, name=name)) == "labels"
    assert word((pd.Series(PLATES, name="batch"), "Block", PLATES)) == ("batch", "Block", "labels")
    assert word("Block,Row") == "Block,Row" and word(None) is None


def test_a_tuple_crosses_labels_and_words() -> None:
    done = gn.normalize(ARRAYS, by=("Block", PLATES), method="median", small_groups="own")
    assert len(done.fits[0].labels) == 12 and done.fits[0].labels[0] == (1, "a")
    assert done.history.parameters()["by"] == "Block,labels"


def test_missing_labels_are_a_group_and_numbers_stay_numbers() -> None:
    numbers = np.where(np.arange(N) % 2, 10.0, 9.0)
    numbers[:8] = np.nan
    assert gn.normalize(ARRAYS, by=numbers, method="median").fits[0].labels == (9, 10, "(none)")
    texts = pd.Series(PLATES).mask(np.arange(N) < 8)
    assert gn.normalize(ARRAYS, by=texts, method="median").fits[0].labels == ("a", "b", "c", "(none)")
    assert column_of([True, False, True], 3, "by").tolist() == [b"True", b"False", b"True"]
    with pytest.raises(gn.OptionError, match="different labels of by are the same text; found '1'"):
        column_of(np.array([1, "1", "x"], object), 3, "by")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (PLATES[:-1], "by has not one label for every spot; found 223 labels, expected 224"),
        (["Block", "Row"], 'found 2 labels, expected 224, as many as spots. Several groupings are one text'),
        (np.ones((N, 2)), "by takes one label for every spot; found a ndarray of shape"),
        (ARRAYS.spots[["Block", "Row"]], "by takes one label for every spot; found a DataFrame|index of by"),
        (pd.Series(PLATES, np.arange(N) + 5), "the index of by is not that of the spots"),
        (pd.Series(PLATES, [f"x{k}" for k in range(N)]), "the index of by is not that of the spots"),
        (pd.Series(PLATES, np.zeros(N, int)), "cannot be matched with that of the spots"),
        (3, "this is no row of the table of groupings"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(labels: Any, says: str) -> None:
    for call in (gn.normalize, gn.normalize_within):
        with pytest.raises(gn.OptionError, match=says):
            call(ARRAYS, by=labels)


def test_labels_of_ids_go_to_every_spot_of_a_probe() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), same_probes=True, seed=1).arrays
    ids = arrays.spots["ID"]
    assert not ids.is_unique
    kinds = pd.Series({name: name[-1] for name in ids.unique()[::-1]} | {"beside": "z"})
    assert placed(kinds, arrays, "by").tolist() == [name[-1] for name in ids]
    with pytest.raises(gn.OptionError, match="the index of by is not that of the spots; found it lacks"):
        placed(kinds[3:], arrays, "by")


def test_weights_go_by_spots_and_by_names_of_arrays() -> None:
    numbers = np.random.default_rng(2).uniform(size=(N, 2))
    table = pd.DataFrame(numbers, columns=list(ARRAYS.names))
    column = shuffled(pd.Series(numbers[:, 0]))
    for call in (gn.normalize, lambda *given, **rest: gn.normalize_within(gn.background_correct(*given), **rest)):
        expected = call(ARRAYS, weights=numbers)
        assert same(call(ARRAYS, weights=shuffled(table)[["array2", "array1"]]), expected)
        assert same(call(ARRAYS, weights=table.set_axis(ARRAYS.spots["ID"])), expected)
        assert same(call(ARRAYS, weights=column), call(ARRAYS, weights=numbers[:, 0]))
    with pytest.raises(gn.OptionError, match="the index of weights is not that of the arrays"):
        gn.normalize(ARRAYS, weights=table.set_axis(["x", "y"], axis=1))
    for text in (["x"] * N, pd.Series(["x"] * N), object()):
        with pytest.raises(gn.OptionError, match="weights must be numbers"):
            gn.normalize(ARRAYS, weights=text)
    with pytest.raises(gn.OptionError, match="the index of weights is not that of the spots"):
        gn.normalize(ARRAYS, weights=table[1:])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (gn.simulate(1, (1, 1), (4, 4)), r"found a Simulated, expected an ArraySet. Give its \.arrays"),
        (pd.DataFrame({"R": [1.0]}), r"found a DataFrame, expected an ArraySet. gn\.read\(frame, columns=…\)"),
        ("a.gpr", r"found a str, expected an ArraySet. gn\.read\(path\)"),
        (np.ones(3), r"found a ndarray, .*gn\.normalize_groups takes plain numbers"),
        (3, "found an int"),
        (None, "found a NoneType"),
    ],
)
def test_what_is_no_set_is_refused_with_what_makes_one(given: Any, says: str) -> None:
    for call in (gn.background_correct, gn.normalize_within, gn.split, lambda one: gn.write(one, "x.tsv")):
        with pytest.raises(gn.OptionError, match=says):
            call(given)
    assert as_arrays(ARRAYS) is ARRAYS


def test_labels_of_files_nobody_has_read_are_refused_with_what_to_do() -> None:
    for option in ("by", "split"):
        for given in (PLATES, ("Block", PLATES)):
            with pytest.raises(gn.OptionError, match=rf"{option} as labels needs arrays .*gn\.read\(paths\)"):
                gn.normalize("a.gpr", **{option: given})
    with pytest.raises(gn.OptionError, match="split as labels needs"):
        gn.read("a.gpr", split=PLATES)


def test_parts_and_absent_spots_take_labels_too() -> None:
    parts = gn.split(ARRAYS, "block")  # no probe is in two blocks: of every four rows a part has one
    labels = np.arange(parts.n_spots) // 4 % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(parts, by=labels, method="median", small_groups="own")
    assert done.fits[0].labels == (0, 1) and len(done) == 8


def test_weights_of_the_first_array_are_not_taken_for_those_of_all(tmp_path: Path) -> None:
    files = []
    for k in range(2):
        files.append(tmp_path / f"{'ab'[k]}.tsv")
        rows = (f"g{n}\t{200 + 7 * n + k}\t{300 + 5 * n}\t{(n + k) % 2}\n" for n in range(60))
        files[-1].write_text("ID\tR\tG\tWeight\n" + "".join(rows))
    given: dict[str, Any] = {"method": "median", "by": "array"}
    direct = gn.normalize(files, weights="Weight", background="none", **given)
    assert not np.array_equal(direct.weights[:, 0], direct.weights[:, 1])
    arrays = gn.read(files, keep="Weight")
    says = (
        "those of the first; found weights='Weight' for 2 arrays.*Give the files to gn.normalize, or weights as numbers"
    )
    for call in (gn.normalize, gn.normalize_within):
        with pytest.raises(gn.OptionError, match=says):
            call(arrays, weights="Weight", **given)
    numbers = np.stack([direct.weights[:, 0], direct.weights[:, 1]], axis=1)
    np.testing.assert_array_equal(gn.normalize(arrays, weights=numbers, background="none", **given).M, direct.M)
    alone = gn.normalize(gn.read(files[0], keep="Weight"), weights="Weight", background="none", **given)
    np.testing.assert_array_equal(alone.M[:, 0], direct.M[:, 0])
