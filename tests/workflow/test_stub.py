"""What editors are told of the public functions is what they take."""

from __future__ import annotations

import ast
import inspect

import gridnorm as gn
from gridnorm.workflow.stub import FILE, published


def test_the_published_types_are_those_of_today() -> None:
    assert FILE.read_text(encoding="utf-8") == published(), "run: python -m gridnorm.workflow.schema"


def test_every_public_name_is_there_and_every_option_a_keyword() -> None:
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    imported = {name.asname for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert functions.keys() | imported >= set(gn.__all__)
    for name, node in functions.items():
        shown = inspect.signature(getattr(gn, name)).parameters
        assert {one.arg for one in (*node.args.args, *node.args.kwonlyargs)} == shown.keys()
    assert "by" in {one.arg for one in functions["normalize"].args.kwonlyargs}
