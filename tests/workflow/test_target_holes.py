"""Names of the files of a folder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gridnorm.workflow.target import file_names


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ([".a"], ["_a"]),
        (["..a"], ["_.a"]),
        (["a.b"], ["a.b"]),
        (["a/b:c"], ["a_b_c"]),
        (["a\x1fb", "a b"], ["a_b", "a b"]),
        (["x", "X", "x"], ["x", "X (2)", "x (3)"]),
        (["x (2)", "x", "x"], ["x (2)", "x", "x (3)"]),
        ([".x", "_x"], ["_x", "_x (2)"]),
    ],
)
def test_names_are_neither_hidden_nor_alike_and_keep_what_they_may(names: list[str], files: list[str]) -> None:
    plan = SimpleNamespace(tasks=[SimpleNamespace(name=name) for name in names])
    assert file_names(plan, "tsv") == [f"{name}.tsv" for name in files]  # type: ignore[arg-type]
