"""Formats are recognised by content."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gridnorm as gn
from gridnorm.arrays.raw import ReadOptions
from gridnorm.errors import FormatError, GridnormError
from gridnorm.io.formats import FORMATS, recognise
from gridnorm.io.gpr_write import gpr_blocks, simulated_columns
from gridnorm.io.text import Text, load, load_head


def text(content: bytes, name: str = "x.y") -> Text:
    return Text(name, content, "utf-8", (), len(content), "")


@pytest.fixture(scope="module")
def gpr() -> bytes:
    made = gn.simulate(1, (1, 2), (4, 5), seed=1)
    return b"".join(gpr_blocks(simulated_columns(made, 0), made.wavelengths))


SPOT = b"indexs\tgrid.r\tgrid.c\tspot.r\tspot.c\tRmean\tGmean\tmorphR\tmorphG\n1\t1\t1\t1\t1\t5\t6\t1\t2\n"


@pytest.mark.parametrize("name", ["a.gpr", "a.txt", "a.spot", "a.gal", "a", "a.gpr.gz"])
def test_the_name_of_a_file_means_nothing(name: str, gpr: bytes) -> None:
    assert recognise(text(gpr, name), {}).name == "GPR"
    assert recognise(text(SPOT, name), {}).name == "SPOT"
    assert recognise(text(b"R,G\n1,2\n", name), {}).name == "table"
    assert recognise(text(b"x,y\n1,2\n", name), {"columns": (("R", "x"), ("G", "y"))}).name == "table"


def test_the_head_tells_what_the_whole_file_has(gpr: bytes) -> None:
    for content in (gpr, SPOT, b"R,G,ID\n1,2,x\n"):
        row = recognise(text(content), {})
        head, raw = row.head(text(content), {}), row.read(text(content), ReadOptions())
        assert (head.format, head.channels, head.columns, head.version) == (
            raw.format,
            raw.channels,
            raw.columns,
            raw.version,
        )


def test_a_gal_is_named_as_such() -> None:
    with pytest.raises(FormatError, match="this is a GAL.*--gal"):
        recognise(text(b'ATF\t1.0\n1\t4\n"Type=GenePix ArrayList V1.0"\nBlock\tRow\tColumn\tID\n1\t1\t1\tx\n'), {})


def test_strangers_are_shown_by_how_they_begin() -> None:
    with pytest.raises(FormatError) as caught:
        recognise(text(b"Dear colleague,\nplease find\n"), {})
    said = str(caught.value)
    assert said.startswith("x.y: not an array file") and "'Dear colleague,'" in said
    assert "GPR or SPOT or table" in said and "--columns" in said and "\n" not in said


@given(st.binary(min_size=1, max_size=300))
def test_whatever_the_bytes_the_answer_is_a_format_or_a_format_error(content: bytes) -> None:
    try:
        assert recognise(text(content), {}).name in FORMATS
    except FormatError:
        pass


@given(st.data())
def test_a_damaged_file_is_read_or_refused_never_a_crash(gpr: bytes, data: st.DataObject) -> None:
    content = bytearray(gpr)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if kind == "flip":
            content[at] = data.draw(st.sampled_from(list(b'\t\n\r",;. 0-Ax\xb2')))
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 400))]
        else:
            content[at:at] = data.draw(st.sampled_from([b"\t", b"\n", b'"', b"Error", b",5", b"-"]))
        if not content:
            return
    try:
        raw = recognise(text(bytes(content)), {}).read(text(bytes(content)), ReadOptions())
    except GridnormError as error:
        assert "\n" not in str(error)
        return
    assert raw.n_spots > 0
    assert all(len(column) == raw.n_spots for column in raw.spots.values())


def test_every_real_file_is_known_or_refused_in_one_sentence(shared: Path) -> None:
    import csv

    with (shared / "data/arrays/MANIFEST.tsv").open(newline="") as file:
        entries = list(csv.DictReader(file, delimiter="\t"))
    for entry in entries:
        path = shared / "data/arrays" / entry["path"]
        wanted = entry["format"].split()[0]
        try:
            found = recognise(load_head(path), {}).name
        except FormatError as error:
            assert wanted not in ("GPR", "SPOT"), (path, error)
            assert str(error).startswith(path.name) and "\n" not in str(error)
        else:
            assert found == wanted, path


def test_a_head_of_a_file_is_enough(tmp_path: Path, gpr: bytes) -> None:
    path = tmp_path / "a.gpr"
    path.write_bytes(gpr)
    row = recognise(load_head(path), {})
    assert row.head(load_head(path), {}) == row.head(load(path), {})
