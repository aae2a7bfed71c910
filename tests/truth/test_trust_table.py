"""The script that measures: what it lets pass and what it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import trust_table
from judged import Judged

GOOD = Judged("groups", "one small tip", "rmse", 0.5, "<=", 0.6)
PAGE = f"text\n{trust_table.BEGIN}\n{trust_table.table([GOOD])}\n{trust_table.END}\nmore"


@pytest.mark.parametrize(
    ("value", "sense", "limit", "holds"),
    [(0.6, "<=", 0.6, True), (0.6000001, "<=", 0.6, False), (0.6, ">=", 0.6, True), (0.59, ">=", 0.6, False),
     (math.nan, "<=", 0.6, False), (math.nan, ">=", 0.6, False)],
)  # fmt: skip
def test_a_limit_belongs_to_the_good_side_and_nan_to_none(value: float, sense: str, limit: float, holds: bool) -> None:
    assert Judged("a", "b", "c", value, sense, limit).holds is holds  # type: ignore[arg-type]


def test_the_page_says_what_was_measured_or_the_difference_is_told() -> None:
    assert trust_table.differences(PAGE, [GOOD]) == []
    assert trust_table.differences(PAGE, [GOOD._replace(value=0.51)]) == []  # within 3 %
    assert "says 0.5" in trust_table.differences(PAGE, [GOOD._replace(value=0.53)])[0]
    assert "promises ≤ 0.6" in trust_table.differences(PAGE, [GOOD._replace(limit=0.7)])[0]
    assert "not in trust.md" in trust_table.differences(PAGE, [GOOD, GOOD._replace(figure="slope")])[0]
    assert "only in trust.md" in trust_table.differences(PAGE, [])[0]
    assert "has no table" in trust_table.differences("text", [GOOD])[0]


@dataclass
class Pool:
    """Computes at once, in this process."""

    size: int

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


@pytest.mark.parametrize(
    ("row", "code"), [(GOOD, 0), (GOOD._replace(value=0.7), 1), (GOOD._replace(value=math.nan), 1), (None, 1)]
)
def test_a_figure_that_fails_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], row: Judged | None, code: int
) -> None:
    monkeypatch.setattr(trust_table, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(trust_table, "measured", lambda topic: ([] if row is None else [row], 1.0))
    assert trust_table.main(["groups"]) == code
    assert ("FAILS" in capsys.readouterr().out) is (row is not None and code == 1)


def test_every_topic_has_a_file() -> None:
    assert {"evidence", "offset", "one_channel", "small_groups"} <= set(trust_table.topics())
