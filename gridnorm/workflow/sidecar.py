"""The sidecar: what was done to which files, as JSON with a published schema. Same inputs and options, same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gridnorm._version import __version__
from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.record import ArrayRecord
from gridnorm.arrays.spot_types import same_type
from gridnorm.arrays.used import type_levels
from gridnorm.arrays.within import WithinResult, spread_of
from gridnorm.core.spread.difference import Difference
from gridnorm.plain import recorded, visible
from gridnorm.provenance import SCHEMA_VERSION, History, InputDigest

SUFFIX = ".gridnorm.json"


Real = tuple[float, float, float]


class Summary(NamedTuple):
    """One array in a line: what people are told of it.

    ``before`` and ``after`` are median and standard deviation of the groups' shifts; ``real_before`` and ``real_after``
    the standard deviation of what the groups are apart beyond chance, and its bounds. ``types``: which spots were in
    no fit, or alone in it, by their types. ``correct``: corrections of intensities, in their order.
    """

    name: str
    spots: int
    flagged: int
    missing: int
    groups: int
    method: str
    replaced: tuple[tuple[str, int], ...]
    before: tuple[float, float]
    after: tuple[float, float]
    background: str
    real_before: Real = (np.nan, np.nan, np.nan)
    real_after: Real = (np.nan, np.nan, np.nan)
    between: str = "none"
    types: str = ""
    correct: tuple[str, ...] = ()


class Entry(NamedTuple):
    """One array as the sidecar has it (JSON text, which stays small), and as people are told of it."""

    text: str
    summary: Summary


class Sidecar(NamedTuple):
    """A sidecar: its head as plain data, and the text of its arrays."""

    head: dict[str, Any]
    entries: Sequence[str]

    def pieces(self) -> Iterator[bytes]:
        """JSON text, one top-level entry a line and one array a line; keys in their given order."""
        opening = "{"
        for key, value in self.head.items():
            yield f"{opening}\n {_json(key)}: ".encode()
            opening = ","
            if key == "arrays":
                yield from _lines(self.entries)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                yield from _lines([_json(part) for part in value])
            else:
                yield _json(value).encode()
        yield b"\n}\n"


def _lines(texts: Sequence[str]) -> Iterator[bytes]:
    for number, text in enumerate(texts):
        yield f"{',' if number else '['}\n  {text}".encode()
    yield b"\n ]" if texts else b"[]"


def _json(value: Any) -> str:
    return visible(recorded(json.dumps(value, ensure_ascii=False, allow_nan=False)))


def set_sidecar(arrays: ArraySet, table: dict[str, Any]) -> tuple[Sidecar, list[Summary]]:
    """The sidecar of a set, and its arrays in a line each; ``table`` describes the file written."""
    entries = [entry_of(arrays, i) for i in range(len(arrays))]
    digests = [digest for record in _files(arrays.records) for digest in record.digests]
    texts = [entry.text for entry in entries]
    found = sidecar(arrays.history, digests, arrays.layout, texts, arrays.origin, arrays.warnings, table)
    return found, [entry.summary for entry in entries]


def _files(records: Sequence[ArrayRecord]) -> list[ArrayRecord]:
    """A record for every file: of the parts of one, the first."""
    out: list[ArrayRecord] = []
    parts: set[str] = set()
    for record in records:
        same = bool(record.part) and bool(out) and record.digest == out[-1].digest and record.part not in parts
        if not same:
            out.append(record)
            parts = set()
        parts.add(record.part)
    return out


def sidecar(
    history: History,
    inputs: Sequence[InputDigest],
    layout: Layout | None,
    entries: Sequence[str],
    origin: Origin,
    warnings: Sequence[str],
    table: dict[str, Any] | None,
) -> Sidecar:
    """The sidecar of a run; ``table`` is None for a folder, whose arrays have sidecars of their own."""
    head = {
        "schema": SCHEMA_VERSION,
        "gridnorm": __version__,
        "parameters": history.parameters(),
        "history": history.to_list(),
        "inputs": [digest.to_dict() for digest in [*inputs, *origin.extra]],
        "layout": layout.to_dict() if layout else None,
        "arrays": [],
        "failed": [{"file": file, "error": error} for file, error in origin.failed],
        "skipped": [{"file": file, "reason": reason} for file, reason in origin.skipped],
        "warnings": list(warnings),
        "output": table,
    }
    return Sidecar(head, entries)


def entry_of(arrays: ArraySet, index: int) -> Entry:
    """One array of a set: what was done to it, group by group."""
    name, known = arrays.names[index], arrays.record(index)
    within: WithinResult | None = arrays.fits[index] if arrays.fits else None
    sources = within.sources() if within else []
    groups = _groups(within, sources) if within else []
    used = known.history.parameters()
    added = used.get("offset")
    offset = "" if added is None else f", offset {added}" if isinstance(added, str) else f", offset {added:g}"
    counts = Counter(source for source in sources if source not in ("own", "none"))
    shifts = (within.before, within.after) if within else (_NONE, _NONE)
    before, after = (spread_of(each[0]) for each in shifts)
    levels = type_levels(arrays, index)
    summary = Summary(
        name=name,
        spots=known.spots,
        flagged=known.flagged,
        missing=known.missing,
        groups=len(groups),
        method=str(used.get("method", "none")),
        replaced=tuple(counts.items()),
        before=before,
        after=after,
        background=f"{used.get('background', 'none')}{offset}",
        between=str(used.get("between", "none")),
        types=_typed(used, levels, known.types),
        correct=tuple(used.get("correct", ())),
    )
    apart = None
    if within is not None:
        summary = summary._replace(real_before=_real(within.real_before), real_after=_real(within.real_after))
        apart = {"before": _apart(within.real_before), "after": _apart(within.real_after)}
    record = {"name": name, **known.to_dict(), "groups": groups, "real_difference": apart}
    if within is not None and (chosen := within.chosen()) is not None:
        record["chosen"] = chosen
    if levels:
        record["type_levels"] = levels
    return Entry(_json({**record, "warnings": list(known.warnings)}), summary)


def _typed(used: Mapping[str, Any], levels: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> str:
    """Spot types that decided about the fits: how many spots they have, and what these came to."""
    said = []
    for option, what in (("fit_types", "alone in the fits"), ("exclude_types", "in no fit")):
        names = [name for word in used.get(option) or () for name in same_type(word, counts)]
        if names:
            listed = (f"{counts[name]} {name}{_came_to(levels.get(name, {}))}" for name in names)
            said.append(f"{what}: {', '.join(listed)}")
    return "; ".join(said)


def _came_to(levels: Mapping[str, Any]) -> str:
    """Median and MAD of each matrix of one type."""
    known = [(matrix, found) for matrix, found in levels.items() if found["median"] is not None]
    shown = [f"median {matrix} {found['median']:.2f}, MAD {found['mad']:.2f}" for matrix, found in known]
    return f" ({'; '.join(shown)})".replace("-", "−") if shown else ""


_NONE = np.full((1, 1), np.nan)


def _groups(within: WithinResult, sources: Sequence[str]) -> list[dict[str, Any]]:
    rows = zip(
        within.labels, within.n[0].tolist(), sources, within.shares(), within.divisors(), within.before[0],
        within.after[0], strict=True,
    )  # fmt: skip
    return [
        {
            "group": list(label) if isinstance(label, tuple) else label,
            "spots": n,
            "fit": source,
            **({} if shares is None else {"shares": dict(zip(("level", "shape"), map(_number, shares), strict=True))}),
            **({} if divisor is None else {"divided_by": _number(divisor)}),
            "shift_before": _number(before),
            "shift_after": _number(after),
        }
        for label, n, source, shares, divisor, before, after in rows
    ]


def _real(found: Difference) -> Real:
    return float(found.sd[0]), float(found.low[0]), float(found.high[0])


def _apart(found: Difference) -> dict[str, float | None] | None:
    """Of the first row, as the groups are; None where it could not be measured."""
    if np.isnan(found.variance[0]):
        return None
    return {name: _number(getattr(found, name)[0]) for name in ("sd", "low", "high", "share")}


def _number(value: Any) -> float | None:
    """JSON has no NaN; 9 digits tell shifts apart and hide the last bits, which differ between processors."""
    return float(f"{value:.9g}") if np.isfinite(value) else None
