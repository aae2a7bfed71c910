"""``gridnorm`` as a process: what it imports, signals, closed pipes, and bytes that depend on nothing but the inputs."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import damage
import pytest
from damage import Cli, sheet, table

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "gridnorm" / "schemas" / "sidecar-2.schema.json"
HEAVY = ("pandas", "scipy", "statsmodels", "sklearn", "cupy", "torch", "matplotlib", "pyarrow")
COMMAND = [sys.executable, "-m", "gridnorm"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def loaded(folder: Path, *args: object) -> set[str]:
    """Modules in memory after a command."""
    code = "import sys; from gridnorm.cli import run; code = run(sys.argv[1:]); print('\\n'.join(sys.modules), file=sys.stderr); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line for line in done.stderr.splitlines() if line.isidentifier()}


def start(folder: Path, *args: object, **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *map(str, args)], cwd=folder, env=environment(), stderr=subprocess.PIPE, **streams
    )


# ---- imports -------------------------------------------------------------------------------------------------------


def test_help_imports_no_array_library(tmp_path: Path) -> None:
    assert not {"numpy", *HEAVY} & loaded(tmp_path, "--help")


def test_the_main_job_imports_numpy_and_click_only(tmp_path: Path) -> None:
    sheet().write(tmp_path / "a.gpr")
    names = loaded(tmp_path, "normalize", "a.gpr", "--background", "normexp", "-o", "x.tsv")
    assert "numpy" in names
    # Nor what starts processes: one array needs none.
    assert not {*HEAVY, "multiprocessing"} & names


# ---- signals and pipes ---------------------------------------------------------------------------------------------


# Runs the command line with a function that stands still when it is called for array b.
STOPPED = """
import importlib, sys, time
place, name = sys.argv[1].split(":")
output = importlib.import_module("gridnorm.workflow." + place)
known = getattr(output, name)

def waits(*args, **more):
    if "b" in str(getattr(args[0], "name", args[0]))[-8:]:
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(60)
    return known(*args, **more)

