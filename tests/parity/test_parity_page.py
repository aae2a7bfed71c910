"""The page of parity: what its script calls a failure, and a page that says something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from parity_page import PAGE, Line, main, table, without_rounding

LINE = Line("limma", "median", '`by="array"`', 4, 3e-14, 1e-10)


def test_a_line_holds_up_to_its_limit_and_never_without_a_number() -> None:
    assert LINE.holds and LINE._replace(apart=1e-10).holds
    assert not LINE._replace(apart=1.01e-10).holds
    assert not LINE._replace(apart=np.nan).holds
    assert not LINE._replace(apart=np.inf).holds


def test_rounding_is_no_difference_between_pages_and_anything_else_is() -> None:
    page = without_rounding(table([LINE]))
    assert without_rounding(table([LINE._replace(apart=0.0)])) == page
    assert without_rounding(table([LINE._replace(apart=2e-8)])) != page
    assert without_rounding(table([LINE._replace(limit=1e-9)])) != page
    assert without_rounding(table([LINE._replace(arrays=5)])) != page


@pytest.mark.slow
def test_planted_faults_are_told(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import parity_page

    monkeypatch.setattr(parity_page, "lines", lambda shared: [LINE._replace(apart=1.0)])
    assert main([]) == 1
    assert "0 of 1 methods hold" in capsys.readouterr().out
    monkeypatch.setattr(parity_page, "lines", lambda shared: [LINE])
    assert main(["--check"]) == 1
    assert f"{PAGE.name} has another table" in capsys.readouterr().out
