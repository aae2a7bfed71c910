"""One array as a reader delivers it."""

from __future__ import annotations

import gridnorm as gn


def test_warnings_are_added_behind_those_there_and_nothing_else_changes() -> None:
    raw = gn.simulate(1, (2, 2), (4, 5), seed=3).arrays.raw(0)
    more = raw.with_warnings("one").with_warnings("two", "three")
    assert more.warnings == (*raw.warnings, "one", "two", "three")
    assert more.foreground is raw.foreground and raw.n_spots == more.n_spots == 80
