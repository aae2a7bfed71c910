"""Places where a source file can be changed a little."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in",
    "is": "is not", "is not": "is", "+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "%": "*", "**": "*",
    "and": "or", "or": "and", "&": "|", "|": "&", "&&": "||", "||": "&&", "@": "*", "<<": ">>", ">>": "<<",
}  # fmt: skip
# Values that say how, not what. Decorators, annotations, messages, errors and types are left alone as well.
NEUTRAL = {"strict", "stacklevel", "slots", "frozen", "kw_only", "repr"}
LEFT_ALONE = (ast.Raise, ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)
_OPERATOR = re.compile(r"not\s+in|is\s+not|[a-z]+|[^\s\w()#\\]+")
_C_TOKEN = re.compile(r"(?<= )(<=?|>=?|==|!=|[-+*/&|]|&&|\|\|)(?= )|(?<![\w.<])(\d+)(?![\w.>])")
_C_TEXT = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|#ifn?def GN_PLANT.*?#(?:else|endif)|^\s*(?:#|template|static_assert)[^\n]*",
    re.S | re.M,
)


@dataclass(frozen=True)
class Mutant:
    """Characters ``start`` to ``end`` become ``after``; ``function`` is the first line of the one around, or 0."""

    kind: str
    line: int
    start: int
    before: str
    after: str
    function: int = 0

    def apply(self, text: str) -> str:
        return text[: self.start] + self.after + text[self.start + len(self.before) :]


def python_mutants(text: str) -> list[Mutant]:
    """All changes of a Python file, in the order of its tree."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.AST) -> tuple[int, int]:
        places = ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))  # type: ignore[attr-defined]
        first, last = (starts[n - 1] + len(text[starts[n - 1] :].encode()[:k].decode()) for n, k in places)
        return first, last

    return [
        Mutant(kind, text.count("\n", 0, a) + 1, a, text[a:b], after, function)
        for node, function in _walk(ast.parse(text), 0)
        for kind, (a, b), after in _changes(node, text, span)
    ]


def _walk(node: ast.AST, function: int) -> Iterator[tuple[ast.AST, int]]:
    """Each node that may change, with the first line of its function."""
    typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    if typing or isinstance(node, LEFT_ALONE) or (isinstance(node, ast.keyword) and node.arg in NEUTRAL):
        return
    if function or not isinstance(node, ast.BinOp):  # X | Y outside of functions is a type
        yield node, function
    if isinstance(node, ast.FunctionDef):
        function = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child, function)


def _changes(node: ast.AST, text: str, span) -> Iterator[tuple[str, tuple[int, int], str]]:  # type: ignore[no-untyped-def]
    def source(part: ast.AST) -> str:
        return text[slice(*span(part))]

    match node:
        case ast.Compare(left=a, comparators=[b, *_]) | ast.BoolOp(values=[a, b, *_]) | ast.BinOp(left=a, right=b):
            for found in _OPERATOR.finditer(text, span(a)[1], span(b)[0]):
                if (operator := " ".join(found[0].split())) in SWAPS:
                    yield (
                        {"BoolOp": "boolean", "Compare": "compare"}.get(type(node).__name__, "arithmetic"),
                        found.span(),
                        SWAPS[operator],
                    )
                    break
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield "not dropped", span(node), source(operand)
        case ast.Constant(value=bool() as value):
            yield "constant", span(node), str(not value)
        case ast.Constant(value=int() as value):
            yield "constant", span(node), str(value + 1 if span(node)[0] % 2 or value == 0 else value - 1)
        case ast.Constant(value=float() as value):
            yield "constant", span(node), repr(2 * value if value else 1.0)
        case ast.Return(value=ast.expr() as value) if source(value) != "None":
            yield "return", span(value), "None"
            if isinstance(value, ast.Call) and value.args and not isinstance(value.args[0], ast.Starred):
                yield "return", span(value), source(value.args[0])
        case ast.Expr(value=ast.Call()):
            yield "call dropped", span(node), "pass"
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "if/else", span(test), f"not ({source(test)})"
        case ast.Slice(lower=lower, upper=upper):
            for bound, by in ((lower, "+ 1"), (upper, "- 1")):
                if bound is not None:
                    yield "slice", span(bound), f"({source(bound)}) {by}"


def cuda_mutants(text: str) -> list[Mutant]:
    """Comparisons, arithmetic, booleans and constants of a kernel file, without comments, macros and plants."""
    blank = _C_TEXT.sub(lambda found: re.sub(r"[^\n]", "?", found[0]), text)
    found = []
    for match in _C_TOKEN.finditer(blank):
        kind = "constant" if match[2] else "compare" if match[1][0] in "<>=!" else "arithmetic"
        after = str(int(match[2]) + 1) if match[2] else SWAPS[match[1]]
        found.append(Mutant(kind, text.count("\n", 0, match.start()) + 1, match.start(), match[0], after))
    return found
