"""The short table on stderr."""

from __future__ import annotations

import numpy as np

from gridnorm.cli.table import MOST_ROWS, TITLES, WIDEST_NAME, short_name, summary, verdicts, width
from gridnorm.workflow.sidecar import Summary

ONE = Summary("slide1", 5184, 99, 0, 16, "loess", (), (0.1234, 0.281), (-0.0001, 0.008), "normexp, offset 50")


def test_numbers_stand_under_their_titles() -> None:
    lines = summary([ONE, ONE._replace(name="a much longer name", spots=7)])
    assert [len(line.split("  ")) >= len(TITLES) for line in lines] == [True] * 3
    for title, numbers in {"spots": "5184 7", "flagged": "99 99", "missing": "0 0", "groups": "16 16"}.items():
        at = lines[0].index(title) + len(title)
        assert [line[:at].split(" ")[-1] for line in lines] == [title, *numbers.split()]
    assert lines[1].endswith("0.123 ± 0.281       0.000 ± 0.008  –")


def test_no_minus_before_zero_no_spread_of_one_group_and_none_of_none() -> None:
    (_, line) = summary([ONE._replace(before=(-0.0004, np.nan), after=(np.nan, np.nan))])
    assert line.split()[-3:] == ["0.000", "none", "–"]


def test_replaced_fits_are_counted_behind_the_method() -> None:
    assert "loess (3 as the array, 1 merged)" in summary([ONE._replace(replaced=(("array", 3), ("merged", 1)))])[1]


def test_no_arrays_are_titles_only() -> None:
    assert summary([]) == ["  ".join(TITLES)]


REAL = ONE._replace(real_before=(0.2812, 0.2644, 0.3), real_after=(0.0071, 0.0, 0.0213))
CHANCE = ONE._replace(name="b", real_before=(0.0, 0.0, 0.0199), real_after=(0.058, 0.031, 0.0771))


def test_real_differences_stand_last_with_their_bounds() -> None:
    assert summary([REAL])[1].endswith("  0.28 (0.26–0.30) → 0.01 (0–0.02)")
    assert summary([CHANCE])[1].endswith("  0.00 (0–0.02) → 0.06 (0.03–0.08)")
    assert summary([REAL._replace(method="none")])[1].endswith("  0.28 (0.26–0.30)")
    assert summary([REAL._replace(real_after=(np.nan,) * 3)])[1].endswith("  0.28 (0.26–0.30) → –")


def test_groups_that_mean_nothing_are_called_so() -> None:
    assert verdicts([REAL]) == []
    assert verdicts([REAL, CHANCE]) == [
        "b: groups differ no more than chance would have it (at most by 0.02); the fit itself makes them differ by 0.06"
    ]
    assert verdicts([CHANCE._replace(method="none")])[0].endswith("(at most by 0.02)")
    assert verdicts([CHANCE._replace(real_before=(0.01, 0.0, 0.03))])[0].startswith("b: groups differ no more")
    assert verdicts([CHANCE._replace(real_after=(0.0049, 0.0, 0.01))])[0].endswith("(at most by 0.02)")
    assert verdicts([CHANCE._replace(real_after=(0.005, 0.0, 0.01))])[0].endswith("makes them differ by 0.01")
    assert verdicts([CHANCE._replace(real_after=(np.nan,) * 3)])[0].endswith("(at most by 0.02)")
    assert verdicts([CHANCE._replace(groups=1)]) == []


def test_what_a_fit_leaves_of_a_difference_is_not_called_its_making() -> None:
    left = CHANCE._replace(name="c", real_before=(0.078, 0.0, 0.151), real_after=(0.072, 0.0, 0.141))
    assert verdicts([left]) == ["c: groups differ no more than chance would have it (at most by 0.15)"]
    assert verdicts([left, CHANCE])[0].endswith("(at most by 0.15); the fit itself makes them differ by up to 0.06")
    assert verdicts([left._replace(real_after=(0.079, 0.0, 0.2))])[0].endswith(
        "; the fit itself makes them differ by 0.08"
    )


def test_what_could_not_be_measured_is_said() -> None:
    (line,) = verdicts([ONE])
    assert line == "slide1: real difference not measured, it takes two groups of four usable spots"


def test_three_names_stand_in_a_sentence() -> None:
    several = [CHANCE._replace(name=name) for name in "abcde"]
    assert verdicts(several[:3])[0].startswith("a, b, c: groups")
    assert verdicts(several)[0].startswith("a, b, c and 2 more: groups")


def test_long_names_lose_their_beginning_beyond_32_letters() -> None:
    for name, shown in (("n" * 31 + "1", "n" * 31 + "1"), ("a" + "n" * 31 + "1", "…" + "n" * 30 + "1")):
        assert len(shown) == 32 and summary([ONE._replace(name=name)])[1].split()[0] == shown


def test_columns_stand_under_each_other_where_signs_are_wide_or_stand_on_others() -> None:
    names = ("slide1", "芯片一", "e\u0301te\u0301", "ｘ1")
    lines = summary([ONE._replace(name=name) for name in names])
    ends = [line[: line.index(word) + len(word)] for line, word in zip(lines, ["spots", *["5184"] * 4], strict=True)]
    assert [width(name) for name in names] == [6, 6, 3, 3]
    assert {width(end) for end in ends} == {len("slide1  spots")}
    assert width(short_name("芯" * 40)) <= WIDEST_NAME and width(short_name("芯" * 16)) == WIDEST_NAME


def test_of_very_many_arrays_the_first_are_shown_and_the_others_counted() -> None:
    many = [ONE._replace(name=f"s{k}") for k in range(MOST_ROWS + 1)]
    assert len(summary(many[:MOST_ROWS])) == 1 + MOST_ROWS
    short = summary(many)
    assert len(short) == 1 + MOST_ROWS and short[-1] == "and 2 more arrays; -v shows all"
    assert len(summary(many, all_rows=True)) == 2 + MOST_ROWS
