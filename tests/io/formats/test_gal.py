"""GAL files: every real one, and the disagreements a list can have with itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from gridnorm.errors import FormatError
from gridnorm.io.formats import gal
from gridnorm.io.text import Text, load, load_head

RECORDS = [
    "Type=GenePix ArrayList V1.0",
    "BlockCount=2",
    "BlockType=0",
    "Block1= 400, 500, 100, 2, 180, 1, 190",
    "Block2= 4900, 500, 100, 2, 180, 1, 190",
]
ROWS = ["1\t1\t1\ta\tx", "1\t1\t2\tb\ty", "2\t1\t1\tc\tz", '2\t1\t2\td\t"q, r"']


def text(records: list[str] = RECORDS, rows: list[str] = ROWS, titles: str = "Block\tRow\tColumn\tID\tName") -> Text:
    lines = ["ATF\t1.0", f"{len(records)}\t5", *(f'"{r}"' for r in records), titles, *rows, ""]
    return Text("a.gal", "\n".join(lines).encode(), "ascii", (), 0, "")


def test_every_real_file_reads_as_its_manifest_says(shared: Path) -> None:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        entries = [r for r in csv.DictReader(file, delimiter="\t") if r["format"].startswith("GAL")]
    assert len(entries) >= 10
    for entry in entries:
        path = shared / "data/arrays" / entry["path"]
        assert gal.sniff(load_head(path)), path
        found = gal.read(load(path))
        assert found.n_spots == int(entry["spots"]), path
        assert np.unique(found.spots["Block"]).size == int(entry["blocks"]), path
        assert {"ID", "Name"} <= set(found.spots)
        assert len(found.blocks) == (0 if "no BlockCount" in entry["quirks"] else int(entry["blocks"])), path
        differs = "differs from body" in entry["quirks"]
        assert len(found.warnings) == differs, found.warnings
        sizes = {f"{b.rows}x{b.columns}" for b in found.blocks}
        if found.blocks and not differs:
            assert sizes == {entry["rows_x_cols"].split("(")[0]}, path


def test_mixed_separators_in_block_records_of_a_real_file(shared: Path) -> None:
    found = gal.read(load(shared / "data/arrays/caArray/2K_Hs-ATC7_6k-v5px_16Bx22Cx22R.gal.gz"))
    assert found.blocks[0] == gal.BlockRecord(1, 2690.0, 18890.0, 125.0, 22, 190.0, 22, 190.0)
    assert [b.x for b in found.blocks] == [2690.0, 7280.0, 11840.0, 16270.0]


def test_rows_that_disagree_with_the_blocks_of_a_real_file_are_named(shared: Path) -> None:
    (warning,) = gal.read(load(shared / "data/arrays/custom_neuro/NRC05_01.gal.gz")).warnings
    assert "48 of 48 blocks (first: block 1: record 24 rows x 25 columns, table 23 x 25)" in warning


def test_spots_and_blocks() -> None:
    found = gal.read(text())
    assert found.blocks[1] == gal.BlockRecord(2, 4900.0, 500.0, 100.0, 2, 180.0, 1, 190.0)
    assert found.spots["Column"].tolist() == [1, 2, 1, 2]
    assert found.spots["ID"].tolist() == [b"a", b"b", b"c", b"d"]
    assert found.spots["Name"][3] == b"q, r"
    assert found.header["BlockCount"] == "2"
    assert found.warnings == ()


def test_rows_out_of_order_stay_in_file_order() -> None:
    assert gal.read(text(rows=ROWS[::-1])).spots["Block"].tolist() == [2, 2, 1, 1]


def test_annotation_columns_are_kept_numbers_as_numbers() -> None:
    found = gal.read(
        text(rows=["1\t1\t1\ta\tx\t5\tq", "1\t1\t2\tb\ty\tNA\t7"], titles="Block\tRow\tColumn\tID\tName\tPlate\tWell")
    )
    np.testing.assert_array_equal(found.spots["Plate"], [5, np.nan])
    assert found.spots["Well"].tolist() == [b"q", b"7"]


@pytest.mark.parametrize("separator", [",", "\t", " ", "; ", "\t, "])
def test_block_records_take_any_separator(separator: str) -> None:
    record = "Block1=" + separator.join(["400", "500", "100", "2", "180", "1", "190"])
    assert gal.read(text([*RECORDS[:3], record, RECORDS[4]])).blocks == gal.read(text()).blocks


@pytest.mark.parametrize(
    "record", ["Block1= 400, 500, 100, 2, 180", "Block1= 400, 500, 100, x, 180, 1, 190", "Block1="]
)
def test_a_broken_block_record_is_left_out_and_named(record: str) -> None:
    found = gal.read(text([*RECORDS[:3], record, RECORDS[4]]))
    assert [b.block for b in found.blocks] == [2]
    assert found.warnings[0].startswith("a.gal:6: the record of block 1 was left out")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([*RECORDS[:2], "BlockType=1", *RECORDS[3:]], "BlockType is 1"),
        ([*RECORDS[:1], "Block Count=3", *RECORDS[2:]], "BlockCount is 3, block records: 2"),
        ([*RECORDS[:4], "Block2= 4900, 500, 100, 3, 180, 1, 190"], "1 of 2 blocks (first: block 2: record 1 rows x 3"),
        ([*RECORDS[:1], "BlockCount=1", *RECORDS[2:4]], "1 of 2 blocks (first: block 2: no record)"),
        (
            [*RECORDS[:1], "BlockCount=3", *RECORDS[2:], "Block3= 1, 1, 1, 1, 1, 1, 1"],
            "(first: block 3: record 1 rows x 1 columns, table none)",
        ),
    ],
)
def test_disagreements_are_named_and_nothing_is_lost(records: list[str], said: str) -> None:
    found = gal.read(text(records))
    assert found.n_spots == 4
    (warning,) = found.warnings
    assert warning.startswith("a.gal: ")
    assert said in warning


def test_repeated_positions_are_kept_and_named() -> None:
    found = gal.read(text(rows=[*ROWS, ROWS[0]]))
    assert found.n_spots == 5
    assert "block 1, row 1, column 1, lines 9 and 13" in found.warnings[0]


def test_rows_without_their_last_cells_are_filled_and_named() -> None:
    found = gal.read(text(rows=[ROWS[0], "1\t1\t2\tEMPTY", *ROWS[2:]]))
    assert found.spots["Name"].tolist() == [b"x", b"", b"z", b"q, r"]
    assert found.warnings == ("a.gal:10: 1 rows have fewer than 5 cells; the rest is empty",)


def test_a_list_that_is_cut_off_is_an_error() -> None:
    source = text()
    with pytest.raises(FormatError, match=r"a\.gal:12: the file looks cut off"):
        gal.read(Text("a.gal", source.data[: source.data.rindex(b"\t")], "ascii", (), 0, ""))


def test_a_list_without_names_is_an_error() -> None:
    with pytest.raises(FormatError, match="titles"):
        gal.read(text(rows=["1\t1\t1"], titles="Block\tRow\tColumn"))


def test_a_place_that_is_no_number_is_an_error() -> None:
    with pytest.raises(FormatError, match=r"a\.gal:9: column 'Row' holds text"):
        gal.read(text(rows=["1\tA\t1\ta\tx"]))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.gal"
    path.write_bytes(text().data)
    first = gal.read_file(path)
    assert gal.read_file(path) is first
    path.write_bytes(text(rows=ROWS[:2]).data)
    assert gal.read_file(path).n_spots == 2
    with pytest.raises(FormatError, match=r"none\.gal: the file cannot be read"):
        gal.read_file(tmp_path / "none.gal")


def test_other_files_are_not_taken_for_gal(shared: Path) -> None:
    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        others = [r["path"] for r in csv.DictReader(file, delimiter="\t") if not r["format"].startswith("GAL")]
    for path in others:
        assert not gal.sniff(load_head(shared / "data/arrays" / path)), path
