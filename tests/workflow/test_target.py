"""Where a result goes, and what is refused before anything is computed."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from damage import sheet

from gridnorm.arrays.grouping import WHOLE
from gridnorm.errors import OptionError, OutputError
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.target import Request, Target, check_request, file_names, keep_inputs, target_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sheet().write(Path("a.gpr"))
    sheet(1).write(Path("b.gpr"))


@pytest.mark.parametrize(
    ("inputs", "request_", "expected"),
    [
        (["a.gpr"], Request(), ("a.normalized.tsv", False, "tsv")),
        (["a.gpr"], Request(form="csv.gz"), ("a.normalized.csv.gz", False, "csv.gz")),
        (["a.gpr", "b.gpr"], Request(), ("normalized.tsv", False, "tsv")),
        (["."], Request(), ("normalized.tsv", False, "tsv")),
        (["a.gpr"], Request(output="x.csv"), ("x.csv", False, "csv")),
        (["a.gpr"], Request(output="new/"), ("new/", True, "tsv")),
        (["a.gpr"], Request(output="."), (".", True, "tsv")),
        (["a.gpr"], Request(output="-"), ("-", False, "tsv")),
    ],
)
def test_the_place_of_the_result(inputs: list[str], request_: Request, expected: tuple[str, bool, str]) -> None:
    assert target_of(inputs, request_) == Target(*expected)


@pytest.mark.parametrize(
    ("request_", "kind", "says"),
    [
        (Request(output="a.gpr", form="tsv"), OptionError, "the output exists already"),
        (Request(output="x.tsv", sidecar="x.tsv"), OptionError, "two outputs are one file"),
        (Request(output="x.tsv", figure="./x.tsv", force=True), OptionError, "two outputs are one file"),
        (Request(output="x.tsv", precision=16), OptionError, "precision is out of range; found 16"),
        (Request(output="none/x.tsv"), OutputError, "the folder 'none' does not exist"),
        (Request(output="none/new/"), OutputError, "the folder above the output does not exist"),
        (Request(output="x.tsv", log_file="none/log"), OutputError, "the folder 'none' does not exist"),
    ],
)
def test_what_could_not_be_done_at_the_end_is_refused_at_once(
    request_: Request, kind: type[Exception], says: str
) -> None:
    before = sorted(Path().rglob("*"))
    with pytest.raises(kind, match=says):
        check_request(["a.gpr"], make_settings({}), request_)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("name", ["output", "sidecar", "figure", "log_file"])
@pytest.mark.parametrize("output", ["x.tsv", "out/", "-"])
def test_no_output_of_any_kind_takes_the_place_of_a_file_without_force(name: str, output: str) -> None:
    Path("old.tsv").write_text("old")
    for force in (False, True):
        request = Request(force=force, **{"output": output, name: "old.tsv"})
        if force:
            check_request(["a.gpr"], make_settings({}), request)
            continue
        with pytest.raises(OptionError, match=r"old\.tsv: the output exists already"):
            check_request(["a.gpr"], make_settings({}), request)
    assert Path("old.tsv").read_text() == "old"


def test_two_things_may_go_to_one_device() -> None:
    check_request(["a.gpr"], make_settings({}), Request(output="x.tsv", log_file="/dev/null"))
    check_request(["a.gpr"], make_settings({}), Request(output="/dev/null", form="tsv", sidecar="/dev/null"))


def test_no_output_takes_the_place_of_an_input_not_even_with_force() -> None:
    plan = make_plan(["a.gpr", "b.gpr"], make_settings({}))
    Path("link").symlink_to("b.gpr")
    for request_ in (
        Request(output="link", form="tsv", force=True),
        Request(output="x.tsv", sidecar="a.gpr", force=True),
    ):
        with pytest.raises(OptionError, match="an input would be overwritten"):
            keep_inputs(["a.gpr", "b.gpr"], plan, target_of(["a.gpr"], request_), request_)
    keep_inputs(["a.gpr"], plan, Target("x.tsv", False, "tsv"), Request(output="x.tsv"))


def test_every_array_has_a_file_name_of_its_own_that_file_systems_take() -> None:
    Path("t.txt").write_text("FileName\tName\na.gpr\tx/y\nb.gpr\tX_y\n")
    Path("u.txt").write_text("FileName\tName\na.gpr\t.hidden\nb.gpr\twhy?\n")
    assert file_names(make_plan(["t.txt"], make_settings({})), "tsv") == ["x_y.tsv", "X_y (2).tsv"]
    assert file_names(make_plan(["u.txt"], make_settings({})), "csv") == ["_hidden.csv", "why_.csv"]


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ([".a"], ["_a"]),
        (["..a"], ["_.a"]),
        (["a.b"], ["a.b"]),
        (["a/b:c"], ["a_b_c"]),
        (["a\x1fb", "a b"], ["a_b", "a b"]),
        (["x", "X", "x"], ["x", "X (2)", "x (3)"]),
        (["x (2)", "x", "x"], ["x (2)", "x", "x (3)"]),
        ([".x", "_x"], ["_x", "_x (2)"]),
        (["CON", "con.1", "_CON", "com1", "control"], ["_CON", "_con.1", "_CON (2)", "_com1", "control"]),
        (["x\x1b[2J", "a\x9bb", "c\x7f"], ["x_[2J", "a_b", "c_"]),
    ],
)
def test_names_are_neither_hidden_nor_alike_and_keep_what_they_may(names: list[str], files: list[str]) -> None:
    tasks = [SimpleNamespace(name=name) for name in names]
    plan = SimpleNamespace(tasks=tasks, settings=SimpleNamespace(split=WHOLE))
    assert file_names(plan, "tsv") == [f"{name}.tsv" for name in files]  # type: ignore[arg-type]


def test_many_equal_names_cost_one_step_each() -> None:
    tasks = [SimpleNamespace(name="x")] * 20_000
    plan = SimpleNamespace(tasks=tasks, settings=SimpleNamespace(split=WHOLE))
    started = time.perf_counter()
    names = file_names(plan, "tsv")  # type: ignore[arg-type]
    assert time.perf_counter() - started < 2, "a search from the first number for each takes far longer"
    assert names[-1] == "x (20000).tsv" and len(set(names)) == len(names)
