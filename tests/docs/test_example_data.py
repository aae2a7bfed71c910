"""The example data come from their command, bit for bit."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from gridnorm.cli import run

EXAMPLE = Path(__file__).resolve().parents[2] / "example_data"


def test_the_recorded_command_makes_the_example_data_again(tmp_path: Path) -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^gridnorm simulate .*$", readme, flags=re.MULTILINE)
    words = shlex.split(line)[1:]
    words[words.index("example_data")] = str(tmp_path / "made")
    assert run(words) == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    kept = {path.name: path.read_bytes() for path in EXAMPLE.iterdir() if path.name != "README.md"}
    assert made.keys() == kept.keys()
    differing = [name for name in made if made[name] != kept[name]]
    assert differing == [], "simulate has changed: run the command of example_data/README.md again, with --force"


def test_the_example_data_are_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) <= 3_000_000
