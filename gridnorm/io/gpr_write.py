"""GenePix results files (GPR), written as GenePix would."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import FULL_SCALE, Column
from gridnorm.arrays.simulate import Simulated
from gridnorm.io import fixed
from gridnorm.io.atomic import Output, guard
from gridnorm.io.write import as_bytes

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_ROWS = 512  # of one block of text
_TOO_LARGE = 100000.0  # what GenePix writes for a ratio to nothing
_LOG_TOO_LARGE = 16.610


def gpr_columns(
    *,
    block: IntArray,
    row: IntArray,
    column: IntArray,
    name: Column,
    id: Column,
    x: FloatArray,
    y: FloatArray,
    wavelengths: Sequence[str],
    mean: IntArray,
    median: IntArray,
    background: IntArray,
    flags: IntArray,
    sd: IntArray | None = None,
    background_sd: IntArray | None = None,
    pixels: IntArray | None = None,
) -> dict[str, Column]:
    """The columns of a GPR in GenePix's order, with the ratios, sums and differences that follow from the others.

    Parameters
    ----------
    block, row, column, name, id, x, y, flags, pixels
        Shape (spot,); positions in µm.
    wavelengths
        One or two, such as ``("635", "532")``.
    mean, median, background, sd, background_sd
        Shape (channel, spot), in the order of ``wavelengths``; ``background`` is the local median.

    Returns
    -------
    Title to column; NaN stands for ``Error``.
    """
    columns: dict[str, Column] = {"Block": block, "Column": column, "Row": row, "Name": name, "ID": id}
    columns |= {"X": _whole(x), "Y": _whole(y), "Dia.": np.full(block.size, 100, np.int64)}
    for k, w in enumerate(wavelengths):
        columns |= {f"F{w} Median": median[k], f"F{w} Mean": mean[k]}
        if sd is not None:
            columns[f"F{w} SD"] = sd[k]
        columns |= {f"B{w}": background[k], f"B{w} Median": background[k]}
        if background_sd is not None:
            columns[f"B{w} SD"] = background_sd[k]
        columns[f"F{w} % Sat."] = np.where(mean[k] >= FULL_SCALE, 100, 0)
    net_median, net_mean = median - background, mean - background
    suffix = "(" + "/".join([*wavelengths, "2"][:2]) + ")"
    ratio, log_ratio = _ratios(net_median)
    columns |= {f"Ratio of Medians {suffix}": ratio, f"Ratio of Means {suffix}": _ratios(net_mean)[0]}
    if pixels is not None:
        columns["F Pixels"] = pixels
    columns |= {f"Sum of Medians {suffix}": net_median.sum(axis=0), f"Sum of Means {suffix}": net_mean.sum(axis=0)}
    columns[f"Log Ratio {suffix}"] = log_ratio
    columns |= {f"F{w} Median - B{w}": net_median[k] for k, w in enumerate(wavelengths)}
    columns |= {f"F{w} Mean - B{w}": net_mean[k] for k, w in enumerate(wavelengths)}
    zero = np.zeros(block.size, np.int64)
    return columns | {"Flags": flags, "Normalize": zero, "Autoflag": zero}


def simulated_columns(simulated: Simulated, array: int) -> dict[str, Column]:
    """The columns of one simulated array."""
    return gpr_columns(
        block=simulated.block,
        row=simulated.row,
        column=simulated.column,
        name=simulated.name,
        id=simulated.id,
        x=simulated.x[array],
        y=simulated.y[array],
        wavelengths=simulated.wavelengths,
        mean=simulated.mean[array],
        median=simulated.median[array],
        background=simulated.background[array],
        flags=simulated.flags[array],
        sd=simulated.sd[array],
        background_sd=simulated.background_sd[array],
        pixels=simulated.pixels[array],
    )


def write_gpr(
    path: str | os.PathLike[str],
    columns: Mapping[str, Column],
    wavelengths: Sequence[str],
    *,
    header: Mapping[str, str] | None = None,
    force: bool = False,
    output: Output | None = None,
) -> None:
    """Write a GPR file (ATF 1.0, GenePix Results 3, CRLF).

    Parameters
    ----------
    path
        Target.
    columns
        Title to column, as from :func:`gpr_columns`.
    wavelengths
        In the order of the columns.
    header
        Records to add or to replace, such as ``{"Comment": "simulated"}``.
    force
        Replace an existing file.
    output
        Put the file into this group instead.

    Raises
    ------
    OptionError
        The target exists.
    OutputError
        The file cannot be written.
    """
    name = os.path.basename(path)
    if output is None:
        with Output(force) as own:
            write_gpr(path, columns, wavelengths, header=header, output=own)
        return
    handle = output.open(path)
    for part in gpr_blocks(columns, wavelengths, header):
        guard(name, handle.write, part)


def gpr_blocks(
    columns: Mapping[str, Column], wavelengths: Sequence[str], header: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The bytes of a GPR file, header first, then blocks of rows."""
    records = _header(wavelengths) | dict(header or {})
    lines = ["ATF\t1.0", f"{len(records)}\t{len(columns)}", *(f'"{key}={value}"' for key, value in records.items())]
    lines.append("\t".join(f'"{title}"' for title in columns))
    yield "".join(line + "\r\n" for line in lines).encode()
    cells = [_quoted(column) if column.dtype.kind in "SUO" else column for column in columns.values()]
    for start in range(0, len(cells[0]), _ROWS):
        parts = [_words(column[start : start + _ROWS], b"\t" if k else b"") for k, column in enumerate(cells)]
        yield fixed.join(parts, b"\r\n")


