"""``gridnorm normalize``: what comes out, where, and how every run ends."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import damage
import numpy as np
import pytest
from damage import Cli, sheet, table

import gridnorm as gn

SPOTS = 224


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a folder with two arrays, ``a.gpr`` and ``b.gpr``."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        sheet(k, bad=0.1).write(tmp_path / f"{name}.gpr")
    return Cli(capsys, tmp_path)


def made(cli: Cli, *args: object) -> dict[str, list[str]]:
    ran = cli("normalize", *args, "--force", "-o", "made.tsv")
    assert ran.code == 0, ran.err
    return table(Path("made.tsv"))


def numbers(cells: list[str]) -> np.ndarray:
    return np.array([float(cell or "nan") for cell in cells])


def files() -> set[str]:
    return {str(p) for p in Path().rglob("*") if p.is_file()}


# ---- what comes out, and where -------------------------------------------------------------------------------------


def test_the_result_lies_here_under_the_name_of_the_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    sheet().write(tmp_path / "deep" / "one.gpr")
    before = files()
    ran = cli("normalize", "deep/one.gpr")
    assert ran.code == 0
    assert files() - before == {"one.normalized.tsv", "one.normalized.tsv.gridnorm.json"}
    assert cli("normalize", "a.gpr", "b.gpr").code == 0
    assert files() - before >= {"normalized.tsv", "normalized.tsv.gridnorm.json"}
    assert (
        "wrote normalized.tsv (224 spots, 2 arrays); record of the run in normalized.tsv.gridnorm.json"
        in cli("normalize", "a.gpr", "b.gpr", "--force").err
    )


def test_the_table_has_the_spots_in_layout_order_and_the_columns_of_every_array(cli: Cli) -> None:
    found = made(cli, "a.gpr", "b.gpr")
    assert list(found) == ["Block", "Row", "Column", "ID", "Name", "M.a", "A.a", "W.a", "M.b", "A.b", "W.b"]
    assert damage.places(found) == sorted(damage.places(found))
    assert found["ID"] == sheet().cells("ID")
    assert all(cell.partition(".")[2].isdigit() and len(cell.partition(".")[2]) == 6 for cell in found["M.a"])


def test_weights_are_shown_only_if_one_differs_from_1(cli: Cli) -> None:
    assert "W.a" not in made(cli, "a.gpr", "--flags", "ignore")
    flagged = [int(flag) < 0 for flag in sheet(bad=0.1).cells("Flags")]
    assert [float(w) == 0 for w in made(cli, "a.gpr")["W.a"]] == flagged


def test_the_numbers_are_those_of_python(cli: Cli) -> None:
    found = made(cli, "a.gpr", "b.gpr", "--precision", "full", "--background", "half")
    result = gn.normalize(["a.gpr", "b.gpr"], background="half")
    for k, name in enumerate("ab"):
        np.testing.assert_array_equal(numbers(found[f"M.{name}"]), result.M[:, k])
        np.testing.assert_array_equal(numbers(found[f"A.{name}"]), result.A[:, k])


@pytest.mark.parametrize("suffix", ["tsv", "csv", "tsv.gz", "csv.gz"])
def test_the_suffix_says_the_form_of_the_table(cli: Cli, suffix: str) -> None:
    good = made(cli, "a.gpr")
    assert cli("normalize", "a.gpr", "-o", f"x.{suffix}").code == 0
    data = Path(f"x.{suffix}").read_bytes()
    text = (gzip.decompress(data) if suffix.endswith(".gz") else data).decode()
    titles, *rows = list(csv.reader(io.StringIO(text), delimiter="," if "csv" in suffix else "\t"))
    assert {title: [row[k] for row in rows] for k, title in enumerate(titles)} == good
    assert cli("normalize", "a.gpr", "-o", "unsaid", "--format", suffix).code == 0
    assert Path("unsaid").read_bytes() == data


def test_parquet_holds_the_same_numbers(cli: Cli) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    good = made(cli, "a.gpr", "--precision", "full")
    assert cli("normalize", "a.gpr", "-o", "x.parquet").code == 0
    found = parquet.read_table("x.parquet").to_pydict()
    assert list(found) == list(good)
    assert found["ID"] == good["ID"]
    np.testing.assert_array_equal(np.array(found["M.a"], float), numbers(good["M.a"]))


@pytest.mark.parametrize("name", ["x.gpr", "x", "x.xlsx", "x.tsv.zip"])
def test_an_output_whose_form_is_unknown_is_a_usage_error(cli: Cli, name: str) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "-o", name)
    assert (ran.code, ran.out, files()) == (2, "", before)
    assert ".tsv" in ran.err and "--format" in ran.err


def test_stdout_carries_the_table_and_nothing_else(cli: Cli) -> None:
    good = made(cli, "a.gpr", "b.gpr")
    before = files()
    ran = cli("normalize", "a.gpr", "b.gpr", "-o", "-")
    assert (ran.code, files()) == (0, before)
    assert table(ran.out) == good
    assert "group shift before" in ran.err
    assert "group shift before" not in ran.out


def test_a_sidecar_goes_where_it_is_told(cli: Cli) -> None:
    assert cli("normalize", "a.gpr", "-o", "x.tsv", "--sidecar", "kept.json").code == 0
    assert not Path("x.tsv.gridnorm.json").exists()
    assert json.loads(Path("kept.json").read_text())["output"]["file"] == "x.tsv"
    assert cli("normalize", "a.gpr", "-o", "-", "--sidecar", "other.json").code == 0
    assert json.loads(Path("other.json").read_text())["output"]["file"] == "-"


def test_an_existing_sidecar_is_refused_before_anything_is_said_on_stdout(cli: Cli) -> None:
    Path("kept.json").write_text("mine")
    for out in ("-", "x.tsv", "each/"):
        ran = cli("normalize", "a.gpr", "-o", out, "--sidecar", "kept.json")
        assert (ran.code, ran.out) == (2, ""), out
        assert "kept.json: the output exists already" in ran.err
        assert not Path("x.tsv").exists() and not Path("each").exists()
    assert Path("kept.json").read_text() == "mine"


def test_the_sidecar_must_not_be_the_table(cli: Cli) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "-o", "x.tsv", "--sidecar", "./x.tsv")
    assert (ran.code, files()) == (2, before), ran.err


@pytest.mark.parametrize("option", ["-o", "--sidecar", "--log-file"])
def test_an_input_is_never_overwritten(cli: Cli, option: str, tmp_path: Path) -> None:
    data = Path("a.gpr").read_bytes()
    Path("a.gpr").rename("a.tsv")
    ran = cli("normalize", "a.tsv", "b.gpr", "--force", "-o", "x.tsv", option, tmp_path / "a.tsv")
    assert ran.code == 2
    assert "input" in ran.err
    assert Path("a.tsv").read_bytes() == data


def test_an_input_in_the_output_folder_is_never_overwritten(cli: Cli) -> None:
    Path("in").mkdir()
    Path("in/x.tsv").write_text("ID\tR\tG\n" + "".join(f"g{k}\t{100 + k}\t{90 + k % 7}\n" for k in range(50)))
    data = Path("in/x.tsv").read_bytes()
    ran = cli("normalize", "in", "-o", "in", "--force")
    assert ran.code == 2
    assert "x.tsv: an input would be overwritten" in ran.err
    assert [p.read_bytes() for p in Path("in").iterdir()] == [data]


def test_a_folder_gets_one_table_an_array_and_one_record_of_all(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "b.gpr", "-o", "each/")
    assert ran.code == 0
    assert sorted(p.name for p in Path("each").iterdir()) == [
        "a.tsv", "a.tsv.gridnorm.json", "b.tsv", "b.tsv.gridnorm.json", "gridnorm.json",
    ]  # fmt: skip
    assert table(Path("each/b.tsv")) == made(cli, "b.gpr")
    whole = json.loads(Path("each/gridnorm.json").read_text())
    assert [a["name"] for a in whole["arrays"]] == ["a", "b"]
    assert whole["output"] is None
    Path("there").mkdir()
    assert cli("normalize", "a.gpr", "-o", "there", "--format", "csv").code == 0
    assert Path("there/a.csv").exists()


def test_a_folder_compares_nothing_so_that_prints_may_differ(cli: Cli) -> None:
    other = sheet(1, blocks=(1, 3), spots=(10, 5))
    other.write(Path("b.gpr"))
    assert cli("normalize", "a.gpr", "b.gpr", "-o", "x.tsv").code == 1
    assert cli("normalize", "a.gpr", "b.gpr", "-o", "each/").code == 0
    assert len(table(Path("each/b.tsv"))["ID"]) == 150


def test_in_a_folder_arrays_of_one_and_two_channels_stand_side_by_side(cli: Cli) -> None:
    sheet(1, channels=1).write(Path("one.gpr"))
    Path("bad.gpr").write_text("nothing")
    ran = cli("normalize", "a.gpr", "one.gpr", "bad.gpr", "b.gpr", "-o", "each/")
    assert ran.code == 1 and "wrote 3 arrays to each/" in ran.err and "failed: bad.gpr: " in ran.err
    assert table(Path("each/a.tsv")) == made(cli, "a.gpr") and table(Path("each/one.tsv")) == made(cli, "one.gpr")
    assert "E.one" in table(Path("each/one.tsv"))
    assert json.loads(Path("each/gridnorm.json").read_text())["parameters"]["method"] == ["loess", "none"]
    ran = cli("normalize", "a.gpr", "one.gpr", "-o", "x.tsv")
    assert (
        ran.code == 2
        and "found one.gpr with 1, a.gpr with 2. Choose with --channels, or give each its own: -o FOLDER/" in ran.err
    )


def test_in_a_folder_nothing_is_overwritten_and_nothing_half_done(cli: Cli) -> None:
    Path("each").mkdir()
    Path("each/b.tsv").write_text("mine")
    ran = cli("normalize", "a.gpr", "b.gpr", "-o", "each")
    assert ran.code == 2
    assert "b.tsv: the output exists already" in ran.err
    assert sorted(p.name for p in Path("each").iterdir()) == ["b.tsv"]
    assert cli("normalize", "a.gpr", "b.gpr", "-o", "each", "--force").code == 0
    assert len(table(Path("each/b.tsv"))["ID"]) == SPOTS


@pytest.mark.parametrize("names", [("x/y", "x_y"), ("..", "a"), ("a\\b", "a"), ("a:b", "é"), ("x" * 300, "a")])
def test_names_of_a_targets_table_stay_in_the_folder_and_apart(cli: Cli, names: tuple[str, str]) -> None:
    Path("t.txt").write_text(f"FileName\tName\na.gpr\t{names[0]}\nb.gpr\t{names[1]}\n", encoding="utf-8")
    ran = cli("normalize", "t.txt", "-o", "each/", "--force")
    assert ran.code == 0, ran.err
    found = sorted(p for p in Path("each").iterdir() if p.suffix == ".tsv")
    assert len(found) == 2
    assert {title for p in found for title in table(p) if title[:2] == "M."} == {f"M.{name}" for name in names}
    assert not [p for p in files() if not p.startswith(("each/", "a.gpr", "b.gpr", "t.txt"))]


def test_without_a_single_result_no_folder_is_left(cli: Cli) -> None:
    Path("bad.gpr").write_text("nothing")
    ran = cli("normalize", "bad.gpr", "-o", "each/")
    assert (ran.code, Path("each").exists()) == (3, False)


def test_json_prints_the_sidecar_on_stdout(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "-o", "x.tsv", "--json")
    assert ran.out == Path("x.tsv.gridnorm.json").read_text()
    assert "wrote x.tsv" in ran.err


def test_two_things_cannot_share_stdout(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "-o", "-", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "--json" in ran.err


# ---- exit codes ----------------------------------------------------------------------------------------------------


def test_an_existing_output_is_refused_without_force(cli: Cli) -> None:
    Path("x.tsv").write_text("mine")
    ran = cli("normalize", "a.gpr", "-o", "x.tsv")
    assert (ran.code, Path("x.tsv").read_text()) == (2, "mine")
    assert "x.tsv: the output exists already. --force overwrites it" in ran.err
    assert cli("normalize", "a.gpr", "-o", "x.tsv", "--force").code == 0
    Path("x.tsv").unlink()
    ran = cli("normalize", "a.gpr", "-o", "x.tsv")
    assert (ran.code, Path("x.tsv").exists()) == (2, False)
    assert "x.tsv.gridnorm.json: the output exists already" in ran.err


@pytest.mark.parametrize("out", ["none/x.tsv", "none/deep/", "a.gpr/x.tsv", "a.gpr/deep/"])
def test_an_output_that_cannot_be_written_is_exit_6_before_anything_is_computed(cli: Cli, out: str) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "-o", out)
    assert (ran.code, ran.out, files()) == (6, "", before)
    assert "group shift" not in ran.err


@pytest.mark.parametrize("option", ["--log-file", "--sidecar"])
def test_a_record_that_cannot_be_written_is_exit_6_too(cli: Cli, option: str) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "-o", "x.tsv", option, "none/x")
    assert (ran.code, files()) == (6, before)


def test_a_disk_that_fills_up_leaves_nothing(cli: Cli) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    ran = cli("normalize", "a.gpr", "-o", "/dev/full", "--format", "tsv", "--sidecar", "x.json")
    assert (ran.code, Path("x.json").exists()) == (6, False)
    assert "the disk is full" in ran.err


def test_a_name_that_leads_nowhere_costs_the_others_nothing(cli: Cli) -> None:
    ran = cli("normalize", "nothere.gpr", "a.gpr", "-o", "x.tsv")
    assert ran.code == 1
    assert "failed: nothere.gpr: " in ran.err
    assert table(Path("x.tsv")) == made(cli, "a.gpr")
    assert cli("normalize", "nothere.gpr", "-o", "y.tsv").code == 3


def test_some_failed_is_1_none_read_is_3_none_fitted_is_4(cli: Cli) -> None:
    Path("bad.gpr").write_text("nothing")
    damage.with_cells(sheet(2), "F635 Mean", range(SPOTS), "Error").write(Path("dead.gpr"))
    assert cli("normalize", "a.gpr", "bad.gpr", "-o", "1.tsv").code == 1
    assert cli("normalize", "a.gpr", "dead.gpr", "-o", "2.tsv").code == 1
    assert cli("normalize", "bad.gpr", "-o", "3.tsv").code == 3
    assert cli("normalize", "dead.gpr", "-o", "4.tsv").code == 4
    assert cli("normalize", "bad.gpr", "dead.gpr", "-o", "5.tsv").code == 4
    assert sorted(p.name for p in Path().glob("*.tsv")) == ["1.tsv", "2.tsv"]
    assert list(table(Path("1.tsv"))) == list(table(Path("2.tsv"))) == list(made(cli, "a.gpr"))


def test_quiet_says_only_what_went_wrong_and_that_it_says(cli: Cli) -> None:
    assert cli("normalize", "a.gpr", "-q", "-o", "x.tsv").err == ""
    Path("bad.gpr").write_text("nothing")
    ran = cli("normalize", "a.gpr", "bad.gpr", "-q", "-o", "y.tsv")
    assert ran.err.startswith("failed: bad.gpr: ") and ran.err.count("\n") == 1
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("hello")
    for talk in ("-q", "-v"):
        ran = cli("normalize", "empty", talk, "-o", "z.tsv")
        assert ran.code == 3
        assert "no array file was found" in ran.err


def test_verbose_shows_every_warning(cli: Cli) -> None:
    names = []
    for k in range(18):
        names.append(Path(f"s{k}.gpr"))
        damage.with_records(sheet(0), Barcode=f"slide {k // 2}", Copy=str(k)).write(names[-1])
    options = ("--background", "half", "--force", "-o", "x.tsv")
    short, long = cli("normalize", *names, *options), cli("normalize", *names, "-v", *options)
    assert (short.err.count("same barcode"), long.err.count("same barcode")) == (1, 9)
    assert "two scans of one slide? (likewise s3.gpr, s5.gpr, s7.gpr and 5 more)" in short.err
    assert len(damage.sidecar(Path("x.tsv"))["warnings"]) == 9


@pytest.mark.parametrize(
    "wrong",
    [
        ["--method", "lowess"], ["--background", "sub"], ["--flags", "x"], ["--align", "name"], ["--preset", "olin"],
        ["--small-groups", "none"], ["--device", "tpu"], ["--foreground", "mode"], ["--span", "0"], ["--span", "1.5"],
        ["--span", "nan"], ["--span", "x"], ["--iterations", "0"], ["--iterations", "2.5"], ["--offset", "-1"],
        ["--offset", "inf"], ["--offset", "nan"], ["--min-group", "-1"], ["--min-group", "x"], ["--precision", "16"],
        ["--precision", "-1"], ["--precision", "x"], ["--precision", "²"], ["--weights", "area:9,1"],
        ["--weights", "area:x"], ["--by", "blok"], ["--by", ""], ["--by", "Block,"], ["--keep", "Blok"], ["--weights", "no"],
        ["--columns", "R"], ["--columns", "Q=x"], ["--columns", "R=a,R=b"], ["--layout", "2x2"],
        ["--layout", "axbxcxd"], ["--layout", "0x1x1x1"], ["--layout", "²x2x2x2"], ["--channels", "635,635"],
        ["--format", "xlsx"], ["--nonsense"], ["--by"], ["no*.gpr"],
    ],
)  # fmt: skip
def test_every_wrong_option_is_exit_2_and_changes_nothing(cli: Cli, wrong: list[str]) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "b.gpr", "-o", "x.tsv", *wrong)
    assert (ran.code, ran.out, files()) == (2, "", before), ran.err
    assert ran.err.strip()


def test_near_misses_get_a_suggestion(cli: Cli) -> None:
    assert "Did you mean loess?" in cli("normalize", "a.gpr", "--method", "lowess").err
    assert "Did you mean 'print-tip'?" in cli("normalize", "a.gpr", "--by", "printtip").err
    assert "Did you mean 'Name'?" in cli("normalize", "a.gpr", "--keep", "Nane").err
    assert "Did you mean 'normalize'?" in cli("normalise", "a.gpr").err


def test_no_input_is_a_usage_error(cli: Cli) -> None:
    assert cli("normalize").code == 2
    Path("empty").mkdir()
    assert cli("normalize", "empty").code == 2


def test_a_gpu_is_never_replaced_silently(cli: Cli) -> None:
    before = files()
    ran = cli("normalize", "a.gpr", "--device", "gpu", "-o", "x.tsv")
    assert (ran.code, files()) == (5, before)
    assert "GPU" in ran.err and "--device auto" in ran.err
    assert made(cli, "a.gpr", "--device", "cpu") == made(cli, "a.gpr")


# ---- one bad file among many ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("option", "gone"),
    [(["--by", "Supplier"], "Supplier"), (["--keep", "Supplier"], "Supplier"), (["--weights", "Trust"], "Trust"),
     (["--background", "subtract", "--offset", "50"], "B532 Median")],
)  # fmt: skip
def test_a_file_that_lacks_what_an_option_needs_costs_the_others_nothing(
    cli: Cli, option: list[str], gone: str, first: bool
) -> None:
    def enriched(k: int) -> damage.Sheet:
        base = sheet(k)
        rows = [[*row, "12"[n % 2], "1"] for n, row in enumerate(base.rows)]
        return damage.Sheet(base.records, [*base.titles, "Supplier", "Trust"], rows)

    for k, name in enumerate(["good.gpr", "lacks.gpr", "fine.gpr"]):
        given = enriched(k)
        if name == "lacks.gpr":
            cut = {gone, "B532"} if gone.startswith("B") else {gone}
            given = damage.with_columns(given, [title for title in given.titles if title not in cut])
        given.write(Path(name))
    order = ["lacks.gpr", "good.gpr", "fine.gpr"] if first else ["good.gpr", "lacks.gpr", "fine.gpr"]
    for out in ("x.tsv", "each/"):
        ran = cli("normalize", *order, *option, "-o", out)
        if out == "x.tsv" and option[0] == "--keep" and not first:
            # The further columns of a table are those of its first array: nothing is lacking.
            assert ran.code == 0
            continue
        assert ran.code == 1, ran.err
        assert "failed: lacks.gpr: " in ran.err
    if Path("x.tsv").exists():
        good = made(cli, "good.gpr", *option)
        assert table(Path("x.tsv"))["M.good"] == good["M.good"]
    assert Path("each/fine.tsv").exists() and not Path("each/lacks.tsv").exists()
    assert cli("normalize", "lacks.gpr", *option, "-o", "y.tsv").code == 2


# ---- the plan ------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_writes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a dry run computes nothing")

    monkeypatch.setattr("gridnorm.arrays.corrected.bg.correct_rows", never)
    Path("bad.gpr").write_text("nothing")
    before = files()
    ran = cli("normalize", "a.gpr", "b.gpr", "--dry-run", "--span", "0.4", "-o", "x.tsv")
    assert (ran.code, files()) == (0, before)
    plan = json.loads(ran.out)
    assert [a["file"] for a in plan["arrays"]] == ["a.gpr", "b.gpr"]
    assert (plan["settings"]["span"], plan["spots"], plan["output"]) == (0.4, SPOTS, "x.tsv")
    assert plan["layout"]["grid_rows"] == 2
    ran = cli("normalize", "a.gpr", "bad.gpr", "--dry-run")
    assert ran.code == 1
    assert json.loads(ran.out)["failed"][0]["file"] == "bad.gpr"
    assert ran.err.startswith("failed: bad.gpr: ")
    assert cli("normalize", "bad.gpr", "--dry-run").code == 3
    assert cli("normalize", "a.gpr", "--keep", "nothing", "--dry-run").code == 2
    assert files() == before


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--device", "gpu"], 5), (["--precision", "99"], 2), (["-o", "none/x.tsv"], 6), (["-o", "a.gpr", "--format", "tsv"], 2), (["--method", "x"], 2)],
)  # fmt: skip
def test_a_dry_run_ends_as_the_run_would(cli: Cli, wrong: list[str], code: int) -> None:
    assert cli("normalize", "a.gpr", "--dry-run", *wrong).code == code


@pytest.mark.parametrize("option", ["-o", "--sidecar", "--figure", "--log-file"])
def test_nothing_is_overwritten_unasked(cli: Cli, option: str) -> None:
    """A log file took the place of whatever stood there."""
    if option == "--figure":
        pytest.importorskip("matplotlib")
    Path("old.png").write_text("precious")
    more = ["--format", "tsv"] if option == "-o" else ["-o", "x.tsv"]
    before = files()
    ran = cli("normalize", "a.gpr", *more, option, "old.png")
    assert (ran.code, files()) == (2, before) and "old.png: the output exists already" in ran.err
    assert Path("old.png").read_text() == "precious"
    assert cli("normalize", "a.gpr", *more, option, "old.png", "--force").code == 0


def test_the_log_file_repeats_what_was_said_and_adds_timings(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "-o", "x.tsv", "--log-file", "run.log")
    log = Path("run.log").read_text()
    assert log.startswith(ran.err)
    assert {line.split(":")[0] for line in log.removeprefix(ran.err).splitlines()} >= {
        "plan",
        "arrays",
        "write",
        "total",
    }
