"""The worker processes of a run: one pipe each, one task at a time, none outlives the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple, TypeVar

from gridnorm.errors import GridnormError, LostError, speak_command_line, speaks_command_line

T = TypeVar("T")

AHEAD = 4  # results that may wait for an earlier one, per worker: memory stays bounded
STILLBORN = 3  # processes in a row that may end before they are given a task
PATIENCE = 5.0  # seconds that a worker has to leave when it is told to
# One thread a worker: two pools of threads on the same cores only hinder each other.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_ENDING = (signal.SIGINT, signal.SIGTERM)


def in_order(workers: Workers, tasks: Sequence[T], lost: Callable[[T, LostError], Any]) -> Iterator[Any]:
    """Results in the order of the tasks; an error that a unit raised is raised when its turn comes."""
    waiting: dict[int, Any] = {}
    following, given, stopped = 0, 0, False
    while following < len(tasks):
        while not stopped and given < len(tasks) and given - following < AHEAD * workers.count:
            if not workers.give(given, tasks[given]):
                break
            given += 1
        for number, result in workers.finished():
            waiting[number] = lost(tasks[number], result) if isinstance(result, LostError) else result
            stopped = stopped or isinstance(result, _Raised)
        while following in waiting:
            result = waiting.pop(following)
            if isinstance(result, _Raised):
                raise result.error from _InWorkerError(result.trace, result.place)
            yield result
            following += 1


class _Raised(NamedTuple):
    """What a unit raised in a worker, and where."""

    error: Exception
    trace: str
    place: str


class _InWorkerError(Exception):
    """The traceback of an error in a worker, as text."""

    def __init__(self, trace: str, place: str) -> None:
        super().__init__(f"\n{trace}")
        self.place = place


class _Worker:
    """One process, its pipe, and the task it has."""

    def __init__(self, process: Any, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.number: int | None = None

    def give(self, number: int, task: Any) -> bool:
        """Hand it a task; False where it has died meanwhile."""
        try:
            self.pipe.send(task)
        except OSError:
            return False
        self.number = number
        return True

    def take(self) -> Any:
        """Its result, or a ``LostError`` where it has died."""
        try:
            data = self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.process.join(PATIENCE)
            return LostError(
                "the process that worked on this array has died",
                found=_ending(self.process.exitcode),
                hint="Is there memory enough? Fewer processes need less",
            )
        return ForkingPickler.loads(data)


class Workers:
    """The processes of one run; started as there are tasks for them.

    Parameters
    ----------
    unit
        What they do with a task.
    count
        How many there may be.
    spawn
        Start them afresh: a process that holds a CUDA context must not be forked.
    """

    def __init__(self, unit: Callable[[Any], Any], count: int, spawn: bool) -> None:
        fork = "fork" in multiprocessing.get_all_start_methods() and sys.platform == "linux" and not spawn
        self._context: Any = multiprocessing.get_context("fork" if fork else "spawn")
        self._fork, self._unit, self.count = fork, unit, count
        self._all: list[_Worker] = []
        self._known = False

    def give(self, number: int, task: Any) -> bool:
        """Hand a task to an idle worker; False where all are busy.

        Raises
        ------
        GridnormError
            No process is left and none can be started, or those that are started end at once.
        """
        code = None
        for _ in range(self.count + STILLBORN):
            worker = self._idle()
            if worker is None:
                return False
            # One that was killed while it had nothing to do costs no task.
            if worker.process.is_alive() and worker.give(number, task):
                return True
            self._drop(worker)
            code = worker.process.exitcode
        raise GridnormError(
            "worker processes end before they do anything",
            found=_ending(code),
            hint="Run without worker processes (jobs 1)",
        )

    def finished(self) -> list[tuple[int, Any]]:
        """Results that have come, at least one where a worker is busy."""
        busy = {worker.pipe: worker for worker in self._all if worker.number is not None}
        done = []
        for pipe in wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]
            number, worker.number = worker.number, None
            assert number is not None
            result = worker.take()
            if isinstance(result, LostError):
                self._drop(worker)
            done.append((number, result))
        return done

    def end(self) -> None:
        """End every process: those without a task at once, the others by a signal that lets them clean up."""
        with _undisturbed():
            for worker in self._all:
                with suppress(OSError):
                    worker.pipe.close()
                if worker.number is not None:
                    worker.process.terminate()
            until = time.monotonic() + PATIENCE
            for worker in self._all:
                worker.process.join(max(until - time.monotonic(), 0.0))
                if worker.process.is_alive():
                    worker.process.kill()
                    worker.process.join()

    def _idle(self) -> _Worker | None:
        """A worker without a task; a new one where there may be more."""
        idle = next((worker for worker in self._all if worker.number is None), None)
        if idle is None and len(self._all) < self.count:
            try:
                idle = self._started()
            except OSError as error:
                if not self._all:
                    what = "is left" if self._known else "could be started"
                    raise GridnormError(
                        f"no worker process {what}",
                        found=error.strerror or str(error),
                        hint="Run without worker processes (jobs 1)",
                    ) from None
                self.count = len(self._all)  # fewer than wanted will do
        return idle

    def _started(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        # A forked worker has copies of the pipes of those before it; it closes them, so that each sees its end.
        held = [*(worker.pipe for worker in self._all), mine] if self._fork else []
        arguments = (theirs, self._unit, held, speaks_command_line())
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        try:
            with _held_back(self._fork):
                process.start()
                self._all.append(_Worker(process, mine))
        except OSError:
            mine.close()
            raise
        finally:
            theirs.close()
        self._known = True
        return self._all[-1]

    def _drop(self, dead: _Worker) -> None:
        dead.pipe.close()
        dead.process.join(PATIENCE)
        self._all.remove(dead)


def _serve(pipe: Connection, unit: Callable[[Any], Any], held: Sequence[Connection], command_line: bool) -> None:
    """What a worker does: tasks until the pipe ends."""
    # Ctrl-C reaches every process of a terminal; who ends the workers is the process that started them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for other in held:
        other.close()
    speak_command_line(command_line)
    _one_thread()
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        data = _answer(unit, task)
        try:
            pipe.send_bytes(data)
        except OSError:
            return  # nobody is there to take it


def _answer(unit: Callable[[Any], Any], task: Any) -> Any:
    """The result of a task as bytes; an error too, which is raised again where the run was started."""
    try:
        return ForkingPickler.dumps(unit(task))
    except Exception as error:  # noqa: BLE001
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"
        trace = "".join(traceback.format_exception(error))
        try:
            data = ForkingPickler.dumps(_Raised(error, trace, place))
            ForkingPickler.loads(data)
        except Exception:  # noqa: BLE001  an error that cannot travel: its text can
            text = RuntimeError(f"{type(error).__name__}: {error}")
            data = ForkingPickler.dumps(_Raised(text, trace, place))
        return data


def _one_thread() -> None:
    from threadpoolctl import threadpool_limits

    # Libraries that are there already, then those that come later.
    threadpool_limits(1)
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))


def _leave(number: int, frame: object) -> None:
    # By an exception, so that outputs remove their temporary files; a second signal must not interrupt that.
    signal.signal(signal.SIGTERM, _deaf)
    raise SystemExit(128 + number)


def _deaf(number: int, frame: object) -> None:
    """Unlike SIG_IGN, of which Python reports a signal that is on its way."""


def _ending(code: int | None) -> str:
    if code is None:
        return "no exit code"
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


@contextmanager
def _held_back(fork: bool) -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until a process has started: neither it nor who starts it is caught halfway."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    if not fork:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # which would let signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Another Ctrl-C must not keep the processes from being ended; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _deaf) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
