"""One command for a borrowed GPU: is everything right on it, and how fast is it?

    python tests/gpu_acceptance.py --out FOLDER                  # on the GPU; status 1 if any check fails
    python tests/gpu_acceptance.py --backend cpu-kernels         # rehearsal without one: the checks, at small size

Every verb is compared with NumPy in float64, at small and at full size; results must not depend on the batch, and not
on memory that is scarce. Then each kernel is timed: microseconds, GB/s of the traffic that it needs at least, and its
share of what a plain copy reaches on the same card. Writes ``gpu_acceptance.json`` and ``gpu_acceptance.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# Run by hand, where the package need not be installed; what lies beside this file Python finds itself.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from gpu_report import FLUSH, Clock, Report, markdown, on_host
from gpu_standardize import check_standardize, measure_standardize

from gridnorm.core.engines import numpy as numpy_engine
from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device, cuda_status, current_device, use_device
from gridnorm.core.engines.cuda.launch import compile_all
from gridnorm.core.segments import Segments

TIPS, SPOTS = 48, 20_000
# Against float64 of the very values the kernel was given: relative to the spread of the data.
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 4e-6, "bfloat16": 4e-6}
# Of standardized values, up to about 5 in size, written in that type.
ROUNDING = {"float64": 1e-11, "float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
ALL = ("float64", "float32", "float16", "bfloat16")


def groupings(items: int, groups: int, rng: np.random.Generator) -> Iterator[tuple[str, Segments]]:
    """The three shapes of segments: contiguous and even, contiguous and ragged, arbitrary."""
    yield "uniform", Segments.uniform(items - items % groups, groups)
    cuts = np.sort(rng.integers(0, items + 1, groups - 1))
    codes = np.repeat(np.arange(groups), np.diff([0, *cuts, items]))
    yield "ragged", Segments.from_codes(codes, range(groups))
    yield "arbitrary", Segments.from_codes(rng.permutation(codes), range(groups))


# ---------------------------------------------------------------------------------------------- correctness


def typed(values: Any, dtype: str) -> tuple[Any, Any]:
    """Values in a type (bfloat16: its bits, as uint16), and what they are in float64."""
    if dtype != "bfloat16":
        view = values.astype(dtype)
        return view, view if dtype == "float64" else view.astype(np.float64)
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    view = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return view, widened(view, dtype)


def widened(view: Any, dtype: str) -> Any:
    """Values of a type as float64."""
    return ((view.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else view).astype(np.float64)


def check_reductions(report: Report, shape: tuple[int, int, int], groups: int, dtypes: tuple[str, ...]) -> None:
    """Moments, standardize, median, MAD and quantiles."""
    from gridnorm.core.engines import cuda as cuda_engine

    rng = np.random.default_rng(1)
    to = current_device().xp.asarray
    for kind, segments in groupings(shape[1], groups, rng):
        for dtype in dtypes:
            view, exact = typed(rng.standard_normal((shape[0], segments.n_items, shape[2])) * 3 + 50, dtype)
            if dtype == "float64":
                view[rng.random(view.shape) < 0.01] = np.nan
            name = f"{dtype} {kind} {view.shape} in {groups}"
            n, mean, deviation = numpy_engine.moments(exact, segments, None, None)
            found = cuda_engine.moments(to(view), segments, None, None, dtype=dtype)
            report.check(f"moments: n {name}", found[0], n, 0)
            report.check(f"moments: mean {name}", found[1], mean, TOLERANCE[dtype], 50)
            report.check(f"moments: deviation {name}", found[2], deviation, TOLERANCE[dtype], 3)
            expected = numpy_engine.remove(exact, segments, mean, deviation)
            result = on_host(cuda_engine.remove(to(view), segments, to(mean), to(deviation), dtype=dtype))
            report.check(f"standardize {name}", widened(result, dtype), expected, ROUNDING[dtype])
            if dtype in ("float32", "float64"):
                check_order_statistics(report, view, exact, segments, name)


def check_order_statistics(report: Report, view: Any, exact: Any, segments: Segments, name: str) -> None:
    from gridnorm.core.engines import cuda as cuda_engine

    to = current_device().xp.asarray
    tolerance = 0 if view.dtype == np.float64 else 1e-6
    n, centre, spread = numpy_engine.mad(exact, segments, None, None)
    found = cuda_engine.mad(to(view), segments, None, None)
    report.check(f"mad: n {name}", found[0], n, 0)
    report.check(f"median {name}", found[1], centre, tolerance, 50)
    report.check(f"mad {name}", found[2], spread, tolerance * 20, 3)
    probabilities = np.array([0.0, 0.1, 0.25, 0.5, 1.0])
    _, points = numpy_engine.quantiles(exact, segments, None, probabilities)
    report.check(
        f"quantiles {name}", cuda_engine.quantiles(to(view), segments, None, to(probabilities))[1], points, 1e-6, 50
    )


def spots(batch: int, items: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """M and A of arrays, (batch, item, 1): a bent curve with noise, on values as they are in files (with ties)."""
    a = np.round(6 + 10 * rng.beta(2, 4, (batch, items, 1)), 3)
    return np.sin(a / 2) + 0.3 * rng.standard_normal(a.shape), a


LOWESS: dict[str, Any] = {"span": 0.3, "iterations": 4, "zero_weights": "clamp"}


def check_lowess(report: Report, batch: int, items: int, groups: int) -> None:
    """Both of limma's paths, and the curve at every item."""
    from gridnorm.core.engines import cuda as cuda_engine

    rng = np.random.default_rng(2)
    to = current_device().xp.asarray
    m, a = spots(batch, items, rng)
    m[rng.random(m.shape) < 0.01] = np.nan
    weights = np.where(rng.random((batch, items)) < 0.05, 0.0, rng.random((batch, items)))
    for kind, segments in list(groupings(items, groups, rng))[1:]:
        for path, w in (("plain", None), ("weighted", weights)):
            name = f"{path} {kind} {batch} × {items} in {groups}"
            n, knots = numpy_engine.lowess_fit(m, a, segments, w, None, **LOWESS)
            found_n, found = cuda_engine.lowess_fit(
                to(m), to(a), segments, None if w is None else to(w), None, **LOWESS
            )
            report.check(f"lowess: n {name}", found_n, n, 0)
            report.check(f"lowess: places of the knots {name}", found.x, knots.x, 0)
            report.check(f"lowess: curve {name}", found.y, knots.y, 1e-12, float(np.nanmax(np.abs(knots.y))))
            expected = numpy_engine.interpolate(knots, a, segments)
            report.check(
                f"curve at every item {name}", cuda_engine.interpolate(found, to(a), segments), expected, 1e-11
            )


