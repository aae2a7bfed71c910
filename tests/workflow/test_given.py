"""A DataFrame is read as its file would be, and what is neither a path nor a table is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pandas as pd
import pytest
from damage import sheet

import gridnorm as gn

COLUMNS = "R=f6,G=f5,Rb=b6,Gb=b5"
OWN = {"F635 Mean": "f6", "F532 Mean": "f5", "B635 Median": "b6", "B532 Median": "b5"}


def frame_of(k: int = 0) -> pd.DataFrame:
    return genepix(k).rename(columns=OWN)[
        ["Block", "Row", "Column", "ID", "Name", *OWN.values(), "Dia.", "F Pixels", "Flags"]
    ]


def genepix(k: int = 0) -> pd.DataFrame:
    base = sheet(k, bad=0.1)
    return pd.DataFrame(
        {title: pd.to_numeric(base.cells(title), errors="coerce") if title not in ("ID", "Name") else base.cells(title)
         for title in base.titles}
    )  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def quietly(call: Any, *given: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return call(*given, **options)


def same(one: gn.ArraySet, two: gn.ArraySet) -> None:
    assert list(one.values) == list(two.values)
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], two.values[name])
    pd.testing.assert_frame_equal(one.spots, two.spots)
    assert one.history == two.history
    strip = [[text.replace("array1.tsv", "DataFrame") for text in each.warnings] for each in (one, two)]
    assert strip[0] == strip[1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": "Block,Row", "method": "median", "small_groups": "own"},
        {"background": "movingmin", "flags": "drop"},
        {"weights": "F Pixels", "keep": "Dia."},
        {"split": "block"},
        {"preset": "limma"},
        {"layout": "2x2x8x7"},
    ],
)
def test_a_table_in_memory_is_its_file(options: dict[str, Any]) -> None:
    frame = frame_of().sample(frac=1, random_state=4)  # layout order is made, as for a file
    frame.to_csv("array1.tsv", sep="\t", index=False)
    same(quietly(gn.normalize, frame, columns=COLUMNS, **options), quietly(gn.normalize, "array1.tsv", columns=COLUMNS, **options))  # fmt: skip
    reading = {name: value for name, value in options.items() if name in ("keep", "layout", "split")}
    same(quietly(gn.read, frame, columns=COLUMNS, **reading), quietly(gn.read, "array1.tsv", columns=COLUMNS, **reading))  # fmt: skip


def test_a_table_of_genepix_is_known_by_its_titles() -> None:
    frame = genepix()
    frame.to_csv("array1.tsv", sep="\t", index=False)
    for options in ({}, {"foreground": "median"}, {"channels": "532,635", "weights": "area:50,90"}):
        same(quietly(gn.normalize, frame, **options), quietly(gn.normalize, "array1.tsv", **options))
    assert quietly(gn.read, frame).records[0].format == "GPR"


def test_rows_that_got_another_order_are_told() -> None:
    """A column of the table would go with the set by position otherwise."""
    frame = frame_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error", gn.GridnormWarning)
        assert gn.read(frame, columns=COLUMNS).spots["Row"].tolist() == frame["Row"].tolist()
        gn.read(frame.drop(columns=["Block", "Row", "Column"])[::-1], columns=COLUMNS)
    with pytest.warns(gn.GridnormWarning, match="DataFrame: the spots are in layout order now"):
        gn.read(frame[::-1], columns=COLUMNS)


def test_titles_of_their_own_kinds_of_columns_and_missing_cells() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "R": rng.uniform(1, 1e5, 30), "G": rng.uniform(1, 1e5, 30).astype(np.float32),
        "Block": pd.array([1, 2] * 15, dtype="Int64"), "ID": pd.Categorical(list("abc") * 10),
        "Name": ['tab\tin "it"'] * 30,
    })  # fmt: skip
    frame.loc[3, "R"], frame.loc[5, "G"], frame.loc[7, "Name"] = np.nan, np.inf, None
    raw = quietly(gn.read, frame)
    assert raw.names == ("array1",) and raw.channels == ("R", "G")
    np.testing.assert_array_equal(raw.R[:, 0], frame["R"])  # every bit
    assert np.isnan(raw.G[5, 0]) and raw.spots["Block"].tolist() == [1, 2] * 15
    assert raw.spots["ID"].tolist() == list("abc") * 10 and raw.spots["Name"][0] == 'tab\tin "it"'
    assert quietly(gn.normalize, frame, background="none", method="median").M.shape == (30, 1)
    one = quietly(gn.read, frame, columns={"E": "R"})
    assert one.channels == ("E",)
    assert quietly(gn.inspect, frame)["inputs"][0]["spots"] == 30


def test_an_index_with_a_name_is_a_column_and_text_is_identity() -> None:
    frame = pd.DataFrame({"R": [5.0, 6, 7, 9], "G": [4.0, 6, 8, 9]}, list("wxyz"))
    assert gn.read(frame).spots["ID"].tolist() == list("wxyz")
    named = frame.rename_axis("gene")
    assert gn.read(named, keep="gene").to_frame()["gene"].tolist() == list("wxyz")
    assert gn.read(named, columns="R=R,G=G,ID=gene").spots.columns.tolist() == ["ID"]
    assert gn.read(frame.reset_index(drop=True)).spots.columns.tolist() == []
    assert gn.read(frame.assign(ID=list("abcd"))).spots["ID"].tolist() == list("abcd")
    two = frame.set_axis(pd.MultiIndex.from_product([["p", "q"], [1, 2]], names=["plate", "Row"]))
    assert gn.read(two, keep="plate").spots["plate"].tolist() == list("ppqq")


def test_labels_and_weights_of_a_table_go_by_its_index() -> None:
    frame = frame_of()
    plate = pd.Series(np.where(np.arange(224) % 3 == 0, "p", "q"), name="well plate")
    weights = pd.Series(np.linspace(0, 1, 224))
    column = quietly(
        gn.normalize, frame.assign(w=plate, v=weights), columns=COLUMNS, by="w", weights="v", method="median"
    )
    order = frame.sample(frac=1, random_state=2)
    done = quietly(gn.normalize, order, columns=COLUMNS, by=plate, weights=weights, method="median")
    np.testing.assert_array_equal(done.M, column.M)
    assert done.history.parameters()["by"] == "well plate" and done.history.parameters()["weights"] == "given"
    assert done.weights is not None and column.weights is not None
    np.testing.assert_array_equal(done.weights, column.weights)
    own = quietly(gn.normalize, frame, columns=COLUMNS, by=frame["Block"], method="median")
    assert own.history.parameters()["by"] == "Block" and own.fits[0].labels == (1, 2, 3, 4)
    parts = quietly(gn.read, frame, columns=COLUMNS, split=plate)
    assert parts.names == ("array1.p", "array1.q")
    with pytest.raises(gn.OptionError, match="the index of by is not that of the DataFrame"):
        gn.normalize(frame, columns=COLUMNS, by=plate[1:])
    with pytest.raises(gn.OptionError, match="by has not one label for every spot"):
        gn.normalize(frame, columns=COLUMNS, by=["a", "b"])


def test_what_a_table_lacks_is_said_as_of_a_file() -> None:
    frame = frame_of()
    with pytest.raises(
        gn.FormatError, match="DataFrame:1: not an array file that can be read here.*Name its columns with columns, for"
    ):
        gn.normalize(frame[["ID", "Name"]])
    with pytest.raises(gn.FormatError, match="DataFrame:4: column 'R' holds text where a number belongs; found 'x'"):
        gn.read(pd.DataFrame({"R": [1.0, 2.0, "x"], "G": 1.0}))
    with pytest.raises(gn.OptionError, match="foreground has no meaning for table files"):
        gn.read(frame, columns=COLUMNS, foreground="median")
    with pytest.raises(gn.OptionError, match="one title each; found 2 levels"):
        gn.read(pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "R"), ("a", "G")])))
    with pytest.raises(gn.FormatError, match="several columns are called 'R'"):
        gn.read(pd.DataFrame([[1.0, 2.0, 3.0]], columns=["R", "R", "G"]))


def test_a_result_of_a_table_is_written_with_its_record() -> None:
    gn.write(quietly(gn.normalize, frame_of(), columns=COLUMNS), "x.tsv")
    record = damage.sidecar(Path("x.tsv"))
    assert record["inputs"] == [] and record["arrays"][0]["file"] == "DataFrame"


@pytest.mark.parametrize("call", [gn.read, gn.normalize, gn.inspect])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "no array files; found an int, expected a path, several, or one DataFrame"),
        (None, "found a NoneType"),
        ([], "no input"),
        (["a.gpr", 3], "found an int, .*one at a time"),
        ([pd.DataFrame()], "found a DataFrame, .*one at a time"),
        (np.ones((3, 2)), "found a ndarray, .*gn.normalize_groups takes plain numbers"),
        (gn.simulate(1, (1, 1), (3, 3)), r"found a Simulated, .*Give its \.arrays"),
    ],
)
def test_what_is_no_input_is_refused(call: Any, given: Any, says: str) -> None:
    with pytest.raises(gn.OptionError, match=says):
        call(given)


def test_paths_may_be_bytes_and_path_objects() -> None:
    sheet().write(Path("a.gpr"))
    for path in (b"a.gpr", Path("a.gpr"), [b"a.gpr"], (Path("a.gpr"),), iter(["a.gpr"])):
        assert quietly(gn.read, path).names == ("a",)
    gn.write(quietly(gn.read, "a.gpr"), b"x.csv")
    gn.write(quietly(gn.read, "a.gpr"), Path("x.dat"), format="csv")
    assert Path("x.dat").read_bytes() == Path("x.csv").read_bytes()
    with pytest.raises(gn.OptionError, match="no path to write to; found an int"):
        gn.write(gn.read("a.gpr"), 3)
    with pytest.raises(gn.OptionError, match=r"Or say it with format$"):
        gn.write(gn.read("a.gpr"), "y.dat")
