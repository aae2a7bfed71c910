"""A unit of work: read one array, bring it to the reference's rows, normalize it. Pure and picklable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import SpotKeys, compare, keys_of
from gridnorm.arrays.arrayset import ArraySet, of_raw
from gridnorm.arrays.chain import normalize_one
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, RawArray
from gridnorm.arrays.recipe import Recipe
from gridnorm.arrays.record import record_of
from gridnorm.arrays.within import WithinResult
from gridnorm.errors import GridnormError, LostError
from gridnorm.provenance import InputDigest
from gridnorm.workflow.opening import ArrayTask, layout_of, read_array, reading_history
from gridnorm.workflow.settings import Settings


@dataclass(frozen=True, eq=False)
class Reference:
    """The spots that all arrays of one table share, from the first array that could be read."""

    file: str
    keys: SpotKeys
    layout: Layout | None
    spots: dict[str, Column]


class Failure(NamedTuple):
    """An array that could not be read or normalized."""

    file: str
    error: GridnormError

    @classmethod
    def lost(cls, task: ArrayTask, error: LostError) -> Failure:
        """The failure of an array whose worker died."""
        return cls(task.file, error.completed(file=task.file))


class Work(NamedTuple):
    """What all units of a run share. ``normalize``: the whole chain, or reading only."""

    settings: Settings
    recipe: Recipe
    reference: Reference | None
    normalize: bool = True

    def __call__(self, task: ArrayTask) -> ArraySet | Failure:
        """One unit; errors about the array come back as a ``Failure``."""
        try:
            raw, digest = read_array(task, self.settings)
        except GridnormError as error:
            return Failure(task.file, error)
        return self.on(raw, task, digest)

    def on(self, raw: RawArray, task: ArrayTask, digest: InputDigest | None) -> ArraySet | Failure:
        """The unit for an array that has been read.

        Of a set whose rows are the reference's, in its order, ``columns`` is empty: they need not travel.
        """
        try:
            raw, shared, layout = _aligned(raw, self.settings, self.reference, task)
            record = record_of(raw, layout, digest, reading_history(raw, task.format, self.settings))
            if self.normalize:
                done = normalize_one(raw, self.recipe, layout, name=task.name, record=record)
            else:
                done = of_raw(raw, task.name, layout, record=record)
        except GridnormError as error:
            return Failure(task.file, error.completed(file=raw.name))
        done = replace(done, fits=tuple(map(_light, done.fits)))
        return replace(done, columns={}) if shared else done


def _light(fit: WithinResult) -> WithinResult:
    """The fit without values that the set has as well; where sets are put together it sees them again."""
    return replace(fit, values=fit.values[:, :0]) if fit.values.shape[0] == 1 else fit


def _aligned(
    raw: RawArray, settings: Settings, reference: Reference | None, task: ArrayTask
) -> tuple[RawArray, bool, Layout | None]:
    """The rows in the reference's order where they are the same spots; else the array with rows of its own."""
    if reference is not None:
        alignment = compare(reference.keys, keys_of(raw.spots, raw.n_spots), raw.name, settings.align, reference.file)
        if alignment.identical:
            return raw, True, reference.layout
        if alignment.order is not None:
            raw = reordered(raw, alignment.order).with_warnings(*alignment.notes)
            return raw, True, reference.layout
        if task.options.keys_only:
            # Other rows than the reference: now Name, X and Y are needed after all.
            raw, _ = read_array(replace(task, options=replace(task.options, keys_only=False)), settings)
        raw = raw.with_warnings(*alignment.notes)
    layout, warnings = layout_of(raw, settings)
    return raw.with_warnings(*warnings), False, layout


def reordered(raw: RawArray, order: NDArray[np.int64]) -> RawArray:
    """The same array with its spots in another order."""
    return replace(
        raw,
        foreground=raw.foreground[:, order],
        background=None if raw.background is None else raw.background[:, order],
        spots={name: column[order] for name, column in raw.spots.items()},
        flags=None if raw.flags is None else raw.flags[order],
    )


class SetWork(NamedTuple):
    """The chain for one array of a set; an object with a name, so that pools can send it to other processes."""

    recipe: Recipe

    def __call__(self, given: tuple[ArraySet, Any]) -> ArraySet:
        """The array of a set of one, normalized, and its weights; its columns need not travel back."""
        one, weights = given
        raw = one.raw(0)
        try:
            done = normalize_one(
                raw, self.recipe, one.layout, name=one.names[0], record=one.record(0), weights=weights
            )  # fmt: skip
        except GridnormError as error:
            raise error.completed(file=raw.name) from None
        return replace(done, columns={}, fits=tuple(map(_light, done.fits)))
