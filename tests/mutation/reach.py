"""A pytest plugin: records which test reaches which function, and shows a mutant the tests that were chosen."""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest


class Recorder:
    """Notes for every test how long it takes (negative: it fails) and the functions that it calls in this process."""

    def __init__(self, package: Path, out: Path) -> None:
        self.package, self.out = f"{package}/", out
        self.tests: dict[str, float] = {}
        self.reach: dict[str, list[str]] = defaultdict(list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):  # type: ignore[no-untyped-def]
        seen = set()
        for module in (threading, sys):
            module.settrace(lambda frame, event, arg: seen.add(frame.f_code))
        try:
            return (yield)
        finally:
            for module in (threading, sys):
                module.settrace(None)
            for code in seen:
                if code.co_filename.startswith(self.package) and not code.co_name.startswith("<"):
                    self.reach[f"{code.co_filename.removeprefix(self.package)}:{code.co_firstlineno}"].append(
                        item.nodeid
                    )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        good = not report.failed and self.tests.get(report.nodeid, 0) >= 0
        self.tests[report.nodeid] = self.tests.get(report.nodeid, 0) + report.duration if good else -1

    def pytest_sessionfinish(self) -> None:
        self.out.write_text(json.dumps({"tests": self.tests, "reach": self.reach}))


class Selection:
    """Runs the tests chosen and those that the record does not know, the cheapest files first; notes what fails."""

    def __init__(self, chosen: set[str], known: dict[str, float]) -> None:
        self.chosen, self.known, self.failed, self.text = chosen, known, "", ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.chosen or item.nodeid not in self.known]
        cost: dict[Path, float] = defaultdict(float)
        for item in items:
            cost[item.path] += self.known.get(item.nodeid, 0)
        items.sort(key=lambda item: (cost[item.path], str(item.path), self.known.get(item.nodeid, 0)))

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.failed, self.text = report.nodeid, report.longreprtext

    pytest_collectreport = pytest_runtest_logreport
