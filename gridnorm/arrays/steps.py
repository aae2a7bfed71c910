"""The steps of normalization on a whole ArraySet, for those who want them one by one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays import background as bg
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.grouping import group_spots, slide_position
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.weights import use_of, weights_per_array
from gridnorm.arrays.within import default_method, result_titles, within_array
from gridnorm.errors import FitError, GridnormError, GridnormWarning, OptionError


def background_correct(
    arrays: ArraySet, method: str = "normexp", offset: float = 50.0, *, normexp_method: str = "saddle"
) -> ArraySet:
    """Correct the foreground of every array and channel for its background.

    Parameters
    ----------
    arrays
        Raw arrays.
    method
        ``none``, ``subtract``, ``half``, ``minimum``, ``movingmin``, ``edwards``, ``normexp``.
    offset
        Added at the end to every corrected intensity.
    normexp_method
        ``saddle`` or ``mle``, for ``normexp``.

    Returns
    -------
    ArraySet
        Foreground corrected, without background.

    Raises
    ------
    OptionError
        Unknown method, or one that needs a background (or positions) that the arrays do not have.
    FitError
        The data of an array do not allow the method; the message names the array.

    Notes
    -----
    Peer: limma's ``backgroundCorrect``; ``movingmin`` here runs on the true grid of the slide.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), seed=1).arrays
    >>> bool((gn.background_correct(arrays, "half", offset=0).R >= 0.5).all())
    True
    """
    if method not in bg.METHODS:
        raise OptionError("unknown background method", found=repr(method), expected=", ".join(bg.METHODS))
    position = None
    if method == "movingmin" and arrays.layout is not None:
        position = (*slide_position(dict(arrays.columns), arrays.layout), arrays.columns["Block"])
    out: dict[str, list[FloatArray]] = {name: [] for name in arrays.channels}
    for raw in arrays:
        try:
            corrected = bg.correct(
                raw.foreground,
                raw.background,
                method,
                offset=offset,
                position=position,
                normexp_method=normexp_method,
                names=raw.channels,
            )
        except GridnormError as error:
            raise error.completed(file=raw.name) from None
        _warn(f"{raw.name}: {note}" for note in corrected.notes)
        for name, row in zip(raw.channels, corrected.values, strict=True):
            out[name].append(row)
    parameters: dict[str, Any] = {"method": method, "offset": offset}
    if method == "normexp":
        parameters["normexp_method"] = normexp_method
    return arrays.with_values({name: np.stack(rows) for name, rows in out.items()}, "background_correct", **parameters)


def normalize_within(
    arrays: ArraySet,
    by: str = "print-tip",
    method: str = "auto",
    *,
    span: float = 0.3,
    iterations: int = 4,
    flags: str = "exclude",
    weights: FloatArray | None = None,
    min_group: int | None = None,
    small_groups: str = "array",
    clamp_weights: bool = False,
) -> ArraySet:
    """Normalize every array within groups of its spots.

    Parameters
    ----------
    arrays
        Arrays after ``background_correct`` (or already with M and A).
    by
        Grouping: ``print-tip``, ``array``, ``plate``, ``print-order``, ``pad``, ``slide-row``, ``slide-column``, a spot
        column, or several joined by commas.
    method
        ``auto`` (two channels ``loess``, otherwise ``median``), ``none``, ``median``, ``mean``, ``mad``, ``zscore``,
        ``loess``.
    span, iterations
        Of ``loess``, as in limma.
    flags
        ``exclude``, ``ignore``, ``drop``, ``downweight``.
    weights
        float64 (spot, array), or (spot,) for all arrays; 0 leaves a spot out of the fit.
    min_group, small_groups
        Smallest number of usable spots of a group (None: 30 for curves, 5 otherwise) and what happens below it.
    clamp_weights
        Keep spots of weight 0 in the fit with weight 1e-5, as limma does.

    Returns
    -------
    ArraySet
        With M and A (A never changes), or log2 intensities; ``fits`` holds what was removed.

    Warns
    -----
    GridnormWarning
        A background was measured but not corrected.

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
    two = arrays.channels == ("R", "G")
    levels = _levels(arrays)
    chosen = default_method(arrays.channels) if method == "auto" else method
    spots = dict(arrays.columns)
    segments = group_spots(by, spots, arrays.layout, arrays.n_spots)
    position = slide_position(spots, arrays.layout) if small_groups == "merge" and arrays.layout is not None else None
    given = weights_per_array(weights, arrays.n_spots, len(arrays))
    fits, values, reported = [], [], []
    for i, name in enumerate(arrays.names):
        codes = None if arrays.flag_codes is None else arrays.flag_codes[i]
        use = use_of(codes, arrays.n_spots, flags, given[i], clamp=clamp_weights)
        try:
            done = within_array(
                levels[i][0],
                levels[i][1],
                segments,
                chosen,
                use,
                span=span,
                iterations=iterations,
                min_group=min_group,
                small_groups=small_groups,
                position=position,
            )
        except FitError as error:
            raise error.completed(file=name) from None
        fits.append(done)
        values.append(done.values)
        reported.append(use.reported)
    titles = result_titles(arrays.channels)
    matrices = {title: np.stack([rows[k] for rows in values]) for k, title in enumerate(titles)}
    if two:
        matrices["A"] = np.stack([a[0] for _, a in levels if a is not None])
    stacked = np.stack(reported)
    out = arrays.with_values(
        matrices, "normalize_within", by=by, method=chosen, span=span, iterations=iterations, flags=flags
    )
    return replace(out, fits=tuple(fits), spot_weights=stacked if bool((stacked != 1).any()) else None)


def _levels(arrays: ArraySet) -> list[tuple[FloatArray, FloatArray | None]]:
    """Per array: what is normalized, (row, spot), and A for two channels."""
    values = arrays.values
    if "M" in values:
        return [(m[None, :], a[None, :]) for m, a in zip(values["M"], values["A"], strict=True)]
    if any(f"{channel}b" in values for channel in arrays.channels):
        _warn(["a background was measured but not corrected: call background_correct first, or normalize"])
    stacked = (np.stack([values[c][i] for c in arrays.channels]) for i in range(len(arrays)))
    return [bg.to_levels(arrays.channels, intensity)[:2] for intensity in stacked]


def _warn(texts: Any) -> None:
    for text in texts:
        warnings.warn(text, GridnormWarning, stacklevel=3)
