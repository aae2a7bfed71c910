"""A folder run in two passes: constant memory, temporary files, files that change."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.cli import run as run_cli
from gridnorm.errors import GridnormError, OutputError
from gridnorm.workflow import passes
from gridnorm.workflow.output import Outcome, normalize_to
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.target import Request


def run(folder: Path, files: list[str], **options: object) -> Outcome:
    return normalize_to(files, make_settings({"between": "quantile", **options}), Request(output=f"{folder}/"))


def simulated(folder: Path, arrays: int = 3, spots: str = "6x6") -> list[str]:
    args = ["--arrays", str(arrays), "--blocks", "2x2", "--spots", spots, "--prefix", "array", "--seed", "3"]
    assert run_cli(["simulate", "-o", str(folder), *args]) == 0
    return sorted(map(str, folder.glob("*.gpr")))


def test_an_array_of_other_spots_fails_alone(tmp_path: Path) -> None:
    files = simulated(tmp_path / "in")
    text = Path(files[1]).read_text().splitlines(keepends=True)
    Path(files[1]).write_text("".join(text[:-3]))
    done = run(tmp_path / "out", files)
    assert [failure.file for failure in done.failures] == [files[1]] and done.exit_code == 1
    assert f"its spots are not all those of {files[0]}, beside which" in str(done.failures[0].error)
    assert sorted(p.name for p in (tmp_path / "out").glob("*.tsv")) == ["array1.tsv", "array3.tsv"]


def test_a_file_that_changes_between_the_passes_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = simulated(tmp_path / "in")
    made = passes.Block.make_alike

    def changing(self: passes.Block, *args: object) -> object:
        Path(files[2]).write_bytes(Path(files[0]).read_bytes())
        return made(self, *args)

    monkeypatch.setattr(passes.Block, "make_alike", changing)
    done = run(tmp_path / "out", files)
    says = f"{files[2]}: the file has changed while the run was reading it. Run again when nothing writes to it"
    assert [str(f.error) for f in done.failures] == [says]
    assert not (tmp_path / "out" / "array3.tsv").exists()


def test_errors_leave_no_folder_and_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = simulated(tmp_path / "in")
    with pytest.raises(GridnormError, match="samples of both channels"):
        run(tmp_path / "out", files, between="tquantile")
    assert not (tmp_path / "out").exists()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes, "_take_room", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run(tmp_path / "out", files)
    assert not (tmp_path / "out").exists()


def test_weights_between_yes_and_no_are_kept_in_files_too(tmp_path: Path) -> None:
    files = simulated(tmp_path / "in")
    done = run(tmp_path / "out", files, between="cyclic-loess", weights="saturation", flags="downweight")
    assert done.exit_code == 0
    expected = gn.normalize(files, between="cyclic-loess", weights="saturation", flags="downweight")
    for k in range(3):
        cells = [line.split("\t") for line in (tmp_path / "out" / f"array{k + 1}.tsv").read_text().splitlines()]
        found = np.array([row[cells[0].index(f"M.array{k + 1}")] for row in cells[1:]], float)
        np.testing.assert_allclose(found, expected.M[:, k], atol=6e-7)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_arrays(tmp_path: Path) -> None:
    peaks = []
    for arrays in (4, 16):
        files = simulated(tmp_path / f"in{arrays}", arrays, "30x30")
        tracemalloc.start()
        for method in ("scale", "quantile", "cyclic-loess"):
            done = run(tmp_path / f"out{arrays}{method}", files, between=method)
            assert not done.failures
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    matrix = 2 * 3600 * 8  # M and A of an array
    assert peaks[1] - peaks[0] < 12 * matrix / 2, peaks
