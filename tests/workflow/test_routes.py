"""Every route into the chain ends in the same set: the same table and the same record, whatever the options."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.workflow.collect import collect
from gridnorm.workflow.output import run_plan
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings

# What each option may be in a random set; a set holds a few of them.
CHOICES: dict[str, list[Any]] = {
    "by": ["print-tip", "array", "plate", "print-order", "slide-row", "Block,Row", "Dia.", "pad"],
    "method": ["auto", "none", "median", "mean", "mad", "zscore", "loess"],
    "span": [0.5, 0.9],
    "iterations": [1, 3],
    "clamp_weights": [True, False],
    "background": ["auto", "none", "subtract", "half", "minimum", "movingmin", "edwards", "normexp", "affine"],
    "offset": [0, 7.5, "auto"],
    "normexp_method": ["scaled", "saddle", "mle"],
    "foreground": ["mean", "median"],
    "channels": ["635,532", "532,635"],
    "flags": ["exclude", "ignore", "drop", "downweight", "exclude:-100", "drop:-50,-75"],
    "weights": ["none", "area:60,90", "F Pixels", "saturation"],
    "small_groups": ["array", "shrink", "own", "merge"],
    "min_group": [0, 10, 57, 200],
    "align": ["strict", "id", "union"],
    "keep": ["X", "Dia.,Y"],
    "layout": ["2x2x8x7"],
    "gal": ["print.gal"],
    "preset": ["recommended", "limma"],
}


def some_options(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    names = rng.sample(list(CHOICES), rng.randint(1, 7))
    return {name: rng.choice(CHOICES[name]) for name in names}


def words(options: dict[str, Any]) -> list[str]:
    out = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        out += [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]
    return out


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        sheet(k, bad=0.1).write(tmp_path / f"{name}.gpr")
    damage.with_cells(sheet(2, bad=0.1), "ID", range(200), lambda cell: "Q" + cell[1:]).write(tmp_path / "other.gpr")
    damage.gal_of(sheet(), tmp_path / "print.gal")
    return Cli(capsys, tmp_path)


def python(inputs: Any, out: str, options: dict[str, Any]) -> Exception | None:
    """The route of Python; the error where there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        try:
            gn.write(gn.normalize(inputs, **options), out, force=True)
        except gn.GridnormError as error:
            return error
    return None


def same(one: str, two: str) -> None:
    assert Path(one).read_bytes() == Path(two).read_bytes()
    first, second = (Path(f"{name}.gridnorm.json").read_text() for name in (one, two))
    assert first.replace(Path(one).name, Path(two).name) == second


def seeds(first: int, quick: int, all_of_them: int) -> list[Any]:
    """Some in the quick run, the others in the slow one."""
    slow = (pytest.param(k, marks=pytest.mark.slow) for k in range(first + quick, first + all_of_them))
    return [*range(first, first + quick), *slow]


@pytest.mark.parametrize("seed", seeds(0, 12, 150))
def test_python_and_the_command_line_write_the_same_table_and_the_same_record(cli: Cli, seed: int) -> None:
    options = some_options(seed)
    ran = cli("normalize", "a.gpr", "b.gpr", *words(options), "-o", "cli.tsv", "--force")
    failed = python(["a.gpr", "b.gpr"], "python.tsv", options)
    assert (failed is not None) == (ran.code != 0), (options, ran.err, failed)
    if failed is None:
        same("cli.tsv", "python.tsv")
    else:
        # The same words, as each side has them: options with hyphens there, keywords here.
        # Each names options as its reader writes them: --preset limma, preset="limma".
        said = ran.err.replace("--", "").replace("-", "_").replace("gridnorm: ", "").replace("failed: ", "")
        assert re.sub(r'="([^"]*)"', r" \1", str(failed)).replace("-", "_").replace("__", "") in said


