"""What a run says of its time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from damage import sheet

from gridnorm.workflow.output import normalize_to
from gridnorm.workflow.settings import make_settings
from gridnorm.workflow.target import Request


@pytest.mark.parametrize(
    ("output", "steps"), [("out.tsv", {"plan", "arrays", "write", "total"}), ("out/", {"plan", "arrays", "total"})]
)
def test_the_parts_take_some_time_and_together_no_more_than_the_run(
    tmp_path: Path, output: str, steps: set[str]
) -> None:
    sheet(0).write(tmp_path / "a.gpr")
    began = time.perf_counter()
    outcome = normalize_to([str(tmp_path / "a.gpr")], make_settings({}), Request(output=f"{tmp_path}/{output}"))
    took = time.perf_counter() - began
    assert set(outcome.timings) == steps
    assert min(outcome.timings.values()) > 0
    parts = sum(seconds for name, seconds in outcome.timings.items() if name != "total")
    assert parts <= outcome.timings["total"] <= took
