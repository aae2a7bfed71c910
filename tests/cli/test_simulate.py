"""``gridnorm simulate``: files with known truth."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from damage import Cli, table

import gridnorm as gn

SMALL = ("--blocks", "2x2", "--spots", "8x7")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, tmp_path)


def test_files_and_truth_are_written_and_said(cli: Cli) -> None:
    ran = cli("simulate", "-o", "sim", "--arrays", 3, *SMALL)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "wrote 3 arrays of 224 spots and truth.tsv to sim\n"
    assert sorted(p.name for p in Path("sim").iterdir()) == ["slide1.gpr", "slide2.gpr", "slide3.gpr", "truth.tsv"]
    truth = table(Path("sim/truth.tsv"))
    arrays = gn.read(sorted(Path("sim").glob("*.gpr")))
    assert truth["ID"] == arrays.spots["ID"].tolist()


def test_same_seed_same_bytes_other_seed_others(cli: Cli) -> None:
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert cli("simulate", "-o", folder, "--arrays", 1, *SMALL, "--seed", seed, "--prefix", "s").code == 0
    one, two, three = (Path(f, "s1.gpr").read_bytes() for f in "abc")
    assert one == two != three


def test_options_are_those_of_python(cli: Cli) -> None:
    options = {"tip_offset_sd": 0.9, "tip_slope_sd": 0.0, "noise_sd": 0.1, "changed": 0.5, "effect": 2.0,
               "outliers": 0.2, "dye_bias": 0.0, "spatial": 0.0, "background": 10.0, "bad": 0.5, "small_tips": 1,
               "gains": "2", "seed": 3}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert cli("simulate", "-o", "sim", "--arrays", 1, *SMALL, *words, "--same-probes").code == 0
    made = gn.simulate(1, (2, 2), (8, 7), **options, same_probes=True)
    read = gn.read("sim/slide1.gpr")
    np.testing.assert_array_equal(read.R[:, 0], made.mean[0][0])
    np.testing.assert_array_equal(read.flags[:, 0], made.flags[0])
    assert read.spots["ID"].tolist() == [cell.decode() for cell in made.id.tolist()]
    assert cli("simulate", "-o", "one", "--arrays", 1, *SMALL, "--channels", 1).code == 0
    assert gn.read("one/slide1.gpr").channels == ("E",)


def test_normalizing_brings_simulated_arrays_near_their_truth(cli: Cli) -> None:
    assert (
        cli(
            "simulate",
            "-o",
            "sim",
            "--arrays",
            1,
            "--blocks",
            "2x2",
            "--spots",
            "15x15",
            "--tip-offset-sd",
            1,
            "--seed",
            2,
        ).code
        == 0
    )
    assert cli("normalize", "sim/slide1.gpr", "--background", "subtract", "-o", "x.tsv").code == 0
    assert cli("normalize", "sim/slide1.gpr", "--background", "subtract", "--method", "none", "-o", "y.tsv").code == 0
    with Path("sim/truth.tsv").open() as file:
        truth = np.array([float(row["true.M"]) for row in csv.DictReader(file, delimiter="\t")])
    after, before = (np.array([float(c or "nan") for c in table(Path(f"{f}.tsv"))["M.slide1"]]) for f in "xy")
    assert np.nanmedian(np.abs(after - truth)) < 0.5 * np.nanmedian(np.abs(before - truth))


def test_nothing_is_overwritten_without_force_and_nothing_half_done(cli: Cli) -> None:
    Path("sim").mkdir()
    Path("sim/slide2.gpr").write_text("mine")
    ran = cli("simulate", "-o", "sim", "--arrays", 2, *SMALL)
    assert ran.code == 2
    assert "slide2.gpr: the output exists already" in ran.err
    assert [p.name for p in Path("sim").iterdir()] == ["slide2.gpr"]
    assert Path("sim/slide2.gpr").read_text() == "mine"
    assert cli("simulate", "-o", "sim", "--arrays", 2, *SMALL, "--force").code == 0
    assert len(list(Path("sim").iterdir())) == 3


def test_one_array_is_counted_as_one(cli: Cli) -> None:
    assert cli("simulate", "-o", "sim", "--arrays", 1, *SMALL).err.startswith("wrote 1 array of ")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (["--blocks", "2"], 2), (["--blocks", "0x2"], 2), (["--blocks", "axb"], 2), (["--spots", "-1x2"], 2), (["--spots", "²x2"], 2),
        (["--arrays", "0"], 2), (["--arrays", "x"], 2), (["--channels", "3"], 2), (["--changed", "1.5"], 2), (["--noise-sd", "-1"], 2),
        (["--noise-sd", "nan"], 2), (["--effect", "nan"], 2), (["--effect", "inf"], 2), (["--background", "inf"], 2), (["--dye-bias", "nan"], 2),
        (["--spatial", "inf"], 2), (["--seed", "-1"], 2), (["--gains", "1,2"], 2), (["--gains", "x"], 2), (["--small-tips", "5"], 2), (["--prefix", "x/y"], 2), (["--prefix", "../y"], 2), (["-o", "none/deep"], 6), (["-o", "file"], 6),
    ],
)  # fmt: skip
def test_wrong_options_are_usage_errors_and_leave_nothing(cli: Cli, wrong: list[str], code: int) -> None:
    Path("file").write_text("mine")
    ran = cli("simulate", "-o", "sim", "--arrays", 1, *SMALL, *wrong)
    assert ran.code == code, ran.err
    assert sorted(p.name for p in Path().iterdir()) == ["file"]
