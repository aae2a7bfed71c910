"""What arrays were brought to, kept: to bring later arrays to the same, one at a time too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gridnorm.arrays.between.rows import BETWEEN, Between
from gridnorm.arrays.given import kind_of
from gridnorm.arrays.grouping import By, by_text
from gridnorm.arrays.raw import Column
from gridnorm.arrays.spot_types import EXCLUDE_TYPES, FIT_TYPES
from gridnorm.core.across import ACROSS, Target
from gridnorm.core.option import take
from gridnorm.errors import LayoutError, OptionError, option_word, recorded_option, speaks_command_line
from gridnorm.plain import WHOLE, few
from gridnorm.provenance import History

KIND = "target of a method between arrays"
SCHEMA = 2
TYPE_OPTIONS = (EXCLUDE_TYPES.name, FIT_TYPES.name)
# What was done within arrays, and is no part of what they are: where it was computed, and what ``types`` has.
_STEPS = ("background_correct", "correct_intensities", "normalize_within")
_NOT_STEPS = {"device", *TYPE_OPTIONS}
_READ = ("foreground", "channels")  # of how files were read
_KEYS = ("Block", "Row", "Column", "ID")


@dataclass(frozen=True, eq=False)
class BetweenTarget:
    """What a method has brought arrays to.

    Attributes
    ----------
    method, by, options
        A row of ``BETWEEN``, its grouping in words, and its options as they were effective.
    channels
        Of the arrays.
    spots, digest
        Number of spots and SHA-256 of their keys, in the order of the rows.
    parts
        Targets of the core by what they are for: ``M`` and ``A``, ``G+R``, or a sample.
    types
        Spot types that taught nothing (``exclude_types``), and those that alone taught (``fit_types``).
    steps
        Settings of what was done within the arrays before.
    file
        Where it was read from; no part of what it is.
    """

    method: str
    by: str
    options: Mapping[str, Any]
    channels: tuple[str, ...]
    spots: int
    digest: str
    parts: Mapping[str, Target]
    types: Mapping[str, tuple[str, ...]]
    steps: Mapping[str, Any]
    file: str | None = None

    def check(
        self,
        row: Between,
        by: str,
        options: Mapping[str, Any],
        channels: tuple[str, ...],
        spots: int,
        digest: str,
        types: tuple[tuple[str, ...], ...],
        steps: Mapping[str, Any],
    ) -> None:
        """Refuse arrays that cannot be brought to this.

        Raises
        ------
        OptionError
            Another method, grouping, option or spot types, or arrays of other channels.
        LayoutError
            Arrays of other spots.
        """
        pairs = ((steps, channels), (self.steps, self.channels))
        named = [_said(one.get("channels") or of) for one, of in pairs]
        if channels != self.channels or (len(channels) == 1 and named[0] != named[1]):
            raise OptionError(
                "the target was made of arrays of other channels", file=self.file, found=named[0], expected=named[1],
                hint="Make a target of arrays of this kind",
            )  # fmt: skip
        for what, option, asked, mine in (
            ("method", "between", row.name, self.method),
            ("grouping", "between_by", by, self.by),
            *((option_word(name), name, str(options.get(name)), str(value)) for name, value in self.options.items()),
        ):
            self.refuse_other(what, option, asked, mine)
        for name, words in zip(TYPE_OPTIONS, types, strict=True):
            if sorted(words) != sorted(self.types[name]):
                raise OptionError(
                    f"the target was made with other {option_word(name)}", file=self.file,
                    found=", ".join(words) or "none", expected=", ".join(self.types[name]) or "none",
                    hint="What taught the target has to teach here, too",
                )  # fmt: skip
        hint = (
            "Make a target of arrays of this kind; an array that lacks spots gets its rows beside one that has them all"
        )
        if spots != self.spots:
            raise LayoutError(
                "the target is of another number of spots", file=self.file, found=str(spots), expected=str(self.spots),
                hint=hint,
            )  # fmt: skip
        if ACROSS[str(row.across)].itemwise and digest != self.digest:
            raise LayoutError(
                "the target is of other spots", file=self.file, found="other Block, Row, Column or ID",
                expected=f"the {self.spots} spots it was made of, in their order", hint=hint,
            )  # fmt: skip

    def refuse_other(self, what: str, option: str, asked: str, mine: str) -> None:
        """Refuse a setting that is not the target's own.

        Raises
        ------
        OptionError
        """
        if asked != mine:
            raise OptionError(
                f"the target was made with another {what}", file=self.file, found=asked, expected=mine,
                hint=f"The target knows it: leave {option_word(option)} out" if speaks_command_line() else None,
            )  # fmt: skip

    def doubts(self, steps: Mapping[str, Any]) -> list[str]:
        """That the arrays were treated in another way than those the target was made of, one sentence or none."""
        differ = [name for name in dict.fromkeys((*self.steps, *steps)) if self.steps.get(name) != steps.get(name)]
        if not differ:
            return []
        pairs = [(recorded_option(name), _said(self.steps.get(name)), _said(steps.get(name))) for name in differ]
        said = few((f"{word} {mine} (here {theirs})" for word, mine, theirs in pairs), widest=WHOLE)
        return [f"the target{f' {self.file}' if self.file else ''} is of arrays with {said}"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the target is; the same for the same target, whatever file it lies in."""
        return hashlib.sha256(json.dumps(self.to_plain(), sort_keys=True).encode()).hexdigest()

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "method": self.method,
            "by": self.by,
            "options": dict(self.options),
            "channels": list(self.channels),
            "spots": self.spots,
            "spots_sha256": self.digest,
            "parts": {name: part.to_plain() for name, part in self.parts.items()},
            "types": {name: list(words) for name, words in self.types.items()},
            "steps": dict(self.steps),
        }

    @classmethod
    def from_plain(cls, plain: Any) -> Self:
        """The target that ``to_plain`` made these data from.

        Raises
        ------
        OptionError
            They are no data of a target, or of a later version.
        """
        if not isinstance(plain, dict) or plain.get("kind") != KIND:
            raise OptionError("this is no target of a method between arrays")
        if type(plain.get("schema")) is not int or plain["schema"] != SCHEMA:
            raise OptionError("the target is of another version", found=str(plain.get("schema")), expected=str(SCHEMA))
        row = BETWEEN.find(_entry(plain, "method", str))
        words = _entry(plain, "types", dict)
        found = cls(
            row.name, _entry(plain, "by", str), take(row.options, _entry(plain, "options", dict), row.name),
            tuple(_words(_entry(plain, "channels", list))), _entry(plain, "spots", int),
            _entry(plain, "spots_sha256", str),
            {name: Target.from_plain(part) for name, part in _entry(plain, "parts", dict).items()},
            {name: tuple(_words(_entry(words, name, list))) for name in TYPE_OPTIONS}, _entry(plain, "steps", dict),
        )  # fmt: skip
        for name, part in found.parts.items():
            if part.method != row.across or sum(part.sizes) != found.spots:
                raise OptionError(
                    _DAMAGED, found=f"{name}: {part.method} of {sum(part.sizes)} spots",
                    expected=f"{row.across} of {found.spots}",
                )  # fmt: skip
            part.refuse_damaged(found.options)
        return found


