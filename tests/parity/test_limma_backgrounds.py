"""Backgrounds ``kooperberg`` and ``nec`` against limma 3.54.1, run in R, on every real file that has what they need."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays import kooperberg

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "limma_backgrounds.R"
EXACT = 1e-10  # relative; where limma halves its intervals again and again rounding grows
CLOSE = 5e-3  # of the exact mean at and above −1 deviations: what limma's bounds of four deviations leave out
FILES = (
    *(f"caArray/{name}" for name in (
        "18258_wap3", "21160_neu9", "21161_neu10", "3_0_6_mod", "3_0_6_x", "4_0_1_x", "4_1_1_x", "5_0_1_26"
    )),
    "HenrikBengtsson_aroma/gpr123", "doelan/Demo", "geworkbench/Genepix_sample", "geworkbench/21161_neu10-4000markers",
    "geworkbench/21162_ras7-4000markers", "geworkbench/public_data_21161_neu10", "geworkbench/public_data_21162_ras7",
    "genometra_agilent/GPR1", "genometra_agilent/GPR2", "bioc_pepDat/f1_1", "bioc_pepDat/f1_2", "bioc_pepDat/f4_2",
    *(f"AutoAntigen/Slide{k}_{nm}" for k in (1, 2) for nm in (532, 635)),
    *(f"bioc_PAA/dummy_{name}" for name in (
        "GSM734833_PA41992_-_AD1", "GSM734834_PA41994_-_AD2", "GSM734835_PA42006_-AD3", "GSM734836_PA42005_-_AD4",
        "GSM734837_PA41957_-_AD5", "GSM735203_PA42023_-_CO13", "GSM735204_PA42025_-_CO14", "GSM735205_PA42026_-_CO15",
        "GSM735206_PA42028_-_CO16", "GSM735207_PA42029_-_CO17",
    )),
    *(f"cran_RPPanalyzer/{name}" for name in (
        "FCF_Slide", "S1", "S2", "S4", "Slide1", "Slide2", "Slide3", "old_S10", "old_S10_2", "old_S3", "old_S8",
        "old_S8_2", "old_Slide1",
    )),
    *(f"gainscan/0000088695_iso_array{name}" for name in (
        "1_pmt250", "1_pmt300", "1_pmt350", "1_pmt400", "1_pmt450", "1_pmt500", "1_pmt550", "1_pmt600_001", "1_pmt650",
        "2_pmt450", "3_pmt250",
    )),
)  # fmt: skip
TYPED = ("caArray/18258_wap3", "doelan/Demo", "bioc_PAA/dummy_GSM734833_PA41992_-_AD1", "bioc_pepDat/f1_1")


@pytest.fixture(scope="module", autouse=True)
def rscript() -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript")
    found = subprocess.run(["Rscript", "-e", "library(limma)"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("R has no limma")


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return function(*args, **kwargs)


def limma(kind: str, table: dict[str, np.ndarray], folder: Path, *more: object) -> dict[str, np.ndarray]:
    """The columns of limma's result."""
    given, made = folder / "in.tsv", folder / "out.tsv"
    lines = ["\t".join(table), *("\t".join(map(_cell, row)) for row in zip(*table.values(), strict=True))]
    given.write_text("\n".join(lines) + "\n")
    command = ["Rscript", "--vanilla", str(SCRIPT), kind, str(given), str(made), *map(str, more)]
    subprocess.run(command, check=True, capture_output=True)
    titles, *rows = (line.split("\t") for line in made.read_text().splitlines())
    numbers = np.array([[np.nan if cell == "NA" else float(cell) for cell in row] for row in rows])
    return dict(zip(titles, numbers.T, strict=True))


def _cell(value: object) -> str:
    return str(value) if isinstance(value, str) else f"{float(value):.17g}"  # type: ignore[arg-type]


def measured(file: str) -> tuple[gn.ArraySet, list[str]]:
    """The array with every column that kooperberg looks at, and the wavelength in the titles of each channel."""
    first = quiet(gn.read, file)
    titles = dict(first.records[0].taken)
    nm = [titles[channel].split(" ")[0][1:] for channel in first.channels]
    own = [f"{title}" for w in nm for title in (f"F{w} SD", f"B{w} SD", f"B{w} Mean")]
    return quiet(gn.read, file, keep=[*own, "F Pixels", "B Pixels"]), nm


def as_limmas(arrays: gn.ArraySet, nm: list[str]) -> dict[str, np.ndarray]:
    """Two channels under the titles that limma knows; beside one channel one that is 0, which limma leaves alone."""
    spots = arrays.columns
    table = {title: np.asarray(spots[title], float) for title in ("F Pixels", "B Pixels")}
    for limmas, name, channel, w in zip((635, 532), "RG", (arrays.channels * 2)[:2], (nm * 2)[:2], strict=True):
        table[name], table[f"{name}b"] = arrays.values[channel][0], arrays.values[f"{channel}b"][0]
        for letter, what in (("F", "SD"), ("B", "SD"), ("B", "Mean")):
            table[f"{letter}{limmas} {what}"] = np.asarray(spots[f"{letter}{w} {what}"], float)
    if len(arrays.channels) == 1:
        table["G"] = np.zeros(arrays.n_spots)
    return table


