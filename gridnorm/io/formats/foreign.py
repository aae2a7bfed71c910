"""Files that are not read, by what they are: how each kind is known from its beginning, and what to do with it.

A name helps where "not an array file" does not: whoever gives results of another program learns that they are of that
program, and which columns serve meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gridnorm.errors import FormatError, option_word, speaks_command_line
from gridnorm.io import cells
from gridnorm.io.formats.table import HEAD_LINES, titled
from gridnorm.io.roles import pairs_of
from gridnorm.io.table import splits
from gridnorm.io.text import Text
from gridnorm.plain import few

_LOOKED_AT = 65536  # bytes of a file
_SHOWN = 20  # characters of an unknown file, in a message
_TITLES = 6  # of an unknown table


class Kind(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    name
        With its article, as messages have it.
    begins
        Expression that is searched for in the first bytes.
    hint
        What to do.
    columns
        Of results that plain tables can stand for: ``columns``, the first of them whose titles are there.
    joint
        What stands between the hint and the columns.
    """

    name: str
    begins: bytes
    hint: str = ""
    columns: tuple[str, ...] = ()
    joint: str = ", and name"


_RESULTS = "Give the results file of the image analysis"
_SAVE = "Save the sheet as tab-separated text"
_UNPACK = "Unpack it"
_RAW = "Normalize the files that come from the image analysis"
_EXPORT = "Export the table as tab-separated text"
_WHICH = ". Exchange R and G if channel 1 is the red one"

# Files that are no text. The beginning is that of the file, or of what its gzip data hold.
BINARY = (
    Kind("an Excel workbook (.xlsx)", rb"\APK\x03\x04[\s\S]{0,4000}(xl/|\[Content_Types\])", _SAVE),
    Kind("an OpenDocument file", rb"\APK\x03\x04[\s\S]{26,40}mimetypeapplication/vnd\.oasis", _SAVE),
    Kind("a zip archive", rb"\APK(\x03\x04|\x05\x06)", _UNPACK),
    Kind("an Excel workbook (.xls)", rb"\A\xd0\xcf\x11\xe0", _SAVE),
    Kind("a tar archive", rb"\A[\s\S]{257}ustar", _UNPACK),
    Kind("gzip data inside gzip data", rb"\A\x1f\x8b", "Unpack it once"),
    Kind("a bzip2 file", rb"\ABZh", "Unpack it, or compress it with gzip"),
    Kind("an xz file", rb"\A\xfd7zXZ", "Unpack it, or compress it with gzip"),
    Kind("a zstd file", rb"\A\x28\xb5\x2f\xfd", "Unpack it, or compress it with gzip"),
    Kind("a 7z archive", rb"\A7z\xbc\xaf\x27\x1c", _UNPACK),
    Kind("a rar archive", rb"\ARar!\x1a\x07", _UNPACK),
    Kind("a TIFF image", rb"\A(II[*+]\0|MM\0[*+])", _RESULTS),
    Kind("a PNG image", rb"\A\x89PNG", _RESULTS),
    Kind("a JPEG image", rb"\A\xff\xd8\xff", _RESULTS),
    Kind("a GIF image", rb"\AGIF8[79]a", _RESULTS),
    Kind("a BMP image", rb"\ABM[\s\S]{4}\0\0\0\0", _RESULTS),
    Kind("a PDF", rb"\A%PDF", _RESULTS),
    Kind("a file of R data", rb"\A(RD[AX][23]\n|X\n\0\0\0[\x02\x03])",
         "Write the table in R with write.table(…, sep = \"\\t\")"),
    Kind("an HDF5 file (such as .h5ad)", rb"\A\x89HDF", _EXPORT),
    Kind("a Parquet table", rb"\APAR1", _EXPORT),
    Kind("an Arrow or Feather table", rb"\A(ARROW1|FEA1)", _EXPORT),
    Kind("a NumPy array", rb"\A\x93NUMPY", _EXPORT),
    Kind("a Python pickle", rb"\A\x80[\x02-\x05]", _EXPORT),
    Kind("a MATLAB file", rb"\AMATLAB \d", _EXPORT),
    Kind("an SQLite database", rb"\ASQLite format 3\0", _EXPORT),
    Kind("an Affymetrix file (CEL, CHP or CDF)", rb"\A(\x40\0\0\0\x04\0\0\0|\x3b\x01|\x41\0\0\0|\x43\0\0\0)",
         "In-situ arrays have no print-tips: use a package for Affymetrix arrays"),
    Kind("an Illumina IDAT file", rb"\AIDAT", "Bead arrays have no print-tips: use a package for Illumina arrays"),
)  # fmt: skip

