"""Tables of arrays whose spots have no position, or none and no ID."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn


@pytest.mark.parametrize("align", ["strict", "id", "union"])
@pytest.mark.parametrize(
    ("title", "cells"), [(None, ""), ("Name", "cabab"), ("ID", "cabab"), ("Block", "54321"), ("Block", "21212")]
)
def test_spots_that_no_position_orders_stand_as_in_the_files(
    tmp_path: Path, title: str | None, cells: str, align: str
) -> None:
    """Of files that name their spots alike there is nothing to join, so nothing that joining would need is missed."""
    for name, factor in (("a", 1), ("b", 3)):
        rows = [["R", "G"], *([str(2**k), str(factor * (k + 1))] for k in range(5))]
        if title:
            rows = [[one, *row] for one, row in zip([title, *cells], rows, strict=True)]
        (tmp_path / f"{name}.txt").write_text("".join("\t".join(row) + "\n" for row in rows))
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    done = gn.normalize(files, columns="R=R,G=G", by="array", method="none", align=align)
    expected = [[k - np.log2(factor * (k + 1)) for factor in (1, 3)] for k in range(5)]
    np.testing.assert_allclose(done.M, expected, rtol=1e-12)
    assert list(done.columns) == ([title] if title else [])
