"""What is printed: any text on any stream, nothing that acts on a terminal, nothing lost in silence."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.cli import run
from gridnorm.plain import ascii_only, one_line, visible

ROOT = Path(__file__).resolve().parents[2]
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f‮"
ARGUMENTS = [
    ("inspect", "×…→.gpr"),
    ("inspect", "×…→.gpr", "--json"),
    ("normalize", "--help"),
    ("simulate", "--help"),
    ("normalize", "×…→.gpr", "--dry-run"),
    ("normalize", "×…→.gpr", "--json", "--force"),
    ("normalize", "日本.gpr"),
    ("doctor",),
]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, tmp_path)


@pytest.mark.parametrize("encoding", ["cp1251", "cp437", "latin-1", "ascii", "utf-16"])
def test_every_command_prints_in_every_encoding(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sheet().write(Path("×…→.gpr"))
    for arguments in ARGUMENTS:
        with monkeypatch.context() as patch:
            streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            code = run(list(arguments))
        for stream in streams:
            stream.flush()
        out, said = (stream.detach().getvalue().decode(encoding) for stream in streams)
        assert code == (3 if "日本.gpr" in arguments else 0), said
        assert "internal error" not in said
        if "--json" in arguments or "--dry-run" in arguments:
            found = json.loads(out)
            assert "×…→" in json.dumps(found, ensure_ascii=False), "JSON stays what it is in every encoding"
        elif arguments[0] == "inspect" and encoding == "latin-1":
            assert "×...->.gpr" in out and "blocks of" in out


def test_nothing_from_a_file_acts_on_the_terminal(cli: Cli, tmp_path: Path) -> None:
    evil = sheet()
    evil = replace(evil, records={**evil.records, "Type": f"GenePix Results 3{ESCAPE}", "NormalizationMethod": ESCAPE})
    evil.write(tmp_path / "a\x1b[2J\nfailed: b.gpr")
    rows = f"FileName\tName\na\x1b[2Jx.gpr\tq\n{ESCAPE.replace(chr(10), '')}.gpr\tz{ESCAPE}\nb.gpr\t{ESCAPE}\n"
    (tmp_path / "t.txt").write_text(rows, encoding="utf-8")
    evil.write(tmp_path / "b.gpr")
    runs = [
        cli("inspect", "."),
        cli("inspect", ".", "--json"),
        cli("normalize", "t.txt", "-v", "--json", "--log-file", "log.txt"),
        cli("normalize", "t.txt", "--dry-run"),
        cli("normalize", ESCAPE, "-o", "x.tsv"),
        cli("normalize", "b.gpr", "--by", ESCAPE, "-o", "y.tsv"),
        cli("normalize", "b.gpr", f"--{ESCAPE}"),
        cli(ESCAPE),
    ]
    texts = [text for ran in runs for text in (ran.out, ran.err)]
    texts += [(tmp_path / name).read_text(encoding="utf-8") for name in ("log.txt", "normalized.tsv.gridnorm.json")]
    for text in texts:
        assert visible(text) == text, text
    assert "\nfailed: b" not in runs[0].out, "a name stays one line"
    assert "\\u001b[2J" in runs[0].out
    version = json.loads(runs[1].out)["inputs"][0]["version"]
    assert version == f"GenePix Results 3{ESCAPE}", "JSON holds what the file holds"


def test_text_that_acts_is_written_as_json_escapes_it() -> None:
    text = "a\tb\n\x00\x1b\x7f\x9b\udcff\u2066×"
    assert visible(text) == "a\tb\n\\u0000\\u001b\\u007f\\u009b\\udcff\\u2066×"
    assert one_line("a\nb") == "a\\u000ab"
    assert json.loads(ascii_only(json.dumps("×😀", ensure_ascii=False))) == "×😀"
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX closes streams")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("inspect a.gpr >&-", 6, "standard output is closed"),
        ("normalize a.gpr -o - >&-", 6, "standard output is closed"),
        ("normalize a.gpr >&-", 0, "wrote a.normalized.tsv"),
        ("normalize a.gpr -o b.tsv >&- 2>&- <&-", 0, ""),
    ],
)
def test_closed_streams(tmp_path: Path, command: str, code: int, said: str) -> None:
    sheet().write(tmp_path / "a.gpr")
    done = subprocess.run(
        f"{sys.executable} -m gridnorm {command}",
        shell=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr


def test_errors_and_warnings_in_python_do_not_act_on_the_terminal_either(cli: Cli, tmp_path: Path) -> None:
    evil = sheet()
    replace(evil, records={**evil.records, "NormalizationMethod": ESCAPE}).write(tmp_path / "a.gpr")
    with pytest.warns(gn.GridnormWarning) as said:
        gn.read("a.gpr")
    assert any("\\u001b" in str(one.message) for one in said)
    assert not any("\x1b" in str(one.message) for one in said)
    with pytest.raises(gn.GridnormError) as error:
        gn.read(f"{ESCAPE}.gpr")
    assert visible(str(error.value)) == str(error.value)
