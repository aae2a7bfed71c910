"""``gridnorm doctor``, ``--version`` and ``--help``."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest
from damage import Cli

import gridnorm


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    return Cli(capsys, tmp_path)


def test_versions_and_the_device_with_its_reason(cli: Cli) -> None:
    ran = cli("doctor")
    assert ran.code == 0
    assert f"gridnorm {gridnorm.__version__}" in ran.out and sys.version.split()[0] in ran.out
    assert importlib.metadata.version("numpy") in ran.out
    assert "device: CPU" in ran.out
    assert ran.err == ""


def test_json_says_the_same(cli: Cli) -> None:
    found = json.loads(cli("doctor", "--json").out)
    assert found["gridnorm"] == gridnorm.__version__
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert found["device"]["used"] == "cpu" and found["device"]["reason"]
    assert found["missing"] == []
    assert set(found["optional"]["pyarrow"]) == {"version", "extra"}


def test_a_missing_package_is_named_with_what_to_do_and_exit_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from gridnorm.cli import doctor_command

    known = doctor_command._version
    monkeypatch.setattr(doctor_command, "_version", lambda name: None if name in ("scipy", "torch") else known(name))
    ran = cli("doctor")
    assert ran.code == 1
    assert "MISSING: pip install scipy" in ran.out
    assert 'pip install "gridnorm[torch]"' in ran.out
    assert json.loads(cli("doctor", "--json").out)["missing"] == ["scipy"]


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out == f"gridnorm {gridnorm.__version__}\n"
    out = cli("--help").out
    for command in ("normalize", "inspect", "simulate", "doctor"):
        assert command in out
        assert cli(command, "--help").code == 0
    assert cli().code == 2 or "Usage" in cli().out
    ran = cli("normalise")
    assert (ran.code, ran.out) == (2, "") and "Did you mean 'normalize'?" in ran.err