@pytest.mark.parametrize("seed", seeds(1000, 5, 50))
def test_a_file_of_a_folder_is_the_run_of_that_input_alone(cli: Cli, seed: int) -> None:
    """Also where the inputs are different print runs."""
    options = {name: value for name, value in some_options(seed).items() if name != "gal"}
    ran = cli("normalize", "a.gpr", "other.gpr", *words(options), "-o", "each/", "--force")
    for name in ("a", "other"):
        failed = python(f"{name}.gpr", f"{name}.tsv", options)
        assert (failed is not None) == (not Path(f"each/{name}.tsv").exists()), (options, ran.err, failed)
        if failed is None:
            same(f"each/{name}.tsv", f"{name}.tsv")


@pytest.mark.parametrize("seed", seeds(2000, 4, 40))
def test_reading_and_then_normalizing_writes_the_same_too(cli: Cli, seed: int) -> None:
    options = some_options(seed)
    reading = {
        name: options.pop(name)
        for name in ("foreground", "channels", "align", "keep", "layout", "gal")
        if name in options
    }
    # What a grouping or weights read beside the usual columns has to be asked for here.
    if options.get("by") == "Dia." or options.get("weights") in ("area:60,90", "F Pixels") or "weights" in options:
        pytest.skip("needs columns that gn.read keeps in the table")
    if options.get("preset") == "limma":
        reading.setdefault("foreground", "mean")
    ran = cli("normalize", "a.gpr", "b.gpr", *words(reading | options), "-o", "cli.tsv", "--force")
    if ran.code:
        pytest.skip("refused on every route, as the test above tells")
    arrays = gn.read(["a.gpr", "b.gpr"], **reading)
    assert python(arrays, "python.tsv", options) is None
    same("cli.tsv", "python.tsv")


def of_samples(k: int) -> damage.Sheet:
    """Four blocks with the same IDs; in each the upper and the lower four rows are of another sample."""
    base = sheet(k, same_probes=True, bad=0.1)
    rows = [int(cell) for cell in base.cells("Row")]
    named = iter("below" if row > 4 else "above" for row in rows)
    return damage.with_cells(base, "Name", range(len(rows)), lambda _: next(named))


def parted(seed: int) -> tuple[dict[str, Any], list[str]]:
    """Options with a split, and the files of a run: the second one with spots of its own, or without some."""
    options = {name: value for name, value in some_options(seed).items() if name not in ("gal", "layout")}
    for k, name in enumerate("ab"):
        of_samples(k).write(Path(f"{name}.gpr"))
    damage.without(of_samples(2), range(3, 20)).write(Path("c.gpr"))
    damage.with_cells(of_samples(2), "ID", range(56, 112), lambda cell: "Q" + cell[1:]).write(Path("d.gpr"))
    rng = random.Random(seed)
    options["split"] = rng.choice(["block", "block", "Name", "Block", "pad"])
    return options, ["a.gpr", rng.choice(["b.gpr", "c.gpr"])]


@pytest.mark.parametrize("seed", seeds(3000, 1, 40))
def test_parts_are_the_same_on_every_route(cli: Cli, seed: int) -> None:
    options, files = parted(seed)
    ran = cli("normalize", *files, *words(options), "-o", "cli.tsv", "--force", "-q")
    failed = python(files, "python.tsv", options)
    assert (failed is not None) == (ran.code != 0), (options, ran.err, failed)
    if failed is not None:
        return
    same("cli.tsv", "python.tsv")
    assert cli("normalize", *files, *words(options), "-o", "two.tsv", "-j", "2", "-q").code == 0
    same("cli.tsv", "two.tsv")
    joined = damage.table(Path("cli.tsv"))
    assert cli("normalize", *files, *words(options), "-o", "each/", "-q").code == 0
    for title in (title for title in joined if title[:2] in ("M.", "A.", "E.")):
        alone = damage.table(Path("each", f"{title[2:]}.tsv"))[title]
        left = Counter(filter(None, alone)) - Counter(filter(None, joined[title]))
        # By ID the table has the rows that all parts have.
        assert any(joined[title]) and (not left or options.get("align") == "id"), title