# Text that is no array file, in the order in which it is asked for.
NO_ARRAYS = (
    Kind("a result of gridnorm",
         rb'\A[^\r\n]*[\t,]"?M\.([^\t,\r\n"]+)"?[\t,]"?A\.\1"?([\t,\r\n]|\Z)'
         rb'|\A"?Block"?([\t,])"?Row"?\3"?Column"?\3([^\r\n]*\3)?"?E\.', _RAW),
    Kind("the record beside a result of gridnorm", rb'\A\s*\{\s*"schema":[^{]*"gridnorm":', _RAW),
    Kind("a targets table", rb'(?i)\A([^\r\n]*[\t,;])?"?file[ _]?name(cy[35])?"?\s*([\t,;\r\n]|\Z)|\Afile_?name +\w',
         "Give it by name, not inside a folder or another table; its column of files is called FileName"),
    Kind("a table of spot types", rb'(?i)\A([^\r\n]*[\t,;])?"?spot[ _.]?types?"?[\t,;]',
         "Give the array files; the option controls takes this table"),
    Kind("a file of R data", rb"\A(RDA[23]\n)?A\n[23]\n\d", "Write the table in R with write.table(…, sep = \"\\t\")"),
    Kind("a PDF", rb"\A%PDF", _RESULTS),
    Kind("an Excel sheet saved as XML", rb"\A\s*<\?xml[\s\S]{0,400}(Excel\.Sheet|schemas-microsoft-com:office)", _SAVE),
    Kind("a web page (HTML)", rb"(?i)\A\s*<(!doctype html|html|head|body|table)\b",
         "Where it should be a download, fetch the file itself"),
    Kind("an XML file", rb"\A\s*<(\?xml|!DOCTYPE|[A-Za-z][\w:-]*[ >])", _RESULTS),
    Kind("a JSON file", rb'\A\s*(\{\s*"|\[\s*[\[{"\d])', _RESULTS),
    Kind("a file of sequences (FASTA)", rb"\A>\S[^\r\n]*\r?\n[A-Za-z*-]+(\r?\n|\Z)", _RESULTS),
    Kind("a file of sequences (FASTQ)", rb"\A@\S[^\r\n]*\r?\n[A-Za-z.]+\r?\n\+", _RESULTS),
    Kind("a list of genome positions (GFF or VCF)", rb"\A##(gff|fileformat=VCF)", _RESULTS),
    Kind("a GEO series matrix", rb"\A(![^\r\n]*\r?\n|\s)*!Series_",
         "It holds finished values; take the raw files of the series (GSE…_RAW.tar)"),
    Kind("an Affymetrix file (CEL or CDF)", rb"\A\[C[ED][LF]\]\s",
         "In-situ arrays have no print-tips: use a package for Affymetrix arrays"),
)  # fmt: skip

