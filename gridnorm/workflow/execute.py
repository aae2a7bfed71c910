"""Run units of work, in order: here, through a ``map``, or in processes of this machine.

A unit is a picklable callable that takes a task and gives a small result; errors about its array are results too. What
all units share travels once to a worker, with the callable. A worker that dies costs the task it had, and no more.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

from gridnorm.errors import LostError

T = TypeVar("T")
R = TypeVar("R")


def run(
    unit: Callable[[T], R],
    tasks: Sequence[T],
    *,
    lost: Callable[[T, LostError], R],
    jobs: int = 1,
    map: Callable[..., Iterable[R]] = builtins.map,
    spawn: bool = False,
) -> Generator[R, None, None]:
    """Results of a unit for every task, in the order of the tasks.

    Parameters
    ----------
    unit
        What is done with a task; pickled once for each worker where processes are spawned.
    tasks
        What is to be done.
    lost
        The result of a task whose worker died.
    jobs
        Worker processes; 1 runs the tasks here, through ``map``.
    map
        The built-in ``map``, or a pool's.
    spawn
        Start workers afresh: a process that holds a CUDA context must not be forked.

    Yields
    ------
    Results. Close the iterator (``contextlib.closing``) to end the workers early: none outlives it.

    Raises
    ------
    GridnormError
        No worker could be started.
    Exception
        What a unit raised: it is an error of ours, not of an array.
    """
    if jobs <= 1 or len(tasks) < 2:
        yield from map(unit, tasks)
        return
    # Only runs with workers import what starts processes.
    from gridnorm.workflow.workers import Workers, in_order

    workers = Workers(unit, min(jobs, len(tasks)), spawn)
    try:
        yield from in_order(workers, tasks, lost)
    finally:
        workers.end()
