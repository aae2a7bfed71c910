"""Units of work for the tests of ``execute``: importable by name, so that spawned workers find them."""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Square(NamedTuple):
    """Squares its task; some tasks kill, stop or fail."""

    offset: int = 0

    def __call__(self, task: object) -> object:
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "leave":
            os._exit(3)
        if task == "raise":
            raise ZeroDivisionError("a unit failed")
        if task == "odd":
            return lambda: None  # cannot travel
        if task == "odd error":
            raise OddError("two", "words")
        if task == "sleep":
            time.sleep(60)
        if isinstance(task, float):
            time.sleep(task)
            return task
        if task == "threads":
            from threadpoolctl import threadpool_info

            return max(pool["num_threads"] for pool in threadpool_info())
        if task == "pid":
            return os.getpid()
        return int(task) ** 2 + self.offset  # type: ignore[call-overload]
