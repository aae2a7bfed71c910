"""What was done to which inputs: plain data that goes into the sidecar. No clock, host, user or absolute path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gridnorm.plain import some

SCHEMA_VERSION = 2
# Where a step names its row by another word than the option that chose it.
_EACH = {"correct_intensities": "method"}  # steps of which several are in force, and the parameter that lists them
_OPTION_OF = {
    ("background_correct", "method"): "background",
    ("correct_intensities", "method"): "correct",
    ("normalize_between", "method"): "between",
    ("normalize_between", "by"): "between_by",
    ("merge_scans", "by"): "merge_scans",
}


class Step(NamedTuple):
    """One operation with the parameters it really ran with."""

    operation: str
    parameters: Mapping[str, Any]

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name}={_shown(value)}" for name, value in self.parameters.items() if value not in (None, [], (), {})
        )  # fmt: skip
        return f"{self.operation}({shown})"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {part}" for name, part in value.items()) + "}"
    return " | ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


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
        """Plain data for JSON."""
        return [{"operation": step.operation, "parameters": dict(step.parameters)} for step in self.steps]

    def has(self, operation: str) -> bool:
        """Whether a step of this name was done."""
        return any(step.operation == operation for step in self.steps)

    def parameters(self) -> dict[str, Any]:
        """Every effective setting under the name of its option; of a step that was done twice, those of the last.

        Corrections of intensities are all in force: ``correct`` lists them in their order.
        """
        found: dict[str, Any] = {}
        last: dict[str, dict[str, Any]] = {}
        for step in self.steps:
            each, new = _EACH.get(step.operation), dict(step.parameters)
            if each is not None:
                before = last.get(step.operation, {})
                new = {**before, **new, each: [*before.get(each, ()), step.parameters[each]]}
            last[step.operation] = new
        for operation, parameters in last.items():
            for name, value in parameters.items():
                found[_OPTION_OF.get((operation, name), name)] = value
        return found

    def __str__(self) -> str:
        return " → ".join(str(step) for step in self.steps) or "nothing done"


def common(histories: Sequence[History]) -> History:
    """One history for several arrays: a parameter that differs between them is the list of its values."""
    if not histories:
        return History()
    first = histories[0]
    if all(history == first for history in histories[1:]):
        return first
    merged: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for history in histories:
        times: dict[str, int] = {}
        for step in history.steps:
            times[step.operation] = times.get(step.operation, 0) + 1
            merged.setdefault((step.operation, times[step.operation]), []).append(step.parameters)
    steps = []
    for (operation, _), every in merged.items():
        names = dict.fromkeys(name for parameters in every for name in parameters)
        steps.append(Step(operation, {name: _joint([p[name] for p in every if name in p]) for name in names}))
    return History(tuple(steps))


def _joint(values: Sequence[Any]) -> Any:
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    return distinct[0] if len(distinct) == 1 else distinct


class InputDigest(NamedTuple):
    """An input file as it lay on disk: name, bytes, SHA-256; ``content`` is the SHA-256 of what it unpacks to."""

    name: str
    size: int
    sha256: str
    content: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}


def joined(name: str, inputs: Sequence[InputDigest | None]) -> InputDigest | None:
    """One digest for files that became one array, called ``name``; None where one of them is not known.

    Examples
    --------
    >>> joined("slide", [InputDigest("a.gpr", 9, "abc"), InputDigest("b.gpr", 8, "def")]).size
    17
    """
    known = [one for one in inputs if one is not None]
    if len(known) < len(inputs):
        return None
    contents = ["".join(f"{getattr(one, part)}\n" for one in known) for part in ("sha256", "content")]
    sha256, content = (hashlib.sha256(text.encode()).hexdigest() for text in contents)
    return InputDigest(name, sum(one.size for one in known), sha256, content)


def twins(inputs: Iterable[tuple[str, InputDigest]]) -> list[str]:
    """A sentence for each content that several files have, packed or not.

    Parameters
    ----------
    inputs
        Name of each array and the digest of its file.

    Examples
    --------
    >>> one = InputDigest("a.gpr", 9, "abc")
    >>> twins([("a", one), ("b", one._replace(name="b.gpr"))])
    ['b.gpr: same content as a.gpr: arrays a and b are one measurement']
    """
    same: dict[str, list[tuple[str, str]]] = {}
    for array, digest in inputs:
        same.setdefault(digest.content or digest.sha256, []).append((array, digest.name))
    out = []
    for (first, file), *others in same.values():
        if others:
            files, arrays = some([name for _, name in others]), some([first, *(array for array, _ in others)])
            out.append(f"{files}: same content as {file}: arrays {arrays} are one measurement")
    return out
