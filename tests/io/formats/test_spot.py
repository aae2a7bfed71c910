"""SPOT files: every real one against limma, and made-up ones."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from gridnorm.arrays.raw import ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io.formats import spot
from gridnorm.io.text import Text, load, load_head

TITLES = ["indexs", "grid.r", "grid.c", "spot.r", "spot.c", "area", "Gmean", "Gmedian", "Rmean", "Rmedian"]
TITLES += ["bgGmed", "bgRmed", "morphG", "morphR", "badspot"]
ROWS = [
    "1 1 1 1 1 97 200.5 201 100.25 101 21 11 20 10 0",
    "2 1 2 1 1 27 300.5 301 150.25 151 22 12 NA Inf 1",
    "3 2 1 1 1 50 400.5 401 1e2 152 23 13 22 12 0",
]


def text(rows: list[str] = ROWS, titles: list[str] = TITLES) -> Text:
    lines = ["\t".join(titles), *(row.replace(" ", "\t") for row in rows), ""]
    return Text("a.spot", "\n".join(lines).encode(), "ascii", (), 0, "")


def entries(shared: Path) -> list[dict[str, str]]:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        return [r for r in csv.DictReader(file, delimiter="\t") if r["format"].startswith("SPOT")]


def test_every_real_file_reads_as_its_manifest_says(shared: Path) -> None:
    assert len(entries(shared)) >= 6
    for entry in entries(shared):
        path = shared / "data/arrays" / entry["path"]
        assert spot.sniff(load_head(path), {}), path
        raw = spot.read(load(path), ReadOptions(extra=("area", "badspot")))
        assert raw.n_spots == int(entry["spots"]), path
        assert np.unique(raw.spots["Block"]).size == int(entry["blocks"]), path
        assert f"{raw.spots['Row'].max()}x{raw.spots['Column'].max()}" == entry["rows_x_cols"], path
        assert int(raw.spots["badspot"].sum()) == int(entry["flags"].removeprefix("badspot 1:")), path
        assert raw.spots["area"].min() > 0
        assert (raw.missing, raw.infinite, raw.warnings, raw.flags) == (0, 0, (), None), path


@pytest.mark.parametrize("name", ["swirl", "aroma_spot123"])
def test_raw_values_are_those_of_limma(shared: Path, name: str) -> None:
    folder = shared / "data/golden/limma" / name
    info = (folder / "info.txt").read_text().splitlines()
    files = [
        line.split(" = ", 1)[1].strip() for line in info if line[:1] == "a" and line[1:2].isdigit() and " = " in line
    ]
    with gzip.open(folder / "raw.tsv.gz", "rt") as file:
        titles = file.readline().split()
        values = dict(zip(titles, np.array([[float(v) for v in line.split("\t")] for line in file]).T, strict=True))
    assert files
    for j, file_name in enumerate(files, 1):
        raw = spot.read(load(shared / "data/arrays" / file_name), ReadOptions())
        assert raw.background is not None
        for k, channel in enumerate(raw.channels):
            # R reads decimal text with an error of up to 1 ulp.
            np.testing.assert_allclose(raw.foreground[k], values[f"a{j}.{channel}"], rtol=1e-15)
            np.testing.assert_array_equal(raw.background[k], values[f"a{j}.{channel}b"])
        for key in ("Block", "Row", "Column"):
            np.testing.assert_array_equal(raw.spots[key], values[key.lower()])


def test_decimals_are_rounded_like_float(shared: Path) -> None:
    source = load(shared / "data/arrays/HenrikBengtsson_aroma/spot123.spot.gz")
    raw = spot.read(source, ReadOptions())
    lines = source.data.decode().splitlines()
    at = lines[0].split("\t").index("Rmean") + 1  # behind the row names
    assert raw.foreground[0].tolist() == [float(line.split("\t")[at]) for line in lines[1:]]


def test_channels_background_and_places() -> None:
    raw = spot.read(text(), ReadOptions())
    assert (raw.format, raw.channels, raw.wavelengths) == ("SPOT", ("R", "G"), ("", ""))
    assert raw.foreground.tolist() == [[100.25, 150.25, 100.0], [200.5, 300.5, 400.5]]
    np.testing.assert_array_equal(raw.background, [[10, np.nan, 12], [20, np.nan, 22]])
    assert (raw.missing, raw.infinite) == (1, 1)
    assert raw.taken == (("R", "Rmean"), ("Rb", "morphR"), ("G", "Gmean"), ("Gb", "morphG"))
    assert {key: raw.spots[key].tolist() for key in raw.spots} == {
        "Block": [1, 2, 3],
        "Row": [1] * 3,
        "Column": [1] * 3,
    }


def test_medians_on_request() -> None:
    assert spot.read(text(), ReadOptions({"foreground": "median"})).foreground[:, 0].tolist() == [101.0, 201.0]
    with pytest.raises(OptionError, match="expected mean, median"):
        spot.read(text(), ReadOptions({"foreground": "mode"}))


def test_channels_may_be_swapped_or_taken_alone() -> None:
    raw = spot.read(text(), ReadOptions({"channels": ("G", "R")}))
    assert raw.foreground[:, 0].tolist() == [200.5, 100.25]
    assert raw.taken[0] == ("R", "Gmean")
    assert spot.read(text(), ReadOptions({"channels": ("G",)})).channels == ("E",)
    with pytest.raises(FormatError, match="no wavelengths; found 635, 532, expected R, G"):
        spot.read(text(), ReadOptions({"channels": ("635", "532")}))


def test_a_row_name_without_a_title_shifts_nothing() -> None:
    named = spot.read(text([f"r{i} {row}" for i, row in enumerate(ROWS)]), ReadOptions(extra=("indexs",)))
    assert named.foreground.tolist() == spot.read(text(), ReadOptions()).foreground.tolist()
    assert named.spots["indexs"].tolist() == [1.0, 2.0, 3.0]


def test_a_missing_morphological_background_is_replaced_with_a_warning() -> None:
    titles = [t.replace("morphR", "other") for t in TITLES]
    raw = spot.read(text(titles=titles), ReadOptions())
    assert dict(raw.taken)["Rb"] == "bgRmed"
    assert raw.warnings == ("a.spot:1: there is no column morphR; bgRmed was taken",)


def test_missing_columns_are_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.spot:1: there is no column 'Gmean'"):
        spot.read(text(titles=[t.replace("Gmean", "x") for t in TITLES]), ReadOptions())
    with pytest.raises(FormatError, match="no column 'x'"):
        spot.read(text(), ReadOptions(extra=("x",)))


def test_broken_places_and_cut_files_are_errors() -> None:
    with pytest.raises(FormatError, match=r"a\.spot:3: column 'grid.r' needs a whole number"):
        spot.read(text([ROWS[0], ROWS[1].replace("2 1 2", "2 NA 2", 1)]), ReadOptions())
    with pytest.raises(FormatError, match=r"a\.spot:4: the file looks cut off"):
        spot.read(Text("a.spot", text().data[:-8], "ascii", (), 0, ""), ReadOptions())


def test_repeated_positions_are_kept_and_named() -> None:
    raw = spot.read(text([*ROWS, ROWS[0]]), ReadOptions())
    assert raw.n_spots == 4
    assert "lines 2 and 5" in raw.warnings[0]


def test_other_files_are_not_taken_for_spot(shared: Path) -> None:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        others = [r["path"] for r in csv.DictReader(file, delimiter="\t") if not r["format"].startswith("SPOT")]
    for path in others:
        assert not spot.sniff(load_head(shared / "data/arrays" / path), {}), path
