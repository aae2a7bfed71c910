"""The acceptance run for a borrowed GPU: rehearsed without one, and what it does when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cudashim
import numpy as np
import pytest

from gridnorm.core.engines.cuda.device import use_device

TESTS = Path(__file__).resolve().parent.parent
import gpu_report


@pytest.mark.slow
@pytest.mark.shim
def test_the_rehearsal_passes_and_writes_what_it_found(
    tmp_path: Path, skip_without: Callable[[str, str], None]
) -> None:
    if cudashim.MODE != "fast":
        pytest.skip("a process of its own")
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    command = [sys.executable, str(TESTS / "gpu_acceptance.py"), "--backend", "cpu-kernels", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--limma-ms", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu_acceptance.json").read_text())
    assert len(found["checks"]) > 100
    assert all(check["ok"] for check in found["checks"])
    assert any(name.startswith("limma / ") for name in found["ratios"])
    assert "A rehearsal on the CPU" in (tmp_path / "gpu_acceptance.md").read_text()


def test_what_is_wrong_is_a_failed_check_and_ends_nothing() -> None:
    report = gpu_report.Report()
    report.check("right", [1.0, np.nan], [1.0, np.nan], 0)
    report.check("too far", [1.0], [1.1], 0.01)
    report.check("a gap", [np.nan], [1.0], 1)
    report.check("too many", [1.0, 2.0], [1.0], 1)
    report.step(lambda report, shape: report.check("never", shape / 0, 0, 0), 7)
    assert [check["ok"] for check in report.checks] == [True, False, False, False, False]
    assert "shape (2,), expected (1,)" in report.checks[3]["trouble"]
    assert "ZeroDivisionError" in report.checks[4]["trouble"]


def test_a_call_is_timed_between_events_behind_writes_that_hide_python() -> None:
    """With a card made of counters: what is queued, in which order."""
    queued: list[str] = []

    class Event:
        def record(self) -> None:
            queued.append("event")

        def synchronize(self) -> None:
            queued.append("wait")

    stream = SimpleNamespace(synchronize=lambda: None)
    cuda = SimpleNamespace(Event=Event, get_current_stream=lambda: stream, get_elapsed_time=lambda a, b: 250.0)
    card: Any = SimpleNamespace(name="cuda", xp=SimpleNamespace(cuda=cuda))
    buffer: Any = SimpleNamespace(nbytes=8_000_000_000_000, fill=lambda value: queued.append("write"))
    clock = gpu_report.Clock(2, buffer)
    with use_device(card):
        assert clock.seconds(lambda: queued.append("call")) == 0.25
    assert queued == ["call"] * 3 + ["write", "event", "call", "event", "wait"] * 2
    assert clock.host < 1
