"""The sidecar: what was done to which files, as JSON with a published schema. Same inputs and options, same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from gridnorm import __version__
from gridnorm.provenance import SCHEMA_VERSION, InputDigest
from gridnorm.workflow.one import ArrayResult, Failure
from gridnorm.workflow.plan import Plan
from gridnorm.workflow.settings import Settings

SUFFIX = ".gridnorm.json"


def run_sidecar(
    plan: Plan,
    results: Sequence[ArrayResult],
    failures: Sequence[Failure],
    extra_inputs: Sequence[InputDigest],
    warnings: Sequence[str],
    table: dict[str, Any] | None,
) -> dict[str, Any]:
    """The sidecar of a run: parameters, inputs, layout, one record per array.

    ``table`` describes the file written (name, rows, columns); None for a folder, whose arrays have their own sidecars.
    """
    layout = plan.reference.layout if plan.reference else None
    return {
        "schema": SCHEMA_VERSION,
        "gridnorm": __version__,
        "parameters": _parameters(plan.settings),
        "inputs": [digest.to_dict() for digest in [*(r.digest for r in results if r.digest), *extra_inputs]],
        "layout": layout.to_dict() if layout else None,
        "arrays": [array_record(result) for result in results],
        "failed": [{"file": failure.file, "error": str(failure.error)} for failure in failures],
        "skipped": [{"file": file, "reason": reason} for file, reason in plan.skipped],
        "warnings": list(warnings),
        "output": table,
    }


def array_record(result: ArrayResult) -> dict[str, Any]:
    """What was done to one array, group by group."""
    within = result.within
    groups = []
    for g, label in enumerate(result.segments.labels):
        groups.append(
            {
                "group": list(label) if isinstance(label, tuple) else label,
                "spots": int(within.n[0, g]),
                "fit": within.sources()[g],
                "shift_before": _number(within.before[0, g]),
                "shift_after": _number(within.after[0, g]),
            }
        )
    return {
        "name": result.name,
        "file": result.file,
        **result.notes,
        **result.used,
        "spots": result.n_spots,
        "flagged": result.n_flagged,
        "missing": result.n_missing,
        "layout": result.layout.to_dict() if result.layout else None,
        "groups": groups,
        "warnings": list(result.warnings),
    }


def _parameters(settings: Settings) -> dict[str, Any]:
    shown = settings.to_dict()
    if settings.gal is not None:
        # No folder of this machine goes into a result.
        shown["gal"] = settings.gal.replace("\\", "/").rpartition("/")[2]
    return shown


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
