"""Inputs, names and numbers that are not what was expected: the documented exit code and a message, never a hang."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.arrays.simulate.simulated import _MOST_SPOTS, _check
from gridnorm.core.statistic import ITERATIONS, MOST_ITERATIONS
from gridnorm.errors import OptionError
from gridnorm.io.atomic import Output

DIGITS = "9" * 5000


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    sheet(bad=0.1).write(tmp_path / "a.gpr")
    return Cli(capsys, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
@pytest.mark.parametrize("name", ["pipe.gpr", "/dev/zero", "folder.gpr", "socket.gpr"])
def test_what_is_no_file_is_refused_wherever_it_is_named(cli: Cli, tmp_path: Path, name: str) -> None:
    os.mkfifo("pipe.gpr")
    (tmp_path / "folder.gpr").mkdir()
    # Bound by a short path: those of sockets may have 107 bytes only.
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("socket.gpr")
    (tmp_path / "t.txt").write_text(f"FileName\n{name}\na.gpr\n")
    ran = cli("normalize", "t.txt", "-o", "t.tsv")
    assert ran.code == 1 and f"failed: {name}" in ran.err
    runs = [
        cli("inspect", name),
        cli("normalize", name, "-o", "x.tsv"),
        cli("normalize", "a.gpr", "--gal", name, "-o", "y.tsv"),
    ]
    for ran in runs:
        assert ran.code in (2, 3) and name in ran.out + ran.err
    assert not Path("x.tsv").exists() and not Path("y.tsv").exists()


def test_a_folder_that_cannot_be_read_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("closed").mkdir()

    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("gridnorm.workflow.inputs.os.listdir", refuse)
        ran = cli("normalize", "closed", "-o", "x.tsv")
    assert (ran.code, ran.err) == (3, "gridnorm: closed: the folder cannot be read; found Permission denied\n")


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="file names are Unicode here")
def test_names_that_are_no_utf8_are_names_like_others(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"f\xe9")
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9")
    sheet().write(folder / f"{name}.gpr")
    (folder / "b.gpr").write_bytes((tmp_path / "a.gpr").read_bytes())
    assert cli("inspect", folder, "--json").code == 0
    ran = cli("normalize", folder, "--json")
    assert ran.code == 0 and "caf\\xe9" in ran.err
    assert "M.caf\\xe9" in Path("normalized.tsv").read_text(encoding="utf-8").split("\n")[0]
    assert json.loads(ran.out)["arrays"][1]["name"] == "caf\\xe9"
    for more in (
        ["-o", f"{name}.tsv.gz"],
        ["-o", f"{name}/"],
        ["-o", "-"],
        ["--dry-run"],
        ["--log-file", f"{name}.log"],
    ):
        assert cli("normalize", folder / f"{name}.gpr", *more).code == 0
    record = Path(f"{name}.tsv.gz.gridnorm.json").read_text(encoding="utf-8")
    assert json.loads(record)["output"]["file"] == "caf\\xe9.tsv.gz"


def test_digits_without_end_are_no_numbers(cli: Cli, tmp_path: Path) -> None:
    wide = sheet()
    wide = replace(wide, titles=[title.replace("F635 Me", f"F{DIGITS} Me") for title in wide.titles])
    wide.write(tmp_path / "wide.gpr")
    lines = sheet().text().split("\r\n")
    (tmp_path / "counts.gpr").write_text("\r\n".join([lines[0], f"{DIGITS}\t{DIGITS}", *lines[2:]]), newline="")
    (tmp_path / "g.gal").write_text(
        f'ATF\t1.0\n1\t4\n"Block{DIGITS}= 400, 400, 100, 2, 180, 1, 180"\nBlock\tRow\tColumn\tID\n1\t1\t1\tx\n'
    )
    assert cli("inspect", "wide.gpr").code == 0, "the other channel is there"
    assert cli("inspect", "counts.gpr", "g.gal").code == 0
    for option in ("--precision", "--iterations", "--span", "--layout", "--min-group"):
        assert cli("normalize", "a.gpr", option, DIGITS, "-o", "x.tsv").code in (0, 2)
    for option in ("--blocks", "--spots"):
        assert cli("simulate", "-o", "s", option, f"{DIGITS}x2").code == 2


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("normalize", "a.gpr", "--iterations", 10**12), "1 to 1000"),
        (("simulate", "-o", "s", "--arrays", 10**12), "1e+08 at most"),
        (("simulate", "-o", "s", "--blocks", "10000000x10000000"), "1e+08 at most"),
    ],
)
def test_what_would_never_end_is_refused_at_once(cli: Cli, args: tuple[object, ...], expected: str) -> None:
    ran = cli(*args)
    assert ran.code == 2 and expected in ran.err


def test_a_gzip_file_whose_header_is_a_member_of_its_own_is_an_array(cli: Cli, tmp_path: Path) -> None:
    data = (tmp_path / "a.gpr").read_bytes()
    cut = data.index(b'"Block"')
    (tmp_path / "b.gpr").write_bytes(gzip.compress(data[:cut]) + gzip.compress(data[cut:]))
    assert cli("normalize", "a.gpr").code == cli("normalize", "b.gpr").code == 0
    one, two = (Path(f"{name}.normalized.tsv").read_bytes().split(b"\n")[1:] for name in "ab")
    assert one == two


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("twice.gpr.gz", "gzip data inside gzip data"),
        ("a.tar", "a tar archive"),
        ("a.tar.gz", "a tar archive"),
        ("a.zip.gz", "a zip archive"),
        ("-", "No such file"),
        ("CON", "No such file"),
        ("n" * 300 + ".gpr", "name too long"),
    ],
)
def test_what_is_no_array_file_is_named(cli: Cli, tmp_path: Path, name: str, said: str) -> None:
    data = (tmp_path / "a.gpr").read_bytes()
    if name == "twice.gpr.gz":
        Path(name).write_bytes(gzip.compress(gzip.compress(data)))
    elif ".tar" in name:
        with tarfile.open(name, "w:gz" if name.endswith("gz") else "w") as archive:
            archive.add("a.gpr")
    elif name == "a.zip.gz":
        with zipfile.ZipFile("a.zip", "w") as packed:
            packed.writestr("a.gpr", data)
        Path(name).write_bytes(gzip.compress(Path("a.zip").read_bytes()))
    for command in ("inspect", "normalize"):
        ran = cli(command, name)
        assert ran.code == 3 and said in ran.out + ran.err


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="no /dev/stdin here")
@pytest.mark.parametrize("shell", ["cat a.gpr | {} /dev/stdin", "{} <(cat a.gpr)", "{} /dev/fd/3 3< <(cat a.gpr)"])
def test_what_comes_through_a_pipe_is_refused_with_what_to_do(cli: Cli, tmp_path: Path, shell: str) -> None:
    command = shell.format(f"{sys.executable} -m gridnorm normalize -o o.tsv")
    root = Path(gn.__file__).resolve().parents[1]
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3 and "found a pipe, expected a file. Write the data to a file first" in done.stderr


def test_a_nul_in_a_name_is_a_usage_error(cli: Cli) -> None:
    for call in (gn.read, gn.normalize, lambda name: gn.write(gn.read("a.gpr"), name)):
        with pytest.raises(OptionError, match=r"cannot hold a NUL character; found 'a\\x00\.tsv'"):
            call("a\0.tsv")


@pytest.mark.parametrize("name", ["n" * 241 + ".tsv", "n" * 300 + ".tsv"])
def test_an_output_whose_name_no_file_system_takes_is_an_output_error(cli: Cli, tmp_path: Path, name: str) -> None:
    ran = cli("normalize", "a.gpr", "-o", name)
    assert ran.code == 6 and "File name too long" in ran.err and name in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.gpr"]


def test_names_too_long_for_a_file_are_cut_not_refused(cli: Cli, tmp_path: Path) -> None:
    long = "µ" * 125
    for at, more in enumerate(("a", "b")):
        sheet(seed=at + 1).write(tmp_path / f"{long}{more}.gpr")
    rows = [f"{long}a.gpr\t{'n' * 3000}", f"{long}b.gpr\t{'n' * 3000}x", "a.gpr\ta"]
    (tmp_path / "t.txt").write_text("FileName\tName\n" + "\n".join(rows) + "\n", encoding="utf-8")
    assert cli("normalize", f"{long}a.gpr").code == 0, "the default name of the output is cut, too"
    ran = cli("normalize", "t.txt", "-o", "out/", "--format", "csv.gz")
    assert ran.code == 0
    assert len(list((tmp_path / "out").glob("n*.csv.gz"))) == 2
    ran = cli("normalize", "t.txt", "-o", "parts/", "--split", "Block")
    assert ran.code == 0 and max(len(os.fsencode(name)) for name in os.listdir("parts")) <= 255
    record = json.loads((tmp_path / "out" / "gridnorm.json").read_text(encoding="utf-8"))
    assert record["arrays"][0]["name"] == "n" * 3000, "the record has the whole name"


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no devices in folders here")
def test_a_device_takes_a_table_and_gets_no_record_beside_it(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to("/dev/null")
    for name in ("/dev/null", "nowhere"):
        ran = cli("normalize", "a.gpr", "-o", name)
        assert ran.code == 0 and f"wrote {name}" in ran.err and "record of the run" not in ran.err
    arrays = gn.read("a.gpr")
    gn.write(gn.normalize(arrays), "nowhere")
    assert not list(tmp_path.glob("nowhere.*")) and not Path("/dev/null.gridnorm.json").exists()
    assert cli("normalize", "a.gpr", "-o", "nowhere", "--sidecar", "s.json").code == 0 and Path("s.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_that_of_the_file_in_every_format(cli: Cli, tmp_path: Path) -> None:
    for form in ("tsv", "tsv.gz", "csv.gz"):
        (tmp_path / f"o.{form}").symlink_to("/dev/full")
        ran = cli("normalize", "a.gpr", "-o", f"o.{form}")
        assert ran.code == 6 and f"o.{form}: the disk is full" in ran.err


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("o.tsv", ("normalize", "a.gpr", "-o", "o.tsv")),
        ("o.tsv.gridnorm.json", ("normalize", "a.gpr", "-o", "o.tsv")),
        ("s.json", ("normalize", "a.gpr", "-o", "o.tsv", "--sidecar", "s.json")),
        ("o.png", ("normalize", "a.gpr", "-o", "o.tsv", "--figure", "o.png")),
        ("log.txt", ("normalize", "a.gpr", "-o", "o.tsv", "--log-file", "log.txt")),
        ("a.tsv", ("normalize", "a.gpr", "-o", "out/")),
        ("a.tsv.gridnorm.json", ("normalize", "a.gpr", "-o", "out/")),
        ("gridnorm.json", ("normalize", "a.gpr", "-o", "out/")),
        ("truth.tsv", ("simulate", "-o", "out", "--arrays", "1", "--blocks", "1x1", "--spots", "5x5")),
    ],
)
def test_no_output_takes_the_place_of_one_that_appears_during_the_run(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, args: tuple[str, ...]
) -> None:
    if name.endswith("png"):
        pytest.importorskip("matplotlib")
    real = Output._commit
    theirs: list[Path] = []

    def commit(files: Output) -> None:
        found = [Path(file.target) for file in files._pending if Path(file.target).name == name]
        for path in found:
            path.write_bytes(b"theirs")
        theirs.extend(found)
        real(files)

    monkeypatch.setattr(Output, "_commit", commit)
    ran = cli(*args)
    assert ran.code == 2 and f"{name}: the output exists already: it appeared during the run" in ran.err
    assert [path.read_bytes() for path in theirs] == [b"theirs"]
    monkeypatch.undo()


def test_the_most_that_may_be_asked_for() -> None:
    assert ITERATIONS.read(MOST_ITERATIONS) == MOST_ITERATIONS
    with pytest.raises(gn.GridnormError, match="out of range; found 1001"):
        ITERATIONS.read(MOST_ITERATIONS + 1)
    plain = {"gains": (), "small_tips": 0}
    _check(_MOST_SPOTS // 10_000, (10, 10), (10, 10), plain)
    with pytest.raises(gn.GridnormError, match="too many spots"):
        _check(_MOST_SPOTS // 10_000 + 1, (10, 10), (10, 10), plain)
