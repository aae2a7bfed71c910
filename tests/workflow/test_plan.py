"""The plan: what is read, how, and what is told before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path

import damage
import pytest
from damage import sheet

from gridnorm.errors import OptionError
from gridnorm.plain import recorded, shown
from gridnorm.workflow.plan import describe, make_plan
from gridnorm.workflow.settings import make_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("abc"):
        sheet(k).write(Path(f"{name}.gpr"))


def test_the_first_array_is_the_reference_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import gridnorm.workflow.opening as text

    read = []
    known = text.load
    monkeypatch.setattr(text, "load", lambda path, name: read.append(str(path)) or known(path, name))
    plan = make_plan(["b.gpr", "a.gpr"], make_settings({}))
    assert [task.name for task in plan.tasks] == ["b", "a"]
    assert plan.reference is not None and plan.first is not None
    assert (plan.reference.file, plan.reference.keys.size, plan.first[0].name) == ("b.gpr", 224, "b.gpr")
    assert read == ["b.gpr"]
    assert [task.options.keys_only for task in plan.tasks] == [False, True]


def test_a_first_file_that_cannot_be_read_leaves_its_place_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    text = sheet().text()
    Path("cut.gpr").write_text(text[:-300], newline="")
    plan = make_plan(["none.gpr", "cut.gpr", "b.gpr", "a.gpr"], make_settings({}))
    assert [task.name for task in plan.tasks] == ["b", "a"]
    assert [failure.file for failure in plan.failures] == ["none.gpr", "cut.gpr"]
    assert plan.reference is not None and plan.reference.file == "b.gpr"
    assert not plan.tasks[0].options.keys_only
    assert len(plan.heads) == 2


def test_found_files_that_are_no_arrays_are_skipped_and_damaged_arrays_are_failures() -> None:
    Path("notes.txt").write_text("hello")
    Path("damaged.gpr").write_text('ATF\t1.0\n1\t5\n"Type=GenePix Results 3"\n')
    plan = make_plan(["."], make_settings({}))
    assert [task.name for task in plan.tasks] == ["a", "b", "c"]
    assert [(recorded(file), shown(file)) for file, _ in plan.skipped] == [("notes.txt", "./notes.txt")]
    assert [(recorded(f.file), shown(f.file)) for f in plan.failures] == [("damaged.gpr", "./damaged.gpr")]


def test_a_missing_file_of_a_targets_table_names_the_row() -> None:
    Path("t.txt").write_text("FileName\tDose\na.gpr\t1\nnone.gpr\t2\nb.gpr\t3\n")
    plan = make_plan(["t.txt"], make_settings({}))
    assert [str(f.error) for f in plan.failures] == [
        "none.gpr: there is no such file. "
        "Named in t.txt:3; looked for beside the table and in the current folder, also as .gz"
    ]
    assert plan.targets == {"FileName": ["a.gpr", "b.gpr"], "Dose": ["1", "3"]}


def test_targets_follow_the_arrays_that_are_left() -> None:
    Path("cut.gpr").write_text(sheet().text()[:-300], newline="")
    Path("t.txt").write_text("FileName\tDose\ncut.gpr\t1\na.gpr\t2\n")
    assert make_plan(["t.txt"], make_settings({})).targets["Dose"] == ["2"]


def test_one_and_two_channels_in_one_run_are_refused_unless_channels_say_what() -> None:
    sheet(0, channels=1).write(Path("one.gpr"))
    with pytest.raises(OptionError, match="one.gpr with 1, a.gpr with 2"):
        make_plan(["a.gpr", "one.gpr"], make_settings({}))
    assert len(make_plan(["a.gpr", "one.gpr"], make_settings({"channels": "635"})).tasks) == 2


def test_where_each_array_stands_for_itself_there_is_no_reference() -> None:
    plan = make_plan(["a.gpr", "b.gpr"], make_settings({}), compare=False)
    assert plan.reference is None and plan.first is None
    assert not any(task.options.keys_only for task in plan.tasks)


def test_the_plan_is_plain_data_for_json() -> None:
    damage.with_records(sheet(1), Barcode="7").write(Path("b.gpr"))
    damage.with_records(sheet(2), Barcode="7").write(Path("c.gpr"))
    found = json.loads(json.dumps(describe(make_plan(["."], make_settings({}))), allow_nan=False))
    assert [a["version"] for a in found["arrays"]] == ["GenePix Results 3"] * 3
    assert found["spots"] == 224
    assert found["warnings"] == ["./c.gpr: same barcode 7 as ./b.gpr: two scans of one slide?"]


def test_settings_of_a_plan_are_those_that_will_be_effective_or_say_what_they_depend_on() -> None:
    for compare in (True, False):
        found = describe(make_plan(["a.gpr", "b.gpr"], make_settings({"span": 0.4}), compare=compare))["settings"]
        assert (found["method"], found["background"], found["span"], found["min_group"]) == (
            "loess",
            "normexp",
            0.4,
            200,
        )
        assert (found["channels"], found["device"], found["gal"], found["keep"]) == (["635", "532"], "cpu", "none", [])
        assert found["layout"] == "2 x 2 blocks of 8 x 7 spots (from X/Y positions)"
        assert found["offset"] == "auto: found from the data of each array"
    limma = describe(make_plan(["a.gpr"], make_settings({"preset": "limma", "channels": "532"}), compare=False))[
        "settings"
    ]
    assert (limma["background"], limma["offset"], limma["method"], limma["channels"]) == (
        "subtract",
        0,
        "none",
        ["532"],
    )
    assert "auto" not in limma.values() and None not in limma.values()
    Path("a.gpr").write_text(sheet().text()[:-300], newline="")
    lost = describe(make_plan(["a.gpr"], make_settings({}), compare=False))["settings"]
    assert (lost["background"], lost["device"]) == ("auto = normexp where measured", "cpu")
    assert "auto" not in lost.values() and None not in lost.values()


def test_keep_and_by_columns_are_read_and_wrong_ones_are_usage_errors() -> None:
    plan = make_plan(["a.gpr", "b.gpr"], make_settings({"keep": "dia.", "by": "F Pixels", "weights": "saturation"}))
    assert "Dia." in plan.tasks[0].options.extra and "Dia." not in plan.tasks[1].options.extra
    assert all({"F Pixels", "F635 % Sat."} <= set(task.options.extra) for task in plan.tasks)
    for wrong in ({"keep": "nothing"}, {"by": "nothing"}, {"weights": "nothing"}):
        failures = make_plan(["a.gpr"], make_settings(wrong)).failures
        assert [type(f.error) for f in failures] == [OptionError]
