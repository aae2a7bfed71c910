"""The first page does what it says: its Python runs, its numbers are today's, its two commands stand first."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", env=environment, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder to run in that holds what the README takes for granted."""
    shutil.copytree(CHECKOUT / "example_data", tmp_path / "example_data")
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"), ids=["files", "table", "nn"])
def test_python_of_the_readme_runs_and_prints_what_its_comments_say(code: str, checkout: Path) -> None:
    done = python("-W", "error", "-c", code, cwd=checkout)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, flags=re.MULTILINE)
    assert len(said) == len(expected)
    for line, comment in zip(said, expected, strict=True):
        parts = [re.escape(part) for part in comment.split("…")]
        assert re.fullmatch(".*".join(parts), line), f"prints {line!r}, the README says {comment!r}"


def test_the_first_two_shell_lines_are_the_two_promises() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv .venv && .venv/bin/python -m pip install") for line in lines)
    assert '".[report]"' in lines[0]
    assert lines[1].endswith('".[test]" && .venv/bin/python -m pytest -q')


def test_the_main_job_says_what_the_readme_shows(checkout: Path) -> None:
    pytest.importorskip("matplotlib")
    line = blocks("sh")[0].rpartition("&& ")[2]
    words = shlex.split(line)
    assert words[0] == ".venv/bin/gridnorm"
    files = sorted(str(path.relative_to(checkout)) for path in checkout.glob("example_data/*.gpr"))
    arguments = [part for word in words[1:] for part in (files if word == "example_data/*.gpr" else [word])]
    for _ in range(2):  # it must succeed when repeated
        done = python("-m", "gridnorm", *arguments, cwd=checkout)
        assert done.returncode == 0, done.stderr
        assert done.stderr == blocks("text")[0]
    written = sorted(path.name for path in checkout.iterdir())
    assert written == ["example_data", "ma-by-print-tip.png", "normalized.tsv", "normalized.tsv.gridnorm.json"]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    missing = [link for link in links if not link.startswith("http") and not (CHECKOUT / link).exists()]
    assert missing == []
