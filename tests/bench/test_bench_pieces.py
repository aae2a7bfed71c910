"""The benchmarks run: their pieces on tiny files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import bench_main_job as bench
import numpy as np
import pytest

import gridnorm as gn


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return bench.make(tmp_path_factory.mktemp("bench"), 2, spot_rows=7, spot_columns=8)


def test_files_have_56_columns_and_the_quirks_of_real_ones(files: list[Path]) -> None:
    lines = files[0].read_bytes().split(b"\r\n")
    assert [len(line.split(b"\t")) for line in lines[32:34]] == [56, 56]
    assert sum(b"\tError\t" in line for line in lines) > 5
    arrays = gn.read(files)
    assert arrays.n_spots == 48 * 56 and len(arrays) == 2
    assert arrays.layout is not None and (arrays.layout.grid_rows, arrays.layout.grid_columns) == (12, 4)
    assert 5 < np.less_equal(arrays.R, arrays.Rb).sum() < 200


def test_file_k_does_not_depend_on_how_many_are_made(files: list[Path], tmp_path: Path) -> None:
    assert bench.make(tmp_path, 1, spot_rows=7, spot_columns=8)[0].read_bytes() == files[0].read_bytes()


def test_our_command_runs_and_is_measured(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "ours.tsv"
    used = bench.run(bench.our_command(out, "subtract", files))
    assert 0.02 < used.cpu < 60 and used.wall > 0.02 and 10 < used.peak < 1000
    titles, place, values = bench.read_table(out, "")
    assert titles == ["M.bench_001", "A.bench_001", "M.bench_002", "A.bench_002"]
    assert place.shape == (48 * 56, 3) and values.shape == (48 * 56, 4)
    assert 0 < np.isnan(values).sum() < values.size / 5


def test_a_failing_command_stops_the_benchmark_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?i)no such file"):
        bench.run(bench.our_command(tmp_path / "ours.tsv", "subtract", [tmp_path / "none.gpr"]))


def test_tables_that_differ_are_seen(tmp_path: Path) -> None:
    head = "Block\tRow\tColumn\tID\tName\t"
    limma, ours = tmp_path / "limma.tsv", tmp_path / "ours.tsv"
    limma.write_text(head + "dir/x\tdir/x\n1\t1\t1\ta\tb\t0.5\t9\n1\t1\t2\ta\tb\tNA\tNA\n")
    ours.write_text(head + "M.x\tA.x\n1\t1\t1\ta\tb\t0.25\t9\n1\t1\t2\ta\tb\t\t\n")
    assert bench.largest_difference(limma, ours) == 0.25
    ours.write_text(head + "M.x\tA.x\n1\t1\t1\ta\tb\t0.5\t9\n1\t1\t2\ta\tb\t0\t\n")
    assert bench.largest_difference(limma, ours) == np.inf


def test_both_programs_agree_and_the_report_is_complete(files: list[Path], tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript on the path")
    question = 'quit(status = !requireNamespace("limma", quietly = TRUE))'
    if subprocess.run(["Rscript", "--vanilla", "-e", question], capture_output=True, check=False).returncode:
        pytest.skip("R has no limma")
    rows = [bench.measure(tmp_path, "subtract", files, 1)]
    assert rows[0]["largest difference"]["full"] <= 1e-10
    json.dumps(rows)
    text = bench.markdown(rows, bench.ran_on(), 48 * 56)
    assert "| 2 | subtract |" in text and "limma 3." in text and str(tmp_path) not in text


def test_methods_between_arrays_are_measured() -> None:
    import bench_between as between

    x = between.matrix(9, 300)
    assert x.shape == (9, 300) and np.unique(x[0]).size < 300, "ties"
    before = x.copy()
    for name, step in between.our_steps(x).items():
        done = step()
        assert done.shape == ({"quantile": 9, "fast": 8, "pairs": 4}[name], 300)
        assert np.ptp(np.median(done, axis=1)) < 0.2 * np.ptp(np.median(x[: len(done)], axis=1))
    np.testing.assert_array_equal(x, before)
    assert all(0.5 < peak < 1000 for peak in between.peaks(x).values())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_methods_between_arrays_run_beside_limma() -> None:
    import bench_between as between

    used = between.measure(between.matrix(4, 500), 1)
    assert all(apart < 1e-11 and len(limma) == len(ours) == 1 for limma, ours, apart in used.values())
