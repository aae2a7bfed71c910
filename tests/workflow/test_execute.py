"""Units in processes: order, deaths, errors, and that nothing outlives the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import damage
import pytest
import units
from damage import Cli, sheet, sidecar
from threadpoolctl import threadpool_limits
from units import Square

import gridnorm as gn
from gridnorm.cli import _place
from gridnorm.errors import LostError
from gridnorm.workflow import output, workers
from gridnorm.workflow.execute import run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def told(task: object, error: LostError) -> str:
    return f"{task}: {error}"


def results(tasks: list[Any], jobs: int = 2, **more: Any) -> list[Any]:
    with closing(run(Square(1), tasks, lost=told, jobs=jobs, **more)) as done:
        return list(done)


@pytest.mark.parametrize(
    "jobs", [1, 2, pytest.param(3, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)]
)
def test_results_come_in_the_order_of_the_tasks(jobs: int) -> None:
    assert results(list(range(20)), jobs) == [k * k + 1 for k in range(20)]
    slow_first = [0.2, 0.0, 0.1, 0.0, 0.0]
    assert results(slow_first, jobs) == slow_first
    assert results([], jobs) == [] and results([3], jobs) == [10]


def test_workers_are_other_processes_and_have_one_thread_each() -> None:
    with threadpool_limits(2):
        assert Square()("threads") == 2
        found = results(["pid", "pid", "threads", "threads"])
    assert os.getpid() not in found[:2]
    assert found[2:] == [1, 1]
    assert results(["pid"]) == [os.getpid()]  # one task is not worth a worker


@pytest.mark.slow
def test_spawned_workers_do_the_same() -> None:
    environment = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(units.__file__).parent), environment]))
    try:
        assert results(list(range(8)), spawn=True) == [k * k + 1 for k in range(8)]
        assert results([1, "die", 2, "leave", 3], spawn=True)[::2] == [2, 5, 10]
    finally:
        os.environ.pop("PYTHONPATH")
        if environment is not None:
            os.environ["PYTHONPATH"] = environment


def test_a_worker_that_dies_costs_its_task_and_no_more() -> None:
    found = results([1, "die", 2, "leave", 3, "die", "die", 4, 5])
    assert [one for one in found if isinstance(one, int)] == [2, 5, 10, 17, 26]
    assert found[1] == (
        "die: the process that worked on this array has died; found killed by SIGKILL. "
        "Is there memory enough? Fewer processes need less"
    )
    assert "found exit code 3" in found[3]


def test_an_error_of_a_unit_is_raised_where_the_run_was_started() -> None:
    with pytest.raises(ZeroDivisionError, match="a unit failed"):
        results([1, 2, "raise", 3])
    with pytest.raises(Exception, match="pickle"):
        results([1, "odd", 3])
    with pytest.raises(RuntimeError, match="OddError: two words"):
        results([1, "odd error", 3])
    assert multiprocessing.active_children() == []


def test_an_error_of_a_unit_waits_for_its_turn_and_tells_its_place() -> None:
    with closing(run(Square(), [0.3, "raise", 3], lost=told, jobs=2)) as done:
        assert next(done) == 0.3
        with pytest.raises(ZeroDivisionError) as found:
            next(done)
    assert "in __call__" in str(found.value.__cause__)
    assert _place(found.value).startswith("units.py:")


def test_a_worker_that_dies_while_it_has_nothing_to_do_costs_no_task() -> None:
    one = workers.Workers(Square(), 1, spawn=False)
    try:
        for number in range(3):
            assert one.give(number, number) and not one.give(9, 9)
            assert one.finished() == [(number, number**2)]
            process = one._all[0].process
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            if number == 1:
                process.is_alive = lambda: True  # it dies in between: the pipe tells
    finally:
        one.end()


def test_workers_that_end_at_once_are_not_started_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    process = multiprocessing.get_context("fork").Process
    known = process.start
    monkeypatch.setattr(process, "start", lambda self: (started.append(1), known(self)))
    monkeypatch.setattr(process, "is_alive", lambda self: False)
    with pytest.raises(gn.GridnormError, match="worker processes end before they do anything; found"):
        results([1, 2, 3])
    assert len(started) == 2 + workers.STILLBORN == 5


def test_a_run_that_is_left_early_ends_its_workers() -> None:
    started = time.monotonic()
    with closing(run(Square(), [1, 2, "sleep", "sleep", 5], lost=told, jobs=3)) as done:
        assert next(done) == 1
    assert multiprocessing.active_children() == [] and time.monotonic() - started < 4


def test_few_results_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may be given only a few places ahead of the result that is waited for: memory is bounded."""
    given: list[int] = []
    known = workers._Worker.give
    monkeypatch.setattr(
        workers._Worker, "give", lambda self, number, task: (given.append(number), known(self, number, task))[1]
    )
    with closing(run(Square(), [0.4, *[0.0] * 50], lost=told, jobs=2)) as done:
        next(done)
        assert max(given) <= workers.AHEAD * 2
        assert len(list(done)) == 50


