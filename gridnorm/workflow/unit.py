"""A unit of work: read one array, bring it to the reference's rows, normalize it. Pure and picklable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.align import Alignment, SpotKeys, compare, keys_of, same_keys, signature
from gridnorm.arrays.arrayset import ArraySet, of_raw
from gridnorm.arrays.chain import normalize_one
from gridnorm.arrays.grouping import WHOLE, by_text
from gridnorm.arrays.join import moved, refuse_other_grid
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, RawArray, reordered
from gridnorm.arrays.recipe import BY, Recipe
from gridnorm.arrays.record import record_of
from gridnorm.arrays.split import Piece, split_raw
from gridnorm.arrays.within import WithinResult
from gridnorm.errors import GridnormError, LayoutError, LostError
from gridnorm.provenance import InputDigest
from gridnorm.workflow.opening import ArrayTask, layout_of, read_array, reading_history
from gridnorm.workflow.settings import Settings


@dataclass(frozen=True, eq=False)
class Reference:
    """The spots that all arrays of one table share, from the first array that could be read, the file at ``path``.

    ``parts``: of an array that is split, the same of each part by its label; parts of one content share theirs.
    """

    file: str
    keys: SpotKeys
    layout: Layout | None
    spots: dict[str, Column]
    parts: Mapping[str, Reference] = field(default_factory=dict)
    path: str = ""

    def of(self, label: str) -> Reference | None:
        """What an array, or the part of this label, is compared with; None for a part that the first array lacks."""
        return self.parts.get(label) if self.parts else self

    def contents(self) -> list[Reference]:
        """What parts can hold, each content once."""
        return list({id(one): one for one in self.parts.values()}.values())


def reference_of(raw: RawArray, layout: Layout | None, split: str, path: str = "") -> Reference:
    """The reference that the array of a file makes.

    Raises
    ------
    OptionError, LayoutError
        It cannot be split.
    """
    whole = Reference(raw.name, keys_of(raw.spots, raw.n_spots), layout, raw.spots, path=path)
    if split == WHOLE:
        return whole
    parts: dict[str, Reference] = {}
    contents: dict[int, list[Reference]] = {}
    for piece in split_raw(raw, layout, split):
        keys = keys_of(piece.raw.spots, piece.raw.n_spots)
        alike = contents.setdefault(signature(keys), [])
        mine = next((one for one in alike if same_keys(one.keys, keys)), None)
        if mine is None:
            mine = Reference(piece.raw.name, keys, piece.layout, piece.raw.spots)
            alike.append(mine)
        parts[piece.label] = mine
    return replace(whole, parts=parts)


def names_tips(settings: Settings) -> bool:
    """Whether groups by print-tip were asked for by name."""
    return "by" in settings.given and by_text(settings.by) == BY.default


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

    def __call__(self, task: ArrayTask) -> list[ArraySet | Failure]:
        """One unit: the arrays of a file; errors about an array come back as a ``Failure``."""
        try:
            raw, digest = read_array(task, self.settings)
        except GridnormError as error:
            return [Failure(task.file, error)]
        known = self.reference
        if known is not None and known.layout is not None and task.path == known.path:
            # The plan has found its layout; a worker that reads it again has to say what there was to say.
            raw = raw.with_warnings(*known.layout.warnings)
        return self.on(raw, task, digest)

    def on(self, raw: RawArray, task: ArrayTask, digest: InputDigest | None) -> list[ArraySet | Failure]:
        """The unit for a file that has been read.

        Of a set whose rows are the reference's, in its order, ``columns`` is empty: they need not travel.
        """
        try:
            if self.reference is not None and (self.settings.align == "strict" or "ID" not in raw.spots):
                refuse_other_grid(self.reference.layout, raw.grid, raw.name, self.reference.file)
            pieces = self._pieces(raw)
        except GridnormError as error:
            return [Failure(task.file, error.completed(file=raw.name))]
        return [self._one(piece, raw, task, digest) for piece in pieces]

    def _pieces(self, raw: RawArray) -> list[Piece]:
        """The arrays of a file: itself, or its parts."""
        if self.settings.split == WHOLE:
            return [Piece(raw)]
        if self.reference is not None and same_keys(self.reference.keys, keys_of(raw.spots, raw.n_spots)):
            layout = self.reference.layout
        else:
            layout, warnings = layout_of(raw, self.settings)
            raw = raw.with_warnings(*warnings)
        return split_raw(raw, layout, self.settings.split, names_tips(self.settings))

    def _one(self, piece: Piece, whole: RawArray, task: ArrayTask, digest: InputDigest | None) -> ArraySet | Failure:
        raw, name = piece.raw, f"{task.name}.{piece.label}" if piece.label else task.name
        try:
            raw, shared, layout = _aligned(piece, self.settings, self.reference, task)
            history = reading_history(raw, task.format, self.settings)
            record = piece.record(record_of(raw, layout, digest, history)._replace(file=whole.name))
            if self.normalize:
                done = normalize_one(raw, self.recipe, layout, name=name, record=record)
            else:
                done = of_raw(raw, name, layout, record=record)
        except GridnormError as error:
            return Failure(task.file, error.completed(file=raw.name))
        done = replace(done, fits=tuple(map(_light, done.fits)))
        return replace(done, columns={}) if shared else done


def _light(fit: WithinResult) -> WithinResult:
    """The fit without values that the set has as well; where sets are put together it sees them again."""
    return replace(fit, values=fit.values[:, :0]) if fit.values.shape[0] == 1 else fit


def _aligned(
    piece: Piece, settings: Settings, reference: Reference | None, task: ArrayTask
) -> tuple[RawArray, bool, Layout | None]:
    """The rows in the reference's order where they are the same spots; else the array with rows of its own."""
    raw = piece.raw
    if reference is not None:
        mine = reference.of(piece.label)
        if mine is not None and piece.label:  # parts of one content share a reference; here it is this label's
            mine = replace(mine, file=f"{reference.file} {piece.split} {piece.label}")
        alignment = _compared(raw, reference.contents() if mine is None else [mine], settings.align)
        layout = piece.layout if piece.label else reference.layout
        if alignment.identical:
            return raw, mine is not None, layout
        if alignment.order is not None:
            return reordered(raw, alignment.order).with_warnings(*alignment.notes), mine is not None, layout
        if task.options.keys_only:
            # Other rows than the reference: now Name, X and Y are needed after all.
            raw, _ = read_array(replace(task, options=replace(task.options, keys_only=False)), settings)
        raw = raw.with_warnings(*alignment.notes)
    if piece.label:
        return raw, False, piece.layout
    layout, warnings = layout_of(raw, settings)
    return raw.with_warnings(*warnings), False, layout


