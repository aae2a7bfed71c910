"""Random damage to array files, judged by an independent reader; and faults planted in gridnorm, which it must find.

A seed that once found a fault stays in ``FOUND``. More of them: ``python -m tests.oracle --cases 20000 --seed 0``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from gridnorm.errors import GridnormError
from gridnorm.io import ragged, table
from oracle.judge import Judge
from oracle.mutations import Case, case, gpr

# What was wrong, each with tests of its own beside the module that was mended.
FOUND = {
    96: "text in Y cost a file only where it came first",
    320: "channels as the head has them and as the file has them",
    1432: "rows below a line that looks like the end of the table were left out",
    508084: "the same below the first row",
    510815: "text in a column that is not used cost the file",
    514599: "rows below such a line, with separators inside quotes",
    390: "align id without IDs: its message named no file, and the order of files decided",
}


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_stays_mended(seed: int, tmp_path: Path) -> None:
    assert Judge(tmp_path)(case(seed)) == []


def test_some_mutants_are_read_as_they_stand_or_refused(tmp_path: Path) -> None:
    judged(range(25), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1440, 110))
def test_mutants_are_read_as_they_stand_or_refused(first: int, tmp_path: Path) -> None:
    judged(range(first, first + 110), tmp_path)


@pytest.mark.slow
def test_mutants_of_real_files_too(shared: Path, tmp_path: Path) -> None:
    judged(range(60), tmp_path, shared)


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["\n", "\r\n"])
def test_two_rows_that_break_never_become_one(mark: str, tmp_path: Path) -> None:
    given = gpr(Random(3))
    judge = Judge(tmp_path)
    for first in range(len(given.titles)):
        for second in {4, first}:
            rows = [list(row) for row in given.rows]
            for row, at in ((5, first), (6, second)):
                cut = len(rows[row][at]) // 2
                rows[row][at] = rows[row][at][:cut] + mark + rows[row][at][cut:]
            broken = replace(given, rows=rows).raw()
            assert judge(Case(1, given, given.raw(), broken, ("two breaks",))) == []


def judged(seeds: range, folder: Path, shared: Path | None = None) -> None:
    judge = Judge(folder)
    wrong = {seed: complaints for seed in seeds if (complaints := judge(case(seed, shared)))}
    assert wrong == {}, "add the seeds to FOUND"


def test_a_seed_makes_the_same_case_everywhere() -> None:
    assert case(7) == case(7) != case(8)


# ---- the judge can say no --------------------------------------------------------------------------------------------


def shifted(found: table.Table) -> table.Table:
    """The values of one row are those of the row above."""
    values = found.numbers.copy()
    values[0, 3] = values[0, 2] + 0.5
    return replace(found, numbers=values)


def dropped(found: table.Table) -> table.Table:
    """The last row is gone."""
    return replace(found, rows=found.rows - 1, numbers=found.numbers[:, :-1], texts=tuple(t[:-1] for t in found.texts))


def swapped(found: table.Table) -> table.Table:
    return replace(found, numbers=found.numbers[[1, 0, *range(2, len(found.numbers))]])


def invented(found: table.Table) -> table.Table:
    """Missing values are zeros."""
    return replace(found, numbers=np.nan_to_num(found.numbers))


def renamed(found: table.Table) -> table.Table:
    """Text in capitals."""
    return replace(found, texts=tuple(np.char.upper(t) for t in found.texts))


def silent(found: table.Table) -> table.Table:
    return replace(found, warnings=())


def broken(found: table.Table) -> table.Table:
    raise IndexError("planted")


def nameless(found: table.Table) -> table.Table:
    raise GridnormError("the disk is tired")


@pytest.mark.parametrize("fault", [shifted, dropped, swapped, invented, renamed, silent, broken, nameless])
def test_a_planted_fault_is_found(
    fault: Callable[[table.Table], table.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = table.read

    def read(*args: Any, **more: Any) -> table.Table:
        return fault(real(*args, **more))

    monkeypatch.setattr(table, "read", read)
    judge = Judge(tmp_path)
    assert any(judge(case(seed)) for seed in range(200)), "no case of 200"


def test_two_broken_rows_made_one_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(lines: list[bytes], i: int, n: int, separator: bytes) -> tuple[list[bytes] | None, int]:
        found, span = real(lines, i, n, separator)
        if found is None and i + 1 < len(lines):  # any two lines whose cells make a row
            parts = (lines[i] + lines[i + 1]).split(separator)
            return (parts[:n], 2) if len(parts) >= n else (None, 1)
        return found, span

    real = ragged._row
    monkeypatch.setattr(ragged, "_row", row)
    judge = Judge(tmp_path)
    assert any("invented" in text for seed in range(300) for text in judge(case(seed)))
