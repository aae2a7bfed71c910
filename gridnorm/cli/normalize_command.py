"""``gridnorm normalize``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gridnorm.cli.options import SettingsCommand, paths, progress
from gridnorm.cli.streams import say, show_json

# Talk goes to stderr, data to stdout.


@click.command("normalize", cls=SettingsCommand, short_help="Normalize array files into one table.")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=paths)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    shell_complete=paths,
    help="Result: .tsv .csv (also .gz), .parquet, - for stdout, or a folder (ends in / or exists): one file an array.  "
    "[default: <stem>.normalized.tsv here]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["tsv", "csv", "tsv.gz", "csv.gz", "parquet"]),
    help="Format, where the name does not tell.",
)
@click.option(
    "--precision",
    metavar="N|full",
    default="6",
    show_default=True,
    help="Decimals, or full for the shortest exact text.",
)
@click.option(
    "--sidecar",
    metavar="FILE",
    shell_complete=paths,
    help="Where the record of the run goes.  [default: OUT.gridnorm.json]",
)
@click.option(
    "--figure",
    metavar="FILE",
    shell_complete=paths,
    help="MA plot by group, before and after: .png, .svg, .pdf.  Needs the extra report.",
)
@click.option("--save-target", metavar="FILE", help="Keep what the arrays were brought to, for --target.")
@click.option("--force", is_flag=True, help="Overwrite existing outputs: result, record, figure, log.")
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON, compute nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the sidecar on stdout.")
@click.option(
    "--log-file", metavar="FILE", shell_complete=paths, help="Also write what is said, with timings, to this file."
)
@click.option(
    "-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Worker processes."
)
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Show every array, warning and failure, those of one kind too.")
def command(inputs: tuple[str, ...], **given: Any) -> int:
    """Normalize array files within groups of spots, by default within print-tips.

    INPUT: files, folders, globs, or a targets table with a column FileName. Formats are recognised by content.

    \b
    gridnorm normalize slide1.gpr slide2.gpr
    gridnorm normalize arrays/ --background subtract -o out.tsv
    gridnorm normalize targets.txt --preset limma --flags downweight
    gridnorm normalize table.csv --columns R=ch2,G=ch1,ID=gene,Block=block --by Block
    """
    from gridnorm.workflow.output import normalize_to
    from gridnorm.workflow.settings import make_settings
    from gridnorm.workflow.target import Request

    own = {
        name: given.pop(name)
        for name in (
            "output", "form", "precision", "sidecar", "figure", "save_target", "force",
            "dry_run", "as_json", "log_file", "jobs", "quiet", "verbose",
        )
    }  # fmt: skip
    settings = make_settings({name: value for name, value in given.items() if value is not None})
    request = Request(
        output=own["output"],
        form=own["form"],
        precision=own["precision"],
        sidecar=own["sidecar"],
        force=own["force"],
        figure=own["figure"],
        **(_drawing(own["figure"]) if own["figure"] is not None else {}),
        log_file=own["log_file"],
        save_target=own["save_target"],
        jobs=own["jobs"],
    )
    if own["as_json"] and own["output"] == "-":
        raise click.UsageError(
            "-o - and --json both print to stdout; --sidecar FILE keeps the record of the run elsewhere."
        )
    if own["dry_run"]:
        return _dry_run(inputs, settings, request, verbose=own["verbose"])
    with progress(quiet=own["quiet"]) as told:
        outcome = normalize_to(inputs, settings, request._replace(progress=told))
    _report(outcome, quiet=own["quiet"], verbose=own["verbose"], log_file=own["log_file"], force=own["force"])
    if own["as_json"] and outcome.sidecar is not None:
        show_json(piece.decode() for piece in outcome.sidecar.pieces())
    return outcome.exit_code


def _drawing(path: str) -> dict[str, Any]:
    """What draws the figure; fails now, before any computing, where it could not be drawn later."""
    from gridnorm.report import check_figure, figure_bytes, ma_by_group
    from gridnorm.report.figures import MOST_ARRAYS

    form = check_figure(path)
    return {
        "draw": lambda sets, total: figure_bytes(ma_by_group(sets, total=total), form),
        "most_drawn": MOST_ARRAYS,
    }


def _dry_run(inputs: tuple[str, ...], settings: Any, request: Any, *, verbose: bool) -> int:
    import json

    from gridnorm.cli.gather import failed
    from gridnorm.workflow.between import alike_of
    from gridnorm.workflow.output import Outcome, plan_for, refuse_wrong_option
    from gridnorm.workflow.plan import describe
    from gridnorm.workflow.target import check_request

    target, _ = check_request(inputs, settings, request)
    settings, alike = alike_of(settings)
    plan = plan_for(inputs, settings, target, alike)
    show_json([json.dumps({**describe(plan), "output": target.path}, indent=1, ensure_ascii=False), "\n"])
    if not plan.tasks:
        refuse_wrong_option(plan.failures)
    say(failed(plan.failures, verbose=verbose, folder=target.folder))
    if not plan.tasks:
        return Outcome(failures=list(plan.failures)).exit_code
    return 1 if plan.failures else 0


def _report(outcome: Any, *, quiet: bool, verbose: bool, log_file: str | None, force: bool) -> None:
    from gridnorm.cli.table import summary, verdicts

    talk: list[str] = []
    if not quiet and outcome.arrays:
        talk += [*summary(outcome.arrays, all_rows=verbose), _background(outcome.arrays), *verdicts(outcome.arrays)]
    if outcome.warnings or outcome.skipped or outcome.failures:  # else what sorts them need not be loaded
        talk += _messages(outcome, quiet=quiet, verbose=verbose)
    if not outcome.arrays and not outcome.failures:
        talk.append("gridnorm: no array file was found, nothing was written")
    if not quiet:
        talk += outcome.written
    say(talk)
    if log_file is not None:
        from gridnorm.io.atomic import Output
        from gridnorm.plain import one_line

        timings = [f"{name}: {seconds:.3f} s" for name, seconds in outcome.timings.items()]
        with Output(force) as files:
            files.write(log_file, "".join(f"{one_line(line)}\n" for line in [*talk, *timings]).encode())


def _messages(outcome: Any, *, quiet: bool, verbose: bool) -> list[str]:
    from gridnorm.cli.gather import failed, gathered, of_skipped, of_warnings

    talk: list[str] = []
    if not quiet:
        names = {one.name for one in outcome.arrays}
        talk += gathered("warning: ", of_warnings(outcome.warnings, names), verbose=verbose)
        talk += gathered("skipped ", of_skipped(outcome.skipped), verbose=verbose)
    return talk + failed(outcome.failures, verbose=verbose, folder=outcome.folder)


def _background(arrays: Sequence[Any]) -> str:
    """Which background method ran: ``auto`` decides by what was measured, and the user must see how."""
    between = dict.fromkeys(f"then between: {one.between}" for one in arrays if one.between != "none")
    typed = list(dict.fromkeys(one.types for one in arrays if one.types))
    types = [*typed[:1], *([f"{len(typed) - 1} arrays have other numbers"] if len(typed) > 1 else [])]
    corrected = dict.fromkeys(f"corrected: {', '.join(one.correct)}" for one in arrays if one.correct)
    background = "background: " + "; ".join(dict.fromkeys(one.background for one in arrays))
    return "; ".join([background, *corrected, *types, *between])
