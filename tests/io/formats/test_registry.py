"""Formats are recognised by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gridnorm as gn
from gridnorm.arrays.raw import RawArray, ReadOptions
from gridnorm.core.option import NUMBER, Option
from gridnorm.errors import FormatError, GridnormError, OptionError
from gridnorm.io import columns
from gridnorm.io.formats import FORMATS, Format, Head, recognise
from gridnorm.io.gpr_write import gpr_blocks, simulated_columns
from gridnorm.io.roles import COLUMNS
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
    with pytest.raises(FormatError, match="this is a GAL.*as gal"):
        recognise(text(b'ATF\t1.0\n1\t4\n"Type=GenePix ArrayList V1.0"\nBlock\tRow\tColumn\tID\n1\t1\t1\tx\n'), {})


def test_strangers_are_shown_by_how_they_begin() -> None:
    with pytest.raises(FormatError) as caught:
        recognise(text(b"Dear colleague,\nplease find\n"), {})
    said = str(caught.value)
    assert said.startswith("x.y: not an array file") and "'Dear colleague,'" in said
    assert "GPR or SPOT or table" in said and "tables need columns" in said and "\n" not in said


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


KINDS = {
    "Agilent": "a results file of Agilent Feature Extraction", "GAL": "this is a GAL", "GEO": "a GEO SOFT file",
    "ImaGene": "a results file of ImaGene", "NimbleGen": "a NimbleGen file", "ScanAlyze": "a results file of ScanAlyze",
    "ScanArray": "a results file of ScanArray Express", "TIGR": "a file of TIGR Spotfinder or MeV",
}  # fmt: skip


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
            said = str(error)
            assert said.startswith(path.name) and "\n" not in said and len(said) < 300
            named = "a targets table" if "targets" in path.name else KINDS.get(wanted, "a table with the titles")
            assert named in said and ("\t" not in said), (path, error)
        else:
            assert found == wanted, path


def test_a_head_of_a_file_is_enough(tmp_path: Path, gpr: bytes) -> None:
    path = tmp_path / "a.gpr"
    path.write_bytes(gpr)
    row = recognise(load_head(path), {})
    assert row.head(load_head(path), {}) == row.head(load(path), {})


# A format of its own, whose files could pass for plain tables.
GAIN = Option(
    "gain", NUMBER, 2.0, "What every intensity is multiplied with.", check=lambda v: v > 0, expected="more than 0"
)
SCAN = b"R,G,ID\n1,2,x\n3,4,y\n#scan\n"


def scan_head(text: Text, settings: Mapping[str, Any]) -> Head:
    return Head("scan", "9", ("R", "G"), ("R", "G", "ID"))


def scan_read(text: Text, options: ReadOptions) -> RawArray:
    found = columns.settings_of((GAIN,), options.settings)
    frame = columns.Frame(("R", "G", "ID"), b",", 7, 1)
    body = text._replace(data=text.data.removesuffix(b"#scan\n"))
    source = columns.Source("scan", "9", frame, ("R", "G"), ("", ""), {"R": 0, "G": 1, "ID": 2}, found)
    raw = columns.read_array(body, source, options)
    raw.foreground[:] *= found["gain"]
    return raw


@pytest.fixture
def scan() -> Iterator[Format]:
    row = Format("scan", lambda text, _: text.data.endswith(b"#scan\n"), scan_head, scan_read, (GAIN,), "a test")
    yield FORMATS.register(row)
    FORMATS.unregister("scan")


def test_the_formats_are_asked_in_order() -> None:
    assert list(FORMATS) == ["GPR", "SPOT", "table"]
    assert [row.catch_all for row in FORMATS.values()] == [False, False, True]
    assert all(row.summary for row in FORMATS.values())


def test_a_registered_format_is_asked_before_plain_tables(scan: Format) -> None:
    assert recognise(text(SCAN), {}) is scan
    assert recognise(text(SCAN), {"columns": (("R", "G"), ("G", "R"))}) is scan
    assert recognise(text(b"R,G\n1,2\n"), {}).name == "table"
    with pytest.raises(FormatError, match="GPR or SPOT or table or scan"):
        recognise(text(b"nothing\n"), {})


def test_options_of_a_registered_format_arrive_or_have_its_default(scan: Format) -> None:
    read = FORMATS["scan"].read
    assert read(text(SCAN), ReadOptions()).foreground.tolist() == [[2, 6], [4, 8]]
    raw = read(text(SCAN), ReadOptions({"gain": "10", "foreground": "median"}))
    assert raw.foreground.tolist() == [[10, 30], [20, 40]]
    assert raw.settings == {"gain": 10.0}
    with pytest.raises(OptionError, match="gain is out of range; found 0, expected more than 0"):
        read(text(SCAN), ReadOptions({"gain": 0}))
    assert FORMATS.options()["gain"] is GAIN and FORMATS.takers("gain") == ("scan",)


def test_a_registered_format_is_read_like_any_other(scan: Format, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(SCAN)
    arrays = gn.read(path)
    np.testing.assert_array_equal(arrays.R[:, 0], [2, 6])
    assert gn.inspect(path)["inputs"][0]["format"] == "scan"


def test_a_format_that_is_not_whole_is_refused(scan: Format) -> None:
    with pytest.raises(OptionError, match="two rows of one name in the table of formats; found 'scan'"):
        FORMATS.register(scan._replace(summary="another"))
    for name in ("sniff", "head", "read"):
        with pytest.raises(OptionError, match=f"format 'half' has no function; found {name} = None"):
            FORMATS.register(scan._replace(name="half", **{name: None}))
    with pytest.raises(OptionError, match="foreground of format 'half' is a number"):
        FORMATS.register(scan._replace(name="half", options=(Option("foreground", NUMBER),)))
    assert "half" not in FORMATS


def test_every_option_is_declared_once() -> None:
    assert list(FORMATS.options()) == ["foreground", "channels", "columns"]
    for name in ("GPR", "SPOT"):
        own = FORMATS[name].options
        assert own == (columns.FOREGROUND, columns.CHANNELS, COLUMNS)
    assert FORMATS["table"].options == (COLUMNS,)
    assert all(option.help and option.name == name for name, option in FORMATS.options().items())


def test_every_format_names_its_flags_of_spots_that_were_not_found() -> None:
    assert {name: row.not_found for name, row in FORMATS.items()} == {"GPR": (-50,), "SPOT": (), "table": ()}


def test_an_array_knows_the_options_it_was_read_with(gpr: bytes) -> None:
    given = {"channels": ("532", "635"), "columns": (("ID", "Name"),)}
    named = (("R", "G"), ("G", "R"))
    found = [
        FORMATS["GPR"].read(text(gpr), ReadOptions()),
        FORMATS["GPR"].read(text(gpr), ReadOptions(given)),
        FORMATS["SPOT"].read(text(SPOT), ReadOptions({"channels": "G,R"})),
        FORMATS["table"].read(text(b"R,G\n1,2\n"), ReadOptions({"columns": named, "foreground": "median"})),
    ]
    assert [raw.settings for raw in found] == [
        {"foreground": "mean", "channels": (), "columns": ()},
        {"foreground": "mean", "channels": ("532", "635"), "columns": (("ID", "Name"),)},
        {"foreground": "mean", "channels": ("G", "R"), "columns": ()},
        {"columns": named},
    ]


def test_none_and_auto_mean_the_default_of_the_format(gpr: bytes) -> None:
    for word in (None, "auto", "mean"):
        raw = FORMATS["GPR"].read(text(gpr), ReadOptions({"foreground": word, "channels": None}))
        assert raw.settings == {"foreground": "mean", "channels": (), "columns": ()}
