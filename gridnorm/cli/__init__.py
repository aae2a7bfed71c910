"""The command line: thin; every command lives in a file of its own and is imported when it is called."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from gridnorm._version import __version__
from gridnorm.cli.streams import safe_streams, say
from gridnorm.errors import GridnormError, speak_command_line

# In the order in which a newcomer meets them.
COMMANDS = {
    "normalize": "Normalize array files into one table.",
    "inspect": "Say what a file is: format, channels, layout and its evidence, flags, groups.",
    "simulate": "Write array files with known truth.",
    "doctor": "Show versions and the device, and why.",
}
INTERRUPTED, INTERNAL = 130, 70
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_COMPLETE = "_GRIDNORM_COMPLETE"  # set by the shell, as click has it


class _Commands(click.Group):
    """Names and one-line helps without importing any command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"gridnorm.cli.{name}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from gridnorm.core.option import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean {near!r}?" if near else f" Commands: {', '.join(COMMANDS)}."
            raise click.UsageError(f"no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: gridnorm normalize arrays/*.gpr --by print-tip -o normalized.tsv",
)
@click.version_option(__version__, prog_name="gridnorm", message="%(prog)s %(version)s")
def cli() -> None:
    """Normalize arrays within the groups that carry their bias: print-tips, plates, pads, any column."""


def main(args: list[str] | None = None) -> None:
    """Entry point of ``gridnorm``: runs a command and turns errors into messages and exit codes."""
    # The CPU path is single-threaded; starting BLAS threads would only cost time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for number in _STOPPING:
        # What nohup or a shell's background job ignores stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stopped)
    try:
        code = run(args)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else INTERNAL
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # closed by whoever started the program
                stream.flush()
        except (OSError, ValueError):
            code = code or 1
    # Everything is written and closed: taking the interpreter apart piece by piece would only cost time.
    os._exit(code)


def _stopped(number: int, frame: object) -> None:
    # Leaving by an exception lets open outputs remove their temporary files; a second signal must not interrupt that.
    for each in _STOPPING:
        signal.signal(each, lambda *_: None)  # not SIG_IGN: Python would report one that is on its way
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def run(args: list[str] | None = None) -> int:
    """Run a command line; its exit code."""
    completing = os.environ.get(_COMPLETE) if args is None else None
    if completing:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "gridnorm", _COMPLETE, completing)
    speak_command_line()
    try:
        with safe_streams():
            return _run(args)
    finally:
        speak_command_line(False)


def _run(args: list[str] | None) -> int:
    try:
        # Not cli.main(): it has ideas of its own about closed pipes.
        with cli.make_context("gridnorm", list(sys.argv[1:] if args is None else args)) as context:
            result = cli.invoke(context)
        sys.stdout.flush()
        return int(result) if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say(["gridnorm: interrupted; no half-written file was left"])
        return INTERRUPTED
    except GridnormError as error:
        say([f"gridnorm: {error}"])
        return error.exit_code
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:  # noqa: BLE001  the last line of defence: a message instead of a traceback
        return _internal(error)


def _reader_gone() -> int:
    """The reader of our output has left, as ``head`` does; that is no error of ours."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  stays open to the end, which it keeps quiet
    return 0


def _internal(error: Exception) -> int:
    if os.environ.get("GRIDNORM_DEBUG"):
        raise error
    place = _place(error)
    say(
        [
            f"gridnorm: internal error, please report it: {type(error).__name__}: {error} ({place}).",
            "Set GRIDNORM_DEBUG=1 to see the traceback.",
        ]
    )
    return INTERNAL


def _place(error: BaseException) -> str:
    told = getattr(error.__cause__, "place", None)  # by a worker process
    if isinstance(told, str):
        return told
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        "unknown place" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
    )
