"""The steps of normalization on a whole ArraySet, for those who want them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.background import BACKGROUNDS, Background
from gridnorm.arrays.chain import Levels, levels_of, within_one
from gridnorm.arrays.corrected import CorrectedArray, correct_further, correct_one
from gridnorm.arrays.corrections.correction import CORRECT, Correction
from gridnorm.arrays.corrections.rows import CORRECT_OPTION, CORRECTIONS
from gridnorm.arrays.given import as_arrays, placed, refuse_first_weights, with_labels
from gridnorm.arrays.grouping import GROUPINGS
from gridnorm.arrays.made import as_set, counted
from gridnorm.arrays.matrices import INTENSITIES
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.recipe import BY, Recipe, check_options
from gridnorm.arrays.spot_types import EXCLUDE_TYPES, FIT_TYPES, check_words, count_types
from gridnorm.arrays.stack import stack
from gridnorm.arrays.weights import weights_per_array
from gridnorm.arrays.within import method_options
from gridnorm.core.methods import METHODS, Method
from gridnorm.core.option.signature import default_words, shows
from gridnorm.errors import GridnormError, OptionError, warn
from gridnorm.provenance import History

_BACKGROUND = [(row.name, row.options) for row in BACKGROUNDS.values()]
_CORRECT = [(row.name, row.options) for row in CORRECTIONS.values()]
_WITHIN = [(row.name, method_options(row)) for row in METHODS.values()]
_WITHIN += [(row.name, row.options) for row in GROUPINGS.values()]


@shows([option for _, owned in _BACKGROUND for option in owned], default_words(_BACKGROUND))
def background_correct(arrays: ArraySet, method: str | Background = "normexp", **options: Any) -> ArraySet:
    """Correct the foreground of every array and channel for its background.

    Parameters
    ----------
    arrays
        Raw arrays.
    method
        ``auto``, ``none``, ``subtract``, ``half``, ``minimum``, ``movingmin``, ``edwards``, ``normexp``, ``affine``, or
        a row of your own.
    **options

    Returns
    -------
    ArraySet
        Foreground corrected, without background.

    Raises
    ------
    OptionError
        Unknown method, an option it does not take, a background (or positions) that it needs and the arrays do not
        have.
    FitError
        The data of an array do not allow the method; the message names the array.

    Notes
    -----
    Peer: limma's ``backgroundCorrect``; ``movingmin`` here runs on the true grid of the slide.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), seed=1).arrays
    >>> bool((gn.background_correct(arrays, "half").R >= 0.5).all())
    True
    """
    arrays = as_arrays(arrays)
    recipe = Recipe(background=method, options=options, given=frozenset(options))
    check_options(recipe, ("background",), ("method",))
    return _of_each(arrays, lambda raw, history: correct_one(raw, arrays.layout, recipe))


@shows([option for _, owned in _CORRECT for option in owned], default_words(_CORRECT))
def correct_intensities(
    arrays: ArraySet, correct: str | Correction | Sequence[str | Correction], **options: Any
) -> ArraySet:
    """Correct intensities further, before their logarithms: for the order of printing, plates, buffer, tags.

    Parameters
    ----------
    arrays
        Arrays after ``background_correct``, or without a background.
    correct
        ``print-order``, ``plates``, ``buffer``, ``tag``, or a row of your own; several in a list or joined by commas
        are carried out in that order.
    **options

    Returns
    -------
    ArraySet
        With new intensities. What is zero or less has no logarithm later and is counted then.

    Raises
    ------
    OptionError
        Unknown corrections or options; a spot column, types of spots or channels that a correction needs; a correction
        that has been carried out already.
    LayoutError
        Positions that a correction needs and the arrays do not have.
    FitError
        The values of an array do not allow the correction; the message names the array and its groups.

    Warns
    -----
    GridnormWarning
        How many spots of buffer or of tags there were.

    Notes
    -----
    Peers: limma's ``normalizeForPrintorder``, protGear's ``buffer_spots`` and ``tag_subtract``. Flagged spots are
    looked at like others, as by background methods.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), seed=1).arrays
    >>> net = gn.background_correct(arrays, "half")
    >>> moved = gn.correct_intensities(net, "print-order", order_span=0.2)
    >>> bool(abs(moved.R / moved.G - net.R / net.G).max() < 1e-9)
    True
    """
    arrays = as_arrays(arrays)
    recipe = Recipe(correct=CORRECT_OPTION.read(correct), options=options, given=frozenset(options))
    check_options(recipe, (CORRECT,), (CORRECT,))
    if not recipe.correct:
        return arrays
    backgrounds = [name for name in arrays.values if name in {f"{channel}b" for channel in arrays.channels}]
    if backgrounds and arrays.stage == INTENSITIES:
        raise OptionError(
            "corrections take intensities without their background", found=", ".join(backgrounds),
            hint='Call background_correct first; "none" leaves the foreground as it is',
        )  # fmt: skip
    return _of_each(arrays, lambda raw, history: correct_further(CorrectedArray(raw), arrays.layout, recipe, history))


def _of_each(arrays: ArraySet, function: Callable[[RawArray, History], CorrectedArray]) -> ArraySet:
    """The set with every array's intensities corrected, the steps and notes on its record."""
    done = []
    for index, raw in enumerate(map(arrays.raw, range(len(arrays)))):
        record = arrays.record(index)
        try:
            corrected = function(raw, record.history)
        except GridnormError as error:
            raise error.completed(file=raw.name) from None
        warn(corrected.notes)
        record = record._replace(
            history=replace(record.history, steps=(*record.history.steps, *corrected.steps)),
            models=corrected.models or record.models,
            affine=corrected.affine or record.affine,
            warnings=(*record.warnings, *corrected.notes),
        )
        values = {name: corrected.raw.foreground[k : k + 1] for k, name in enumerate(raw.channels)}
        done.append(
            replace(
                arrays.part(index), values=values, history=record.history, warnings=record.warnings, records=(record,)
            )
        )
    return stack(done, like=arrays)


