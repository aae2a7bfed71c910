"""Shared by the benchmarks: run commands, pair their figures, say what they ran on."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Used:
    """What one run took: CPU s (user and system, children too), wall s, peak MiB."""

    cpu: float
    wall: float
    peak: float


def gridnorm_command() -> list[str]:
    """The installed script, as users start it; else the module."""
    script = Path(sys.executable).parent / "gridnorm"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "gridnorm"]


def environment() -> dict[str, str]:
    """That of this process, but compiled modules may be cached as they are for every user."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: Sequence[str]) -> Used:
    """Run a command that must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "used.json", Path(folder) / "log"
        with log.open("wb") as handle:
            subprocess.run(
                [sys.executable, "-I", "-S", str(HERE / "measure.py"), str(out), *command],
                env=environment(), stdout=handle, stderr=handle, check=True,
            )  # fmt: skip
        figures = json.loads(out.read_text())
        if figures.pop("code"):
            raise SystemExit(f"failed: {' '.join(command[:3])} …\n{log.read_text()[-2000:]}")
    return Used(**figures)


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """Paired ratios over / under: median, smallest, largest."""
    paired = [a / b for a, b in zip(over, under, strict=True)]
    return {"median": statistics.median(paired), "min": min(paired), "max": max(paired)}


def shown(figures: dict[str, float]) -> str:
    return f"{figures['median']:.2f} ({figures['min']:.2f} – {figures['max']:.2f})"


def ran_on(with_r: bool = True) -> dict[str, str]:
    """Versions, processor, date; neither host nor path."""
    import numpy as np

    import gridnorm

    out = {"date": dt.date.today().isoformat(), "processor": _processor(), "python": platform.python_version()}
    out |= {"numpy": np.__version__, "gridnorm": gridnorm.__version__}
    if with_r:
        text = 'cat(as.character(getRversion()), as.character(packageVersion("limma")))'
        said = subprocess.run(["Rscript", "--vanilla", "-e", text], capture_output=True, text=True, check=True)
        out |= dict(zip(("R", "limma"), said.stdout.split(), strict=True))
    return out


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
