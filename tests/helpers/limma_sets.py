"""limma's results on real files, and how gridnorm is asked for the same."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LimmaSet:
    """One folder of results: its files and the options that give limma's reading.

    ``first`` is the number of the first file among limma's arrays: files of one folder that do not list the same
    spots are compared one by one.
    """

    name: str
    files: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    area_weights: bool = False
    print_tips: bool = True
    channels: int = 2
    first: int = 1

    @property
    def label(self) -> str:
        return self.name if self.first == 1 else f"{self.name}_{self.first}"


SETS = {
    s.label: s
    for s in (
        LimmaSet("swirl", tuple(f"bioc_marray/swirl.{i}.spot.gz" for i in (1, 2, 3, 4)), area_weights=True),
        LimmaSet("aroma_spot123", ("HenrikBengtsson_aroma/spot123.spot.gz",), area_weights=True),
        LimmaSet("caarray_mm", tuple(f"caArray/{f}.gpr.gz" for f in ("18258_wap3", "21160_neu9", "21161_neu10"))),
        LimmaSet("caarray_versions", tuple(f"caArray/{f}.gpr.gz" for f in ("3_0_6_x", "4_0_1_x", "4_1_1_x"))),
        LimmaSet("caarray_versions", ("caArray/5_0_1_26.gpr.gz",), first=4),
        LimmaSet("doelan_demo", ("doelan/Demo.gpr.gz",)),
        LimmaSet("aroma_gpr123", ("HenrikBengtsson_aroma/gpr123.gpr.gz",)),
        LimmaSet("aroma_gpr123_median", ("HenrikBengtsson_aroma/gpr123.gpr.gz",), {"foreground": "median"}),
        LimmaSet(
            "paa_dummy",
            tuple(
                f"bioc_PAA/dummy_{f}.gpr.gz"
                for f in (
                    "GSM734833_PA41992_-_AD1",
                    "GSM734834_PA41994_-_AD2",
                    "GSM734835_PA42006_-AD3",
                    "GSM734836_PA42005_-_AD4",
                    "GSM734837_PA41957_-_AD5",
                    "GSM735203_PA42023_-_CO13",
                    "GSM735204_PA42025_-_CO14",
                    "GSM735205_PA42026_-_CO15",
                    "GSM735206_PA42028_-_CO16",
                    "GSM735207_PA42029_-_CO17",
                )
            ),
        ),
        LimmaSet("geworkbench_ras7_cut", ("geworkbench/21162_ras7-4000markers.gpr.gz",), print_tips=False),
        LimmaSet(
            "pepdat",
            tuple(f"bioc_pepDat/{f}.gpr.gz" for f in ("f1_1", "f1_2", "f4_2")),
            {"foreground": "median"},
            channels=1,
        ),
    )
}


class Golden:
    """One table of limma's results: columns by name, rows in the order of the source file."""

    def __init__(self, path: Path) -> None:
        with gzip.open(path, "rt") as handle:
            self.titles = handle.readline().rstrip("\n").split("\t")
            text = handle.read().replace("NA", "nan")
        cells = np.array(text.split(), dtype=float).reshape(-1, len(self.titles))
        self.columns = dict(zip(self.titles, cells.T, strict=True))

    def __getitem__(self, title: str) -> np.ndarray:
        return self.columns[title]

    def __contains__(self, title: str) -> bool:
        return title in self.columns


def files(shared: Path, one: LimmaSet) -> list[str]:
    return [str(shared / "data" / "arrays" / f) for f in one.files]


def golden(shared: Path, one: LimmaSet, table: str) -> Golden:
    return Golden(shared / "data" / "golden" / "limma" / one.name / f"{table}.tsv.gz")


def difference(ours: np.ndarray, limma: np.ndarray) -> float:
    """Largest difference; infinite where one has a value that the other lacks."""
    if not np.array_equal(np.isnan(ours), np.isnan(limma)):
        return np.inf
    return float(np.nanmax(np.abs(ours - limma), initial=0.0))
