"""Completion in shells: what is offered, and that bash asks and gets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from gridnorm.cli import COMMANDS, cli, run

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = "_GRIDNORM_COMPLETE"


def offered(*words: str) -> list[tuple[str, str]]:
    """Type and value of what is offered for the last word."""
    *before, begun = words
    found = ShellComplete(cli, {}, "gridnorm", COMPLETE).get_completions(before, begun)
    return [(one.type, one.value) for one in found]


def plain(*words: str) -> list[str]:
    return [value for kind, value in offered(*words) if kind == "plain"]


def test_commands_options_and_their_words_are_offered() -> None:
    assert plain("") == list(COMMANDS) and plain("in") == ["inspect"]
    assert {"--by", "--method", "--small-groups", "--output"} <= set(plain("normalize", "--"))
    assert plain("normalize", "a.gpr", "--small-groups", "") == ["shrink", "array", "merge", "own", "error"]
    assert plain("normalize", "--method", "m") == ["median", "mean", "mad"]
    assert "print-tip" in plain("inspect", "--by", "print")
    assert plain("normalize", "--preset", "l") == ["limma"]
    assert plain("normalize", "--format", "tsv") == ["tsv", "tsv.gz"]


@pytest.mark.parametrize(
    "words",
    [
        ("normalize", "a"), ("inspect", "b"), ("normalize", "a.gpr", "-o", ""), ("normalize", "--gal", "x"),
        ("normalize", "--sidecar", ""), ("normalize", "--figure", ""), ("normalize", "--log-file", ""),
        ("simulate", "-o", "s"), ("inspect", "--gal", ""),
    ],
)  # fmt: skip
def test_where_a_file_goes_the_shell_completes_files(words: tuple[str, ...]) -> None:
    assert offered(*words) == [("file", words[-1])]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(COMPLETE, f"{shell}_source")
    monkeypatch.setattr(sys, "argv", ["gridnorm"])
    assert run() == 0
    assert f"{COMPLETE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_offers_words_and_its_own_files(tmp_path: Path) -> None:
    command = tmp_path / "gridnorm"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gridnorm "$@"\n')
    command.chmod(0o755)
    script = f"""
    eval "$({COMPLETE}=bash_source gridnorm)"
    compopt() {{ echo "files: $2"; }}  # works inside of a completion only
    COMP_WORDS=(gridnorm normalize --small-groups s); COMP_CWORD=3; _gridnorm_completion gridnorm; echo "${{COMPREPLY[*]}}"
    COMP_WORDS=(gridnorm normalize a); COMP_CWORD=2; _gridnorm_completion gridnorm
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout.splitlines(), done.stderr) == (["shrink", "files: default"], "")