setattr(output, name, waits)
from gridnorm.cli import main
main(sys.argv[2:])
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("where", ["unit:read_array", "record:write_table"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_no_half_written_file(
    tmp_path: Path, where: str, number: signal.Signals, code: int
) -> None:
    for k, name in enumerate("ab"):
        sheet(k).write(tmp_path / f"{name}.gpr")
    command = [sys.executable, "-c", STOPPED, where, "normalize", "a.gpr", "b.gpr", "-o", "each/"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"waiting\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert damage.leftovers(tmp_path) == []
    assert sorted(p.name for p in (tmp_path / "each").iterdir()) == ["a.tsv", "a.tsv.gridnorm.json"]
    assert len(table(tmp_path / "each" / "a.tsv")["ID"]) == 224


@pytest.mark.parametrize(
    "args",
    [
        ("normalize", "a.gpr", "-o", "-"),
        ("inspect", "a.gpr", "--json"),
        ("normalize", "a.gpr", "--dry-run"),
        ("normalize", "--help"),
    ],
)
def test_a_closed_pipe_is_no_error(tmp_path: Path, args: tuple[str, ...]) -> None:
    sheet(blocks=(4, 4), spots=(12, 12)).write(tmp_path / "a.gpr")
    process = start(tmp_path, *args, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert b"Traceback" not in said and b"Broken" not in said and b"Exception ignored" not in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gpr"]


def test_a_full_stdout_is_exit_6(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    sheet().write(tmp_path / "a.gpr")
    with open("/dev/full", "wb") as full:
        process = start(tmp_path, "normalize", "a.gpr", "-o", "-", "--sidecar", "x.json", stdout=full)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 6, said
    assert b"the disk is full" in said and b"Traceback" not in said
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("args", [("inspect", "a.gpr"), ("doctor",), ("normalize", "a.gpr", "--dry-run")])
def test_every_command_says_that_stdout_is_full(tmp_path: Path, args: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    sheet().write(tmp_path / "a.gpr")
    with open("/dev/full", "wb") as full:
        process = start(tmp_path, *args, stdout=full)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 6, said
    assert said.startswith(b"gridnorm: standard output: the disk is full. ")


def test_talk_survives_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    sheet().write(tmp_path / "å.gpr")
    environ = environment() | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(
        [*COMMAND, "normalize", "å.gpr", "-o", "-"], cwd=tmp_path, env=environ, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"M.\xc3\xa5\t" in done.stdout
    done = subprocess.run([*COMMAND, "inspect", "å.gpr"], cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- the record ----------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The same run in two folders, called from other places by other spellings."""
    cli = Cli(capsys, tmp_path)
    folders = tmp_path / "one", tmp_path / "two words" / "deep"
    for folder in folders:
        (folder / "in").mkdir(parents=True)
        for k, name in enumerate("ab"):
            sheet(k, bad=0.1).write(folder / "in" / f"{name}.gpr")
        (folder / "in" / "notes.txt").write_text("nothing")
        damage.gal_of(sheet(), folder / "in" / "print.gal")
    options = ["--gal", "in/print.gal", "--by", "Block,Row", "--min-group", "auto"]
    calls = {"x.tsv": ["in"], "x.tsv.gz": ["in/a.gpr", "in/b.gpr"], "each/": ["in/*.gpr"]}
    monkeypatch.chdir(folders[0])
    for out, inputs in calls.items():
        assert cli("normalize", *inputs, *options, "-o", out).code == 0
    monkeypatch.chdir("/")
    options[1] = str(folders[1] / "in" / ".." / "in" / "print.gal")
    for out, inputs in calls.items():
        assert (
            cli("normalize", *(folders[1] / name for name in inputs), *options, "-o", f"{folders[1]}/{out}").code == 0
        )
    return folders


def test_same_inputs_and_options_give_the_same_bytes_everywhere(runs: tuple[Path, Path]) -> None:
    one, two = ({str(p.relative_to(f)): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in runs)
    assert sorted(one) == sorted(two)
    assert len([name for name in one if name.endswith(".json")]) == 5
    assert one == two
    assert gzip.decompress(one["x.tsv.gz"]) == one["x.tsv"]


def test_a_record_holds_nothing_of_the_machine_or_the_moment(runs: tuple[Path, Path]) -> None:
    for path in runs[1].rglob("*.json"):
        text = path.read_text()
        for secret in (str(runs[1]), "two words", "in/", socket.gethostname(), str(Path.home())):
            assert len(secret) < 3 or secret not in text, (path.name, secret)
        for key in ("time", "date", "host", "user", "jobs", "seconds"):
            assert f'"{key}"' not in text


def test_every_record_fits_the_published_schema(runs: tuple[Path, Path]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for path in sorted(runs[0].rglob("*.json")):
        check.validate(json.loads(path.read_text()))
    record = json.loads((runs[0] / "x.tsv.gridnorm.json").read_text())
    for damaged in (
        {**record, "clock": 1},
        {**record, "schema": 1},
        {**record, "inputs": [{"name": "a"}]},
        {k: v for k, v in record.items() if k != "layout"},
    ):
        assert not check.is_valid(damaged)


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "none"], ["--method", "zscore", "--flags", "drop"], ["--preset", "limma", "--flags", "downweight"],
        ["--channels", "635"], ["--by", "ID", "--small-groups", "merge"], ["--layout", "2x2x8x7", "--keep", "Dia."],
        ["--weights", "area:50,100", "--precision", "full", "--small-groups", "shrink"], ["--by", "array,pad", "--offset", "1.5"],
    ],
)  # fmt: skip
def test_every_option_leaves_a_record_that_fits_the_schema(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.chdir(tmp_path)
    sheet(bad=0.3).write(tmp_path / "a.gpr")
    (tmp_path / "bad.gpr").write_text("nothing")
    code = Cli(capsys, tmp_path)("normalize", "a.gpr", "bad.gpr", *options, "-o", "x.tsv").code
    if options[:2] == ["--by", "ID"]:  # one spot a group: there is nothing to merge with
        assert code == 4
        return
    assert code == 1
    jsonschema.validate(json.loads((tmp_path / "x.tsv.gridnorm.json").read_text()), json.loads(SCHEMA.read_text()))


def test_the_record_lists_what_was_read_with_its_digest(runs: tuple[Path, Path]) -> None:
    from hashlib import sha256

    record = json.loads((runs[0] / "x.tsv.gridnorm.json").read_text())
    assert [given["name"] for given in record["inputs"]] == ["a.gpr", "b.gpr", "print.gal"]
    for given in record["inputs"]:
        data = (runs[0] / "in" / given["name"]).read_bytes()
        assert (given["size"], given["sha256"]) == (len(data), sha256(data).hexdigest())
    assert {skip["file"] for skip in record["skipped"]} == {"notes.txt", "print.gal"}
    titles = (runs[0] / "x.tsv").read_text().splitlines()[0].split("\t")
    assert record["output"] == {"file": "x.tsv", "rows": 224, "columns": titles, "precision": 6}


# ---- completion ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gridnorm no", ["normalize"]),
        ("gridnorm normalize --small", ["--small-groups"]),
        ("gridnorm normalize --method m", ["median", "mean", "mad"]),
        ("gridnorm normalize --by sl", ["slide-row", "slide-column"]),
        ("gridnorm normalize --flags ", ["exclude", "ignore", "drop", "downweight"]),
        ("gridnorm inspect --foreground me", ["mean", "median"]),
    ],
)
def test_the_shell_completes_commands_options_and_their_words(tmp_path: Path, words: str, expected: list[str]) -> None:
    count = words.count(" ")
    given = {"_GRIDNORM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = subprocess.run(COMMAND, cwd=tmp_path, env=environment() | given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == expected


@pytest.mark.slow
@pytest.mark.parametrize("out", ["o.tsv", "out/"])
def test_of_racing_runs_one_says_that_it_has_written_and_nothing_is_lost(tmp_path: Path, out: str) -> None:
    sheet().write(tmp_path / "a.gpr")
    spans = [f"0.{k}" for k in range(3, 7)]
    runs = [start(tmp_path, "normalize", "a.gpr", "-o", out, "--span", span) for span in spans]
    said = [run.communicate()[1].decode() for run in runs]
    codes = [run.returncode for run in runs]
    assert codes.count(0) == 1 and set(codes) <= {0, 2, 6}, said
    for code, text in zip(codes, said, strict=True):
        assert (code == 0) == ("wrote " in text) and "Traceback" not in text
    first = codes.index(0)
    alone = start(tmp_path, "normalize", "a.gpr", "-o", f"alone-{out}", "--span", spans[first])
    alone.communicate()
    made, wanted = (tmp_path / out, tmp_path / f"alone-{out}")
    if out.endswith("/"):
        made, wanted = made / "a.tsv", wanted / "a.tsv"
    assert made.read_bytes() == wanted.read_bytes()
    record = json.loads(Path(f"{made}.gridnorm.json").read_text(encoding="utf-8"))
    assert record["parameters"]["span"] == float(spans[first])
    assert damage.leftovers(tmp_path) == []
