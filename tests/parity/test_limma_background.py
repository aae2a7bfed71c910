"""limma's kooperberg on real files, live: by its neighbours and its quadrature, and the exact mean beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gridnorm.arrays.background import correct
from gridnorm.arrays.kooperberg import MEASURES
from gridnorm.arrays.raw import ReadOptions
from gridnorm.io.formats import gpr
from gridnorm.io.text import load

SHARED = Path(os.environ.get("GRIDNORM_SHARED", "shared")) / "data" / "arrays"
FILES = (
    "caArray/18258_wap3.gpr.gz", "caArray/21160_neu9.gpr.gz", "caArray/3_0_6_x.gpr.gz", "caArray/4_0_1_x.gpr.gz",
    "caArray/5_0_1_26.gpr.gz", "doelan/Demo.gpr.gz", "HenrikBengtsson_aroma/gpr123.gpr.gz",
    "bioc_PAA/dummy_GSM734833_PA41992_-_AD1.gpr.gz",
)  # fmt: skip
SCRIPT = """
suppressMessages(library(limma))
a <- commandArgs(TRUE)
nm <- a[3:4]
other <- c(paste0("F", nm, " SD"), paste0("B", nm, " SD"), paste0("B", nm, " Mean"), "F Pixels", "B Pixels")
columns <- setNames(as.list(c(paste0("F", nm, " Mean"), paste0("B", nm, " Median"))), c("R", "G", "Rb", "Gb"))
RG <- read.maimages(a[1], source = "genepix", columns = columns, other.columns = other, verbose = FALSE)
found <- kooperberg(RG, a = TRUE, layout = getLayout(RG$genes))
write.table(sprintf("%.17g", c(found$R, found$G)), a[2], row.names = FALSE, col.names = FALSE, quote = FALSE)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="there is no Rscript")
@pytest.mark.parametrize("name", FILES)
def test_limmas_kooperberg(name: str, tmp_path: Path) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"there is no {name} in {SHARED}")
    raw = gpr.read(load(str(SHARED / name)), ReadOptions(measures=MEASURES))
    if len(raw.wavelengths) != 2:
        pytest.skip("limma's kooperberg takes two channels")
    (tmp_path / "k.R").write_text(SCRIPT)
    command = ["Rscript", "--vanilla", str(tmp_path / "k.R"), str(SHARED / name), str(tmp_path / "k"), *raw.wavelengths]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("limma cannot correct this file")
    limmas = np.loadtxt(tmp_path / "k").reshape(2, -1)
    columns = [{**raw.spots, **one} for one in raw.measures]
    given = raw.foreground, raw.background, "kooperberg"
    ours = correct(*given, columns=columns, neighbours="limma", quadrature="limma").values
    exact = correct(*given, columns=columns, neighbours="limma").values
    both = np.isfinite(ours) & np.isfinite(limmas)
    away = np.abs(ours[both] / limmas[both] - 1)
    off = np.abs(exact[both] / limmas[both] - 1)
    print(f"{name}: limma's quadrature {away.max():.1e}, exact: median {np.median(off):.1e}, most {off.max():.1e}")
    assert both.mean() > 0.9 and away.max() <= 1e-6
