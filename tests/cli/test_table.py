"""The short table on stderr."""

from __future__ import annotations

import numpy as np

from gridnorm.cli.table import TITLES, summary
from gridnorm.workflow.sidecar import Summary

ONE = Summary("slide1", 5184, 99, 0, 16, "loess", (), (0.1234, 0.281), (-0.0001, 0.008), "normexp, offset 50")


def test_numbers_stand_under_their_titles() -> None:
    lines = summary([ONE, ONE._replace(name="a much longer name", spots=7)])
    assert [len(line.split("  ")) >= len(TITLES) for line in lines] == [True] * 3
    at = lines[0].index("spots") + len("spots")
    assert [line[:at].split()[-1] for line in lines] == ["spots", "5184", "7"]
    assert lines[1].endswith("0.123 ± 0.281       0.000 ± 0.008")


def test_no_minus_before_zero_no_spread_of_one_group_and_none_of_none() -> None:
    (_, line) = summary([ONE._replace(before=(-0.0004, np.nan), after=(np.nan, np.nan))])
    assert line.split()[-2:] == ["0.000", "none"]


def test_replaced_fits_are_counted_behind_the_method() -> None:
    assert "loess (3 array, 1 merged)" in summary([ONE._replace(replaced=(("array", 3), ("merged", 1)))])[1]


def test_no_arrays_are_titles_only() -> None:
    assert summary([]) == ["  ".join(TITLES)]
