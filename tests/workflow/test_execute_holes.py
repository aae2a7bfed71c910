"""Workers that do not leave when they are told to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gridnorm.workflow.execute import PATIENCE, _Workers


class Process:
    """Ends when it is told to, or only when it is killed; notes what is asked of it."""

    def __init__(self, stubborn: bool) -> None:
        self.stubborn, self.alive, self.asked = stubborn, True, []  # type: ignore[var-annotated]

    def terminate(self) -> None:
        self.asked.append("terminate")

    def join(self, seconds: float | None = None) -> None:
        self.asked.append(seconds)
        if not self.stubborn:
            self.alive = False
        assert seconds is not None or not self.alive, "waits for a process that never ends"

    def is_alive(self) -> bool:
        return self.alive

    def kill(self) -> None:
        self.asked.append("kill")
        self.alive = False


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("stubborn", [True, False])
def test_a_worker_that_does_not_leave_in_time_is_killed_and_waited_for(busy: bool, stubborn: bool) -> None:
    closed: list[bool] = []
    process = Process(stubborn)
    worker: Any = SimpleNamespace(
        pipe=SimpleNamespace(close=lambda: closed.append(True)), number=3 if busy else None, process=process
    )
    _Workers.end(SimpleNamespace(_all=[worker]))  # type: ignore[arg-type]
    assert closed and not process.alive
    assert process.asked == ["terminate"] * busy + [PATIENCE] + ["kill", None] * stubborn
