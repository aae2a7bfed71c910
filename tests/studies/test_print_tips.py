"""The table of real arrays that the page on print-tips shows is what their files give."""

from __future__ import annotations

from pathlib import Path

import pytest
from studies import print_tips


def test_the_table_is_that_of_the_files(shared: Path) -> None:
    found = print_tips.swirl(shared / "data" / "arrays")
    assert list(found) == list(print_tips.SWIRL)
    for name, values in print_tips.SWIRL.items():
        # Rounded to the last digit that is shown, which another machine may round otherwise.
        digit = 0.011 if name in ("p", "before", "after") else 0.11
        assert found[name] == pytest.approx(values, abs=digit), name


def test_the_page_shows_the_table() -> None:
    page = Path(print_tips.__file__).with_suffix(".md").read_text(encoding="utf-8")
    for k in range(4):
        one = {name: values[k] for name, values in print_tips.SWIRL.items()}
        shown = ("print-tips", "blocks half off", "strips of rows", "strips of columns", "print order")
        cells = [f"{one[name]:.2f}" for name in ("before", "after", "p")] + [f"{one[name]:.1f}" for name in shown]
        assert f"| {k + 1} | {' | '.join(cells)} |" in page
