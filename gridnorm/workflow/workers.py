"""The worker processes of a run: one pipe each, one task at a time, none outlives the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

from gridnorm.errors import GridnormError, LostError

T = TypeVar("T")

AHEAD = 4  # results that may wait for an earlier one, per worker: memory stays bounded
PATIENCE = 5.0  # seconds that a worker has to leave when it is told to
# One thread a worker: two pools of threads on the same cores only hinder each other.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def in_order(workers: Workers, tasks: Sequence[T], lost: Callable[[T, LostError], Any]) -> Iterator[Any]:
    """Results in the order of the tasks, as workers that have not been started yet give them."""
    waiting: dict[int, Any] = {}
    following, given = 0, 0
    workers.start()
    while following < len(tasks):
        while given < len(tasks) and given - following < AHEAD * workers.count and (worker := workers.idle()):
            worker.give(given, tasks[given])
            given += 1
        for number, result in workers.finished():
            waiting[number] = lost(tasks[number], result) if isinstance(result, LostError) else result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


class _Raised(NamedTuple):
    """What a unit raised in a worker."""

    error: Exception


class _Worker:
    """One process, its pipe, and the task it has."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.number: int | None = None

    def give(self, number: int, task: Any) -> None:
        self.number = number
        with suppress(OSError):  # it has died; that shows when its result is waited for
            self.pipe.send(task)

    def take(self) -> Any:
        """Its result, or a ``LostError`` where it has died."""
        try:
            result = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE)
            return LostError(
                "the process that worked on this array has died",
                found=_ending(self.process.exitcode),
                hint="Is there memory enough? Fewer processes need less",
            )
        if isinstance(result, _Raised):
            raise result.error
        return result


class Workers:
    """The processes of one run."""

    def __init__(self, unit: Callable[[Any], Any], count: int, spawn: bool) -> None:
        fork = "fork" in multiprocessing.get_all_start_methods() and sys.platform == "linux" and not spawn
        self._context: Any = multiprocessing.get_context("fork" if fork else "spawn")
        self._fork, self._unit, self.count = fork, unit, count
        self._all: list[_Worker] = []

    def start(self) -> None:
        """Start the processes; fewer than wanted will do.

        Raises
        ------
        GridnormError
            Not even one can be started.
        """
        for _ in range(self.count):
            try:
                self._all.append(self._started())
            except OSError as error:
                if not self._all:
                    raise GridnormError(
                        "no worker process could be started",
                        found=error.strerror or str(error),
                        hint="Run without worker processes (jobs 1)",
                    ) from None
                break
        self.count = len(self._all)

    def _started(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        # A forked worker has copies of the pipes of those before it; it closes them, so that each sees its end.
        inherited = [worker.pipe for worker in self._all] if self._fork else []
        held = [*inherited, mine] if self._fork else []
        process = self._context.Process(target=_serve, args=(theirs, self._unit, held), daemon=True)
        try:
            with _environment(dict.fromkeys(_ONE_THREAD, "1")):
                process.start()
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return _Worker(process, mine)

    def idle(self) -> _Worker | None:
        """A worker without a task."""
        return next((worker for worker in self._all if worker.number is None), None)

    def finished(self) -> list[tuple[int, Any]]:
        """Results that have come, at least one; workers that died are replaced."""
        busy = {worker.pipe: worker for worker in self._all if worker.number is not None}
        done = []
        for pipe in wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]
            number, worker.number = worker.number, None
            assert number is not None
            result = worker.take()
            if isinstance(result, LostError):
                self._replace(worker)
            done.append((number, result))
        return done

    def _replace(self, dead: _Worker) -> None:
        dead.pipe.close()
        self._all.remove(dead)
        try:
            self._all.append(self._started())
        except OSError as error:
            if not self._all:
                raise GridnormError("no worker process is left", found=error.strerror or str(error)) from None
        self.count = len(self._all)

    def end(self) -> None:
        """End every process: those without a task at once, the others by a signal that lets them clean up."""
        for worker in self._all:
            with suppress(OSError):
                worker.pipe.close()
            if worker.number is not None:
                worker.process.terminate()
        for worker in self._all:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _serve(pipe: Connection, unit: Callable[[Any], Any], inherited: Sequence[Connection]) -> None:
    """What a worker does: tasks until the pipe ends."""
    for other in inherited:
        other.close()
    # Ctrl-C reaches every process of a terminal; who ends the workers is the process that started them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result: Any = unit(task)
        except Exception as error:  # noqa: BLE001  it is raised again where the run was started
            result = _Raised(error)
        try:
            pipe.send(result)
        except OSError:
            return  # nobody is there to take it
        except Exception as error:  # noqa: BLE001  a result that cannot travel: its text can
            pipe.send(_Raised(RuntimeError(f"{type(error).__name__}: {error}")))


def _leave(number: int, frame: object) -> None:
    # By an exception, so that outputs remove their temporary files.
    raise SystemExit(128 + number)


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code"
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


class _environment:  # noqa: N801  a context manager that reads like a function
    """Environment variables for processes that are started inside."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