@pytest.mark.parametrize("seed", seeds(4004, 1, 30))
def test_parts_of_a_set_are_those_of_its_files(cli: Cli, seed: int) -> None:
    """Also of a file whose parts do not have the same spots."""
    options, _ = parted(seed)
    keep = ("foreground", "channels", "align", "keep")
    reading = {name: options.pop(name) for name in keep if name in options}
    if options.get("preset") == "limma":
        reading.setdefault("foreground", "mean")
    if options.get("by") == "Dia." or "weights" in options:
        reading["keep"] = "Dia.,F Pixels,F635 % Sat.,F532 % Sat."
    file = random.Random(seed).choice(["a.gpr", "c.gpr", "d.gpr"])
    if python(file, "path.tsv", reading | options) is not None:
        pytest.skip("refused on every route, as the test above tells")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        whole, parts = gn.read(file, **reading), gn.read(file, **reading, split=options["split"])
    assert python(whole, "whole.tsv", options) is None
    same("path.tsv", "whole.tsv")
    # Columns of a table are those of its first array, and of rows that are joined by ID some may be gone.
    if options.get("by") != "Dia." and "weights" not in options and reading.get("align") != "id":
        del options["split"]
        assert python(parts, "parts.tsv", options) is None
        same("path.tsv", "parts.tsv")
        assert python(gn.split(whole, by=parts.records[0].split), "stepwise.tsv", options) is None
        same("path.tsv", "stepwise.tsv")


def test_on_failures_python_raises_and_the_command_line_writes_the_rest(cli: Cli) -> None:
    Path("cut.gpr").write_text(sheet(1).text()[:-300], newline="")
    ran = cli("normalize", "a.gpr", "cut.gpr", "b.gpr", "-o", "cli.tsv")
    assert ran.code == 1
    with pytest.raises(gn.FormatError, match=r"cut\.gpr:"):
        gn.normalize(["a.gpr", "cut.gpr", "b.gpr"])
    assert python(["a.gpr", "b.gpr"], "rest.tsv", {}) is None
    assert Path("cli.tsv").read_bytes() == Path("rest.tsv").read_bytes()


def test_history_holds_every_effective_setting_on_every_route(cli: Cli) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        whole = gn.normalize("a.gpr", flags="downweight", weights="area:60,90")
        raw = gn.read("a.gpr", keep="F Pixels")
        steps = gn.normalize_within(gn.background_correct(raw), flags="downweight", weights="area:60,90")
    expected = {
        "by": "print-tip", "method": "loess", "span": 0.3, "iterations": 4, "surface": "interpolate",
        "clamp_weights": True, "scale": "none", "small_groups": "shrink", "min_group": 200, "flags": "downweight", "weights": "area:60,90", "device": "cpu",
    }  # fmt: skip
    for arrays in (whole, steps):
        assert dict(arrays.history.steps[-1].parameters) == expected
        assert dict(arrays.history.steps[-2].parameters) == {
            "method": "normexp",
            "offset": "auto",
            "normexp_method": "scaled",
        }
        assert arrays.history.parameters()["background"] == "normexp"
    np.testing.assert_array_equal(whole.M, steps.M)
    given = gn.normalize(raw, weights=np.ones(raw.n_spots), method="median", small_groups="own")
    found = given.history.parameters()
    assert (found["weights"], found["small_groups"], "min_group" in found, "span" in found) == (
        "given",
        "own",
        False,
        False,
    )


def test_what_differs_between_arrays_is_a_list_in_the_record_of_the_run(cli: Cli) -> None:
    base = sheet(1)
    titles = ["Q" + title[1:] if title[:2] in ("B6", "B5") else title for title in base.titles]
    damage.Sheet(base.records, titles, base.rows).write(Path("bare.gpr"))
    ran = cli("normalize", "a.gpr", "bare.gpr", "-o", "x.tsv")
    assert ran.code == 0 and "background: normexp, offset auto; none, offset 0" in ran.err
    record = damage.sidecar(Path("x.tsv"))
    assert [entry["parameters"]["background"] for entry in record["arrays"]] == ["normexp", "none"]
    assert record["parameters"]["background"] == ["normexp", "none"]
    assert record["history"][1]["parameters"] == {
        "method": ["normexp", "none"],
        "offset": ["auto", 0.0],
        "normexp_method": "scaled",
    }


