"""Running a plan: pools, and results that depend on nothing but the array."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import damage
import numpy as np
import pytest
from damage import sheet

import gridnorm as gn
from gridnorm.workflow.output import normalize_to, run_plan
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.target import Request
from gridnorm.workflow.unit import Failure, Work


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("abc"):
        sheet(k, bad=0.05).write(Path(f"{name}.gpr"))


def test_tasks_results_and_failures_cross_processes_whole() -> None:
    Path("cut.gpr").write_text(sheet(1).text()[:-300], newline="")
    plan = make_plan(["a.gpr", "b.gpr", "cut.gpr"], make_settings({}))
    for task in plan.tasks:
        work = Work(plan.settings, plan.settings.recipe, plan.reference)
        sent, way = pickle.loads(pickle.dumps((work, task)))
        assert sent.settings == plan.settings and way == task
        (here,), (there,) = work(task), pickle.loads(pickle.dumps(sent(way)))
        if isinstance(here, Failure):
            assert str(there.error) == str(here.error) and "cut.gpr:" in str(here.error)
        else:
            np.testing.assert_array_equal(there.values["M"], here.values["M"])


def test_a_pool_of_processes_gives_the_same_bits() -> None:
    Path("cut.gpr").write_text(sheet(1).text()[:-300], newline="")
    inputs = ["a.gpr", "b.gpr", "cut.gpr", "c.gpr"]
    with ProcessPoolExecutor(1) as pool:
        outcome = normalize_to(inputs, make_settings({}), Request(output="pool.tsv"), map=pool.map)
        again = gn.normalize(["a.gpr", "b.gpr"], background="half", map=pool.map)
    normalize_to(inputs, make_settings({}), Request(output="here.tsv"))
    assert outcome.exit_code == 1
    assert Path("pool.tsv").read_bytes() == Path("here.tsv").read_bytes()
    assert (
        Path("pool.tsv.gridnorm.json").read_text().replace("pool.tsv", "here.tsv")
        == Path("here.tsv.gridnorm.json").read_text()
    )
    np.testing.assert_array_equal(again.M, gn.normalize(["a.gpr", "b.gpr"], background="half").M)


def test_threads_may_run_the_arrays_too() -> None:
    with ThreadPoolExecutor(3) as pool:
        threaded = gn.normalize(["a.gpr", "b.gpr", "c.gpr"], background="half", map=pool.map)
    np.testing.assert_array_equal(threaded.M, gn.normalize(["a.gpr", "b.gpr", "c.gpr"], background="half").M)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preset": "limma"},
        {"background": "movingmin", "method": "mad"},
        {"background": "edwards", "by": "plate,Dia."},
    ],
)
def test_an_array_has_the_same_bits_whatever_else_is_in_the_run(options: dict[str, object]) -> None:
    def of(paths: list[str]) -> dict[str, np.ndarray]:
        plan = make_plan(paths, make_settings(options))
        return {item.names[0]: item.values["M"][0] for item in run_plan(plan) if not isinstance(item, Failure)}

    alone = {name: of([f"{name}.gpr"])[name] for name in "abc"}
    for order in ("abc", "cba", "bc"):
        for name, values in of([f"{name}.gpr" for name in order]).items():
            np.testing.assert_array_equal(values, alone[name])


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_reading_then_normalizing_is_normalizing_files() -> None:
    arrays = gn.read(["a.gpr", "b.gpr"])
    for options in (
        {"background": "half"},
        {"background": "subtract", "by": "Block,Row", "method": "median"},
        {"preset": "limma", "flags": "drop"},
    ):
        one, two = gn.normalize(arrays, **options), gn.normalize(["a.gpr", "b.gpr"], **options)
        np.testing.assert_array_equal(one.M, two.M)
        np.testing.assert_array_equal(one.A, two.A)
        assert (one.weights is None) == (two.weights is None)
        if one.weights is not None and two.weights is not None:
            np.testing.assert_array_equal(one.weights, two.weights)
        np.testing.assert_array_equal(one.flags, two.flags)


def test_in_python_the_first_file_that_fails_raises() -> None:
    Path("cut.gpr").write_text(sheet(1).text()[:-300], newline="")
    for call in (gn.read, gn.normalize):
        with pytest.raises(gn.FormatError, match="cut.gpr:"):
            call(["a.gpr", "cut.gpr"])
        with pytest.raises(gn.FormatError, match="none.gpr"):
            call(["a.gpr", "none.gpr"])
    with pytest.raises(gn.OptionError, match="names no column"):
        gn.normalize("a.gpr", by="nothing")
    with pytest.raises(gn.DeviceError):
        gn.normalize("a.gpr", device="gpu")


def test_weights_as_numbers() -> None:
    arrays = gn.read(["a.gpr", "b.gpr"])
    w = np.ones((224, 2))
    w[:20, 1] = 0
    done = gn.normalize(arrays, weights=w, background="half", flags="ignore")
    assert done.weights is not None
    np.testing.assert_array_equal(done.weights, w)
    np.testing.assert_array_equal(done.M[:, 0], gn.normalize(arrays, background="half", flags="ignore").M[:, 0])
    for wrong in (np.ones(3), np.ones((2, 224))):
        with pytest.raises(gn.OptionError, match="weights do not fit"):
            gn.normalize(arrays, weights=wrong)
    with pytest.raises(gn.OptionError, match="ArraySet"):
        gn.normalize("a.gpr", weights=np.ones(224))


def test_what_was_written_is_what_was_computed() -> None:
    result = gn.normalize(["a.gpr", "b.gpr"], background="half")
    gn.write(result, "x.tsv", precision="full")
    normalize_to(["a.gpr", "b.gpr"], make_settings({"background": "half"}), Request(output="y.tsv", precision="full"))
    assert damage.table(Path("x.tsv")) == damage.table(Path("y.tsv"))
    with pytest.raises(gn.OptionError, match="exists already"):
        gn.write(result, "x.tsv")


def test_map_and_jobs_exclude_each_other() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(gn.OptionError, match="map and jobs both say who runs"):
        normalize_to(["a.gpr"], make_settings({}), Request(output="x.tsv", jobs=2), map=pool.map)
    assert not Path("x.tsv").exists()