def test_workers_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    process = multiprocessing.get_context("fork").Process
    known, left = process.start, [1]

    def start(self: Any) -> None:
        if left[0] <= 0:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        left[0] -= 1
        known(self)

    monkeypatch.setattr(process, "start", start)
    assert results(list(range(6)), 4) == [k * k + 1 for k in range(6)]  # one that could be started is enough
    with pytest.raises(gn.GridnormError, match="no worker process could be started; found Resource temporarily"):
        results(list(range(6)), 4)
    left[0] = 2
    assert results([1, "die"], 2)[0] == 2  # nothing is left to do: nobody takes its place
    left[0] = 1
    with pytest.raises(gn.GridnormError, match="no worker process is left"):
        results([1, "die", 2, 3], 2)


# ---- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("abcde"):
        sheet(k % 3, bad=0.1).write(tmp_path / f"{name}.gpr")
    damage.without(sheet(1), range(20)).write(tmp_path / "short.gpr")
    Path("cut.gpr").write_text(sheet(1).text()[:-300], newline="")
    return Cli(capsys, tmp_path)


INPUTS = ["a.gpr", "b.gpr", "cut.gpr", "c.gpr", "short.gpr", "d.gpr", "e.gpr"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        pytest.param(["--by", "Dia.", "--method", "median"], marks=pytest.mark.slow),
        pytest.param(["--preset", "limma", "--weights", "area:60,90"], marks=pytest.mark.slow),
    ],
)
def test_processes_write_the_same_bytes_as_one(cli: Cli, options: list[str]) -> None:
    for jobs in ("1", "2", "3"):
        one = (
            cli("normalize", *INPUTS, *options, "-o", f"{jobs}/x.tsv", "-j", jobs)
            if Path(jobs).mkdir() is None
            else None
        )
        many = cli("normalize", *INPUTS, *options, "-o", f"{jobs}/each/", "-j", jobs)
        assert one is not None and (one.code, many.code) == (1, 1), (one.err, many.err)
        if jobs == "1":
            said = one.err, many.err
        assert (one.err.replace(f"{jobs}/", ""), many.err.replace(f"{jobs}/", "")) == tuple(
            t.replace("1/", "") for t in said
        )
    trees = [
        {str(p.relative_to(jobs)): p.read_bytes() for p in Path(jobs).rglob("*") if p.is_file()}
        for jobs in ("1", "2", "3")
    ]
    assert len(trees[0]) == 2 + 6 * 2 + 1
    assert trees[0] == trees[1] == trees[2]


KILLS = """
import os, signal, sys
import gridnorm.workflow.unit as unit
known = unit.read_array

def read(task, settings):
    if task.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return known(task, settings)

unit.read_array = read
from gridnorm.cli import main
main(sys.argv[1:])
"""


