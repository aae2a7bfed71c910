"""``gridnorm normalize``: every option does what it says, every way to end has its exit code."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
import damage
from damage import Cli, sheet, sidecar, table

SPOTS = 224


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a folder with two arrays, ``a.gpr`` and ``b.gpr``."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        sheet(k, flagged=0.1).write(tmp_path / f"{name}.gpr")
    return Cli(capsys, tmp_path)


def made(cli: Cli, *args: object) -> dict[str, list[str]]:
    ran = cli("normalize", *args, "--force", "-o", "made.tsv")
    assert ran.code == 0, ran.err
    return table(Path("made.tsv"))


def record(cli: Cli, *args: object) -> dict:
    made(cli, *args)
    return sidecar(Path("made.tsv"))


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
    assert "wrote normalized.tsv (224 spots, 2 arrays); record of the run in normalized.tsv.gridnorm.json" in cli(
        "normalize", "a.gpr", "b.gpr", "--force"
    ).err


def test_the_table_has_the_spots_in_layout_order_and_the_columns_of_every_array(cli: Cli) -> None:
    found = made(cli, "a.gpr", "b.gpr")
    assert list(found) == ["Block", "Row", "Column", "ID", "Name", "M.a", "A.a", "W.a", "M.b", "A.b", "W.b"]
    assert damage.places(found) == sorted(damage.places(found))
    assert found["ID"] == sheet().cells("ID")
    assert all(cell.partition(".")[2].isdigit() and len(cell.partition(".")[2]) == 6 for cell in found["M.a"])


def test_weights_are_shown_only_if_one_differs_from_1(cli: Cli) -> None:
    assert "W.a" not in made(cli, "a.gpr", "--flags", "ignore")
    flagged = [int(flag) < 0 for flag in sheet(flagged=0.1).cells("Flags")]
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
    if len(names[0]) > 255:
        assert ran.code == 6
        return
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
    for k in range(10):
        names.append(Path(f"s{k}.gpr"))
        damage.with_records(sheet(0), Barcode="one").write(names[-1])
    options = ("--background", "half", "--force", "-o", "x.tsv")
    short, long = cli("normalize", *names, *options), cli("normalize", *names, "-v", *options)
    assert (short.err.count("same barcode"), long.err.count("same barcode")) == (6, 9)
    assert "warning: 3 more, see the sidecar or use -v" in short.err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--method", "lowess"], ["--background", "sub"], ["--flags", "x"], ["--align", "name"], ["--preset", "marray"],
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
def test_a_file_that_lacks_what_an_option_needs_costs_the_others_nothing(cli: Cli, option: list[str], gone: str, first: bool) -> None:
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


# ---- options that change numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["print-tip", "array", "plate", "print-order", "pad", "slide-row", "slide-column", "Block", "block", "Dia.", "ID", "Block,Row", "Row , slide-column"])
def test_by_takes_every_grouping_and_any_column(cli: Cli, by: str) -> None:
    groups = record(cli, "a.gpr", "--by", by, "--method", "median", "--min-group", "0", "--flags", "ignore")["arrays"][0]["groups"]
    count = {"print-tip": 4, "Block": 4, "block": 4, "array": 1, "pad": 1, "Dia.": 1, "plate": 1, "slide-row": 16, "slide-column": 14,
             "ID": SPOTS, "Block,Row": 32, "Row , slide-column": 8 * 14}  # fmt: skip
    assert len(groups) == count.get(by, len(groups))
    assert sum(group["spots"] for group in groups) == SPOTS
    if by == "Block,Row":
        assert groups[0]["group"] == [1, 1]
    if by == "print-order":
        assert all(group["spots"] >= 150 for group in groups)


def test_a_missing_label_is_a_group_of_its_own(cli: Cli) -> None:
    base = sheet()
    given = damage.Sheet(base.records, [*base.titles, "Lot"], [[*row, "" if k < 60 else "L1"] for k, row in enumerate(base.rows)])
    given.write(Path("lots.gpr"))
    groups = record(cli, "lots.gpr", "--by", "Lot")["arrays"][0]["groups"]
    assert {str(g["group"]): g["spots"] for g in groups} == {"(none)": 60, "L1": SPOTS - 60}


@pytest.mark.parametrize("method", ["median", "mean", "mad", "zscore", "loess"])
def test_every_method_brings_the_groups_together(cli: Cli, method: str) -> None:
    groups = record(cli, "a.gpr", "--method", method, "--background", "half")["arrays"][0]["groups"]
    before, after = (np.array([g[f"shift_{k}"] for g in groups]) for k in ("before", "after"))
    assert after.std() < before.std() / 2
    if method in ("median", "mad"):
        np.testing.assert_allclose(after, 0, atol=1e-9)
    plain = made(cli, "a.gpr", "--method", "none", "--background", "half")
    assert made(cli, "a.gpr", "--method", method, "--background", "half")["A.a"] == plain["A.a"]


def test_method_none_changes_nothing(cli: Cli) -> None:
    found = made(cli, "a.gpr", "--method", "none", "--background", "subtract", "--flags", "ignore", "--precision", "full")
    raw = sheet(flagged=0.1)
    net = {w: np.array(raw.cells(f"F{w} Mean"), float) - np.array(raw.cells(f"B{w} Median"), float) for w in ("635", "532")}
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where((net["635"] > 0) & (net["532"] > 0), np.log2(net["635"]) - np.log2(net["532"]), np.nan)
    np.testing.assert_array_equal(numbers(found["M.a"]), expected)


def test_foreground_and_offset_are_what_they_say(cli: Cli) -> None:
    raw = sheet(flagged=0.1)
    found = made(cli, "a.gpr", "--method", "none", "--background", "none", "--foreground", "median", "--offset", "3.5", "--precision", "full")
    red, green = (np.array(raw.cells(f"F{w} Median"), float) + 3.5 for w in ("635", "532"))
    np.testing.assert_array_equal(numbers(found["M.a"]), np.log2(red) - np.log2(green))
    assert record(cli, "a.gpr")["arrays"][0]["offset"] == 50
    assert record(cli, "a.gpr", "--background", "subtract")["arrays"][0]["offset"] == 0
    assert record(cli, "a.gpr", "--background", "auto")["arrays"][0]["background"] == "normexp"


def test_channels_turn_the_sign_of_m_and_keep_a(cli: Cli) -> None:
    options = ("--method", "none", "--background", "half")
    one, two = made(cli, "a.gpr", *options), made(cli, "a.gpr", *options, "--channels", "532,635")
    np.testing.assert_array_equal(numbers(one["M.a"]), -numbers(two["M.a"]))
    assert one["A.a"] == two["A.a"]
    assert list(made(cli, "a.gpr", "--channels", "532"))[5] == "E.a"


def test_one_channel_keeps_the_level_of_the_array(cli: Cli) -> None:
    sheet(channels=1).write(Path("one.gpr"))
    before = numbers(made(cli, "one.gpr", "--method", "none")["E.one"])
    after = numbers(made(cli, "one.gpr")["E.one"])
    np.testing.assert_allclose(np.median(after), np.median(before), atol=0.2)
    blocks = np.array(sheet(channels=1).cells("Block"))
    np.testing.assert_allclose([np.median(after[blocks == b]) for b in "1234"], np.median(before), atol=1e-6)
    assert cli("normalize", "one.gpr", "--method", "loess", "-o", "x.tsv").code == 2


def test_span_and_iterations_reach_the_curve(cli: Cli) -> None:
    tables = [made(cli, "a.gpr", *options)["M.a"] for options in ([], ["--span", "0.9"], ["--iterations", "1"])]
    assert tables[0] != tables[1] and tables[0] != tables[2]
    assert made(cli, "a.gpr", "--span", "0.3", "--iterations", "4")["M.a"] == tables[0]


def test_flags_decide_who_is_fitted_and_who_is_shown(cli: Cli) -> None:
    flagged = np.array(sheet(flagged=0.1).cells("Flags"), int) < 0
    tables = {policy: made(cli, "a.gpr", "--flags", policy, "--background", "half") for policy in ("exclude", "ignore", "drop", "downweight")}
    m = {policy: numbers(found["M.a"]) for policy, found in tables.items()}
    assert flagged.sum() > 10
    assert np.isnan(m["drop"][flagged]).all() and not np.isnan(m["exclude"]).any()
    np.testing.assert_array_equal(m["drop"][~flagged], m["exclude"][~flagged])
    assert (m["ignore"] != m["exclude"]).any()
    # Weight 1e-5 is nearly, not quite, out of the fit, and limma's weighted path is another algorithm.
    assert np.median(np.abs(m["downweight"] - m["exclude"])[~flagged]) < 0.02
    for policy in ("exclude", "drop", "downweight"):
        assert [float(w) for w in tables[policy]["W.a"]] == np.where(flagged, 0.0, 1.0).tolist()


def test_weights_from_a_column_an_area_or_saturation(cli: Cli) -> None:
    base = sheet()
    weight = ["0" if k % 5 == 0 else "1" for k in range(SPOTS)]
    damage.Sheet(base.records, [*base.titles, "Trust"], [[*r, w] for r, w in zip(base.rows, weight, strict=True)]).write(Path("w.gpr"))
    found = made(cli, "w.gpr", "--weights", "trust")
    assert [float(w) for w in found["W.w"]] == [float(w) for w in weight]
    area = np.array(base.cells("F Pixels"), float)
    found = made(cli, "w.gpr", "--weights", "area:80,90")
    np.testing.assert_allclose(numbers(found["W.w"]), np.clip(np.where(area <= 90, np.minimum(area / 80, 1), 1 - (area - 90) / 80), 0, None), atol=5e-7)
    assert "W.w" not in made(cli, "w.gpr", "--weights", "none")
    ran = cli("normalize", "w.gpr", "--weights", "Name", "-o", "y.tsv")
    assert ran.code == 3 and "is text" in ran.err


def test_min_group_and_small_groups_decide_about_few_spots(cli: Cli) -> None:
    tip = sheet().where(Block=1)
    damage.with_cells(sheet(), "Flags", tip[20:], "-100").write(Path("few.gpr"))

    def fits(*options: object) -> list[str]:
        return [g["fit"] for g in record(cli, "few.gpr", *options)["arrays"][0]["groups"]]

    assert fits() == ["array", "own", "own", "own"]
    assert fits("--min-group", "20") == ["own"] * 4
    assert fits("--min-group", "0") == ["own"] * 4
    assert fits("--min-group", "auto") == fits()
    assert fits("--min-group", "60", "--small-groups", "array") == ["array"] * 4
    assert sorted(fits("--small-groups", "merge")) == ["merged", "merged", "own", "own"]
    assert fits("--small-groups", "shrink") == ["shrunk", "own", "own", "own"]
    assert fits("--method", "median") == ["own"] * 4
    ran = cli("normalize", "few.gpr", "--small-groups", "error", "-o", "x.tsv")
    assert ran.code == 4
    ran = cli("normalize", "few.gpr", "--min-group", "60", "--small-groups", "merge", "-o", "x.tsv")
    assert ran.code == 4
    assert "whole" not in ran.err and "small_groups" in ran.err


def test_preset_limma_is_its_parts_and_explicit_options_win(cli: Cli) -> None:
    parts = ["--background", "subtract", "--offset", "0", "--foreground", "mean", "--span", "0.3", "--iterations", "4", "--flags", "ignore", "--min-group", "0"]
    assert made(cli, "a.gpr", "--preset", "limma") == made(cli, "a.gpr", *parts)
    found = record(cli, "a.gpr", "--preset", "limma", "--offset", "7", "--flags", "exclude")
    assert (found["arrays"][0]["offset"], found["parameters"]["flags"], found["arrays"][0]["background"]) == (7, "exclude", "subtract")


def test_keep_adds_columns_behind_the_spots(cli: Cli) -> None:
    found = made(cli, "a.gpr", "--keep", "F Pixels,dia.,X")
    assert list(found)[5:9] == ["F Pixels", "Dia.", "X", "M.a"]
    assert found["F Pixels"] == sheet(flagged=0.1).cells("F Pixels")
    assert found["X"] == sheet(flagged=0.1).cells("X")


def test_precision_is_decimals_or_exact(cli: Cli) -> None:
    full = numbers(made(cli, "a.gpr", "--precision", "full", "--background", "half")["M.a"])
    for digits in (0, 3, 15):
        np.testing.assert_allclose(numbers(made(cli, "a.gpr", "--precision", digits, "--background", "half")["M.a"]), full, atol=0.51 * 10.0**-digits, rtol=1e-15)
    np.testing.assert_array_equal(full, gn.normalize("a.gpr", background="half").M[:, 0])


def test_layout_overrides_what_was_found(cli: Cli) -> None:
    layout = record(cli, "a.gpr", "--layout", "1x4x8x7")["layout"]
    assert (layout["grid_rows"], layout["grid_columns"], layout["source"]) == (1, 4, "override")
    ran = cli("normalize", "a.gpr", "--layout", "3x3x8x7", "-o", "y.tsv")
    assert ran.code in (0, 2, 3)
    ran = cli("normalize", "a.gpr", "--layout", "1x1x8x7", "-o", "z.tsv")
    assert ran.code in (2, 3)
    assert "a.gpr" in ran.err


def test_plain_tables_with_columns(cli: Cli) -> None:
    base = sheet()
    head = "gene,tip,ch2,ch1,bg2,bg1\n"
    rows = zip(*(base.cells(t) for t in ("ID", "Block", "F635 Mean", "F532 Mean", "B635 Median", "B532 Median")), strict=True)
    Path("t.csv").write_text(head + "".join(",".join(row) + "\n" for row in rows))
    found = made(cli, "t.csv", "--columns", "R=ch2,G=ch1,Rb=bg2,Gb=bg1,ID=gene,Block=tip")
    assert list(found) == ["Block", "ID", "M.t", "A.t"]
    sheet().write(Path("t.gpr"))
    assert found["M.t"] == made(cli, "t.gpr")["M.t"]
    one = made(cli, "t.csv", "--columns", "E=ch1,ID=gene", "--by", "tip", "--offset", "0")
    assert list(one) == ["ID", "E.t"]
    ran = cli("normalize", "t.csv", "-o", "x.tsv")
    assert ran.code == 3 and "--columns" in ran.err
    assert "a.gpr: --columns names columns of plain tables" in cli("normalize", "a.gpr", "--columns", "R=x,G=y", "-o", "z.tsv").err
    ran = cli("normalize", "t.csv", "--columns", "R=ch3,G=ch1", "-o", "x.tsv")
    assert ran.code == 3 and "ch3" in ran.err


# ---- the plan ------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_writes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a dry run computes nothing")

    monkeypatch.setattr("gridnorm.workflow.one.bg.correct", never)
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
    assert cli("normalize", "bad.gpr", "--dry-run").code == 3
    assert files() == before


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--device", "gpu"], 5), (["--precision", "99"], 2), (["-o", "none/x.tsv"], 6), (["-o", "a.gpr", "--format", "tsv"], 2), (["--method", "x"], 2)],
)  # fmt: skip
def test_a_dry_run_ends_as_the_run_would(cli: Cli, wrong: list[str], code: int) -> None:
    assert cli("normalize", "a.gpr", "--dry-run", *wrong).code == code


def test_the_log_file_repeats_what_was_said_and_adds_timings(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "-o", "x.tsv", "--log-file", "run.log")
    log = Path("run.log").read_text()
    assert log.startswith(ran.err)
    assert {line.split(":")[0] for line in log.removeprefix(ran.err).splitlines()} >= {"plan", "arrays", "write", "total"}
