"""Options that commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# (flags, metavar or choices, help); None is the default of all, so that a preset knows what was given explicitly.
_SETTINGS: list[tuple[str, Any, str]] = [
    (
        "--by",
        "GROUPING",
        "print-tip, array, plate, print-order, pad, slide-row, slide-column or a spot column; a,b crosses.  "
        "[default: print-tip]",
    ),
    (
        "--method",
        "METHOD",
        "auto, none, median, mean, mad, zscore, loess.  [default: auto = loess, median for one channel]",
    ),
    ("--span", "SHARE", "Share of a group in each local fit of loess.  [default: 0.3]"),
    ("--iterations", "N", "Fits of loess: the first and the robust ones.  [default: 4]"),
    (
        "--background",
        "METHOD",
        "auto, none, subtract, half, minimum, movingmin, edwards, normexp.  [default: auto = normexp where measured]",
    ),
    ("--offset", "X", "Added after background correction.  [default: 50 with normexp, else 0]"),
    ("--foreground", "mean|median", "Foreground of GenePix files.  [default: mean]"),
    ("--channels", "R,G", "Wavelengths, for example 635,532.  [default: R = the longer one]"),
    (
        "--columns",
        "ROLE=TITLE,…",
        "Columns of plain tables: R, G, Rb, Gb or E, Eb; Block, Row, Column, ID, Name, X, Y, Flags.",
    ),
    (
        "--flags",
        "POLICY",
        "exclude (from the fit), ignore, drop (from the result), downweight (limma's weight 0).  [default: exclude]",
    ),
    ("--weights", "SPEC", "none, a column, area:LOW,HIGH, saturation.  [default: none]"),
    (
        "--min-group",
        "N",
        "Smallest number of usable spots of a group; 0 for no rule.  [default: 30 for curves, 5 otherwise]",
    ),
    (
        "--small-groups",
        "RULE",
        "Smaller groups take the fit of the array, merge, shrink, or are an error.  [default: array]",
    ),
    ("--align", "RULE", "strict, or join arrays of different print runs by id or union.  [default: strict]"),
    ("--layout", "RxCxrxc", "Blocks down × across × spots down × across, instead of what was inferred."),
    ("--gal", "FILE", "GAL with identifiers and layout; it overrides the files."),
    ("--keep", "COL,…", "Further spot columns in the table."),
    (
        "--preset",
        "NAME",
        "recommended, limma (its defaults and its numbers); explicit options win.  [default: recommended]",
    ),
    ("--device", "auto|cpu|gpu", "Where to compute: auto is the CPU; gpu never falls back.  [default: auto]"),
]


def settings_options(*only: str) -> Callable[[F], F]:
    """Options of ``Settings``, in the order of the help page; all of them, or only those named."""

    def add(function: F) -> F:
        for flag, metavar, text in reversed(_SETTINGS):
            if not only or flag in only:
                function = click.option(flag, metavar=metavar, default=None, help=text)(function)
        return function

    return add


def say(lines: Iterable[str]) -> None:
    """Write lines for people to stderr."""
    text = "".join(line + "\n" for line in lines)
    try:
        sys.stderr.write(text)
    except UnicodeEncodeError:
        sys.stderr.write(text.encode("ascii", "replace").decode())
    sys.stderr.flush()
