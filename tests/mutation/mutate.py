"""Seeded mutation run: small mistakes in a copy of the package, one at a time, that the tests must see (README.md)."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: F401 - once, here: each run of tests is a fork of this process
import pytest
import scipy.stats  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parent))
from reach import Recorder, Selection
from sites import Mutant, cuda_mutants, python_mutants

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "arrays", "io", "workflow", "nn")
KERNEL_TESTS = {  # how the name of a kernel file begins: the tests that launch it
    "curves": "apply lowess", "lowess": "lowess lowess_edges", "median": "median", "segment_median": "median",
    "moments": "moments standardize", "segment_moments": "moments", "walk": "moments standardize",
    "real": "moments apply", "segment_apply": "apply", "segment_standardize_backward": "standardize_backward",
    "segment_standardize": "standardize", "standardize": "standardize standardize_backward",
}  # fmt: skip
OPTIONS = [
    "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--require", "shim",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
]  # fmt: skip


def pick(seed: int, count: int, kernels: int) -> list[tuple[str, Mutant]]:
    """Changes spread evenly over the packages, and within each over the kinds; a larger count only adds to them."""
    streams = [_stream(f"{seed} {name}", f"gridnorm/{name}", "*.py", python_mutants) for name in PACKAGES]
    chosen = [streams[n % len(streams)].pop() for n in range(count)]
    return chosen + _stream(f"{seed} kernels", "kernels", "*.cu*", cuda_mutants)[::-1][:kernels]


def _stream(seed: str, folder: str, pattern: str, mutants: Any) -> list[tuple[str, Mutant]]:
    rng = random.Random(seed)
    kinds: dict[str, list[tuple[str, Mutant]]] = defaultdict(list)
    for path in sorted((CHECKOUT / folder).rglob(pattern)):
        for mutant in mutants(path.read_text(encoding="utf-8")):
            kinds[mutant.kind].append((path.relative_to(CHECKOUT).as_posix(), mutant))
    for rows in kinds.values():
        rng.shuffle(rows)
    order = []
    while left := sorted(kind for kind in kinds if kinds[kind]):
        order.append(kinds[rng.choice(left)].pop())
    return order[::-1]


def stages(file: str, mutant: Mutant, record: dict[str, Any]) -> list[set[str]]:
    """Tests that reach its function: of the mirror file, of the layer's folder, all others and those of processes."""
    tests, reach = record["tests"], record["reach"]
    inside, stem = file.removeprefix("gridnorm/"), Path(file).stem
    if file.startswith("kernels/"):
        names = KERNEL_TESTS[max((key for key in KERNEL_TESTS if stem.startswith(key)), key=len)].split()
        return [{test for test in tests if test.split("::")[0] in {f"tests/kernels/test_{name}.py" for name in names}}]
    # What runs at import, or is reached by none, is shown to all that call anything of the file.
    keys = [key for key in reach if key == f"{inside}:{mutant.function}"]
    keys = keys or [key for key in reach if key.startswith(f"{inside}:")]
    reaching = {test for key in keys for test in reach[key]} or {test for test in tests if "/kernels/" not in test}
    near = {test for test in reaching if test.startswith(f"tests/{inside.split('/')[0]}/")}
    mirror = {test for test in near if f"/test_{stem.strip('_')}" in test.split("::")[0]}
    folders = [inside.split("/")[0], "cli"]  # the record does not see what processes call
    paths = [path for name in folders for path in CHECKOUT.glob(f"tests/{name}/**/test_*.py")]
    process = {path.relative_to(CHECKOUT).as_posix() for path in paths if "subprocess" in path.read_text()}
    far = reaching | {test for test in tests if test.split("::")[0] in process}
    return [mirror, near - mirror, far - near]


