"""The mutants themselves: small, placed right, and none where nothing is computed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sites import cuda_mutants, python_mutants

PYTHON = '''"""Docstring 1."""
Kind = int | None
@cache
def f(a: int | None = 3, *b: list[2]) -> dict[4]:
    """Docstring 5."""
    if not a and "é" in b[6:7]:
        raise ValueError(f"{a + 8}" + str(9))
    note("ä", a, strict=True)
    return g(a <= 0.05, a % 2)
'''


def test_each_kind_is_found_where_it_stands_and_no_text_type_or_error_is_touched() -> None:
    found = [(m.line, m.kind, m.before, m.after) for m in python_mutants(PYTHON)]
    assert found == [
        (4, "constant", "3", found[0][3]),
        (6, "if/else", 'not a and "é" in b[6:7]', 'not (not a and "é" in b[6:7])'),
        (6, "boolean", "and", "or"),
        (6, "not dropped", "not a", "a"),
        (6, "compare", "in", "not in"),
        (6, "slice", "6", "(6) + 1"),
        (6, "slice", "7", "(7) - 1"),
        (6, "constant", "6", found[7][3]),
        (6, "constant", "7", found[8][3]),
        (8, "call dropped", 'note("ä", a, strict=True)', "pass"),
        (9, "return", "g(a <= 0.05, a % 2)", "None"),
        (9, "return", "g(a <= 0.05, a % 2)", "a <= 0.05"),
        (9, "compare", "<=", "<"),
        (9, "constant", "0.05", "0.1"),
        (9, "arithmetic", "%", "*"),
        (9, "constant", "2", found[15][3]),
    ]
    assert {m.function for m in python_mutants(PYTHON) if m.line > 4} == {3}


@pytest.mark.parametrize("path", ["core/small.py", "io/cells.py", "nn/views.py"])
def test_every_mutant_of_a_module_is_another_valid_module(path: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "gridnorm" / path).read_text(encoding="utf-8")
    tree = ast.dump(ast.parse(text))
    for mutant in python_mutants(text)[::5]:
        assert ast.dump(ast.parse(mutant.apply(text))) != tree, mutant


def test_kernels_change_outside_comments_macros_and_planted_mistakes() -> None:
    text = "// a < b\n#define N 3 + 4\n#ifdef GN_PLANT_X\n  c == d;\n#endif\nif (i < 32 && j) k<2>(x);  // 1\n"
    assert [(m.before, m.after, m.line) for m in cuda_mutants(text)] == [
        ("<", "<=", 6),
        ("32", "33", 6),
        ("&&", "||", 6),
    ]
