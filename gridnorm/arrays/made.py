"""The set of one array, from what the chain has done to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.matrices import INTENSITIES, LEVELS, declared
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.record import ArrayRecord
from gridnorm.arrays.weights import SpotUse, count_flagged
from gridnorm.arrays.within import WithinResult
from gridnorm.provenance import History

if TYPE_CHECKING:
    from gridnorm.arrays.chain import Levels


def as_set(
    raw: RawArray,
    layout: Layout | None,
    name: str,
    levels: Levels,
    done: WithinResult,
    use: SpotUse,
    record: ArrayRecord,
    notes: tuple[str, ...] = (),
) -> ArraySet:
    """A set of one array from what was done to it."""
    names = [m.name for m in declared(raw.channels, LEVELS).values() if m.role == "level"]
    values = {matrix: done.values[k : k + 1] for k, matrix in enumerate(names)}
    if levels.ratio:
        values["A"] = levels.covariates["level"]
    here = np.ones(raw.n_spots, np.bool_) if raw.absent is None else ~raw.absent
    weighted = bool((use.reported[here] != 1).any())
    record = record._replace(
        flagged=count_flagged(raw, record.history.parameters().get("flags")),
        missing=int(np.count_nonzero(np.isnan(done.values).any(axis=0) & here)),
        layout=layout,
        warnings=(*record.warnings, *notes),
    )
    return ArraySet(
        names=(name,),
        channels=raw.channels,
        values=values,
        columns=raw.spots,
        layout=layout,
        flag_codes=None if raw.flags is None else raw.flags[None, :],
        spot_weights=np.where(here, use.reported, np.nan)[None, :] if weighted else None,
        fits=(done,),
        history=record.history,
        warnings=record.warnings,
        stage=LEVELS,
        records=(record,),
        absent=None if raw.absent is None else raw.absent[None, :],
    )


def as_intensities(made: ArraySet, corrected: RawArray, use: SpotUse) -> ArraySet:
    """The set with corrected intensities in the place of their logarithms: what is not positive is not missing."""
    foreground = np.where(use.dropped, np.nan, corrected.foreground)
    here = np.ones(corrected.n_spots, np.bool_) if corrected.absent is None else ~corrected.absent
    record = made.records[0]._replace(missing=int(np.count_nonzero(np.isnan(foreground).any(axis=0) & here)))
    values = {channel: foreground[k : k + 1] for k, channel in enumerate(corrected.channels)}
    return replace(made, values=values, stage=INTENSITIES, fits=(), records=(record,))


def counted(raw: RawArray, n_bad: int, history: History) -> list[str]:
    """Sentences about values that are missing in the result, and why."""
    out = []
    if raw.infinite:
        out.append(f"{raw.name}: {raw.infinite} infinite intensities are missing in the result")
    if n_bad:
        done = history.parameters()
        corrections = done.get("correct", ())
        further = f" and corrections ({', '.join(corrections)})" if corrections else ""
        out.append(
            f"{raw.name}: {n_bad} intensities are not positive after background correction "
            f"({done.get('background', 'none')}){further}; those spots are missing in the result"
        )
    return out