@shows([option for _, owned in _WITHIN for option in owned], default_words(_WITHIN))
def normalize_within(
    arrays: ArraySet,
    by: Any = None,
    method: str | Method = "auto",
    *,
    flags: str = "exclude",
    weights: Any = None,
    exclude_types: str | Sequence[str] = (),
    fit_types: str | Sequence[str] = (),
    **options: Any,
) -> ArraySet:
    """Normalize every array within groups of its spots.

    Parameters
    ----------
    arrays
        Arrays after ``background_correct`` (or already with M and A).
    by
        Grouping: ``print-tip`` (also where nothing is given), ``array``, ``plate``, ``print-order``, ``pad``,
        ``slide-row``, ``slide-column``, a spot column, several joined by commas, or a row of your own. Or one label for
        every spot: a list, an array, or a Series, which goes by its index (that of ``arrays.spots``, or IDs); a tuple
        crosses several groupings.
    method
        ``auto`` (two channels ``loess``; otherwise ``median`` where ``by`` is given, else ``none``), ``none``,
        ``median``, ``mean``, ``mad``, ``zscore``, ``loess``, or a row of your own.
    flags
        ``exclude``, ``ignore``, ``drop``, ``downweight``; ``exclude:-100,-75`` names the codes that count.
    weights
        Numbers of shape (spot, array), or (spot,) for all arrays; 0 leaves a spot out of the fit. A Series or DataFrame
        goes by its index and by the names of arrays. Or ``none``, a column, ``area:LOW,HIGH``, ``saturation``.
    exclude_types, fit_types
        Types of spots (column ``SpotType``) that are in no fit, or alone in the fits.
    **options

    Returns
    -------
    ArraySet
        With M and A (A never changes), or log2 intensities; ``fits`` holds what was removed.

    Raises
    ------
    OptionError
        Unknown words, an option that the method does not take.
    FitError
        The data of an array do not allow the method; the message names the array.

    Warns
    -----
    GridnormWarning
        A background was measured but not corrected; a doubt about flags or groups; one channel was left as it is.

    Notes
    -----
    Peer: limma's ``normalizeWithinArrays``.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(15, 15), seed=1).arrays
    >>> done = gn.normalize_within(gn.background_correct(arrays), by="print-tip")
    >>> done.M.shape
    (900, 1)
    """
    arrays, by = with_labels(as_arrays(arrays), by)
    spec = weights if isinstance(weights, str) else "none"
    named = options if by is None else {**options, "by": by}
    recipe = Recipe(
        by=BY.default if by is None else by, method=method, flags=flags, weights=spec, options=options,
        given=frozenset(named), exclude_types=EXCLUDE_TYPES.read(exclude_types), fit_types=FIT_TYPES.read(fit_types),
    )  # fmt: skip
    check_options(recipe, ("method",), ("by", "method", "flags", "weights", "exclude_types", "fit_types"))
    check_words(count_types(arrays.columns), recipe.exclude_types, recipe.fit_types, arrays.names[0])
    refuse_first_weights(arrays, spec)
    numbers = None if isinstance(weights, str) else placed(weights, arrays, "weights")
    given = weights_per_array(numbers, arrays.n_spots, len(arrays))
    if any(f"{channel}b" in arrays.values for channel in arrays.channels):
        warn(["a background was measured but not corrected: call background_correct first, or normalize"])
    done = []
    for index in range(len(arrays)):
        raw, levels, notes = _levels(arrays, index)
        try:
            within, use, step, doubts = within_one(raw, levels, arrays.layout, recipe, given[index])
        except GridnormError as error:
            raise error.completed(file=raw.name) from None
        warn(doubts)
        record = arrays.record(index)
        record = record._replace(history=replace(record.history, steps=(*record.history.steps, step)))
        done.append(as_set(raw, arrays.layout, arrays.names[index], levels, within, use, record, (*notes, *doubts)))
    return stack(done, like=arrays)


def _levels(arrays: ArraySet, index: int) -> tuple[RawArray, Levels, tuple[str, ...]]:
    """One array with what is normalized; of a set that has M and A already, those."""
    if arrays.stage == INTENSITIES:
        raw = arrays.raw(index)
        levels, n_bad = levels_of(raw)
        return raw, levels, tuple(counted(raw, n_bad, arrays.record(index).history))
    raw = arrays.spots_of(index)
    matrices = [m.name for m in arrays.matrices.values() if m.role == "level"]
    mean = arrays.values.get("A")
    values = np.stack([arrays.values[name][index] for name in matrices])
    covariates = {} if mean is None else {"level": mean[index : index + 1]}
    return raw, Levels(values, covariates, mean is not None), ()
