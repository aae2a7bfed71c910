"""Rows that a user brings: registered or passed as objects, they run, are offered, checked and recorded like ours.

Each lives in one file beside this one; nothing in the package names it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import damage
import numpy as np
import own_method
import pytest
from damage import Cli, sheet, sidecar, table
from own_background import PARTLY, SHARE
from own_correction import CARRY_OVER
from own_format import SPOTS
from own_grouping import BANDS
from own_method import PLANE, Planes

import gridnorm as gn
from gridnorm.arrays.background import BACKGROUNDS, OFFSET, Background
from gridnorm.arrays.corrections import CORRECTIONS
from gridnorm.arrays.grouping import GROUPINGS, Grouping
from gridnorm.core.fit import Fit
from gridnorm.core.methods import METHODS, Method
from gridnorm.core.option import NUMBER, TEXT, Option
from gridnorm.io.formats import FORMATS

PACKAGE = Path(gn.__file__).parent
TABLES = {
    "method": METHODS, "background": BACKGROUNDS, "correct": CORRECTIONS, "by": GROUPINGS, "format": FORMATS,
}  # fmt: skip
ROWS = {"method": PLANE, "background": PARTLY, "correct": CARRY_OVER, "by": BANDS, "format": SPOTS}
OWN = {
    "method": ("ridge", 2.5), "background": ("share", 0.25), "correct": ("carried", 0.1), "by": ("height", 8),
    "format": ("unit", 10.0),
}  # fmt: skip


@pytest.fixture
def registered() -> Iterator[None]:
    for kind, row in ROWS.items():
        TABLES[kind].register(row)
    yield
    for kind, row in ROWS.items():
        TABLES[kind].unregister(row.name)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        spiked = damage.with_cells(sheet(k), "ID", range(0, 224, 3), lambda cell: "K" + cell[1:])
        spiked.write(tmp_path / f"{name}.gpr")
    rows = np.random.default_rng(5).integers(50, 5000, (400, 2))
    Path("x.spots").write_text("#spots\n" + "".join(f"{r} {g} s{k % 40}\n" for k, (r, g) in enumerate(rows)))
    return Cli(capsys, tmp_path)


def plane_of(arrays: gn.ArraySet, k: int, ridge: float, spikes: str) -> np.ndarray:
    """M of one array after the method, block by block, the plain way."""
    raw = gn.normalize(arrays, background="half", method="none", flags="ignore")
    m, a = raw.M[:, k], raw.A[:, k]
    column = (np.asarray(raw.columns["Block"]) - 1) % 2 * 7 + np.asarray(raw.columns["Column"]) - 1
    control = np.array([name.decode().startswith(spikes) for name in raw.columns["ID"].tolist()])
    out = m.copy()
    for block in range(1, 5):
        mine = np.asarray(raw.columns["Block"]) == block
        x = np.column_stack([np.ones(m.size), a, column])
        fit = mine & control
        penalty = np.diag([0.0, ridge, ridge])
        out[mine] -= x[mine] @ np.linalg.solve(x[fit].T @ x[fit] + penalty, x[fit].T @ m[fit])
    return out


@pytest.mark.parametrize("given", ["plane", PLANE], ids=["by name", "as an object"])
def test_a_method_with_an_option_a_second_covariate_and_control_items(
    registered: None, cli: Cli, given: object
) -> None:
    arrays = gn.read(["a.gpr", "b.gpr"])
    options = {"background": "half", "flags": "ignore", "ridge": 2.5, "spikes": "K"}
    done = gn.normalize(arrays, method=given, min_group=0, **options)
    for k in range(2):
        np.testing.assert_allclose(done.M[:, k], plane_of(arrays, k, 2.5, "K"), rtol=0, atol=1e-9)
    step = done.history.steps[-1].parameters
    assert (step["method"], step["ridge"], step["spikes"], step["min_group"]) == ("plane", 2.5, "K", 0)
    steps = gn.normalize_within(
        gn.background_correct(arrays, "half"), method=given, flags="ignore", ridge=2.5, spikes="K", min_group=0
    )
    np.testing.assert_array_equal(steps.M, done.M)
    fit = done.fits[0].fit
    text = json.dumps(fit.to_plain())
    kept = Fit.from_plain(json.loads(text), PLANE.fitted)
    assert isinstance(kept.payload, Planes)
    np.testing.assert_array_equal(kept.payload.coefficients, fit.payload.coefficients)
    with pytest.raises(gn.OptionError, match="unknown statistic; found 'plane'"):
        Fit.from_plain(json.loads(text))  # a statistic of one's own is found by no name


def test_a_method_on_the_command_line(registered: None, cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "b.gpr", "--method", "plane", "--ridge", "2.5", "--background", "half",
              "--flags", "ignore", "--precision", "full", "--small-groups", "shrink", "--min-group", "60", "-o", "x.tsv")  # fmt: skip
    assert ran.code == 0, ran.err
    done = gn.normalize(["a.gpr", "b.gpr"], method="plane", ridge=2.5, background="half", flags="ignore",
                        small_groups="shrink", min_group=60)  # fmt: skip
    np.testing.assert_array_equal([float(cell) for cell in table(Path("x.tsv"))["M.a"]], done.M[:, 0])
    assert sidecar(Path("x.tsv"))["parameters"]["ridge"] == 2.5
    assert {group["fit"] for group in sidecar(Path("x.tsv"))["arrays"][0]["groups"]} == {"shrunk"}
    shown = " ".join(cli("normalize", "--help").out.split())
    assert "--ridge RIDGE Penalty on the slopes of planes. [of plane; default: 0]" in shown
    assert ", ".join(name for name in METHODS if name != "none") + ". [default: auto" in shown
    ran = cli("normalize", "a.gpr", "--method", "loess", "--ridge", "1", "-o", "y.tsv")
    assert (ran.code, "--ridge has no meaning for --method loess" in ran.err) == (2, True)
    ran = cli("normalize", "a.gpr", "--method", "plane", "--ridge", "-1", "-o", "y.tsv")
    assert (ran.code, ran.err) == (2, "gridnorm: --ridge is out of range; found -1, expected 0 or more\n")


@pytest.mark.parametrize("given", ["partly", PARTLY], ids=["by name", "as an object"])
def test_a_background(registered: None, cli: Cli, given: object) -> None:
    arrays = gn.read("a.gpr")
    done = gn.normalize(arrays, background=given, share=0.25, method="none")
    net = {c: np.maximum(arrays.values[c][0] - 0.25 * arrays.values[f"{c}b"][0], 1) for c in "RG"}
    np.testing.assert_array_equal(done.M[:, 0], np.log2(net["R"]) - np.log2(net["G"]))
    assert done.history.parameters()["share"] == 0.25 and done.history.parameters()["background"] == "partly"
    np.testing.assert_array_equal(gn.background_correct(arrays, given, share=0.25).R[:, 0], net["R"])
    ran = cli("normalize", "a.gpr", "--background", "partly", "--share", "0.25", "--method", "none", "-o", "x.tsv")
    assert ran.code == 0 and "background: partly, offset 0" in ran.err
    assert "--share SHARE Share of the background that is subtracted. [of partly; default: 0.5]" in " ".join(
        cli("normalize", "--help").out.split()
    )


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
@pytest.mark.parametrize("given", ["carry-over", CARRY_OVER, ["plates", CARRY_OVER]], ids=["by name", "row", "second"])
def test_a_correction(registered: None, cli: Cli, given: object) -> None:
    arrays = gn.read("a.gpr")
    first = gn.normalize(arrays, background="half", correct=given, carried=0.1, method="none")
    step = first.history.steps[-2]
    assert step.operation == "correct_intensities"
    assert step.parameters == {"method": "carry-over", "carried": 0.1}
    net = gn.background_correct(arrays, "half")
    if isinstance(given, list):
        net = gn.correct_intensities(net, "plates")
    before = np.concatenate([net.R[:1], net.R[:-1]])
    same = np.asarray(net.columns["Block"])[1:] == np.asarray(net.columns["Block"])[:-1]
    expected = np.where(np.concatenate([[False], same])[:, None], net.R - 0.1 * before, net.R)
    np.testing.assert_allclose(gn.correct_intensities(net, CARRY_OVER, carried=0.1).R, expected, rtol=1e-12)
    assert np.array_equal(np.isnan(first.M), ~(expected > 0) | np.isnan(first.A))
    ran = cli("normalize", "a.gpr", "--correct", "carry-over", "--carried", "0.1", "--method", "none", "-o", "x.tsv")
    assert ran.code == 0 and "corrected: carry-over" in ran.err, ran.err
    assert "a.gpr: " in ran.err and "carried over whole" in ran.err
    assert sidecar(Path("x.tsv"))["parameters"]["carried"] == 0.1
    shown = " ".join(cli("normalize", "--help").out.split())
    assert "--carried CARRIED Share of the spot before that a pin carries over." in shown


@pytest.mark.parametrize("given", ["bands", BANDS], ids=["by name", "as an object"])
def test_a_grouping(registered: None, cli: Cli, given: object) -> None:
    arrays = gn.read("a.gpr")
    done = gn.normalize(arrays, by=given, height=8, method="median", background="half", flags="ignore")
    assert done.fits[0].labels == (0, 1)
    assert done.history.parameters()["height"] == 8 and done.history.parameters()["by"] == "bands"
    ran = cli("normalize", "a.gpr", "--by", "bands,Block", "--height", "8", "--method", "median", "-o", "x.tsv")
    assert ran.code == 0, ran.err
    assert len(sidecar(Path("x.tsv"))["arrays"][0]["groups"]) == 4
    with pytest.raises(gn.OptionError, match="height has no meaning for"):
        gn.normalize(arrays, by="pad", height=8)


def test_a_format(registered: None, cli: Cli) -> None:
    arrays = gn.read("x.spots", unit=10)
    assert arrays.records[0].format == "spots"
    first = Path("x.spots").read_text().splitlines()[1].split()
    assert arrays.R[0, 0] == 10 * float(first[0])
    done = gn.normalize("x.spots", unit=10, by="ID", method="median", min_group=0)
    assert done.history.steps[0].parameters["unit"] == 10
    ran = cli(
        "normalize", "x.spots", "--unit", "10", "--by", "ID", "--method", "median", "--min-group", "0", "-o", "x.tsv"
    )
    assert ran.code == 0, ran.err
    assert sidecar(Path("x.tsv"))["parameters"]["unit"] == 10
    assert "--unit UNIT" in cli("normalize", "--help").out and "--unit UNIT" in cli("inspect", "--help").out
    ran = cli("normalize", "a.gpr", "--unit", "10", "-o", "y.tsv")
    assert (ran.code, ran.err) == (
        2,
        "gridnorm: --unit has no meaning for GPR files. It takes --foreground, --channels, --columns\n",
    )
    ran = cli("inspect", "x.spots", "--json")
    assert json.loads(ran.out)["inputs"][0]["format"] == "spots"


@pytest.mark.parametrize("kind", ROWS)
def test_completion_help_and_suggestions_know_the_row(registered: None, cli: Cli, kind: str) -> None:
    name, value = OWN[kind]
    with pytest.raises(gn.OptionError, match=f"Did you mean {name}"):
        gn.normalize("a.gpr", **{name + "s": value})
    if kind != "format":
        done = subprocess.run([sys.executable, "-c", "import gridnorm"], check=True, capture_output=True)
        assert done.returncode == 0
        from gridnorm.cli.options import settings_options

        option = next(o for o in settings_options() if o.name == kind)
        words = [item.value for item in option.shell_complete(None, ROWS[kind].name[:3])]  # type: ignore[arg-type]
        assert ROWS[kind].name in words


@pytest.mark.filterwarnings("ignore:.*(carried over whole|are not positive)")
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_rows_go_through_pools_of_processes(
    registered: None, cli: Cli, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, too: a worker need not know what has been registered here."""
    rows = str(Path(own_method.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([rows, str(PACKAGE.parent)]))
    options = {"ridge": 2.0, "share": 0.25, "height": 8, "spikes": "P", "flags": "ignore", "min_group": 0,
               "carried": 0.1}  # fmt: skip
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
        for method, background, by in (
            ("plane", "partly", "bands"),
            (PLANE, PARTLY, BANDS),
            ("loess", "half", "bands,Block"),
        ):
            chosen = {"method": method, "background": background, "by": by}
            taken = {k: v for k, v in options.items() if method != "loess" or k in ("height", "flags", "min_group")}
            if method != "loess":
                chosen["correct"] = "carry-over" if isinstance(method, str) else CARRY_OVER
            one = gn.normalize(["a.gpr", "b.gpr"], **chosen, **taken)
            many = gn.normalize(["a.gpr", "b.gpr"], **chosen, **taken, map=pool.map)
            np.testing.assert_array_equal(one.M, many.M)
            assert one.history == many.history
            of_set = gn.normalize(gn.read(["a.gpr", "b.gpr"]), **chosen, **taken, map=pool.map)
            np.testing.assert_array_equal(one.M, of_set.M)
        Path("y.spots").write_bytes(Path("x.spots").read_bytes())
        twice, by_id = ["x.spots", "y.spots"], {"by": "ID", "method": "median", "min_group": 0}
        with pytest.warns(gn.GridnormWarning, match="same content"):
            found = gn.normalize(twice, unit=10, **by_id, map=pool.map)
        assert found.M.shape == (400, 2)


def test_inspect_takes_groupings_as_names_and_as_objects(registered: None, cli: Cli) -> None:
    for by in ("bands", BANDS):
        record = gn.inspect("a.gpr", by=by, height=8)["inputs"][0]
        assert len(record["groups"]) == 2
        assert next(row["groups"] for row in record["explained"] if row["by"] == "bands") == 2


def test_columns_that_a_row_looks_at_are_read_or_missed_by_name(cli: Cli) -> None:
    wide = Grouping(
        "wide",
        lambda spots: np.asarray(spots.columns["Dia."]) + np.arange(spots.n_spots) > 190,
        "wide spots",
        columns=("Dia.",),
    )
    named = Grouping("named", lambda spots: spots.columns["Name"], "by name", columns=("Name",))
    for by in (wide, named, "Name", "X"):
        found = gn.normalize(["a.gpr", "b.gpr"], by=by, method="median", min_group=0)
        assert found.M.shape == (224, 2)
    with pytest.raises(gn.OptionError, match="by names no column; found 'Dia.'"):
        gn.normalize(gn.read("a.gpr"), by=wide, method="median", min_group=0)
    bad = Method("bad", "median", "centre", 5, "chooses badly", use=lambda columns, options: np.ones(3, bool))
    with pytest.raises(gn.OptionError, match=r"chooses spots in a way that cannot be used; found bool \(3,\)"):
        gn.normalize("a.gpr", method=bad)


def test_no_file_of_the_package_knows_these_rows() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    for word in ('"ridge"', "spikes", "Planes", '"bands"', "#spots"):
        assert word not in text, word


def test_one_name_has_one_kind_of_value_everywhere(registered: None, cli: Cli) -> None:
    other = Method("other", "median", "centre", 5, "x", more_options=(Option("share", TEXT, "x"),))
    with pytest.raises(gn.OptionError, match="two rows take an option share of different kinds"):
        gn.normalize("a.gpr", method=other)


def test_an_option_without_a_default_may_be_left_out(cli: Cli) -> None:
    floor = Option("floor", NUMBER)
    row = PARTLY._replace(name="floored", options=(OFFSET, SHARE, floor))
    done = gn.normalize("a.gpr", background=row, method="none")
    assert done.history.parameters()["floor"] is None


def test_rows_that_are_not_whole_are_refused_by_name() -> None:
    for row, says in (
        (PARTLY._replace(name="half"), r"two rows of one name.*found 'half'.*There are none, subtract"),
        (PARTLY._replace(function=None), r"background method 'partly' has no function; found function = None"),
        (PARTLY._replace(name="auto"), "no row of the table of background methods"),
        (PARTLY._replace(options=(Option("offset", TEXT, "x"),)), "offset of background method 'partly' is text"),
        (
            PARTLY._replace(options=(Option("keep", TEXT, "x"),)),
            "an option of background method 'partly' cannot have this name; found 'keep'",
        ),
        (PARTLY._replace(options=(Option("Kx", TEXT, "x"),)), "cannot have this name; found 'Kx'"),
        (
            PARTLY._replace(options=(SHARE._replace(default=2.0),)),
            "an option that refuses its own default; found share is out of range",
        ),
    ):
        with pytest.raises(gn.OptionError, match=says):
            BACKGROUNDS.register(row)
    assert "partly" not in BACKGROUNDS
    with pytest.raises(gn.OptionError, match="method 'bare' has no function; found remove = None"):
        METHODS.register(Method("bare", "median", "nothing", 5, "does nothing"))
    for row, says in (
        (
            Method("two", "lowess", "subtract", 5, "x", covariates=("level", "X")),
            "lowess takes 1 covariates, the row names 2",
        ),
        (Method("fix", "median", "centre", 5, "x", fixed={"span": 1}), "median has no option span that could be fixed"),
    ):
        with pytest.raises(gn.OptionError, match=says):
            METHODS.register(row)
    with pytest.raises(gn.OptionError, match="format 'spots' has no function; found read = None"):
        FORMATS.register(SPOTS._replace(read=None))
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    with pytest.raises(gn.OptionError, match="this is no row of the table of background methods"):
        gn.background_correct(arrays, 3)  # type: ignore[arg-type]
    with pytest.raises(gn.OptionError, match="has no function"):
        gn.background_correct(arrays, Background("empty", None, "nothing"))  # type: ignore[arg-type]