@dataclass
class Scarce:
    """A device that says it has little memory."""

    inner: Device
    room: int

    def __post_init__(self) -> None:
        self.name, self.xp, self.function = self.inner.name, self.inner.xp, self.inner.function
        self.card, self.place, self.special = self.inner.card, self.inner.place, self.inner.special

    def free_bytes(self) -> int:
        return self.room


def check_independence(report: Report, batches: tuple[int, ...], items: int, groups: int) -> None:
    """Results are bit-equal run to run, at any batch size, and with memory for a few entries only."""
    from gridnorm.core.engines import cuda as cuda_engine

    rng = np.random.default_rng(3)
    to = current_device().xp.asarray
    m, a = spots(max(batches), items, rng)
    *_, (_, segments) = groupings(items, groups, rng)

    def everything(stop: int) -> list[Any]:
        n, knots = cuda_engine.lowess_fit(to(m[:stop]), to(a[:stop]), segments, None, None, **LOWESS)
        found = [
            *cuda_engine.moments(to(m[:stop]), segments, None, None),
            *cuda_engine.mad(to(m[:stop]), segments, None, None),
        ]
        found += cuda_engine.moments(to(m[:stop].astype(np.float32)), segments, None, None)[1:]
        return [np.asarray(on_host(v)) for v in (n, cuda_engine.interpolate(knots, to(a[:stop]), segments), *found)]

    whole = everything(max(batches))
    runs = {f"batch of {stop}": (stop, lambda stop=stop: everything(stop)) for stop in batches}

    def scarce() -> list[Any]:
        with use_device(Scarce(current_device(), 150 * items * 3)):
            return everything(max(batches))

    runs["little memory"] = (max(batches), scarce)
    for name, (stop, run) in runs.items():
        same = all(np.array_equal(x, y[:stop], equal_nan=True) for x, y in zip(run(), whole, strict=True))
        report.check(f"bit-equal: {name}", 0.0 if same else 1.0, 0.0, 0)


# ---------------------------------------------------------------------------------------------- speed


