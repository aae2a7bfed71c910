"""Options that commands share, made from the rows that own them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gridnorm.core.option import Option


_MADE = "gridnorm.options"


class SettingsCommand(click.Command):
    """A command whose options are those of the rows at the time it is asked, behind those of its own.

    ``only`` lists the names of the options that the command takes; None: all.
    """

    only: Callable[[], Iterable[str]] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments, then the options of rows, then the command's own."""
        mine = super().get_params(ctx)
        arguments = [parameter for parameter in mine if isinstance(parameter, click.Argument)]
        if _MADE not in ctx.meta:  # click asks several times
            ctx.meta[_MADE] = settings_options(self.only)
        return [*arguments, *ctx.meta[_MADE], *(p for p in mine if p not in arguments)]


def settings_options(only: Callable[[], Iterable[str]] | None = None) -> list[click.Option]:
    """One click option for every option of a run, in the order of the help page.

    None is the default of all, so that a preset knows what was given explicitly.
    """
    from gridnorm.workflow.settings import all_options

    names = None if only is None else set(only())
    return [_click(option) for option in all_options().values() if names is None or option.name in names]


def _click(option: Option) -> click.Option:
    from gridnorm.core.option import FLAG

    if option.kind is FLAG:
        both = f"{option.flag}/--no-{option.flag[2:]}"
        return click.Option([both], default=None, help=help_of(option))

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        if option.metavar == "FILE":
            return paths(context, parameter, begun)
        return [CompletionItem(word) for word in _words(option) if word.startswith(begun)]

    metavar = option.metavar or "|".join(option.words()) or option.name.upper()
    return click.Option([option.flag], metavar=metavar, default=None, help=help_of(option), shell_complete=complete)


def paths(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What tells a shell to complete files and folders itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


def _words(option: Option) -> tuple[str, ...]:
    """The words that an option may be, as far as they can be listed."""
    from gridnorm.workflow.settings import row_names

    return option.words() or option.begins or row_names(option.name)


def help_of(option: Option) -> str:
    """What an option does, which words it takes, whose it is, and its default."""
    from gridnorm.workflow.settings import default_in_words, help_text, owners

    text = help_text(option)
    takers = owners(option.name)
    notes = [f"of {', '.join(takers)}"] if takers else []
    default = default_in_words(option)
    notes += [f"default: {default}"] if default else []
    return f"{text}  [{'; '.join(notes)}]" if notes else text


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal; nothing in a pipe, a log or where silence was asked for."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar: Any = None

    def told(done: int, total: int) -> None:
        nonlocal bar
        if total < 2:
            return
        if bar is None:
            bar = click.progressbar(length=total, label="arrays", file=getattr(sys.stderr, "raw", sys.stderr))
            bar.__enter__()
        bar.update(1)
        if done == total:  # before a table goes to the same terminal
            bar.__exit__(None, None, None)

    try:
        yield told
    finally:
        if bar is not None and not bar.finished:
            bar.__exit__(None, None, None)