# Results of image analysis that have no reader of their own yet.
RESULTS = (
    Kind("a results file of Agilent Feature Extraction", rb"(?m)^(TYPE\t[^\r\n]*\r?\n)?(FEPARAMS|FEATURES)\t", "", (
        "R=rMeanSignal,G=gMeanSignal,Rb=rBGMedianSignal,Gb=gBGMedianSignal,ID=ProbeName,Row=Row,Column=Col",
        "R=rMedianSignal,G=gMedianSignal,Rb=rBGMedianSignal,Gb=gBGMedianSignal,ID=ProbeName,Row=Row,Column=Col",
        "E=gMeanSignal,Eb=gBGMedianSignal,ID=ProbeName,Row=Row,Column=Col",
        "E=gMedianSignal,Eb=gBGMedianSignal,ID=ProbeName,Row=Row,Column=Col",
        "R=rProcessedSignal,G=gProcessedSignal,ID=ProbeName,Row=Row,Column=Col",
        "E=gProcessedSignal,ID=ProbeName,Row=Row,Column=Col",
    )),
    Kind("a results file of ImaGene", rb"(?m)^[ \t]*Begin Raw Data\b|\A\s*Begin Header\b", "", (
        "G=Signal Mean 1,R=Signal Mean 2,Gb=Background Mean 1,Rb=Background Mean 2,ID=Gene ID",
        "E=Signal Mean,Eb=Background Mean,ID=Gene ID",
    )),
    Kind("a results file of ScanArray Express", rb"(?m)^\"?ScanArray ?(CSVFileFormat|Express)|^BEGIN DATA\b", "", (
        "R=Ch2 Mean,G=Ch1 Mean,Rb=Ch2 B Median,Gb=Ch1 B Median",
        "E=Ch1 Mean,Eb=Ch1 B Median",
    )),
    Kind("a results file of QuantArray", rb"(?mi)^Begin (Protocol Info|Image Info|Measurements|Data)\b", "", (
        "R=ch2 Intensity,G=ch1 Intensity,Rb=ch2 Background,Gb=ch1 Background,ID=Name",
    )),
    Kind("a results file of BlueFuse", rb"(?m)^[^\r\n]*\bAMPCH1\b", "", ("R=AMPCH2,G=AMPCH1,ID=ID",)),
    Kind("a results file of ArrayVision", rb"\b(MTM|ARM) Dens\b|\A[^\r\n]*\bArrayVision\b",
         "Give both channels titles of their own and delete what stands above them"),
    Kind("a GEO SOFT file", rb"(?m)\A\s*\^(SAMPLE|SERIES|PLATFORM|DATABASE|DATASET)\b|^!Sample_table_begin",
         "Take the raw files (in GEO: supplementary files)", ("R=CH2_MEAN,G=CH1_MEAN,ID=ID_REF",), ", or name"),
    Kind("a NimbleGen file", rb"\A#\s*software=NimbleScan|\A[^\r\n]*\b(GENE_EXPR_OPTION|PROBE_DESIGN_ID)\t", "",
         ("E=PM,ID=PROBE_ID",)),
    Kind("a file of TIGR Spotfinder or MeV", rb"(?m)^UID\tI[AB]\b", "", ("R=IB,G=IA,ID=UID",)),
    Kind("a results file of ScanAlyze", rb"\AHEADER\tSPOT\t", "Delete its lines that begin with REMARK",
         ("R=CH2I,G=CH1I,Rb=CH2B,Gb=CH1B,Block=GRID,Row=ROW,Column=COL",)),
    Kind("a file of the Stanford Microarray Database", rb"(?mi)\A!(exptid|experiment|expt)[^\r\n]*=", "", (
        "R=CH2I_MEAN,G=CH1I_MEAN,Rb=CH2B_MEDIAN,Gb=CH1B_MEDIAN",
        "R=Ch2 Intensity (Mean),G=Ch1 Intensity (Mean),Rb=Ch2 Background (Median),Gb=Ch1 Background (Median)",
    )),
    Kind("a results file of MicroVigene", rb"(?i)\A[^\r\n]*micro ?vigene|\A[^\r\n]*\bMain[ .]Row\t", "", (
        "E=Raw.Value,Eb=Background.Value,ID=Series.Id",
        "E=Raw Value,Eb=Background Value,ID=Series Id",
    )),
)  # fmt: skip


def kind_of(data: bytes, kinds: Sequence[Kind]) -> Kind | None:
    r"""The first of some kinds that a file is of, from its beginning.

    Examples
    --------
    >>> kind_of(b"PAR1\x15\x04", BINARY).name, kind_of(b"ATF\t1.0\n", NO_ARRAYS)
    ('a Parquet table', None)
    """
    beginning = data[:_LOOKED_AT]
    return next((kind for kind in kinds if re.search(kind.begins, beginning)), None)


