"""Parts of pages that are made from the program itself, so that they cannot fall behind it.

A line ``<!-- made: WHAT ARGUMENT -->`` in a page is replaced when the page is read.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_MARK = re.compile(r"^<!-- made: (\S+)(?: (\S+))? -->$", re.MULTILINE)


def cli(name: str) -> str:
    """Usage, help and options of one command, from click."""
    import click

    command = import_module(f"gridnorm.cli.{name}_command").command
    context = click.Context(command, info_name=f"gridnorm {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    text, _, examples = cleandoc(command.help or "").partition("\b\n")
    lines = ["```text", usage, "```", "", text.strip(), ""]
    if examples:
        lines += ["```text", examples.strip(), "```", ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            lines += [f"`{record[0]}`", f": {_escaped(record[1])}", ""]
    return "\n".join(lines)


def rows(kind: str) -> str:
    """The rows of one table, with the options that each takes."""
    from gridnorm.arrays.within import method_options
    from gridnorm.workflow.settings import _TABLES

    lines = []
    for row in _TABLES[kind].values():
        taken = method_options(row) if kind == "method" else row.options
        options = ", ".join(f"`{option.flag}`{_default(option)}" for option in taken)
        lines.append((f"`{row.name}`", _escaped(row.summary), options or "–", _escaped(row.source) or "–"))
    called = {"by": "grouping", "correct": "correction"}
    return _table((called.get(kind, kind), "what it does", "its options and their defaults", "source"), lines)


def foreign(_: str) -> str:
    """Results of image analysis that have no reader yet, and the columns by which they are read meanwhile."""
    from gridnorm.io.formats.foreign import RESULTS

    lines = []
    for kind in RESULTS:
        name = kind.name.removeprefix("a results file of ").removeprefix("a file of ").removeprefix("a ")
        columns = f"`{kind.columns[0]}`" if kind.columns else "–"
        lines.append((_escaped(name), columns, _escaped(kind.hint) or "–"))
    return _table(("file", "for example", "before"), lines)


def _default(option: Any) -> str:
    value = option.plain(option.default)
    if value in (None, [], {}):
        return ""
    if isinstance(value, bool):
        return " yes" if value else " no"
    return f" {value:g}" if isinstance(value, float) else f" {value}"


def schema(_: str) -> str:
    """The top-level entries of the sidecar, and those of one array."""
    found = json.loads((ROOT / "gridnorm" / "schemas" / "sidecar-2.schema.json").read_text(encoding="utf-8"))
    parts = ["**Entries**", "", _entries(found, found)]
    for name in ("array", "parameters", "layout", "input"):
        entries = found["$defs"][name]
        if name == "parameters":
            # Each may also be null or, where arrays differ, a list; the text above the table says so.
            only = {key: {**one, "anyOf": one["anyOf"][:1]} for key, one in entries["properties"].items()}
            entries = {**entries, "properties": only}
        parts += ["", f"**{name}**", "", _escaped(entries.get("description", "")), "", _entries(entries, found)]
    return "\n".join(parts)


def results(name: str) -> str:
    """A table that a benchmark wrote, or a sentence that there is none."""
    file = ROOT / "tests" / "bench" / "results" / f"{name}.md"
    if file.is_file():
        # Its title would stand above ours.
        return re.sub(r"^#+ (.*)$", r"**\1**", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return f"*Not measured yet for this version: `tests/bench/bench_{name}.py` writes this table.*"


def studies(_: str) -> str:
    """One line a study: what is claimed, the verdict, the figure that tells most."""
    from studies import TELLING, lab

    lines = []
    for name, place in TELLING.items():
        study = import_module(f"studies.{name}")
        told = study.claims(lab.runs(study))[place]
        title = (lab.HERE / f"{name}.md").read_text(encoding="utf-8").partition("\n# ")[2].partition("\n")[0]
        figure = f"{_escaped(told.text)}: **{_escaped(told.figure)}**"
        lines.append((f"[{title}]({name}.md)", _escaped(study.CLAIM), study.VERDICT, figure))
    return _table(("study", "claim", "verdict", "a figure"), lines)


MADE = {"cli": cli, "rows": rows, "schema": schema, "results": results, "foreign": foreign, "studies": studies}


def _entries(part: dict[str, Any], whole: dict[str, Any]) -> str:
    rows = []
    for name, value in part["properties"].items():
        given = value
        if "$ref" in value:
            given = {**whole["$defs"][value["$ref"].rpartition("/")[2]], **value}
        rows.append((f"`{name}`", _kind(value, whole), _escaped(given.get("description", ""))))
    return _table(("name", "kind", "meaning"), rows)


def _kind(value: dict[str, Any], whole: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        inner = whole["$defs"][name]
        return name if inner.get("type") == "object" else _kind(inner, whole)
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if "enum" in value:
        return ", ".join("null" if item is None else f"`{item}`" for item in value["enum"])
    if "oneOf" in value:
        return " or ".join(_kind(one, whole) for one in value["oneOf"])
    if "anyOf" in value:
        return " or ".join(_kind(one, whole) for one in value["anyOf"])
    kind = value.get("type", "")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    return f"list of {_kind(value['items'], whole)}" if kind == "array" and "items" in value else kind


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    # A column that says nothing in any line is left out.
    told = [at for at in range(len(titles)) if at == 0 or any(row[at] not in ("", "–") for row in rows)]
    titles, rows = tuple(titles[at] for at in told), [tuple(row[at] for at in told) for row in rows]
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("<", "\\<").replace("*", "\\*").replace("_", "\\_")


def _fill(app: Any, page: str, content: list[str]) -> None:
    if "<!-- made: studies -->" in content[0]:
        for path in (ROOT / "docs" / "studies").rglob("*.[jp][sy]*"):  # scripts and records
            app.env.note_dependency(str(path))
    content[0] = _MARK.sub(lambda mark: MADE[mark[1]](mark[2] or ""), content[0])


def _tidy(app: Any, what: str, name: str, value: Any, options: Any, signature: str, returned: str) -> Any:
    """Signatures as they stand in the source: no wrapped aliases, no ``<class 'map'>``."""
    if signature is None:
        return None
    plain = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature)
    return re.sub(r"<class '(\w+)'>", r"\1", plain), returned


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _fill)
    app.connect("autodoc-process-signature", _tidy, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
