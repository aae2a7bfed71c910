"""What was done to which inputs: plain data that goes into the sidecar. No clock, host, user or absolute path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

SCHEMA_VERSION = 1


class Step(NamedTuple):
    """One operation with the parameters it really ran with."""

    operation: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.operation}({shown})"


@dataclass(frozen=True)
class History:
    """The steps that led to a result, oldest first.

    Examples
    --------
    >>> print(History().then("background_correct", method="half").then("normalize_within", by="print-tip"))
    background_correct(method=half) → normalize_within(by=print-tip)
    """

    steps: tuple[Step, ...] = ()

    def then(self, operation: str, **parameters: Any) -> History:
        """A new history with one more step."""
        return History((*self.steps, Step(operation, parameters)))

    def to_list(self) -> list[dict[str, Any]]:
        return [{"operation": step.operation, "parameters": dict(step.parameters)} for step in self.steps]

    def __str__(self) -> str:
        return " → ".join(str(step) for step in self.steps) or "nothing done"


class InputDigest(NamedTuple):
    """An input file as it lay on disk: name without folder, bytes, SHA-256."""

    name: str
    size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()