def judge(
    scratch: Path, file: str, mutant: Mutant, record: dict[str, Any], number: int, new: set[str]
) -> dict[str, Any]:
    """Apply one change to the copy, show it to the tests, take it back."""
    tests, began, verdict, by = record["tests"], time.monotonic(), "survived", ""
    original = (CHECKOUT / file).read_text(encoding="utf-8")
    _write(scratch / file, mutant.apply(original), 2 * number)
    for stage in [new] if new else stages(file, mutant, record):
        chosen = {test for test in stage if tests.get(test, 0) >= 0}
        files = {test.split("::")[0] for test in chosen}
        only = ["-m", "shim and not slow"] if file.startswith("kernels/") else []
        plugin = Selection(chosen, tests)
        limit = 20 + 4 * sum(tests.get(test, 0) for test in chosen)
        code, told = forked(scratch, ["-x", *OPTIONS, *only, *sorted(files)], plugin, limit) if files else (0, {})
        if code == 1:  # once more, alone: a test that fails now and then kills nothing
            again = forked(
                scratch, ["-x", *OPTIONS, told["failed"].split("::")[0]], Selection({told["failed"]}, tests), limit
            )
            code, told = again if again[0] in (0, 5) else (code, told)
        if code not in (0, 5):
            verdict = "timeout" if code == -1 else "invalid" if "BuildError" in told["text"] else "killed"
            by = told["failed"] or f"exit code {code}"
            break
    _write(scratch / file, original, 2 * number + 1)
    what = {"file": file, "line": mutant.line, "kind": mutant.kind, "before": mutant.before, "after": mutant.after}
    return what | {"start": mutant.start, "verdict": verdict, "by": by, "seconds": round(time.monotonic() - began, 1)}


def forked(scratch: Path, arguments: list[str], plugin: Any, limit: float) -> tuple[int, dict[str, str]]:
    """Run pytest in a fork of this process, in the copy: its exit code (-1: too long) and what failed."""
    told = scratch / "told.json"
    told.unlink(missing_ok=True)
    shutil.rmtree(scratch / ".hypothesis", ignore_errors=True)
    if (child := os.fork()) == 0:
        os.setsid()
        out = os.open(scratch / "out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(scratch)
        sys.path[:0] = [str(scratch), str(scratch / "tests")]
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
        sys.dont_write_bytecode = False
        code = int(pytest.main(arguments, plugins=[plugin]))
        told.write_text(json.dumps({"failed": getattr(plugin, "failed", ""), "text": getattr(plugin, "text", "")}))
        os._exit(code)
    end = time.monotonic() + limit
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1, {"failed": "", "text": ""}
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1]), json.loads(told.read_text()) if told.exists() else {
        "failed": "",
        "text": "",
    }


def _write(path: Path, text: str, number: int) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (946684800 + 2 * number,) * 2)  # a time of its own: no compiled file of another mutant fits


def summary(rows: list[dict[str, Any]]) -> str:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        table[row["file"].removeprefix("gridnorm/").split("/")[0]][row["verdict"]] += 1
    lines = [f"{name}: {', '.join(f'{n} {word}' for word, n in sorted(table[name].items()))}" for name in sorted(table)]
    return "\n".join(
        lines + [f"{r['file']}:{r['line']} {r['before']} → {r['after']}" for r in rows if r["verdict"] == "survived"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150, help="mutants of the Python packages")
    parser.add_argument("--kernels", type=int, default=20, help="mutants of the kernels, through the shim")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines; a run goes on where it stopped")
    parser.add_argument("--again", action="store_true", help="only survivors of --out, with the tests of today")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir(), "gridnorm-mutation"))
    args = parser.parse_args()
    scratch, index = args.scratch.resolve(), args.scratch.resolve() / "record.json"
    scratch.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(scratch / "tests", ignore_errors=True)
    shutil.copytree(CHECKOUT, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    if not index.exists():  # the quick suite once, which test reaches what; remove the file after large changes
        forked(scratch, OPTIONS, Recorder(scratch / "gridnorm", index), 3600)
    record = json.loads(index.read_text())
    files = {path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("tests/**/test_*_holes.py")}
    new = files - {test.split("::")[0] for test in record["tests"]} if args.again else set()
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    done = {(row["file"], row["start"], row["after"]): row for row in rows}
    for number, (file, mutant) in enumerate(pick(args.seed, args.count, args.kernels)):
        key = (file, mutant.start, mutant.after)
        if done[key]["verdict"] != "survived" if key in done and args.again else (key in done) != args.again:
            continue
        done[key] = {"seed": args.seed, "number": number, **judge(scratch, file, mutant, record, number, new)}
        print(
            *(done[key][name] for name in ("number", "verdict", "file", "line", "before", "after", "seconds", "by")),
            flush=True,
        )
        with args.out.open("a", encoding="utf-8") as out:
            out.write(json.dumps(done[key], ensure_ascii=False) + "\n")
    print(summary(list(done.values())))


if __name__ == "__main__":
    main()
