"""The checkers are checked: every planted mistake is caught, every repaired twin passes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cudashim
import numpy as np
import pytest

from gridnorm.core.engines.cuda import loading
from gridnorm.core.engines.cuda.device import Device

HERE = Path(__file__).resolve().parent
MUTANTS = str(HERE / "mutants.cu")
RACE = "data race"


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.float32)


def zeros(n: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(n, dtype)


@dataclass(frozen=True)
class Case:
    """One kernel of mutants.cu: its launch, and what each mode must say ("nan": the result shows it)."""

    name: str
    grid: int
    block: int
    args: Callable[[], list[Any]]
    shared: int = 0
    caught: dict[str, str] = field(default_factory=dict)
    macro: str = ""


EVERY = ("fast", "asan", "tsan")
CASES = [
    Case("bad_neighbour", 1, 256, lambda: [ones(256), zeros(256), np.int32(256)], caught={"tsan": RACE, "fast": "nan"}),
    Case("bad_lockstep", 1, 32, lambda: [ones(32), zeros(1)], caught={"tsan": RACE, "fast": "nan"}),
    Case("good_lockstep", 1, 32, lambda: [ones(32), zeros(1)]),
    Case("bad_inter_block", 4, 32, lambda: [zeros(1)], caught={"tsan": RACE}),
    Case("good_inter_block", 4, 32, lambda: [zeros(1)]),
    Case("bad_war", 1, 128, lambda: [ones(128), zeros(128), np.int32(3)], caught={"tsan": RACE}),
    Case("last_block_sum", 4, 32, lambda: [ones(128), zeros(4), zeros(1, "uint32"), zeros(1)]),
    Case(
        "last_block_sum",
        4,
        32,
        lambda: [ones(128), zeros(4), zeros(1, "uint32"), zeros(1)],
        caught={"tsan": RACE},
        macro="GN_PLANT_MISSING_FENCE",
    ),
    Case("bad_oob_global", 2, 64, lambda: [ones(100), zeros(100), np.int32(100)], caught={"asan": "use-after-poison"}),
    Case("bad_oob_shared", 1, 64, lambda: [zeros(64)], caught={"asan": "global-buffer-overflow|out of bounds"}),
    Case("bad_oob_dynamic", 1, 64, lambda: [zeros(64), np.int32(64)], 256, caught={"asan": "use-after-poison"}),
    Case("bad_align", 1, 1, lambda: [ones(8), zeros(1)], caught={"asan": "misaligned"}),
    Case(
        "bad_index32",
        1,
        1,
        lambda: [zeros(1), np.int32(70000), np.int32(70000)],
        caught={"asan": "signed integer overflow"},
    ),
    Case("bad_divergent_barrier", 1, 32, lambda: [zeros(32)], caught=dict.fromkeys(EVERY, "divergent __syncthreads")),
    Case("bad_shuffle_mask", 1, 32, lambda: [zeros(32)], caught=dict.fromkeys(EVERY, "has exited")),
    # Statics are zero under AddressSanitizer, so only the other two see what nobody wrote.
    Case("bad_uninitialised", 1, 32, lambda: [zeros(32)], caught={"fast": "nan", "tsan": "nan"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name + case.macro)
@pytest.mark.parametrize("device", [pytest.param("cpu-kernels", marks=pytest.mark.shim)], indirect=True)
def test_a_planted_mistake_is_caught_and_its_repaired_twin_is_not(case: Case, device: Device) -> None:
    how = case.caught.get(cudashim.MODE)
    if how is None and case.caught:
        pytest.skip(f"not for {cudashim.MODE} to catch")
    args = case.args()
    outcome = _run(device, case, args)
    if how is None:
        assert outcome is None
    elif how == "nan":
        assert any(np.isnan(a).any() for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    else:
        assert outcome is not None
        assert any(text in str(outcome) for text in how.split("|")), outcome


def _run(device: Device, case: Case, args: list[Any]) -> cudashim.KernelError | None:
    inst = loading.instance(MUTANTS, **({case.macro: "1"} if case.macro else {}))
    try:
        device.function(inst, case.name)((case.grid,), (case.block,), tuple(args), shared_mem=case.shared)
    except cudashim.KernelError as error:
        return error
    return None


_REPORTS = {
    "tsan": "data race",
    "asan": "use-after-poison|buffer-overflow|out of bounds|misaligned address|signed integer overflow",
}


def planted() -> list[tuple[str, str, str, str]]:
    """Mistakes that kernels can be built with: ``#ifdef GN_PLANT_X  // tsan: test_y.py -k "z"`` says who fails then.

    Without that comment the tests of the kernel plant the mistake themselves, in the sanitizer's own run.
    """
    found = []
    for path in sorted(loading.kernel_folder().glob("*.cu*")):
        for line in path.read_text().splitlines():
            if "GN_PLANT_" in line and line.lstrip().startswith("#"):
                told = re.search(r"(GN_PLANT_\w+)\s*(?://\s*(tsan|asan):\s*(.+))?", line)
                assert told
                found.append((path.name, told[1], told[2] or "", told[3] or ""))
    return found


ELSEWHERE = [row for row in planted() if row[2]]


@pytest.mark.shim
@pytest.mark.slow
@pytest.mark.parametrize(("file", "macro", "mode", "selection"), ELSEWHERE, ids=[row[1] for row in ELSEWHERE])
def test_a_mistake_planted_in_a_kernel_fails_its_test(
    file: str, macro: str, mode: str, selection: str, skip_without: Callable[[str, str], None]
) -> None:
    done = _checked_by(mode, shlex.split(selection), skip_without, GN_SHIM_PLANT=macro)
    assert done.returncode == 1, f"{macro} in {file} was not caught by {mode}: {done.stdout}"
    assert re.search(_REPORTS[mode], done.stdout), f"{macro} failed for another reason:\n{done.stdout}"


def test_every_kernel_file_has_a_planted_mistake() -> None:
    """In the file, or in a header of its own that it includes."""
    with_plants = {row[0] for row in planted()}
    for path in loading.kernel_folder().glob("*.cu"):
        includes = re.findall(r'#\s*include\s+"([^"]+)"', path.read_text())
        assert with_plants & {path.name, *includes}, path.name
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    for file, macro, mode, _ in planted():
        assert mode or macro in tests, f"no test plants {macro} of {file}"


@pytest.mark.shim
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "name"), [("asan", "bad_oob_global"), ("tsan", "bad_war")])
def test_the_sanitizers_work_here(mode: str, name: str, skip_without: Callable[[str, str], None]) -> None:
    """So that a plain run of the tests proves the checkers too."""
    done = _checked_by(mode, ["test_mutants.py", "-k", name], skip_without)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def _checked_by(
    mode: str, selection: list[str], skip_without: Callable[[str, str], None], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run tests of this folder in a process of their own under a sanitizer."""
    if cudashim.MODE != "fast":
        pytest.skip("done in the run without a sanitizer")
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    path = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
    options = ["-q", "-x", "-m", "shim", "-p", "no:cacheprovider", "--require", "shim"]
    command = [sys.executable, "-m", "cudashim", mode, "--", "pytest", *options, *selection]
    env = dict(os.environ, PYTHONPATH=path, **environment)
    return subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True)
