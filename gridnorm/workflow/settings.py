"""Settings of ``normalize``: one frozen record whose field names are the option names and the JSON keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gridnorm.errors import OptionError

METHOD_NAMES = ("auto", "none", "median", "mean", "mad", "zscore", "loess")
BACKGROUND_NAMES = ("auto", "none", "subtract", "half", "minimum", "movingmin", "edwards", "normexp")
CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHOD_NAMES,
    "background": BACKGROUND_NAMES,
    "foreground": ("mean", "median"),
    "flags": ("exclude", "ignore", "drop", "downweight"),
    "small_groups": ("array", "merge", "shrink", "error"),
    "align": ("strict", "id", "union"),
    "preset": ("recommended", "limma"),
    "device": ("auto", "cpu", "gpu"),
}
# What a preset changes against the defaults; options given explicitly win.
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "limma": {
        "background": "subtract",
        "offset": 0.0,
        "foreground": "mean",
        "span": 0.3,
        "iterations": 4,
        "flags": "ignore",
        "min_group": 0,
    },
}
NORMEXP_OFFSET = 50.0


@dataclass(frozen=True)
class Settings:
    """All options of ``normalize`` that change numbers or rows.

    ``None`` means *automatic*: ``offset`` 50 after normexp and 0 otherwise, ``foreground`` the format's own default,
    ``min_group`` 30 for curves and 5 for locations and scales.
    """

    by: str = "print-tip"
    method: str = "auto"
    span: float = 0.3
    iterations: int = 4
    background: str = "auto"
    offset: float | None = None
    foreground: str | None = None
    channels: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    flags: str = "exclude"
    weights: str = "none"
    min_group: int | None = None
    small_groups: str = "array"
    align: str = "strict"
    layout: str | None = None
    gal: str | None = None
    keep: tuple[str, ...] = ()
    preset: str = "recommended"
    device: str = "auto"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds them."""
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown["columns"] = dict(self.columns)
        shown["channels"], shown["keep"] = list(self.channels), list(self.keep)
        return shown

    def background_of(self, measured: bool) -> tuple[str, float]:
        """Background method and offset for an array with or without a measured background."""
        method = ("normexp" if measured else "none") if self.background == "auto" else self.background
        offset = self.offset
        if offset is None:
            offset = NORMEXP_OFFSET if method == "normexp" else 0.0
        return method, offset


def make_settings(options: Mapping[str, Any]) -> Settings:
    """Settings from given options, over the preset they name.

    Parameters
    ----------
    options
        Only what was given explicitly; names as in ``Settings``. Lists may be text with commas, ``columns`` text
        ``R=…,G=…`` or a mapping.

    Raises
    ------
    OptionError
        Unknown name (with a suggestion), unknown value, or a number outside its range.

    Examples
    --------
    >>> make_settings({"preset": "limma", "span": 0.5}).background, make_settings({"min_group": "auto"}).min_group
    ('subtract', None)
    """
    known = {f.name for f in fields(Settings)}
    for name in options:
        if name not in known:
            near = _nearest(name, known)
            raise OptionError(
                "unknown option",
                found=name,
                hint=f"Did you mean {near}?" if near else "Known: " + ", ".join(sorted(known)),
            )
    preset = str(options.get("preset", "recommended"))
    _check_choice("preset", preset)
    settings = replace(
        Settings(), **{**PRESETS[preset], **{name: _parsed(name, value) for name, value in options.items()}}
    )
    _check(settings)
    return settings


def _nearest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1)), None)


def _parsed(name: str, value: Any) -> Any:
    if name in ("offset", "foreground", "min_group", "layout", "gal") and value in (None, "auto"):
        return None
    if name in ("channels", "keep"):
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(str(part).strip() for part in parts if str(part).strip())
    if name == "columns":
        from gridnorm.io.formats.table import COLUMNS

        return COLUMNS.read(value)
    if name in ("span", "offset"):
        return _number(name, value, float)
    if name in ("iterations", "min_group"):
        return _number(name, value, int)
    return str(value)


def _number(name: str, value: Any, kind: type) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError):
        number = None
    if number is None or number != number or (isinstance(value, float) and number != value):
        raise OptionError(f"{_option(name)} must be a {'whole ' if kind is int else ''}number", found=repr(value))
    return number


def _check(settings: Settings) -> None:
    for name in CHOICES:
        value = getattr(settings, name)
        if value is not None:
            _check_choice(name, value)
    _check_range("span", settings.span, 0 < settings.span <= 1, "more than 0 and at most 1")
    _check_range("iterations", settings.iterations, settings.iterations >= 1, "1 or more")
    if settings.offset is not None:
        _check_range("offset", settings.offset, 0 <= settings.offset < float("inf"), "0 or more")
    if settings.min_group is not None:
        _check_range("min_group", settings.min_group, settings.min_group >= 0, "0 or more")
    if settings.weights.startswith("area:"):
        from gridnorm.arrays.weights import parse_area

        parse_area(settings.weights)


def _check_choice(name: str, value: str) -> None:
    if value not in CHOICES[name]:
        near = _nearest(value, CHOICES[name])
        hint = f"Did you mean {near}?" if near else None
        raise OptionError(
            f"unknown value of {_option(name)}", found=repr(value), expected=", ".join(CHOICES[name]), hint=hint
        )


def _check_range(name: str, value: float, good: bool, expected: str) -> None:
    if not good:
        raise OptionError(f"{_option(name)} is out of range", found=str(value), expected=expected)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