def test_a_worker_that_is_killed_is_a_failure_of_its_array(cli: Cli) -> None:
    for out, written in (("x.tsv", ["x.tsv"]), ("each/", ["each/a.tsv", "each/c.tsv", "each/d.tsv"])):
        command = [sys.executable, "-c", KILLS, "normalize", "a.gpr", "b.gpr", "c.gpr", "d.gpr", "-o", out, "-j", "2"]
        environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 1, done.stderr
        assert "failed: b.gpr: the process that worked on this array has died; found killed by SIGKILL" in done.stderr
        for name in written:
            record = sidecar(Path(name))
            assert Path(name).exists() and "b" not in [entry["name"] for entry in record["arrays"]]
        assert damage.leftovers(Path()) == []
    assert sidecar(Path("x.tsv"))["failed"][0]["file"] == "b.gpr"
    assert not Path("each/b.tsv").exists()


KILLS_WRITING = """
import os, signal, sys
import gridnorm.io.atomic as atomic, gridnorm.workflow.record as record
known, replaced = record.write_table, os.replace
when = sys.argv.pop(1)

def write(path, *args, **more):
    known(path, *args, **more)
    if when == "before" and str(path).endswith("b.tsv"):
        os.kill(os.getpid(), signal.SIGKILL)

def replace(old, new):
    replaced(old, new)
    if when == "between" and str(new).endswith("b.tsv"):
        os.kill(os.getpid(), signal.SIGKILL)

record.write_table, os.replace = write, replace
from gridnorm.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.slow), "between"])
def test_a_worker_that_is_killed_while_it_writes_leaves_no_half(cli: Cli, when: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}

    def ran(*more: str) -> subprocess.CompletedProcess[str]:
        words = ["normalize", "a.gpr", "b.gpr", "c.gpr", "-o", "each/", "-j", "2", *more]
        return subprocess.run(
            [sys.executable, "-c", KILLS_WRITING, when, *words],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip

    done = ran()
    assert done.returncode == 1 and "failed: b.gpr: the process that worked" in done.stderr
    kept = ["a.tsv", "a.tsv.gridnorm.json", "c.tsv", "c.tsv.gridnorm.json", "gridnorm.json"]
    assert sorted(path.name for path in Path("each").iterdir()) == kept
    assert cli("normalize", "b.gpr", "-o", "each/", "--sidecar", "b.json").code == 0  # nothing is in the way
    before = Path("each/b.tsv").read_bytes()
    assert ran("--force", "--by", "array").returncode == 1
    # The old pair where nothing was replaced, else no table that its record does not describe.
    assert (Path("each/b.tsv").read_bytes() == before) if when == "before" else not Path("each/b.tsv").exists()
    assert not [path for path in Path("each").iterdir() if path.name.startswith(".")]


def test_the_first_array_of_a_table_costs_itself_only_and_lost_ones_say_nothing_of_the_files(cli: Cli) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
    kills = KILLS.replace('task.name == "b"', "sys.argv[1] in task.file").replace("argv[1:]", "argv[2:]")

    def ran(which: str) -> subprocess.CompletedProcess[str]:
        words = ["normalize", "a.gpr", "b.gpr", "c.gpr", "-o", "x.tsv", "-j", "2"]
        return subprocess.run(
            [sys.executable, "-c", kills, which, *words], capture_output=True, text=True, env=environment, check=False
        )

    done = ran("a.gpr")
    assert done.returncode == 1 and "wrote x.tsv" in done.stderr and "failed: a.gpr" in done.stderr
    assert [entry["name"] for entry in sidecar(Path("x.tsv"))["arrays"]] == ["b", "c"]
    Path("x.tsv").unlink()
    Path("x.tsv.gridnorm.json").unlink()
    done = ran(".gpr")
    assert (
        done.returncode == 1
        and "failed: a.gpr, b.gpr, c.gpr: the process" in done.stderr
        and not Path("x.tsv").exists()
    )


@pytest.mark.slow
def test_spawned_workers_speak_as_their_parent_does(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("normalize", "a.gpr", "b.gpr", "--min-group", "1000", "--small-groups", "error")
    forked = cli(*words, "-o", "each/", "-j", "2")
    monkeypatch.setattr(output, "run", _spawning)
    spawned = cli(*words, "-o", "each/", "-j", "2")
    assert "--min-group" in forked.err and spawned.err == forked.err and spawned.code == forked.code == 4


def _spawning(*given: Any, **more: Any) -> Any:
    return run(*given, **more | {"spawn": True})


WAITS = """
import sys, time
import gridnorm.workflow.record as record
known = record.write_table

