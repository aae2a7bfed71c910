"""A method's own columns are read from the files, and missed by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.core.methods import METHODS, Method

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
from damage import sheet


def wide(columns: Any, options: Any) -> Any:
    return np.asarray(columns["Dia."]) > 0


def test_a_column_that_only_the_method_looks_at_is_read_from_every_file(tmp_path: Path) -> None:
    files = []
    for k, name in enumerate("ab"):
        sheet(k).write(tmp_path / f"{name}.gpr")
        files.append(tmp_path / f"{name}.gpr")
    known = METHODS["median"]
    method = Method(
        name="wide", statistic=known.statistic, application=known.application, minimum=known.minimum,
        summary="median of the wide spots", columns=("Dia.",), use=wide, source="made up",
    )  # fmt: skip
    done = gn.normalize(files, method=method)
    np.testing.assert_array_equal(done.M, gn.normalize(files, method="median").M)
    with pytest.raises(gn.OptionError, match="method names no column; found 'Dia.'"):
        gn.normalize(gn.read(files), method=method)
