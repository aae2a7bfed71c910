"""Files that are not read are named for what they are, with what to do; and what they say does work."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import sqlite3
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.errors import FormatError
from gridnorm.io.formats import FORMATS, foreign, recognise
from gridnorm.io.formats.gal import read as read_gal
from gridnorm.io.text import Text, load, load_head


def text(content: str, name: str = "x.txt") -> Text:
    return Text(name, content.encode(), "utf-8", (), 0, "")


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.gpr"), io.BytesIO(b""))
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "x.db") as made:
        made.execute("create table t (x)")
    return (folder / "x.db").read_bytes()


BINARY = {
    "an Excel workbook (.xlsx)": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a zip archive": zipped("a.gpr", "b.gpr"),
    "an Excel workbook (.xls)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
    "a tar archive": tarred(),
    "gzip data inside gzip data": gzip.compress(gzip.compress(b"a\n")),
    "a bzip2 file": b"BZh91AY&SY\x01\x02" + bytes(20),
    "an xz file": b"\xfd7zXZ\0" + bytes(20),
    "a zstd file": b"\x28\xb5\x2f\xfd" + bytes(20),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c" + bytes(20),
    "a TIFF image": b"II*\0" + bytes(20),
    "a PNG image": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "a JPEG image": b"\xff\xd8\xff\xe0" + bytes(20),
    "a BMP image": b"BM\x46\x01\x02\x03" + bytes(20),
    "a PDF": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + bytes(20),
    "a file of R data": gzip.compress(b"RDX3\nX\n\0\0\0\3\0"),
    "an HDF5 file (such as .h5ad)": b"\x89HDF\r\n\x1a\n" + bytes(20),
    "a Parquet table": b"PAR1\x15\x04" + bytes(20),
    "an Arrow or Feather table": b"ARROW1\0\0" + bytes(20),
    "a NumPy array": npy(),
    "a Python pickle": pickle.dumps([1.0] * 9, protocol=4),
    "an Affymetrix file (CEL, CHP or CDF)": b"\x40\0\0\0\x04\0\0\0" + bytes(20),
    "an Illumina IDAT file": b"IDAT\x03\0\0\0" + bytes(20),
}


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("packed", [False, True])
def test_binary_files_are_named(name: str, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.gpr"
    path.write_bytes(gzip.compress(BINARY[name]) if packed and BINARY[name][:2] != b"\x1f\x8b" else BINARY[name])
    for read in (load, load_head):
        with pytest.raises(FormatError, match=re.escape(f"a.gpr: this is {name}, no text file. ")):
            read(path)


def test_an_sqlite_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.gpr"
    path.write_bytes(database(tmp_path))
    with pytest.raises(FormatError, match="this is an SQLite database, no text file"):
        load(path)


RESULT = "Block\tRow\tColumn\tID\tM.a\tA.a\n1\t1\t1\tx\t0.1\t8.0\n"
TEXT = {
    "a result of gridnorm, not": RESULT,
    "a result of gridnorm": "Block,Row,Column,ID,Name,E.a,E.b\n1,1,1,x,n,8.0,7.0\n",
    "the record beside a result of gridnorm": '{\n "schema": 2,\n "gridnorm": "0.1.0",\n "parameters": {}\n}\n',
    "a targets table": "SlideNumber\tFileNameCy3\tFileNameCy5\n1\ta.txt\tb.txt\n",
    "a table of spot types": "SpotType\tID\tName\tcolor\ngene\t*\t*\tblack\n",
    "a file of R data": "RDA3\nA\n3\n262144\n",
    "a PDF": "%PDF-1.4\n1 0 obj\n",
    "an Excel sheet saved as XML": '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook>\n',
    "a web page (HTML)": "\n<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "an XML file": '<?xml version="1.0"?>\n<MAGE-ML>\n',
    "a JSON file": '{"a": [1, 2]}\n',
    "a file of sequences (FASTA)": ">gene 1\nACGTACGT\n",
    "a file of sequences (FASTQ)": "@read1\nACGT\n+\nIIII\n",
    "a list of genome positions (GFF or VCF)": "##gff-version 3\nchr1\t.\tgene\n",
    "a GEO series matrix": '!Series_title\t"x"\n!series_matrix_table_begin\n"ID_REF"\t"GSM1"\n',
    "an Affymetrix file (CEL or CDF)": "[CEL]\nVersion=3\n",
}
RED, GREEN = [500, 620, 710], [410, 520, 330]


def body(titles: str, row: str, separator: str = "\t", below: str = "") -> str:
    """Rows of three spots; ``row`` is filled with k, red and green."""
    rows = [row.format(k=k + 1, r=r, g=g) for k, (r, g) in enumerate(zip(RED, GREEN, strict=True))]
    return "".join(line.replace(" | ", separator) + "\n" for line in (titles, *rows)) + below


RESULTS = {
    "Agilent Feature Extraction": "TYPE\ttext\ttext\nFEPARAMS\tProtocol_Name\tx\nDATA\tGE2\ty\n*\nTYPE\tinteger\n"
    + body(
        "FEATURES | Row | Col | ProbeName | gMeanSignal | rMeanSignal | gBGMedianSignal | rBGMedianSignal",
        "DATA | 1 | {k} | p{k} | {g} | {r} | 20 | 21",
    ),
    "ImaGene": "Begin Header\n\tversion\t4.2\nEnd Header\nBegin Raw Data\n"
    + body(
        " | Field | Meta Row | Meta Column | Row | Column | Gene ID | Signal Mean | Background Mean",
        " | A | 1 | 1 | 1 | {k} | g{k} | {r} | 20",
        below="End Raw Data\nEnd of File\n",
    ),
    "ScanArray Express": "BEGIN HEADER\nScanArrayCSVFileFormat,2\nEND HEADER\nBEGIN DATA\n"
    + body(
        "Array Row | Array Column | Spot Row | Spot Column | ID | Ch1 Mean | Ch1 B Median | Ch2 Mean | Ch2 B Median",
        "1 | 1 | 1 | {k} | g{k} | {g} | 20 | {r} | 21", ",", "END DATA,,,,,,,,\n",
    ),
    "QuantArray": "User Name\tme\nBegin Protocol Info\nEnd Protocol Info\nBegin Data\n"
    + body(
        "Array Row | Array Column | Row | Column | Name | ch1 Intensity | ch1 Background | ch2 Intensity | ch2 Background",
        "1 | 1 | 1 | {k} | g{k} | {g} | 20 | {r} | 21", below="End Data\n",
    ),
    "BlueFuse": "made up\n" + body("ROW | COL | ID | AMPCH1 | AMPCH2", "1 | {k} | g{k} | {g} | {r}"),
    "GEO SOFT": "^SAMPLE = GSM0\n!Sample_title = x\n!sample_table_begin\n"
    + body("ID_REF | CH1_MEAN | CH2_MEAN", "{k} | {g} | {r}", below="!sample_table_end\n"),
    "NimbleGen": "# software=NimbleScan\n" + body("PROBE_ID | X | Y | PM", "p{k} | 1 | {k} | {r}"),
    "TIGR": "# created_by: x\n" + body("UID | IA | IB | MR | MC | SR | SC", "g{k} | {g} | {r} | 1 | 1 | 1 | {k}"),
    "Stanford": "!Exptid=1\n" + body("SPOT | CH1I_MEAN | CH1B_MEDIAN | CH2I_MEAN | CH2B_MEDIAN", "{k} | {g} | 2 | {r} | 2"),
    "MicroVigene": "MicroVigene version 3\n"
    + body("Main Row | Main Col | Sub Row | Sub Col | Series Id | Raw Value | Background Value", "1 | 1 | 1 | {k} | s | {r} | 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXT)
def test_text_that_is_no_array_file_is_named(name: str) -> None:
    with pytest.raises(FormatError, match=re.escape(f"x.txt: this is {name}")) as caught:
        recognise(text(TEXT[name]), {})
    assert caught.value.hint and len(str(caught.value)) < 300


@pytest.mark.parametrize("name", RESULTS)
def test_results_without_a_reader_say_columns_with_which_they_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(RESULTS[name])
    with pytest.raises(FormatError, match=rf"a\.txt: this is a.*{name}.*, not read as such yet\. ") as caught:
        gn.read(path)
    assert len(str(caught.value)) < 300
    named = re.search(r'columns="([^"]*)"', str(caught.value))
    assert named, caught.value
    arrays = gn.read(path, columns=named[1])
    assert arrays.n_spots == 3
    level = arrays.E if arrays.channels == ("E",) else arrays.R
    assert level[:, 0].tolist() == RED


@pytest.mark.parametrize("name", ["ArrayVision", "ScanAlyze"])
def test_results_that_need_more_than_columns_say_what(name: str) -> None:
    lines = {
        "ArrayVision": "\tch1\t\tch2\nSpot labels\tMTM Dens - Levels\tBkgd\tMTM Dens - Levels\n1\t5\t1\t6\n",
        "ScanAlyze": body(
            "HEADER | SPOT | GRID | ROW | COL | CH1I | CH1B | CH2I | CH2B",
            "SPOT | {k} | 1 | 1 | {k} | {g} | 1 | {r} | 1",
        ),
    }
    with pytest.raises(FormatError, match=rf"this is a results file of {name}, not read as such yet\. (Give|Delete)"):
        recognise(text(lines[name]), {})


@pytest.mark.slow
def test_the_columns_that_real_files_are_given_do_read_them(shared: Path) -> None:
    read = 0
    warnings.simplefilter("ignore", gn.GridnormWarning)
    damaged = ("Agilent_Tiny", "gene-expression.bad", "group4", "group7")
    for path in sorted((shared / "data/arrays").glob("*/*")):
        try:
            recognise(load_head(path), {})
        except FormatError as error:
            named = re.search(r'columns="([^"]*)"', str(error))
            if named and not path.name.startswith(damaged):
                read += gn.read(path, columns=named[1]).n_spots > 0
    assert read > 10


def test_the_kind_is_named_beside_what_else_is_wrong_with_it() -> None:
    settings = {"columns": "R=CH2I,G=CH1I"}
    given = text("HEADER\tSPOT\tCH1I\tCH2I\nREMARK\tDATE\nSPOT\t1\t5\t6\n")
    with pytest.raises(FormatError, match="too few cells.*This is a results file of ScanAlyze, not read as such yet"):
        FORMATS["table"].read(given, gn.arrays.raw.ReadOptions(settings))
    with pytest.raises(FormatError, match="found titles .*ProbeName.*expected red.*This is a results file of Agilent"):
        FORMATS["table"].head(text(RESULTS["Agilent Feature Extraction"]), {"columns": "R=red,G=gMeanSignal"})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (RESULT.replace("ID", "x"), "This is a result of gridnorm"),
        ("R\tG\n1\t2\n", "This is a table file with results"),
        ("a\n", "cut off, or"),
    ],
)
def test_what_is_no_array_list_is_named(content: str, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        read_gal(text(content, "a.gal"))


def test_m_and_a_of_a_result_are_no_intensities_whoever_names_them() -> None:
    with pytest.raises(FormatError, match=r"x\.txt: this is a result of gridnorm, not an array file"):
        FORMATS["table"].head(text(RESULT), {"columns": "R=M.a,G=A.a"})
    own = "ID\tM.a\tG\nx\t1\t2\n"
    assert FORMATS["table"].head(text(own), {"columns": "R=M.a,G=G"}).channels == ("R", "G")


def test_of_an_unknown_file_20_printable_characters_are_shown() -> None:
    with pytest.raises(FormatError, match=re.escape("begins with 'abcdefghij?[2Jklmnop…', expected GPR or SPOT")):
        recognise(text("\n  abcdefghij\x1b[2Jklmnopqrst\n"), {})
    with pytest.raises(FormatError, match=re.escape("begins with 'abcdefghijklmnopqrst', expected GPR or SPOT")):
        recognise(text("abcdefghijklmnopqrst\nroot:x:0:0"), {})


def test_a_table_without_roles_is_shown_by_its_titles() -> None:
    titles = ",".join(f"t{k}" for k in range(8))
    with pytest.raises(
        FormatError, match=r"x\.txt:2: .*a table with the titles t0, t1, t2, t3, t4, t5 and 2 more, expected"
    ):
        recognise(text(f"made by hand\n{titles}\n1,2,3,4,5,6,7,8\n"), {})


@pytest.mark.parametrize(
    "content",
    ["ID\tR\tG\nE.coli\t5\t6\n", "ID,E\n>x,5\n", "FileName,R,G\na,1,2\n", "M.a\tA.b\tR\tG\n1\t2\t3\t4\n"],
)
def test_a_table_that_can_be_read_is_no_stranger(content: str) -> None:
    assert recognise(text(content), {}).name == "table"


def test_no_kind_is_asked_for_twice_and_every_expression_is_one() -> None:
    kinds = (*foreign.BINARY, *foreign.NO_ARRAYS, *foreign.RESULTS)
    assert all(re.compile(kind.begins) and (kind.hint or kind.columns) for kind in kinds)
    assert {kind.name for kind in foreign.NO_ARRAYS} <= {name.removesuffix(", not") for name in TEXT}


@pytest.mark.parametrize("content", [b" \n" * 32000, b"\tM.x" * 16000, b"!a\n" * 20000, b"a," * 32000])
def test_the_kind_of_a_file_is_known_in_no_time(content: bytes) -> None:
    started = time.perf_counter()
    assert foreign.kind_of(content, (*foreign.BINARY, *foreign.NO_ARRAYS, *foreign.RESULTS)) is None
    assert time.perf_counter() - started < 2, "a pass for every line takes longer"