def write(path, *args, output=None, **more):
    known(path, *args, output=output, **more)
    if str(path).endswith("b.tsv"):
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(60)

record.write_table = write
from gridnorm.cli import main
main(sys.argv[1:])
"""


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("whole_group", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_stopping_ends_every_process_and_leaves_nothing_half_written(
    cli: Cli, number: int, code: int, whole_group: bool
) -> None:
    """As Ctrl-C does on a terminal, where the whole group gets the signal; and as a batch system does."""
    command = [sys.executable, "-c", WAITS, "normalize", "a.gpr", "b.gpr", "c.gpr", "d.gpr", "-o", "each/", "-j", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stderr is not None and process.stderr.readline() == b"waiting\n"
        workers = children(process.pid)
        assert len(workers) == 2
        if whole_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert damage.leftovers(Path()) == []
    assert "b.tsv" not in {path.name for path in Path("each").glob("*")}


DEAF = """
import signal, sys, time
import gridnorm.workflow.record as record
known = record.write_table

def write(path, *args, **more):
    known(path, *args, **more)
    if str(path).endswith("b.tsv"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as a long call into C
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(2)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

record.write_table = write
from gridnorm.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_no_worker_behind(cli: Cli) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
    command = [sys.executable, "-c", DEAF, "normalize", *INPUTS, "-o", "each/", "-j", "2"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stderr is not None and process.stderr.readline() == b"waiting\n"
        workers = children(process.pid)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130 and b"Traceback" not in said
    assert len(workers) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert damage.leftovers(Path()) == [] and not Path("each/b.tsv").exists()


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(cli: Cli) -> None:
    command = [sys.executable, "-c", WAITS.replace("60", "0.5"), "normalize", *INPUTS, "-o", "each/", "-j", "2"]
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None and process.stderr.readline() == b"waiting\n"
    workers = children(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_device_that_is_absent_is_said_once(cli: Cli) -> None:
    ran = cli("normalize", "a.gpr", "b.gpr", "--device", "gpu", "-j", "2", "-o", "x.tsv")
    assert ran.code == 5 and ran.err.count("\n") == 1
    assert cli("normalize", "a.gpr", "-j", "0", "-o", "x.tsv").code == 2


# ---- progress ------------------------------------------------------------------------------------------------------


def terminal(*words: str, stdout: bool = False) -> str:
    """What a terminal shows on stderr, and on stdout if that goes there too."""
    import pty

    mine, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(Path(gn.__file__).parents[1]), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gridnorm", *words],
        stdout=theirs if stdout else None, stderr=theirs, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(mine, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(mine)
    return shown.decode()


def test_progress_is_shown_on_a_terminal_and_nowhere_else(cli: Cli) -> None:
    shown = terminal("normalize", "a.gpr", "b.gpr", "c.gpr", "-o", "x.tsv")
    assert "100%" in shown and "arrays" in shown and "wrote x.tsv" in shown
    both = terminal("normalize", "a.gpr", "b.gpr", "-o", "-", "-j", "2", stdout=True)
    assert both[: both.index("Block\t")].endswith("\n")  # the table begins on a line of its own
    assert "100%" not in terminal("normalize", "a.gpr", "b.gpr", "-o", "y.tsv", "-q")
    assert "100%" not in terminal("normalize", "a.gpr", "-o", "z.tsv")
    assert "%" not in cli("normalize", "a.gpr", "b.gpr", "-o", "w.tsv").err


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
    workers.Workers.end(SimpleNamespace(_all=[worker]))  # type: ignore[arg-type]
    assert closed and not process.alive
    waited = next(one for one in process.asked if isinstance(one, float))
    assert 0 < waited <= workers.PATIENCE
    assert process.asked == ["terminate"] * busy + [waited] + ["kill", None] * stubborn
