"""A folder of results: one file an array; nothing stays of a run that wrote nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from damage import sheet, sidecar, table

import gridnorm as gn
from gridnorm.errors import LayoutError, LostError, OptionError, OutputError
from gridnorm.workflow.folder import Errand, Folder, Written, folder_work
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.unit import Failure


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sheet().write(Path("a.gpr"))


def test_a_unit_writes_its_file_and_hands_back_a_record_without_numbers() -> None:
    plan = make_plan(["a.gpr"], make_settings({"background": "half"}), compare=False)
    Path("out").mkdir()
    (done,) = folder_work(plan, "out", "tsv", 6, False, ())(Errand(plan.tasks[0], "a.tsv"))
    assert isinstance(done, Written) and done.arrays is None and done.summary.spots == 224
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.tsv", "a.tsv.gridnorm.json"]
    alone = gn.normalize("a.gpr", background="half")
    cells = np.array([float(cell or "nan") for cell in table(Path("out/a.tsv"))["M.a"]])
    np.testing.assert_allclose(cells, alone.M[:, 0], atol=5e-7)
    assert sidecar(Path("out/a.tsv"))["arrays"][0]["name"] == "a"


def test_an_array_that_cannot_be_read_is_a_failure_and_no_file() -> None:
    plan = make_plan(["a.gpr"], make_settings({}), compare=False)
    Path("a.gpr").write_text(sheet().text()[:-300], newline="")
    Path("out").mkdir()
    (done,) = folder_work(plan, "out", "tsv", 6, False, ())(Errand(plan.tasks[0], "a.tsv"))
    assert isinstance(done, Failure) and done.file == "a.gpr" and list(Path("out").iterdir()) == []


def test_of_an_array_whose_worker_died_no_half_of_a_pair_stays() -> None:
    plan = make_plan(["a.gpr"], make_settings({}), compare=False)
    errands = [Errand(plan.tasks[0], name) for name in ("half.tsv", "whole.tsv", "old.tsv")]
    Path("out").mkdir()
    Path("out/old.tsv").write_text("of an earlier run")
    begun = Path("out/.half.tsv.00000000-1-0a1b2c3d.tmp")
    begun.write_text("x")
    os.utime(begun, (1, 1))
    with Folder("out", [errand.file for errand in errands], True) as folder:
        for file in ("half.tsv", "whole.tsv", "whole.tsv.gridnorm.json"):
            Path("out", file).write_text("x")
        lost = [one for errand in errands for one in folder.lost(errand, LostError("the worker died"))]
    assert sorted(p.name for p in Path("out").iterdir()) == ["old.tsv", "whole.tsv", "whole.tsv.gridnorm.json"]
    assert (lost[0].file, str(lost[0].error)) == ("a.gpr", "a.gpr: the worker died")


def test_a_folder_that_was_made_goes_again_if_nothing_was_written() -> None:
    with pytest.raises(LayoutError), Folder("new", ["a.tsv"], False):
        assert Path("new").is_dir()
        raise LayoutError("no")
    assert not Path("new").exists()
    with Folder("new", ["a.tsv"], False):
        Path("new/a.tsv").write_text("x")
    assert Path("new/a.tsv").exists()


def test_a_folder_that_is_there_is_asked_for_its_files_first() -> None:
    Path("old").mkdir()
    Path("old/b.tsv.gridnorm.json").write_text("x")
    with pytest.raises(OptionError, match="the output exists already"), Folder("old", ["a.tsv", "b.tsv"], False):
        pass
    with Folder("old", ["a.tsv", "b.tsv"], True):
        pass
    with pytest.raises(OutputError, match="the output folder cannot be made"), Folder("none/new", [], False):
        pass
