"""Replicate spots in a run: which options it takes, and what it needs."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import sheet

import gridnorm as gn
from gridnorm.arrays.replicates import Replicates, average_replicates
from gridnorm.workflow.plan import describe, make_plan
from gridnorm.workflow.replicated import averaged
from gridnorm.workflow.settings import make_settings


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    made = gn.simulate(2, (2, 2), (8, 8), seed=1).arrays
    return replace(made, columns={**made.columns, "ID": made.columns["ID"][:64].repeat(4)})


def test_a_run_averages_what_it_has_normalized(arrays: gn.ArraySet) -> None:
    plain = gn.normalize(arrays)
    assert averaged(plain, make_settings({})) is plain
    for options in ({"replicates": "mean"}, {"replicates": "best2of3", "replicates_cv": 0.5}):
        expected = average_replicates(
            plain, options["replicates"], **{k: v for k, v in options.items() if k != "replicates"}
        )
        with pytest.warns(gn.GridnormWarning, match="spots of one ID differ in Name of 64 rows"):
            done = gn.normalize(arrays, **options)
        np.testing.assert_array_equal(done.M, expected.M)
        assert done.history == expected.history


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_a_default_may_be_given(arrays: gn.ArraySet) -> None:
    shown = inspect.signature(gn.normalize).parameters
    assert gn.normalize(arrays, replicates=shown["replicates"].default).n_spots == arrays.n_spots
    told = gn.normalize(arrays, replicates="best2of3", replicates_cv=shown["replicates_cv"].default)
    assert told.history == gn.normalize(arrays, replicates="best2of3").history


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_a_row_of_ones_own(arrays: gn.ArraySet) -> None:
    first = Replicates("largest", "moments", "of the largest A", lambda v, s, use, o: use & (v == v.max()))
    assert gn.normalize(arrays, replicates=first).history.parameters()["replicates"] == "largest"


def test_options_that_the_row_does_not_take_are_refused(arrays: gn.ArraySet) -> None:
    with pytest.raises(gn.OptionError, match="replicates_cv has no meaning for replicates keep"):
        gn.normalize(arrays, replicates_cv=0.1)
    with pytest.raises(gn.OptionError, match="replicates_cv is out of range; found -1"):
        gn.normalize(arrays, replicates="best2of3", replicates_cv=-1)
    with pytest.raises(gn.OptionError, match="Did you mean median"):
        gn.normalize(arrays, replicates="medain")


def test_a_plan_shows_what_becomes_of_replicates(tmp_path: Path) -> None:
    sheet().write(tmp_path / "a.gpr")
    for options, expected in (({}, {"replicates": "keep"}), ({"replicates": "best2of3"}, {"replicates_cv": 0.2})):
        plan = make_plan([str(tmp_path / "a.gpr")], make_settings(options))
        assert describe(plan)["settings"].items() >= expected.items()


def test_replicates_need_ids(arrays: gn.ArraySet) -> None:
    bare = replace(arrays, columns={name: c for name, c in arrays.columns.items() if name != "ID"})
    with pytest.raises(gn.OptionError, match="replicates needs the IDs of the spots; found no column ID.*columns ID=…"):
        gn.normalize(bare, replicates="mean")


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_numbers_of_spots_are_whole_numbers(arrays: gn.ArraySet, tmp_path: Path) -> None:
    done = gn.normalize(arrays, replicates="mean")
    gn.write(done, tmp_path / "t.tsv")
    titles, row = (line.split("\t") for line in (tmp_path / "t.tsv").read_text().splitlines()[:2])
    found = dict(zip(titles, row, strict=True))
    assert found["N.array1"] == f"{int(done.values['N'][0, 0])}" and "." in found["SD.array1"]
    assert done.to_frame()["N.array2"].dtype.kind == "i"
