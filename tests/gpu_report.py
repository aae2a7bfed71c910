"""What the acceptance run on a GPU keeps: checks, times taken on the device, and the page that is made of them."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gridnorm.core.engines.cuda.device import current_device


@dataclass
class Report:
    """What was found."""

    info: dict[str, Any] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    speed: list[dict[str, Any]] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def say(self, *words: Any) -> None:
        print(f"[{time.perf_counter() - self.started:6.1f} s]", *words, flush=True)

    def check(self, name: str, found: Any, expected: Any, tolerance: float, scale: float = 1.0) -> None:
        """Compare; NaN must stand where NaN is expected. ``tolerance`` is in units of ``scale``."""
        found, expected = np.asarray(on_host(found), np.float64), np.asarray(expected, np.float64)
        if found.shape != expected.shape:
            self.fail(name, f"shape {found.shape}, expected {expected.shape}")
            return
        with np.errstate(invalid="ignore"):
            apart = np.where(found == expected, 0.0, np.abs(found - expected)) / scale
        same_gaps = bool((np.isnan(found) == np.isnan(expected)).all())
        worst = float(np.nanmax(apart, initial=0.0))
        ok = same_gaps and worst <= tolerance
        self.checks.append({"name": name, "ok": ok, "worst": worst, "tolerance": tolerance})
        gaps = "" if same_gaps else ", NaN at other places"
        self.say("pass" if ok else "FAIL", name, f"worst {worst:.1e}, allowed {tolerance:.0e}{gaps}")

    def fail(self, name: str, trouble: str) -> None:
        self.checks.append({"name": name, "ok": False, "trouble": trouble})
        self.say("FAIL", name, trouble)

    def step(self, work: Callable[..., Any], *args: Any) -> None:
        """Do one part; one that breaks is a failed check, and what was found before it is still written."""
        try:
            work(self, *args)
        except Exception as error:  # noqa: BLE001 - a card may fail in ways of its own
            told = ", ".join(str(arg) for arg in args if isinstance(arg, int | tuple))
            self.fail(f"{work.__name__}({told}) runs to its end", f"{type(error).__name__}: {error}")
            traceback.print_exc()


def on_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array


FLUSH = 2**30  # bytes written before a call is timed: far more than any card's L2 cache
FLUSHED_PER_S = 8e12  # at most, of the cards there are


class Clock:
    """Seconds of a call on the device (CUDA events) or, in a rehearsal, on the clock.

    Before each call the device is kept busy writing a large buffer: that empties its cache, and lasts until Python has
    put the call's kernels into the queue, so that the events enclose the device's time and not Python's. A call that
    waits for the device itself (lowess does, for the number of knots) is timed with its waits.
    """

    def __init__(self, repeats: int, flush: Any = None) -> None:
        self.repeats, self.flush = repeats, flush
        self.copy = float("nan")
        self.host = float("nan")  # seconds until the last call came back to Python

    def seconds(self, call: Callable[[], Any]) -> float:
        for _ in range(1 if self.repeats == 1 else 3):
            self.host = self._on_the_clock(call)
        if current_device().name != "cuda":
            return self._on_the_clock(call)
        writes = 1 + min(20, int(1.5 * self.host / (self.flush.nbytes / FLUSHED_PER_S)))
        return statistics.median(self._between_events(call, writes) for _ in range(self.repeats))

    def _on_the_clock(self, call: Callable[[], Any]) -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    def _between_events(self, call: Callable[[], Any], writes: int) -> float:
        cuda = current_device().xp.cuda
        before, after = cuda.Event(), cuda.Event()
        cuda.get_current_stream().synchronize()
        for _ in range(writes):
            self.flush.fill(0)
        before.record()
        self.host = self._on_the_clock(call)
        after.record()
        after.synchronize()
        return float(cuda.get_elapsed_time(before, after)) / 1e3

    def row(self, report: Report, name: str, call: Callable[[], Any], traffic: int, **more: Any) -> float:
        """Time a call; ``traffic``: bytes that it must move at least."""
        seconds = self.seconds(call)
        rate = traffic / seconds
        row = {"name": name, "us": seconds * 1e6, "GBps": rate / 1e9, "percent_of_copy": 100 * rate / self.copy, **more}
        row["host_us"] = self.host * 1e6
        report.speed.append(row)
        report.say(f"{name:64} {row['us']:10.1f} µs {row['GBps']:8.1f} GB/s {row['percent_of_copy']:6.1f} % of copy")
        return seconds


def markdown(report: Report) -> str:
    lines = [f"- {name}: {value}" for name, value in report.info.items()]
    failed = [check["name"] for check in report.checks if not check["ok"]]
    lines += [f"- checks: {len(report.checks) - len(failed)} of {len(report.checks)} passed", ""]
    lines += [*(f"- FAILED: {name}" for name in failed), ""]
    if report.info.get("engine") == "cuda":
        lines += ["| kernel | µs | GB/s of minimum traffic | % of copy | µs in Python |", "|---|---|---|---|---|"]
        lines += [
            f"| {r['name']} | {r['us']:.0f} | {r['GBps']:.0f} | {r['percent_of_copy']:.0f} | {r['host_us']:.0f} |"
            for r in report.speed
        ]
        lines += ["", *(f"- {name}: {ratio:.2f}" for name, ratio in report.ratios.items())]
    else:
        lines.append("A rehearsal on the CPU: nothing here says how fast a GPU is.")
    return "\n".join(lines) + "\n"
