"""``gridnorm inspect``."""

from __future__ import annotations

from typing import Any

import click

from gridnorm.cli.options import SettingsCommand, paths
from gridnorm.cli.streams import say, show, show_json
from gridnorm.plain import few

NOT_READ, CHECK_FAILED = 3, 7
SHOWN_FLAGS, WIDEST_VERSION = 10, 80  # codes, characters
_NOTHING = "–"


def _taken() -> set[str]:
    from gridnorm.workflow.inspect import inspect_options

    return inspect_options()


class _Inspect(SettingsCommand):
    only = staticmethod(_taken)


@click.command("inspect", cls=_Inspect, short_help="Say what a file is.")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=paths)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--check", is_flag=True, help="Exit with 7 if a quality rule fails: flagged > 30 %, saturated > 5 %, …")
@click.option("-v", "--verbose", is_flag=True, help="Show each of many files in full, as one file is shown.")
def command(inputs: tuple[str, ...], **given: Any) -> int:
    """Say what array files are: format, channels, layout and its evidence, flags, groups, quality.

    One file is shown in full, several in a line each.

    \b
    gridnorm inspect slide1.gpr
    gridnorm inspect arrays/
    gridnorm inspect arrays/ --json
    """
    from gridnorm.workflow.inspect import failed_rules, inspect

    as_json, check, verbose = given.pop("as_json"), given.pop("check"), given.pop("verbose")
    found = inspect(inputs, **{name: value for name, value in given.items() if value is not None})
    if as_json:
        import json

        show_json([json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False), "\n"])
    elif len(found["inputs"]) > 1 and not verbose:
        show(_table(found["inputs"]))
    else:
        for number, record in enumerate(found["inputs"]):
            show([""] * (number > 0) + _lines(record))
    broken = [rule for record in found["inputs"] for rule in failed_rules(record)] if check else []
    say(f"check failed: {rule}" for rule in broken)
    errors = [record for record in found["inputs"] if record["status"] == "error"]
    if as_json:
        say(f"failed: {record['error']}" for record in errors)
    read = [record for record in found["inputs"] if record["status"] == "ok"]
    if errors or not read:
        return 1 if read else NOT_READ
    return CHECK_FAILED if broken else 0


_TITLES = (
    "file",
    "format",
    "channels",
    "spots",
    "layout",
    "flagged",
    "below bg",
    "explains most (chance)",
    "print-tips",
    "status",
)


def _table(records: list[dict[str, Any]]) -> list[str]:
    """Several files: a line each, then what there is to say, once for all of which it holds."""
    from gridnorm.cli.gather import gathered, of_skipped, of_warnings
    from gridnorm.cli.table import table

    rows = [_row(record) for record in records if record["status"] != "skipped"]
    lines = table(_TITLES, rows, {3, 5, 6}, "file", all_rows=True) if rows else []
    errors = [record["error"] for record in records if record["status"] == "error"]
    lines += gathered("cannot be read: ", of_warnings(errors), verbose=False)
    warnings = [text for record in records for text in record.get("warnings", ())]
    lines += gathered("warning: ", of_warnings(warnings), verbose=False)
    skipped = [(record["file"], record["reason"]) for record in records if record["status"] == "skipped"]
    return lines + gathered("skipped ", of_skipped(skipped), verbose=False)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    from gridnorm.cli.table import short_name

    file = short_name(record["file"])
    if record["status"] == "error":
        return (file, *[_NOTHING] * (len(_TITLES) - 2), "cannot be read")
    layout, count = record["layout"], len(record["warnings"])
    share = {name: f"{100 * value:.1f} %" for name, value in record["quality"].items()}
    return (
        file,
        record["format"],
        ", ".join(f"{one['channel']} {one['wavelength'] or ''}".strip() for one in record["channels"]) or _NOTHING,
        str(record["spots"]),
        _NOTHING if layout is None else layout["summary"].partition(" (")[0].replace(" blocks of ", ", "),
        share.get("flagged", _NOTHING),
        share.get("not_above_background", "none"),
        *_bias(record["explained"]),
        "ok" if not count else f"ok, {count} warning{'s' if count > 1 else ''}",
    )


def _bias(explained: list[dict[str, Any]]) -> tuple[str, str]:
    """The grouping that explains most, beside chance, and what print-tips explain beyond a curve and a surface."""
    from gridnorm.workflow.explained import ALPHA, TIPS

    known = [row for row in explained if row["share"] is not None]
    if not known:  # as of a GAL
        return _NOTHING, _NOTHING
    most = f"{known[0]['by']} {100 * known[0]['share']:.1f} % ({100 * known[0]['null']:.1f} %)"
    p = next((row["p"] for row in known if row["by"] == TIPS), None)
    return most, "not tested" if p is None else f"{'differ' if p < ALPHA else 'no effect'}, p = {p:.2g}"


def _lines(record: dict[str, Any]) -> list[str]:
    """One file for people."""
    if record["status"] == "error":
        return [record["file"], f"  cannot be read: {record['error']}"]
    if record["status"] == "skipped":
        return [record["file"], f"  skipped: {record['reason']}"]
    version = few([" ".join(filter(None, (record["format"], record["version"])))], widest=WIDEST_VERSION)
    lines = [record["file"], f"  format     {version}"]
    for channel in record["channels"]:
        nm = f" ({channel['wavelength']} nm)" if channel["wavelength"] else ""
        back = f", background {channel['background']}" if channel["background"] else ", no background"
        lines.append(f"  channel    {channel['channel']}{nm}: foreground {channel['foreground']}{back}")
    lines.append(f"  spots      {record['spots']}")
    layout = record["layout"]
    if layout is None:
        lines.append("  layout     unknown: the file has no Block, Row and Column")
    else:
        lines.append(f"  layout     {layout['summary']}")
        lines += [f"             because {sentence}" for sentence in layout["evidence"]]
    if record["flags"]:
        lines.append("  flags      " + few((f"{n} × {code}" for code, n in record["flags"].items()), SHOWN_FLAGS))
    if record.get("types"):
        lines.append("  types      " + few((f"{n} {name}" for name, n in record["types"].items()), SHOWN_FLAGS))
    lines += _groups(record["groups"])
    if record["quality"]:
        shares = {k: v for k, v in record["quality"].items() if not k.startswith("median_")}
        lines.append("  quality    " + ", ".join(f"{100 * v:.1f} % {k.replace('_', ' ')}" for k, v in shares.items()))
    if record["explained"]:
        from gridnorm.workflow.explained import in_words

        titles = ["  variance   by ", *["             by "] * (len(record["explained"]) - 1)]
        two = len(record["channels"]) == 2
        lines += [title + in_words(row, curve=two) for title, row in zip(titles, record["explained"], strict=True)]
    return lines + [f"  warning    {text}" for text in record["warnings"]]


def _groups(groups: list[dict[str, Any]]) -> list[str]:
    if not groups:
        return []
    sizes = sorted(group["usable"] for group in groups)
    if len(groups) == 1:
        return [f"  groups     1 of {sizes[0]} usable spots"]
    return [f"  groups     {len(groups)} of {sizes[0]} to {sizes[-1]} usable spots"]