def refuse_binary(data: bytes, file: str) -> None:
    """Name data that are no text.

    Raises
    ------
    FormatError
        They are of a known kind.
    """
    kind = kind_of(data, BINARY)
    if kind is not None:
        raise FormatError(f"this is {kind.name}, no text file", file, hint=kind.hint)


def unread(text: Text) -> FormatError | None:
    """The error that a text file is of a kind that is not read, and what to do; None where its kind is unknown."""
    kind = kind_of(text.data, NO_ARRAYS)
    if kind is not None:
        return FormatError(f"this is {kind.name}, not an array file", text.name, hint=kind.hint)
    kind = kind_of(text.data, RESULTS)
    if kind is None:
        return None
    return FormatError(f"this is {kind.name}, not read as such yet", text.name, hint=_meanwhile(kind, text))


def refuse_result(text: Text) -> None:
    """M and A of a result are no intensities, whoever names them as such.

    Raises
    ------
    FormatError
        It is a result of gridnorm.
    """
    kind = kind_of(text.data, (NO_ARRAYS[0],))
    if kind is not None:
        raise FormatError(f"this is {kind.name}, not an array file", text.name, hint=kind.hint)


def said_of(text: Text) -> str | None:
    """The sentence that a file is of a kind that is not read as such, beside what else is wrong with it."""
    kind = kind_of(text.data, (*NO_ARRAYS, *RESULTS))
    return (
        None
        if kind is None
        else f"This is {kind.name}{', not read as such yet' * (kind in RESULTS)}"
        + (f". {kind.hint}" if kind.hint else "")
    )


def _meanwhile(kind: Kind, text: Text) -> str:
    """What serves until there is a reader: columns, where the titles are those that are expected."""
    fits = next((given for given in kind.columns if titled(text, pairs_of(given))), None)
    if fits is None:
        return kind.hint or f"Name its columns of raw intensities with {option_word('columns')} R=…,G=…,ID=…"
    quote = '"' if " " in fits or not speaks_command_line() else ""
    spoken = f"{option_word('columns')}{' ' if speaks_command_line() else '='}{quote}{fits}{quote}"
    numbered = _WHICH if fits.startswith("R=") and re.search("(?i)ch2|IB", fits) else ""
    return f"{kind.hint + kind.joint if kind.hint else 'Name'} its columns: {spoken}{numbered}"


def not_an_array(text: Text, formats: Iterable[str]) -> FormatError:
    """The error that no reader takes a file: its kind where it is known, else what it holds."""
    error = unread(text)
    if error is not None:
        return error
    titles, line = _row_of_titles(text)
    what, example = "not an array file that can be read here", "for example R=ch2,G=ch1,ID=gene"
    if line is not None:
        found, hint = (
            f"a table with the titles {few(titles, _TITLES)}",
            f"Name its columns with {option_word('columns')}",
        )
        return FormatError(what, text.name, line, found, "titles R and G, or E", f"{hint}, {example}")
    found, hint = f"a file that begins with {_beginning(text)!r}", f"Plain tables need {option_word('columns')}"
    return FormatError(what, text.name, None, found, " or ".join(formats), f"{hint}, {example}")


def _row_of_titles(text: Text) -> tuple[list[str], int | None]:
    """The first row that may be one of titles, with the same number of cells below it, and its line."""
    lines = text.data.split(b"\n", HEAD_LINES + 1)[: HEAD_LINES + 1]
    for number, (line, below) in enumerate(pairwise(lines), 1):
        for separator, titles in splits(line, 1):
            named = all(title and cells.number(title.encode()) is None for title in titles)
            if named and below.count(separator) == line.count(separator):
                return titles, number
    return [], None


def _beginning(text: Text) -> str:
    """A short, printable beginning."""
    first = text.data[:_LOOKED_AT].replace(b"\t", b" ").lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    shown = "".join(char if char.isprintable() else "?" for char in first[:_SHOWN])
    return shown + ("…" if len(first) > _SHOWN else "")