def _compared(raw: RawArray, references: Sequence[Reference], align: str) -> Alignment:
    """How an array relates to the reference; a part that the first array lacks, to the content most like its own.

    Raises
    ------
    LayoutError
        It is another print run than all of them.
    """
    found: list[Alignment] = []
    errors: list[LayoutError] = []
    keys = keys_of(raw.spots, raw.n_spots)
    for reference in references:
        try:
            found.append(compare(reference.keys, keys, raw.name, align, reference.file))
        except LayoutError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return min(found, key=lambda one: one.missing + one.extra)


class SetWork(NamedTuple):
    """The chain for one array of a set; an object with a name, so that pools can send it to other processes."""

    recipe: Recipe

    def __call__(self, given: tuple[ArraySet, Any]) -> ArraySet:
        """The array of a set of one, normalized, and its weights; its columns need not travel back."""
        one, weights = given
        layout, record, back = one.layout, one.record(0), None
        if one.absent is not None:
            # What the array does not have is no part of it, here as where the file itself is normalized.
            here = np.flatnonzero(~one.absent[0])
            back = np.full(one.n_spots, -1)
            back[here] = np.arange(here.size)
            one = replace(moved(one, here), columns={title: column[here] for title, column in one.columns.items()})
            weights = None if weights is None else weights[here]
        if back is not None or record.part:
            layout = record.layout
        raw = one.raw(0)
        try:
            done = normalize_one(raw, self.recipe, layout, name=one.names[0], record=record, weights=weights)
        except GridnormError as error:
            raise error.completed(file=raw.name) from None
        done = moved(done, back)
        return replace(done, columns={}, fits=tuple(map(_light, done.fits)))