def signals(arrays: gn.ArraySet, nm: list[str], neighbours: str, quadrature: str) -> dict[str, np.ndarray]:
    """Corrected intensities of each channel."""
    options = {"neighbours": neighbours, "quadrature": quadrature}
    spots = {title: np.asarray(column) for title, column in arrays.columns.items()}
    found = {}
    for channel, w in zip(arrays.channels[:2], nm[:2], strict=True):
        own = {title: spots[title.format(nm=w)].astype(float) for title in kooperberg.MEASURES}
        given = arrays.values[channel][0], arrays.values[f"{channel}b"][0]
        found[channel] = kooperberg.signal(*given, {**spots, **own}, options).values
    return found


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative difference; infinite where other values are missing."""
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return np.inf
    same = ours == theirs
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmax(np.where(same, 0.0, np.abs(ours / theirs - 1)), initial=0.0))


@pytest.mark.parametrize("name", FILES)
def test_kooperberg_is_limmas(name: str, shared: Path, tmp_path: Path) -> None:
    arrays, nm = measured(str(shared / "data" / "arrays" / f"{name}.gpr.gz"))
    table = as_limmas(arrays, nm)
    whole = np.isfinite(list(table.values())).all(axis=0)
    whole &= (table["F Pixels"] > 0) & (table["B Pixels"] > 0)
    layout = arrays.layout
    if layout is not None and layout.complete and whole.all():
        neighbours, size = "limma", (layout.blocks.size, 1, layout.spot_rows, layout.spot_columns)
    else:
        neighbours, size = "none", (0, 0, 0, 0)  # for the other limma needs every spot of the grid
    theirs = limma("kooperberg", {title: column[whole] for title, column in table.items()}, tmp_path, *size)
    ours = signals(arrays, nm, neighbours, "limma")
    for limmas, channel in zip("RG", arrays.channels[:2], strict=False):
        assert apart(ours[channel][whole], theirs[limmas]) <= EXACT, channel
    exact, same = (signals(arrays, nm, "none", word) for word in ("exact", "limma"))
    for limmas, w, channel in zip("RG", (635, 532), arrays.channels[:2], strict=False):
        near = whole & (_deviations(table, limmas, w) >= -1)
        assert apart(exact[channel][near], same[channel][near]) <= CLOSE, channel


def _deviations(table: dict[str, np.ndarray], channel: str, nm: int) -> np.ndarray:
    """How far a foreground is above its background, in standard errors."""
    variance = table[f"F{nm} SD"] ** 2 / table["F Pixels"] + table[f"B{nm} SD"] ** 2 / table["B Pixels"]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((table[channel] - table[f"{channel}b"]) / np.sqrt(variance))


@pytest.mark.parametrize("robust", ["no", "yes"])
@pytest.mark.parametrize("name", TYPED)
def test_nec_is_limmas(name: str, robust: str, shared: Path, tmp_path: Path) -> None:
    """A part of the darkest spots stand for negative controls: what they are does not matter to the numbers."""
    arrays = quiet(gn.read, str(shared / "data" / "arrays" / f"{name}.gpr.gz"))
    net = {c: (arrays.values[c] - arrays.values[f"{c}b"])[0] for c in arrays.channels}
    some = np.arange(arrays.n_spots) % 3 == 0
    some &= np.all([values < np.nanquantile(values, 0.6) for values in net.values()], axis=0)
    if robust == "yes":  # it takes logarithms
        some &= np.all([values > 0 for values in net.values()], axis=0)
    known = ~np.any([np.isnan(values) for values in net.values()], axis=0)
    types = np.where(some, b"Negative control", b"gene")
    typed = gn.spot_types(
        _with_column(arrays, "kind", types), {"SpotType": ["gene", "Negative control"], "kind": ["gene", "Neg*"]}
    )
    ours = quiet(gn.background_correct, typed, "nec", robust=robust)
    status = np.where(some, "negative", "regular")
    table = {**{c: values[known] for c, values in net.items()}, "status": status[known]}
    theirs = limma("nec", table, tmp_path, robust)
    for channel in arrays.channels:
        assert apart(ours.values[channel][0][known], theirs[channel]) <= 1e-11


def _with_column(arrays: gn.ArraySet, title: str, column: np.ndarray) -> gn.ArraySet:
    from dataclasses import replace

    return replace(arrays, columns={**arrays.columns, title: column})