_DAMAGED = "the target is not whole"


def _entry(plain: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in plain:
        raise OptionError(_DAMAGED, found=f"no {name!r}")
    if type(plain[name]) is not kind:
        raise OptionError(_DAMAGED, found=f"{name}: {json.dumps(plain[name])[:40]}", expected=_KINDS[kind])
    return plain[name]


def _words(listed: list[Any]) -> list[str]:
    if not all(isinstance(word, str) for word in listed):
        raise OptionError(_DAMAGED, found=json.dumps(listed)[:40], expected="a list of words")
    return listed


_KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def no_target(given: object) -> OptionError:
    """The error that this is no target."""
    hint = "gn.read_target(path) reads one" if isinstance(given, str) or hasattr(given, "__fspath__") else None
    return OptionError(
        "there is no target", found=kind_of(given), expected="result.between of a method that leaves one", hint=hint
    )


def settings_of(
    row: Between, by: By, options: Mapping[str, Any], target: BetweenTarget | None = None
) -> dict[str, Any]:
    """Every effective setting of the step between arrays, as a history has them."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
    given = {"method": row.name, "by": by_text(by), **plain}
    return given if target is None else {**given, "target": target.fingerprint}


def steps_before(history: History) -> dict[str, Any]:
    """Every effective setting of the steps within arrays, and what was read, as plain data."""
    known = history.parameters()
    within = History(tuple(step for step in history.steps if step.operation in _STEPS)).parameters()
    names = [name for name in (*_READ, *within) if name in known and name not in _NOT_STEPS]
    plain: dict[str, Any] = json.loads(json.dumps({name: known[name] for name in names}))
    return plain


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)


def digest_of(columns: Mapping[str, Column], spots: int) -> str:
    """SHA-256 of the keys of spots, in the order of the rows."""
    found = hashlib.sha256(str(spots).encode())
    for name in _KEYS:
        if name in columns:
            found.update(name.encode() + b"\0")
            found.update("\0".join(map(_text, columns[name].tolist())).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
