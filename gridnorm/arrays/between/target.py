"""What arrays were brought to, kept: to bring later arrays to the same, one at a time too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from gridnorm.arrays.between.rows import BETWEEN, Between
from gridnorm.arrays.grouping import By, by_text
from gridnorm.arrays.raw import Column
from gridnorm.core.across import ACROSS, Target
from gridnorm.errors import LayoutError, OptionError, option_word

KIND = "target of a method between arrays"
SCHEMA = 1
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
    """

    method: str
    by: str
    options: Mapping[str, Any]
    channels: tuple[str, ...]
    spots: int
    digest: str
    parts: Mapping[str, Target]

    def check(
        self, row: Between, by: str, options: Mapping[str, Any], channels: tuple[str, ...], spots: int, digest: str
    ) -> None:
        """Refuse arrays that cannot be brought to this.

        Raises
        ------
        OptionError
            Another method, grouping or option, or arrays of other channels.
        LayoutError
            Arrays of other spots.
        """
        for what, found, wanted in (
            ("method", row.name, self.method),
            ("grouping", by, self.by),
            ("channels", " ".join(channels), " ".join(self.channels)),
            *((option_word(name), str(options.get(name)), str(value)) for name, value in self.options.items()),
        ):
            if found != wanted:
                raise OptionError(f"the target was made with another {what}", found=found, expected=wanted)
        across = ACROSS[str(row.across)]
        if across.sizes and spots != self.spots:
            raise LayoutError(
                "the target is of another number of spots", found=str(spots), expected=str(self.spots),
                hint="Make a target of arrays of this kind",
            )  # fmt: skip
        if across.itemwise and digest != self.digest:
            raise LayoutError(
                "the target is of other spots", found="other Block, Row, Column or ID",
                expected=f"the {self.spots} spots it was made of, in their order",
                hint="Make a target of arrays of this kind",
            )  # fmt: skip

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
        if plain.get("schema") != SCHEMA:
            raise OptionError("the target is of another version", found=str(plain.get("schema")), expected=str(SCHEMA))
        try:
            method = BETWEEN.find(plain["method"]).name
            return cls(
                method, str(plain["by"]), dict(plain["options"]), tuple(map(str, plain["channels"])),
                int(plain["spots"]), str(plain["spots_sha256"]),
                {str(name): Target.from_plain(part) for name, part in plain["parts"].items()},
            )  # fmt: skip
        except KeyError as error:
            raise OptionError("the target is not whole", found=f"no {error.args[0]!r}") from None
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError("the target is not whole", found=str(error)) from None


def settings_of(
    row: Between, by: By, options: Mapping[str, Any], target: BetweenTarget | None = None
) -> dict[str, Any]:
    """Every effective setting of the step between arrays, as a history has them."""
    given = {"method": row.name, "by": by_text(by), **options}
    return given if target is None else {**given, "target": target.fingerprint}


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
