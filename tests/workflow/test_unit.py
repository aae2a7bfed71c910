"""A unit of work: one array, in the rows of the reference, normalized."""

from __future__ import annotations

import pickle
from pathlib import Path

import damage
import numpy as np
import pytest
from damage import sheet

import gridnorm as gn
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.unit import Failure, SetWork, Work, reference_of, reordered


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sheet(0).write(Path("a.gpr"))


def work_on(other: damage.Sheet, **options: object) -> gn.ArraySet | Failure:
    other.write(Path("b.gpr"))
    plan = make_plan(["a.gpr", "b.gpr"], make_settings({"background": "half", **options}))
    (done,) = Work(plan.settings, plan.settings.recipe.resolved(), plan.reference)(plan.tasks[1])
    return done


def test_rows_of_the_reference_do_not_travel_and_shuffled_ones_are_put_in_its_order() -> None:
    plain, shuffled = work_on(sheet(1)), work_on(damage.shuffled(sheet(1)))
    assert isinstance(plain, gn.ArraySet) and isinstance(shuffled, gn.ArraySet)
    assert plain.columns == shuffled.columns == {}
    np.testing.assert_array_equal(plain.M, shuffled.M)
    assert "re-ordered" in " ".join(shuffled.warnings) and not plain.warnings


def test_other_rows_come_with_their_own_columns_and_layout() -> None:
    done = work_on(damage.without(sheet(1), range(5)))
    assert isinstance(done, gn.ArraySet) and done.n_spots == 219
    assert {"Block", "Name", "X"} <= done.columns.keys() and done.layout is not None


def test_errors_about_the_array_are_failures_that_name_it() -> None:
    done = work_on(damage.with_cells(sheet(1), "ID", range(100), "other"))
    assert isinstance(done, Failure) and done.file == "b.gpr" and "another print run" in str(done.error)
    dark = work_on(damage.with_cells(sheet(1), "Flags", range(224), "-100"))
    assert isinstance(dark, Failure) and str(dark.error).startswith("b.gpr: no usable value")


def test_a_file_that_cannot_be_split_is_a_failure_that_names_it() -> None:
    other = sheet(1)
    damage.with_cells(sheet(0), "Name", range(224), "one").write(Path("a.gpr"))
    other = damage.Sheet(other.records, ["Quality" if title == "Name" else title for title in other.titles], other.rows)
    done = work_on(other, split="Name")
    assert (
        isinstance(done, Failure)
        and done.file == "b.gpr"
        and str(done.error).startswith("b.gpr: split names no column")
    )


def test_units_and_their_results_cross_processes() -> None:
    sheet(1).write(Path("b.gpr"))
    plan = make_plan(["a.gpr", "b.gpr"], make_settings({"background": "half"}))
    work = pickle.loads(pickle.dumps(Work(plan.settings, plan.settings.recipe.resolved(), plan.reference)))
    (there,) = pickle.loads(pickle.dumps(work(plan.tasks[1])))
    (here,) = Work(plan.settings, plan.settings.recipe.resolved(), plan.reference)(plan.tasks[1])
    np.testing.assert_array_equal(there.M, here.M)
    assert pickle.loads(pickle.dumps(SetWork(plan.settings.recipe.resolved()))).recipe.background.name == "half"


def test_reordering_moves_everything_of_a_spot() -> None:
    raw = gn.simulate(1, (2, 2), (4, 5), seed=3, bad=0.2).arrays.raw(0)
    order = np.random.default_rng(0).permutation(raw.n_spots)
    moved = reordered(raw, order)
    np.testing.assert_array_equal(moved.foreground, raw.foreground[:, order])
    np.testing.assert_array_equal(moved.background, raw.background[:, order])
    np.testing.assert_array_equal(moved.flags, raw.flags[order])
    assert all((moved.spots[t] == raw.spots[t][order]).all() for t in raw.spots)


def test_in_a_set_with_wider_blocks_an_array_keeps_its_own_neighbours() -> None:
    """Blocks of which the file has no last row stand closer together there; the table has room for all."""
    last = [k for k, row in enumerate(sheet(1).cells("Row")) if row == "8"]
    damage.without(sheet(1), last).write(Path("b.gpr"))
    alone = gn.normalize("b.gpr", background="movingmin").M[:, 0]
    with pytest.warns(gn.GridnormWarning, match="56|28|of the 224 spots"):
        arrays = gn.read(["a.gpr", "b.gpr"])
    together = gn.normalize(arrays, background="movingmin").M[:, 1]
    np.testing.assert_array_equal(together[~np.isnan(together)], alone[~np.isnan(alone)])


@pytest.mark.parametrize(("same_probes", "contents"), [(True, 1), (False, 4)])
def test_parts_of_one_content_share_a_reference(same_probes: bool, contents: int) -> None:
    arrays = gn.simulate(1, (1, 4), (3, 4), same_probes=same_probes, seed=3).arrays
    found = reference_of(arrays.raw(0), arrays.layout, "block")
    assert list(found.parts) == ["1", "2", "3", "4"] and len(found.contents()) == contents
    assert reference_of(arrays.raw(0), arrays.layout, "none").contents() == []
