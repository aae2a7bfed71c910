"""The sidecar: what was done to which files, as JSON with a published schema. Same inputs and options, same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm._version import __version__
from gridnorm.arrays.arrayset import ArraySet, Origin
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.within import WithinResult
from gridnorm.provenance import SCHEMA_VERSION, History, InputDigest

SUFFIX = ".gridnorm.json"


def set_sidecar(arrays: ArraySet, table: dict[str, Any]) -> dict[str, Any]:
    """The sidecar of a set; ``table`` describes the file written (name, rows, columns, precision)."""
    return sidecar(
        arrays.history,
        [record.digest for record in arrays.records if record.digest],
        arrays.layout,
        array_entries(arrays),
        arrays.origin,
        arrays.warnings,
        table,
    )


def sidecar(
    history: History,
    inputs: Sequence[InputDigest],
    layout: Layout | None,
    entries: Sequence[dict[str, Any]],
    origin: Origin,
    warnings: Sequence[str],
    table: dict[str, Any] | None,
) -> dict[str, Any]:
    """The sidecar of a run; ``table`` is None for a folder, whose arrays have sidecars of their own."""
    return {
        "schema": SCHEMA_VERSION,
        "gridnorm": __version__,
        "parameters": history.parameters(),
        "history": history.to_list(),
        "inputs": [digest.to_dict() for digest in [*inputs, *origin.extra]],
        "layout": layout.to_dict() if layout else None,
        "arrays": list(entries),
        "failed": [{"file": file, "error": error} for file, error in origin.failed],
        "skipped": [{"file": file, "reason": reason} for file, reason in origin.skipped],
        "warnings": list(warnings),
        "output": table,
    }


def array_entries(arrays: ArraySet) -> list[dict[str, Any]]:
    """One entry an array: what was done to it, group by group."""
    entries = []
    for i, name in enumerate(arrays.names):
        known = arrays.record(i)
        groups = _groups(arrays.fits[i]) if arrays.fits else []
        entries.append({"name": name, **known.to_dict(), "groups": groups, "warnings": list(known.warnings)})
    return entries


def _groups(within: WithinResult) -> list[dict[str, Any]]:
    rows = zip(
        within.labels, within.n[0].tolist(), within.sources(), within.before[0], within.after[0], strict=True
    )  # fmt: skip
    return [
        {
            "group": list(label) if isinstance(label, tuple) else label,
            "spots": n,
            "fit": source,
            "shift_before": _number(before),
            "shift_after": _number(after),
        }
        for label, n, source, before, after in rows
    ]


def _number(value: Any) -> float | None:
    """JSON has no NaN; 9 digits tell shifts apart and hide the last bits, which differ between processors."""
    return float(f"{value:.9g}") if np.isfinite(value) else None


def to_bytes(record: dict[str, Any]) -> bytes:
    """JSON text with one top-level entry a line, and one array a line; keys in their given order."""

    def one(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    entries = []
    for key, value in record.items():
        long = isinstance(value, list) and value and isinstance(value[0], dict)
        shown = "[\n  " + ",\n  ".join(one(item) for item in value) + "\n ]" if long else one(value)
        entries.append(f" {one(key)}: {shown}")
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()