def _header(wavelengths: Sequence[str]) -> dict[str, str]:
    def each(value: str) -> str:
        return "\t".join([value] * len(wavelengths))

    formula = "/".join([*wavelengths, ""][:2])
    return {
        "Type": "GenePix Results 3",
        "DateTime": "2000/01/01 00:00:00",
        "Settings": "",
        "GalFile": "",
        "PixelSize": "10",
        "Wavelengths": "\t".join(wavelengths),
        "ImageFiles": each("Not Saved"),
        "NormalizationMethod": "None",
        "NormalizationFactors": each("1"),
        "JpegImage": "",
        "StdDev": "Type 1",
        "RatioFormulations": f"W1/W2 ({formula})",
        "FeatureType": "Circular",
        "Barcode": "",
        "BackgroundSubtraction": "LocalFeature",
        "ImageOrigin": "0, 0",
        "JpegOrigin": "0, 0",
        "Creator": "gridnorm",
        "Scanner": "",
        "Comment": "",
        "Supplier": "",
    }


def _ratios(net: IntArray) -> tuple[FloatArray, FloatArray]:
    """Ratio and log ratio of net intensities (channel, spot); NaN where GenePix writes ``Error``."""
    top = net[0].astype(np.float64)
    bottom = net[1].astype(np.float64) if net.shape[0] > 1 else np.zeros_like(top)
    nothing = bottom == 0
    ratio = np.where(nothing, _TOO_LARGE, top / np.where(nothing, 1.0, bottom))
    ratio[top == 0] = 0.0
    positive = ratio > 0
    log = np.where(positive, np.log2(np.where(positive, ratio, 1.0)), np.nan)
    return ratio, np.where(nothing & positive, _LOG_TOO_LARGE, log)


def _whole(position: FloatArray) -> Column:
    return np.rint(position).astype(np.int64) if bool(np.isfinite(position).all()) else position


def _quoted(column: Column) -> NDArray[np.bytes_]:
    cells = [b'"' + cell.replace(b'"', b'""') + b'"' for cell in as_bytes(column).tolist()]
    return np.array(cells, dtype="S") if cells else np.empty(0, "S1")


def _words(column: Column, separator: bytes) -> fixed.Words:
    if column.dtype.kind == "S":
        return fixed.text_words(column, separator)
    if column.dtype.kind == "f":
        return fixed.decimal_words(column[:, None], 3, separator, missing=b"Error")
    return fixed.integer_words(column, separator)
