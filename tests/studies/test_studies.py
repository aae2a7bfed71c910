"""Every study states what its record bears and nothing that could not fail, and bears it for other seeds."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from studies import STUDIES, lab

DOCS = Path(__file__).resolve().parents[2] / "docs"
OTHER_SEEDS = (3, 4, 5)
_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"studies.{request.param}")


def recorded(study: ModuleType) -> dict[str, Any]:
    found = (lab.HERE / "recorded" / f"{lab.name_of(study)}.json").read_text(encoding="utf-8")
    return dict(json.loads(found))


def text(study: ModuleType) -> str:
    return (lab.HERE / f"{lab.name_of(study)}.md").read_text(encoding="utf-8")


def test_every_script_with_a_page_is_in_the_list_and_the_index() -> None:
    pages = {path.stem for path in lab.HERE.glob("*.md")} - {"index"}
    assert pages == set(STUDIES) == {path.stem for path in (lab.HERE / "recorded").glob("*.json")}
    index = (lab.HERE / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^(\w+)$", index[index.index("{toctree}") :], re.MULTILINE) == list(STUDIES)


def test_the_record_is_of_this_code_and_these_seeds(study: ModuleType) -> None:
    found = recorded(study)
    assert found["digest"] == lab.digest(study), f"measure again: PYTHONPATH=docs python -m studies {study.__name__}"
    assert [run["seed"] for run in found["runs"]] == list(lab.SEEDS)


def test_the_record_bears_every_claim(study: ModuleType) -> None:
    found = study.claims(recorded(study)["runs"])
    assert len(found) >= 2 and [claim.text for claim in found if not claim.holds] == []
    assert study.VERDICT in lab.VERDICTS


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every number below ``value``, as the container and its key there."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(entry, dict | list):
            yield from leaves(entry)
        else:
            yield value, key


def test_every_claim_can_fail(study: ModuleType) -> None:
    """One number of all runs, changed: for each claim there is one that it does not survive."""
    runs = recorded(study)["runs"]
    alive = {claim.text for claim in study.claims(runs)}
    for place in range(len(list(leaves(runs[0])))):
        for planted in (0.0, 1.0, 50.0, -1e9, 1e9):
            changed = copy.deepcopy(runs)
            for run in changed:
                container, key = list(leaves(run))[place]
                container[key] = planted
            try:
                alive -= {claim.text for claim in study.claims(changed) if not claim.holds}
            except (ArithmeticError, ValueError, RuntimeWarning):  # such numbers cannot even be worded
                continue
        if not alive:
            break
    assert not alive


def test_numbers_of_the_conclusion_are_those_of_the_record(study: ModuleType) -> None:
    conclusion = re.search(r"^# .*?\n\n\*\*(.*?)\*\*\n", text(study), re.DOTALL | re.MULTILINE)
    assert conclusion, "a page begins with its conclusion, in bold"
    borne = " ".join(f"{claim.text} {claim.figure}" for claim in study.claims(recorded(study)["runs"]))
    decimals = re.findall(r"[−-]?\d+\.\d+", conclusion[1])
    assert [n for n in decimals if n.replace("−", "-") not in borne.replace("−", "-")] == []


def test_a_figure_is_drawn(study: ModuleType) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = study.draw(recorded(study)["runs"])
    assert all(axis.get_xlabel() and (axis.get_ylabel() or n) for n, axis in enumerate(figure.axes))
    plt.close("all")


@pytest.mark.slow
def test_a_page_runs_without_torch_and_says_what_is_missing(study: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    pytest.importorskip("matplotlib")
    # A module that fails, not None in sys.modules: SciPy takes what stands there for torch.
    (tmp_path / "torch.py").write_text("raise ImportError\n", encoding="utf-8")
    cells = "\n".join(_CELL.findall(text(study))).replace(":tags:", "# :tags:")
    done = subprocess.run(
        [sys.executable, "-P", "-c", cells],
        cwd=lab.HERE,
        env={
            "PYTHONPATH": os.pathsep.join((str(tmp_path), str(DOCS))),
            "MPLBACKEND": "Agg",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ('pip install "gridnorm[torch]"' in done.stdout) == study.TORCH


@pytest.mark.slow
def test_other_seeds_bear_every_claim(study: ModuleType) -> None:
    """Three that no page has shown; and the first of the page measured anew, in place of what is on record."""
    if study.TORCH:
        pytest.importorskip("torch")
        pytest.importorskip("sklearn")
    again, *others = lab.measured(study, (lab.SEEDS[0], *OTHER_SEEDS))
    for runs in (others, [again, *recorded(study)["runs"][1:]]):
        assert [f"{c.text}: {c.figure}" for c in study.claims(runs) if not c.holds] == []
