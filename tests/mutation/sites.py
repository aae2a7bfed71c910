"""Places where a source file can be changed a little: ``(start, end, new text)`` of a character range."""

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
# Keywords whose values say how, not what; decorators, annotations, messages and errors are left alone as well.
NEUTRAL = {"strict", "stacklevel", "slots", "frozen", "kw_only", "repr"}
_OPERATOR = re.compile(r"not\s+in|is\s+not|[a-z]+|[^\s\w()#\\]+")
_C_TOKEN = re.compile(r"(?<= )(<=?|>=?|==|!=|[-+*/&|]|&&|\|\|)(?= )|(?<![\w.<])(\d+)(?![\w.>])")


@dataclass(frozen=True)
class Mutant:
    """One change of one file: characters ``start`` to ``end`` become ``after``."""

    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str
    function: int = 0  # first line of the innermost function around it, 0: none

    def apply(self, text: str) -> str:
        assert text[self.start : self.end] == self.before
        return text[: self.start] + self.after + text[self.end :]


def python_mutants(text: str) -> list[Mutant]:
    """All changes of a Python file, in the order of its tree."""
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def place(line: int, column: int) -> int:
        start = lines[line - 1]
        return start + len(text[start : lines[line]].encode()[:column].decode())

    def span(node: ast.AST) -> tuple[int, int]:
        return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    found = []
    for node, function in _walk(ast.parse(text), 0):
        for kind, start, end, after in _changes(node, text, span):
            line = text.count("\n", 0, start) + 1
            found.append(Mutant(kind, line, start, end, text[start:end], after, function))
    return found


def _walk(node: ast.AST, function: int) -> Iterator[tuple[ast.AST, int]]:
    """Each node that may change, with the first line of its function."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return
    if isinstance(node, ast.keyword) and node.arg in NEUTRAL:
        return
    if function or not isinstance(node, ast.BinOp):  # X | Y at the top of a module is a type
        yield node, function
    if isinstance(node, ast.FunctionDef):
        function = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, function)


def _changes(node: ast.AST, text: str, span) -> Iterator[tuple[str, int, int, str]]:  # type: ignore[no-untyped-def]
    match node:
        case ast.Compare(left=left, comparators=[right, *_]):
            yield from _swapped("compare", text, span(left)[1], span(right)[0])
        case ast.BoolOp(values=[left, right, *_]):
            yield from _swapped("boolean", text, span(left)[1], span(right)[0])
        case ast.BinOp(left=left, right=right):
            yield from _swapped("arithmetic", text, span(left)[1], span(right)[0])
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield "not dropped", *span(node), text[slice(*span(operand))]
        case ast.Constant(value=bool() as value):
            yield "constant", *span(node), str(not value)
        case ast.Constant(value=int() as value):
            yield "constant", *span(node), str(value + 1 if span(node)[0] % 2 or value == 0 else value - 1)
        case ast.Constant(value=float() as value):
            yield "constant", *span(node), repr(2 * value if value else 1.0)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", *span(value), "None"
            if isinstance(value, ast.Call) and value.args and not isinstance(value.args[0], ast.Starred):
                yield "return", *span(value), text[slice(*span(value.args[0]))]
        case ast.Expr(value=ast.Call()):
            yield "call dropped", *span(node), "pass"
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(node, ast.While):
                yield "if/else", *span(test), f"not ({text[slice(*span(test))]})"
        case ast.Slice(lower=lower, upper=upper):
            for bound, by in ((lower, "+ 1"), (upper, "- 1")):
                if bound is not None:
                    yield "slice", *span(bound), f"({text[slice(*span(bound))]}) {by}"


def _swapped(kind: str, text: str, start: int, end: int) -> Iterator[tuple[str, int, int, str]]:
    """The operator between two operands; comments between them would hide it, and none does."""
    for found in _OPERATOR.finditer(text, start, end):
        operator = " ".join(found[0].split())
        if operator in SWAPS:
            yield kind, found.start(), found.end(), SWAPS[operator]
            return


def cuda_mutants(text: str) -> list[Mutant]:
    """Comparisons, arithmetic, booleans and constants of a kernel file, without comments, macros and plants."""
    blank = re.sub(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"", lambda m: re.sub(r"[^\n]", "?", m[0]), text, flags=re.DOTALL)
    blank = re.sub(
        r"#ifn?def GN_PLANT.*?#(?:else|endif)", lambda m: re.sub(r"[^\n]", "?", m[0]), blank, flags=re.DOTALL
    )
    found = []
    for match in _C_TOKEN.finditer(blank):
        line_text = blank[blank.rfind("\n", 0, match.start()) + 1 : blank.find("\n", match.end())]
        if re.match(r"\s*(#|template|using|\w[\w ]*\*|static_assert)", line_text) and match[1] == "*":
            continue
        if line_text.lstrip().startswith(("#", "template", "static_assert")):
            continue
        after = SWAPS[match[1]] if match[1] else str(int(match[2]) + 1)
        kind = "constant" if match[2] else "compare" if match[1][0] in "<>=!" else "arithmetic"
        line = text.count("\n", 0, match.start()) + 1
        found.append(Mutant(kind, line, match.start(), match.end(), match[0], after))
    return found