def test_an_array_without_background_keeps_none_beside_one_that_has(cli: Cli) -> None:
    base = sheet(1)
    titles = ["Q" + title[1:] if title[:2] in ("B6", "B5") else title for title in base.titles]
    damage.Sheet(base.records, titles, base.rows).write(Path("bare.gpr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        by_path, read = gn.normalize(["a.gpr", "bare.gpr"]), gn.normalize(gn.read(["a.gpr", "bare.gpr"]))
        twice = gn.normalize_within(gn.normalize(["a.gpr", "bare.gpr"], method="median"), by="array", method="mean")
    np.testing.assert_array_equal(by_path.M, read.M)
    assert by_path.history == read.history
    assert [step.operation for step in twice.history.steps] == [
        "read", "background_correct", "normalize_within", "normalize_within",
    ]  # fmt: skip
    assert twice.history.steps[1].parameters["method"] == ["normexp", "none"]
    assert (twice.history.parameters()["method"], twice.history.parameters()["by"]) == ("mean", "array")


def test_of_a_step_done_twice_the_last_one_counts(cli: Cli) -> None:
    corrected = gn.background_correct(gn.read("a.gpr"), "half", offset=3)
    first = gn.normalize_within(corrected, span=0.5)
    assert "span" not in gn.normalize_within(first, method="median").history.parameters()
    # auto leaves alone what has been corrected; whoever names a method gets it.
    done = gn.normalize(corrected).history
    assert [step.operation for step in done.steps] == ["read", "background_correct", "normalize_within"]
    assert (done.parameters()["background"], done.parameters()["offset"]) == ("half", 3.0)
    again = gn.normalize(corrected, background="none").history.parameters()
    assert (again["background"], again["offset"]) == ("none", 0.0)


def test_spots_that_a_file_lacks_have_no_weight_on_any_route(cli: Cli) -> None:
    damage.without(sheet(1, bad=0.1), range(25)).write(Path("part.gpr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        arrays = gn.read(["a.gpr", "part.gpr"])
        routes = gn.normalize(["a.gpr", "part.gpr"]), gn.normalize(arrays)
        routes += (gn.normalize_within(gn.background_correct(arrays)),)
    assert arrays.absent is not None and arrays.absent.sum(axis=1).tolist() == [0, 25]
    for done in routes:
        assert done.weights is not None and np.isnan(done.weights[:, 1]).sum() == 25
        np.testing.assert_array_equal(done.M, routes[0].M)
        np.testing.assert_array_equal(done.weights, routes[0].weights)
        assert [record.missing for record in done.records] == [0, 0]


def test_missing_counts_spots_of_any_channel() -> None:
    values = np.random.default_rng(1).uniform(100, 1000, (3, 60))
    values[1, :5] = -1
    three = gn.ArraySet(
        ("a",), ("635", "532", "594"), dict(zip(("635", "532", "594"), values[:, None], strict=True)), {}
    )
    with pytest.warns(gn.GridnormWarning, match="5 intensities are not positive"):
        done = gn.normalize(three, background="none", by="array", min_group=0)
    assert done.records[0].missing == 5 and list(done.values) == ["E.635", "E.532", "E.594"]
    with pytest.raises(gn.OptionError, match="loess needs two channels .*found 3 channels"):
        gn.normalize(three, background="none", method="loess")


def test_an_option_that_the_row_chosen_by_auto_does_not_take_is_said(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "--channels", "635", "--span", "0.5", "-o", "x.tsv")
    said = "a.gpr: --span has no meaning for background normexp and method none, which were chosen for it"
    assert ran.code == 0 and f"warning: {said}" in ran.err
    assert said in damage.sidecar(Path("x.tsv"))["warnings"]
    assert "no meaning" not in cli("normalize", "a.gpr", "--channels", "635", "--preset", "limma", "-o", "y.tsv").err
    shown = json.loads(cli("normalize", "a.gpr", "--channels", "635", "--span", "0.5", "--dry-run").out)["settings"]
    assert "span" not in shown and shown["method"] == "none"


def test_a_set_goes_through_any_pool(cli: Cli) -> None:
    arrays = gn.read(["a.gpr", "b.gpr"])
    with multiprocessing.get_context("fork").Pool(2) as pool:
        done = gn.normalize(arrays, map=pool.map)
    np.testing.assert_array_equal(done.M, gn.normalize(arrays).M)


def test_targets_follow_the_arrays_that_came_out(cli: Cli) -> None:
    Path("t.txt").write_text("FileName\tDose\na.gpr\t1\nother.gpr\t2\nb.gpr\t3\n")
    plan = make_plan(["t.txt"], make_settings({}))
    sets = [one for one in run_plan(plan) if isinstance(one, gn.ArraySet)]
    assert collect(sets, plan).targets["Dose"] == ["1", "3"]


def plain_table() -> str:
    Path("t.csv").write_text("R,G\n1,2\n")
    return "t.csv"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gn.read("a.gpr", by="Block"), "^by has no meaning for reading"),
        (lambda: gn.read("a.gpr", span=0.5), "^span has no meaning for reading"),
        (lambda: gn.inspect("a.gpr", flags="drop"), "^flags has no meaning for inspect"),
        (lambda: gn.normalize("a.gpr", spam=1), "unknown option; found spam"),
        (lambda: gn.read("a.gpr", map=map), "unknown option; found map. Known: split, foreground"),
        (lambda: gn.normalize("a.gpr", method=5), "this is no row of the table of methods; found 5"),
        (lambda: gn.normalize("a.gpr", by=True), "this is no row of the table of groupings; found True"),
        (lambda: gn.normalize("a.gpr", background=["loess"]), "this is no row of the table of background methods"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], small_groups="zzz"), "unknown value of small_groups; found 'zzz'"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], min_group=-1), "min_group is out of range; found -1"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], minimum=3), "minimum"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], method="none", min_group=9), "^min_group has no meaning for method none"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], method="none", weights=[1, 1]), "^weights has no meaning for method none"),
        (lambda: gn.normalize(gn.read("a.gpr"), keep="X"), "^keep has no meaning for arrays that have been read"),
        (lambda: gn.normalize(plain_table(), channels="635,532"), "^channels has no meaning for table files"),
        (lambda: gn.normalize_within(gn.read("a.gpr"), offset=3), "^offset has no meaning for method loess"),
        (lambda: gn.background_correct(gn.read("a.gpr"), span=3), "^span has no meaning for background normexp"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], span=0.5), "^span has no meaning for method median"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], covariate=[1.0, 2.0]), "median takes no covariate"),
        (lambda: gn.normalize_groups([1.0, 2.0], ["a", "a"], method="none", span=0.5), "^span has no meaning for method none"),
    ],
)  # fmt: skip
def test_no_keyword_is_swallowed_in_any_layer(cli: Cli, call: Any, says: str) -> None:
    with pytest.raises((gn.OptionError, TypeError), match=says):
        call()


def test_from_paths_to_the_written_table_there_are_four_floors(cli: Cli) -> None:
    code = (
        "import sys, gridnorm as gn; gn.write(gn.normalize('a.gpr'), 'x.tsv');"
        "print(*sorted(n for n, m in sys.modules.items() if n.startswith('gridnorm.') and hasattr(m, '__path__')))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    packages = done.stdout.split()
    names = (
        "arrays", "arrays.between", "arrays.corrections", "arrays.kooperberg", "arrays.normexp", "core", "core.across", "core.across.vsn", "core.engines", "core.engines.numpy", "core.option",
        "core.robust", "core.spread", "io", "io.formats", "workflow",
    )  # fmt: skip
    assert {name.split(".")[0] for name in names} == {"arrays", "core", "io", "workflow"}
    assert packages == [f"gridnorm.{name}" for name in names]