def measure_copy(report: Report, clock: Clock, size: int) -> None:
    xp = current_device().xp
    source, target = xp.ones(size // 4, "float32"), xp.empty(size // 4, "float32")
    seconds = clock.seconds(lambda: xp.copyto(target, source))
    clock.copy = 2 * source.nbytes / seconds
    report.info["copy_GBps"] = clock.copy / 1e9
    report.say(f"copy on the device: {clock.copy / 1e9:.0f} GB/s (read and written)")


def measure_reductions(report: Report, clock: Clock, shape: tuple[int, int, int], groups: int) -> None:
    """Moments and standardize, contiguous against arbitrary segments, in four types."""
    from gridnorm.core.engines import cuda as cuda_engine

    xp = current_device().xp
    rng = np.random.default_rng(4)
    even = Segments.uniform(shape[1], groups)
    mixed = Segments.from_codes(rng.permutation(even.codes), range(groups))
    for dtype in ("float32", "float16", "float64"):
        x = xp.asarray(rng.standard_normal(shape[1:], np.float32)[None] + np.zeros((shape[0], 1, 1), np.float32), dtype)
        out = xp.empty_like(x)
        taken = {}
        for kind, segments in (("contiguous", even), ("arbitrary", mixed)):
            _, mean, deviation = cuda_engine.moments(x, segments, None, None)
            name = f"{dtype} {shape} in {groups} {kind}"

            found = partial(cuda_engine.moments, x, segments, None, None)
            done = partial(cuda_engine.remove, x, segments, mean, deviation, out=out)

            def both(found: Any = found, x: Any = x, out: Any = out, segments: Segments = segments) -> None:
                _, mean, deviation = found()
                cuda_engine.remove(x, segments, mean, deviation, out=out)

            clock.row(report, f"moments {name}", found, x.nbytes)
            clock.row(report, f"standardize {name}", done, 2 * x.nbytes)
            taken[kind] = clock.row(report, f"moments + standardize {name}", both, 2 * x.nbytes)
        report.ratios[f"arbitrary / contiguous, moments + standardize {dtype} {shape} in {groups}"] = (
            taken["arbitrary"] / taken["contiguous"]
        )
        measure_torch(report, clock, x, groups, f"{dtype} {shape} in {groups}")


def measure_torch(report: Report, clock: Clock, x: Any, groups: int, name: str) -> None:
    """The same by torch, where it is installed and sees the card."""
    try:
        import torch
    except ImportError:
        report.info["torch"] = "not installed"
        return
    if current_device().name != "cuda" or not torch.cuda.is_available():
        report.info["torch"] = f"{torch.__version__}, no device"
        return
    report.info["torch"] = torch.__version__
    tensor = torch.from_dlpack(x)
    # The events are recorded on CuPy's stream. ExternalStream(0) would be a new stream, not the default one.
    pointer = current_device().xp.cuda.get_current_stream().ptr
    stream = torch.cuda.ExternalStream(pointer) if pointer else torch.cuda.default_stream()
    norm = torch.nn.functional.group_norm
    with torch.cuda.stream(stream), torch.no_grad():
        clock.row(report, f"torch group_norm {name}", lambda: norm(tensor, groups), 2 * x.nbytes)


def measure_arrays(report: Report, clock: Clock, batch: int, items: int, groups: int, limma_ms: float | None) -> None:
    """Many arrays of one layout: order statistics and the print-tip loess of limma, data on the device."""
    from gridnorm.core.engines import cuda as cuda_engine

    xp = current_device().xp
    rng = np.random.default_rng(5)
    few, repeat = spots(min(batch, 20), items, rng), -(-batch // min(batch, 20))
    m, a = (xp.asarray(np.tile(v, (repeat, 1, 1))[:batch]) for v in few)
    segments = Segments.from_codes(rng.permutation(np.arange(items) % groups), range(groups))
    name = f"float64 {batch} × {items} in {groups} arbitrary"
    slow = Clock(min(clock.repeats, 5), clock.flush)
    slow.copy = clock.copy
    for verb in ("moments", "median", "mad"):
        call = getattr(cuda_engine, verb)
        slow.row(report, f"{verb} {name}", lambda call=call: call(m, segments, None, None), m.nbytes)

    def loess() -> Any:
        _, knots = cuda_engine.lowess_fit(m, a, segments, None, None, **LOWESS)
        return m - cuda_engine.interpolate(knots, a, segments)[:, :, None]

    seconds = slow.row(report, f"print-tip loess {name}", loess, 3 * m.nbytes)
    w = xp.asarray(np.where(rng.random((batch, items)) < 0.02, 0.0, 1.0))
    slow.row(
        report,
        f"print-tip loess, weighted path {name}",
        lambda: cuda_engine.lowess_fit(m, a, segments, w, None, **LOWESS),
        3 * m.nbytes + w.nbytes,
    )
    report.info["loess_ms_per_array"] = seconds * 1e3 / batch
    if limma_ms:
        report.ratios["limma / print-tip loess, ms an array"] = limma_ms / report.info["loess_ms_per_array"]
        report.info["limma_ms_per_array"] = limma_ms


# ---------------------------------------------------------------------------------------------- the run


def describe(report: Report) -> None:
    """Versions and the card."""
    import gridnorm

    report.info |= {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "gridnorm": gridnorm.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "engine": current_device().name,
    }
    if current_device().name == "cuda":
        cupy = current_device().xp
        runtime, card = cupy.cuda.runtime, current_device().card()
        report.info |= {
            "device": card.name,
            "memory_GiB": round(card.memory / 2**30, 1),
            "compute_capability": card.compute_capability,
            "cupy": cupy.__version__,
            "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
            "driver": runtime.driverGetVersion(),
            "runtime": runtime.runtimeGetVersion(),
        }
    report.say(report.info)


def compile_everything(report: Report) -> None:
    """Seconds with an empty cache, and in a new process that finds the cache filled."""
    started = time.perf_counter()
    for inst, _, trouble in compile_all():
        report.checks.append({"name": f"compiles: {inst}", "ok": not trouble, "trouble": trouble})
        if trouble:
            report.say("FAIL", inst, trouble)
    report.info["compile_cold_s"] = time.perf_counter() - started
    if current_device().name == "cuda":
        done = subprocess.run([sys.executable, __file__, "--warm"], capture_output=True, text=True, check=False)
        report.info["compile_warm_s"] = float(done.stdout.split()[-1]) if done.returncode == 0 else done.stderr
    report.say(f"{len(loading.INSTANCES)} variants compiled in {report.info['compile_cold_s']:.1f} s;", "again:")
    report.say(report.info.get("compile_warm_s", "not measured"))


def run(report: Report, full: bool, limma_ms: float | None) -> None:
    report.step(describe)
    report.step(compile_everything)
    report.step(check_reductions, (2, 40, 3), 4, ALL)
    report.step(check_reductions, (3, 700, 1), 3, ("float64",))
    report.step(check_lowess, 2, 300, 4)
    report.step(check_standardize, (3, 40, 6), 4, ("float64", "float32", "float16"))
    report.step(check_independence, (1, 7, 264, 1000) if full else (1, 3), 600, 5)
    if full:
        report.step(check_reductions, (2, 300_000, 1), 7, ALL)
        report.step(check_reductions, (4, 512, 1024), 32, ALL)
        report.step(check_standardize, (4, 64, 4096), 8, ("float64", "float32", "float16"))
        report.step(check_standardize, (70, 5000, 1), 3, ("float32",))
        report.step(check_lowess, 4, SPOTS, TIPS)
        report.step(check_lowess, 2, 40_000, 3)
    report.step(measure, full, limma_ms)


def measure(report: Report, full: bool, limma_ms: float | None) -> None:
    clock = Clock(20, current_device().xp.zeros(FLUSH, "uint8")) if full else Clock(1)
    measure_copy(report, clock, 2**30 if full else 2**20)
    report.step(measure_reductions, clock, (64, 1024, 2048) if full else (2, 16, 8), 32 if full else 4)
    report.step(measure_standardize, clock, *(() if full else ([((2, 8, 9), 2, "bfloat16", True)],)))
    if full:
        report.step(measure_reductions, clock, (256, 320, 256), 32)
    report.step(measure_arrays, clock, *((1000, SPOTS, TIPS) if full else (2, 200, 4)), limma_ms)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="cuda", choices=("cuda", "cpu-kernels"))
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
    parser.add_argument("--limma-ms", type=float, help="limma's time for one such array on one core, for the ratio")
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.warm:
        current_device()  # CuPy's import and the first touch of the card are no part of it
        started = time.perf_counter()
        troubles = [trouble for *_, trouble in compile_all() if trouble]
        print(time.perf_counter() - started)
        return bool(troubles)
    report = Report()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CUPY_CACHE_DIR"] = cache  # empty, and left by nobody: the first compilation is a cold one
        if asked.backend == "cuda":
            usable, reason = cuda_status()
            if not usable:
                print(f"no GPU: {reason}")
                return 1
            run(report, True, asked.limma_ms)
        else:
            import cudashim

            with use_device(cudashim.CpuDevice()):
                run(report, False, asked.limma_ms)
    report.info["seconds"] = round(time.perf_counter() - report.started, 1)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "gpu_acceptance.json").write_text(json.dumps(report.__dict__, indent=1, default=str))
    (asked.out / "gpu_acceptance.md").write_text(markdown(report))
    failed = [check["name"] for check in report.checks if not check["ok"]]
    report.say(f"{len(report.checks) - len(failed)} of {len(report.checks)} checks passed", *failed)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
