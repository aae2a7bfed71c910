"""Small inputs that once failed, each with its right answer: every row of the table beside the real array files."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damage import Cli, Ran, sidecar, table

OUT = Path("o.tsv")


class Cases:
    """The small inputs, copied to the current folder, and commands on them."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def inspect(self, *args: str, code: int = 0) -> Ran:
        ran = self.cli("inspect", *args)
        assert ran.code == code, ran.out + ran.err
        return ran

    def details(self, *args: str) -> dict[str, object]:
        """What ``inspect --json`` says of one file."""
        (found,) = json.loads(self.inspect(*args, "--json").out)["inputs"]
        return dict(found)

    def normalize(self, *args: str, code: int = 0) -> Ran:
        OUT.unlink(missing_ok=True)
        ran = self.cli("normalize", *args, "-o", OUT, "--force")
        assert ran.code == code, ran.err
        return ran


def value(title: str, **where: str) -> float:
    """The cell of a column in the one row where other columns have these texts."""
    found = table(OUT)
    (row,) = [k for k in range(len(found[title])) if all(found[name][k] == text for name, text in where.items())]
    return float(found[title][row])


@pytest.fixture
def cases(shared: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cases:
    folder = tmp_path / "cases"
    shutil.copytree(shared / "data" / "cases", folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(folder)
    return Cases(Cli(capsys, folder))


SMALL = ("F01_small_scale.tsv", "--columns", "R=red,G=green,Rb=redbg,Gb=greenbg,ID=spot,Block=blk")


def changed() -> float:
    """Mean M of the twelve spots that were made to differ."""
    return float(np.sort(np.array(table(OUT)["M.F01_small_scale"], float))[-12:].mean())


def test_a_scale_of_single_counts_is_not_flattened(cases: Cases) -> None:
    """limma's normexp gives 1.596 to one spot and 3.522 to the changed; a fixed offset of 50 left 0.079 and 0.108.

    The automatic offset pulls spots that lie in the noise toward 0, never as far as that.
    """
    cases.normalize(*SMALL, "--normexp-method", "saddle", "--offset", "0", "--small-groups", "own")
    assert value("M.F01_small_scale", ID="S010") == pytest.approx(1.595865, abs=1e-6)
    assert changed() == pytest.approx(3.522, abs=1e-3)
    cases.normalize(*SMALL)
    assert value("M.F01_small_scale", ID="S010") == pytest.approx(1.595865, rel=0.1)
    assert changed() > 0.5 * 3.522


def test_a_background_of_the_file_s_own_is_taken(cases: Cases) -> None:
    cases.normalize(
        "F03_own_background.gpr", "--columns", "Rb=B635,Gb=B532", "--background", "subtract", "--method", "none"
    )
    assert value("M.F03_own_background", ID="ID0001") == pytest.approx(0.1514706, abs=1e-6)
    assert sidecar(OUT)["arrays"][0]["columns"] == {"R": "F635 Mean", "Rb": "B635", "G": "F532 Mean", "Gb": "B532"}


def test_a_print_tip_that_was_named_needs_a_block(cases: Cases) -> None:
    given = ("F05_no_block_named.tsv", "--by", "print-tip", "--background", "none", "--method", "median")
    ran = cases.normalize(*given, "--columns", "R=ch2,G=ch1,ID=gene", code=3)
    assert "--by print-tip needs the block of every spot" in ran.err and "pin" in ran.err
    assert not OUT.exists()
    cases.normalize(*given, "--columns", "R=ch2,G=ch1,ID=gene,Block=pin", "--small-groups", "own", "--flags", "ignore")
    assert value("M.F05_no_block_named", ID="ID0001") == pytest.approx(-0.090129, abs=1e-6)


PLAIN = ("--background", "none", "--method", "none")


def test_files_of_one_name_are_told_apart(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("F07")
    ran = cases.normalize("strainA/000.gpr", "strainB/000.gpr", "strainC/000.gpr", *PLAIN, code=1)
    assert "failed: strainC/000.gpr: the spots are not those of strainA/000.gpr" in ran.err
    text = OUT.with_name("o.tsv.gridnorm.json").read_text()
    record = json.loads(text)
    assert [one["name"] for one in record["inputs"]] == ["strainA/000.gpr", "strainB/000.gpr"]
    assert [one["file"] for one in record["arrays"]] == ["strainA/000.gpr", "strainB/000.gpr"]
    (failed,) = record["failed"]
    assert failed["file"] == "strainC/000.gpr" and failed["error"].startswith("strainC/000.gpr: the spots are not")
    assert str(Path.cwd()) not in text


def test_equal_names_bring_the_folder_into_every_name(cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("F07")
    cases.normalize("targets.txt", *PLAIN)
    assert [t for t in table(OUT) if t.startswith("M.")] == ["M.strainA/000", "M.strainA/030", "M.strainB/000"]


@pytest.mark.parametrize("align", ["id", "union"])
def test_spots_that_moved_are_not_missing(cases: Cases, align: str) -> None:
    ran = cases.normalize("F09_run1.gpr", "F09_run2.gpr", "--align", align, *PLAIN)
    assert "missing" not in ran.err.split("wrote")[0].split("background:")[1] and "rows of their own" not in ran.err
    assert sorted(table(OUT)["ID"]) == [f"ID{k:04d}" for k in range(1, 37)]
    assert "" not in table(OUT)["M.F09_run2"]


@pytest.mark.parametrize(("file", "rows", "columns"), [("2x2", 2, 2), ("2x8", 2, 8)])
def test_a_spot_file_says_its_grid(cases: Cases, file: str, rows: int, columns: int) -> None:
    layout = cases.details(f"F10_grid_{file}.spot")["layout"]
    assert isinstance(layout, dict)
    assert (layout["grid_rows"], layout["grid_columns"]) == (rows, columns)
    assert layout["source"] != "guess"


def test_neighbours_follow_the_grid(cases: Cases) -> None:
    cases.normalize("F10_grid_2x2.spot", "--background", "movingmin", "--method", "none")
    assert value("M.F10_grid_2x2", Block="2", Row="4", Column="2") == pytest.approx(0.510518, abs=1e-6)


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("F13_end_data.csv", "R=Ch1 Mean,G=Ch2 Mean,Rb=Ch1 B Median,Gb=Ch2 B Median"),
        ("F13_sample_table_end.txt", "R=CH2_MEAN,G=CH1_MEAN,ID=ID_REF"),
    ],
)
def test_a_trailer_ends_the_table(cases: Cases, file: str, columns: str) -> None:
    assert cases.details(file, "--columns", columns)["spots"] == 16


def shape(layout: object) -> tuple[int, int, int, int]:
    assert isinstance(layout, dict)
    return layout["grid_rows"], layout["grid_columns"], layout["spot_rows"], layout["spot_columns"]


def test_row_and_column_alone_are_one_block(cases: Cases) -> None:
    roles = "R=red,G=green,Rb=redbg,Gb=greenbg,ID=Probe,Row=Row,Column=Col"
    assert shape(cases.details("F15_row_col_only.txt", "--columns", roles)["layout"]) == (1, 1, 4, 4)


def test_main_and_sub_rows_are_blocks(cases: Cases) -> None:
    roles = "E=Raw.Value,Eb=Background.Value,ID=Series.Id"
    assert shape(cases.details("F15_four_indices.txt", "--columns", roles)["layout"]) == (2, 2, 4, 4)


def test_only_the_codes_named_are_left_out(cases: Cases) -> None:
    cases.normalize("F16_flags.gpr", "--flags", "exclude:-100")
    weights = np.array([cell or "nan" for cell in table(OUT)["W.F16_flags"]], float)
    flags = [line.split("\t")[-1] for line in Path("F16_flags.gpr").read_text().splitlines()[7:]]
    assert [bool(w == 0) for w in weights] == [flag == "-100" for flag in flags]
    assert "-50" in flags and "-100" in flags


def test_error_cells_are_counted(cases: Cases) -> None:
    ran = cases.normalize("F17_error_cells.gpr", "-v", "--small-groups", "own")
    (line,) = [line for line in ran.err.splitlines() if line.startswith("warning:")]
    assert "F17_error_cells.gpr:11" in line and "F635 Mean" in line and "Error" in line


def test_wells_one_below_the_other(cases: Cases) -> None:
    ran = cases.cli("inspect", "F19_stacked_wells.csv", "--columns", "E=Signal,Eb=Bkg,ID=ID")
    said = ran.out + ran.err
    assert ("spots      18" in said and ran.code == 0) or ("titles" in said and "12" in said and ran.code == 3), said


def test_a_third_image_has_no_wavelength(cases: Cases) -> None:
    said = cases.inspect("F20_third_image.gpr").out
    assert "channel    3: foreground F3 Mean" in said and "3 nm" not in said


def refused(name: str, words: str) -> Callable[[Cases], None]:
    def check(cases: Cases) -> None:
        assert words in cases.normalize(f"faults/{name}", code=3).err and not OUT.exists()

    return check


def weights_as_they_should_be(cases: Cases) -> None:
    """An infinite weight is refused with its place: 0.707 was the answer once."""
    ran = cases.normalize("faults/inf1.gpr", "--weights", "Wt", "--method", "median", code=3)
    assert "inf" in ran.err and "Wt" in ran.err and not OUT.exists()
    cases.normalize(
        "faults/normal.gpr", "--weights", "Wt", "--method", "median", "--small-groups", "own",
        "--normexp-method", "saddle", "--offset", "50",
    )  # fmt: skip
    assert value("M.normal", Block="1", ID="i0") == pytest.approx(1.327, abs=5e-4)


def returns_cost_nothing(cases: Cases) -> None:
    """40 000 carriage returns before a line feed took 11 s."""
    start = time.perf_counter()
    cases.inspect("faults/cr.gpr")
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "check",
    [
        weights_as_they_should_be,
        refused("two.gpr", "two.gpr:54: "),
        refused("unq.gpr", "unq.gpr:54: "),
        refused("hugewl.gpr", "hugewl.gpr:3: "),
        returns_cost_nothing,
    ],
    ids=["inf1", "two", "unq", "hugewl", "cr"],
)
def test_files_made_by_an_attack(cases: Cases, check: Callable[[Cases], None]) -> None:
    check(cases)
