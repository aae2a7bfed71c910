"""The Python face of the workflow: ``read``, ``normalize``, ``write``."""

from __future__ import annotations

import builtins
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.arrays.align import SpotKeys, keys_of
from gridnorm.arrays.arrayset import ArraySet, column_title, from_raw, result_names
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.arrays.weights import weights_per_array
from gridnorm.errors import GridnormWarning, OptionError
from gridnorm.provenance import History
from gridnorm.workflow.join import align_raw, join_spots
from gridnorm.workflow.one import ArrayResult, Failure, Reference, normalize_raw, read_task
from gridnorm.workflow.output import check_device, first_error, run_plan
from gridnorm.workflow.plan import Plan, make_plan
from gridnorm.workflow.settings import Settings, make_settings

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def read(paths: Paths, **options: Any) -> ArraySet:
    """Read array files into one set.

    Parameters
    ----------
    paths
        A file, folder, glob or targets table, or several.
    **options
        As on the command line: ``foreground``, ``channels``, ``columns``, ``gal``, ``layout``, ``align``, ``keep``.

    Returns
    -------
    ArraySet
        Spots in layout order. Spots that a file lacks are NaN.

    Raises
    ------
    FormatError, LayoutError
        For the first file that cannot be read, or whose spots are another print run.

    Warns
    -----
    GridnormWarning
        One per repair, naming file and line.

    Notes
    -----
    Peer: limma's ``read.maimages``.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.read("example_data/slide1.gpr")  # doctest: +SKIP
    """
    settings = make_settings(options)
    plan = make_plan(_listed(paths), settings)
    _raise_first(list(plan.failures), plan)
    assert plan.first is not None and plan.reference is not None
    raws = [
        plan.first[0],
        *(
            read_task(replace(task, options=replace(task.options, keys_only=False)), settings)[0]
            for task in plan.tasks[1:]
        ),
    ]
    raws = align_raw(raws, plan)
    _warn([text for raw in raws for text in raw.warnings] + list(plan.warnings))
    return from_raw(raws, [task.name for task in plan.tasks], plan.reference.layout, plan.targets)


def normalize(
    arrays: ArraySet | Paths,
    *,
    weights: FloatArray | str | None = None,
    map: Callable[..., Iterable[Any]] = builtins.map,
    **options: Any,
) -> ArraySet:
    """Background correction and normalization within arrays, the whole chain.

    Parameters
    ----------
    arrays
        Raw arrays, or paths as for ``read``.
    weights
        ``none``, a column, ``area:LOW,HIGH``, ``saturation``, or (for an ArraySet) float64 (spot, array) or (spot,).
    map
        Runs the arrays one by one: the built-in ``map``, or that of a pool.
    **options
        The names of the command line: ``by``, ``method``, ``span``, ``iterations``, ``background``, ``offset``,
        ``flags``, ``min_group``, ``small_groups``, ``preset``, …

    Returns
    -------
    ArraySet
        ``M`` and ``A`` (two channels; A never changes) or log2 ``E``; ``weights``, ``fits``, ``history``.

    Raises
    ------
    GridnormError
        For the first array that cannot be read or normalized, and for wrong options.

    Notes
    -----
    Peer: limma's ``backgroundCorrect`` and ``normalizeWithinArrays``.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.simulate(2, blocks=(2, 2), spots=(15, 15), seed=1).arrays
    >>> result = gn.normalize(arrays, by="print-tip")
    >>> result.M.shape
    (900, 2)
    >>> print(result.history)  # doctest: +ELLIPSIS
    background_correct(method=normexp, offset=50.0) → normalize_within(by=print-tip, method=loess, ...)
    """
    if isinstance(weights, str):
        options["weights"], weights = weights, None
    settings = make_settings(options)
    check_device(settings)
    if isinstance(arrays, ArraySet):
        return _normalize_set(arrays, settings, weights, map)
    if weights is not None:
        raise OptionError("weights as numbers need an ArraySet", hint="Read the files first: gn.read(paths)")
    plan = make_plan(_listed(arrays), settings)
    found = list(run_plan(plan, map))
    failures = [*plan.failures, *(item for item in found if isinstance(item, Failure))]
    _raise_first(failures, plan)
    results = [item for item in found if isinstance(item, ArrayResult)]
    _warn([text for result in results for text in result.warnings] + list(plan.warnings))
    return _stacked(results, plan)


def write(arrays: ArraySet, path: str | os.PathLike[str], *, precision: int | str = 6, force: bool = False) -> None:
    """Write a result table: ``.tsv .csv`` (also ``.gz``) or ``.parquet``; whole or not at all.

    Parameters
    ----------
    arrays
        A normalized (or raw) set.
    path
        Target; the suffix says the format.
    precision
        Decimals 0…15, or ``full`` for the shortest exact text.
    force
        Overwrite an existing file.

    Raises
    ------
    OptionError
        The file exists, or its suffix is unknown.
    OutputError
        It cannot be written.

    Examples
    --------
    >>> import gridnorm as gn, tempfile, pathlib
    >>> arrays = gn.simulate(1, blocks=(1, 2), spots=(20, 20), seed=1).arrays
    >>> out = pathlib.Path(tempfile.mkdtemp()) / "m.tsv"
    >>> gn.write(gn.normalize(arrays), out)
    >>> out.read_text().splitlines()[0].split()
    ['Block', 'Row', 'Column', 'ID', 'Name', 'M.array1', 'A.array1', 'W.array1']
    """
    from gridnorm.io.write import write_table
    from gridnorm.workflow.output import parse_precision

    prefix = {title: column for title, column in arrays.columns.items() if title not in ("X", "Y")}
    numbers: dict[str, FloatArray] = {}
    names = result_names(arrays.values) if "M" in arrays.values else list(arrays.values)
    for i, name in enumerate(arrays.names):
        numbers |= {column_title(matrix, name): arrays.values[matrix][i] for matrix in names}
        if arrays.spot_weights is not None:
            numbers[f"W.{name}"] = arrays.spot_weights[i]
    write_table(path, prefix, numbers, precision=parse_precision(precision), force=force)


def _listed(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def _raise_first(failures: Sequence[Failure], plan: Plan) -> None:
    if failures or not plan.tasks:
        raise first_error(failures)


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, GridnormWarning, stacklevel=3)


def _normalize_set(
    arrays: ArraySet, settings: Settings, weights: FloatArray | None, map: Callable[..., Iterable[Any]]
) -> ArraySet:
    given = weights_per_array(weights, arrays.n_spots, len(arrays))
    raws = list(arrays)
    keys: SpotKeys = keys_of(raws[0])
    reference = Reference(arrays.names[0], keys, arrays.layout, dict(arrays.columns))
    work = _SetWork(settings, reference)
    results = list(map(work, raws, given))
    _warn([text for result in results for text in result.warnings])
    done = _from_results(results, dict(arrays.columns), arrays.layout, settings, arrays.targets)
    history = done.history
    return replace(done, flag_codes=arrays.flag_codes, history=History((*arrays.history.steps, *history.steps)))


class _SetWork:
    """One array of a set; an object with a name, so that pools can send it to other processes."""

    def __init__(self, settings: Settings, reference: Reference) -> None:
        self.settings, self.reference = settings, reference

    def __call__(self, raw: RawArray, weights: FloatArray | None) -> ArrayResult:
        return normalize_raw(raw, self.settings, self.reference, weights=weights)


def _stacked(results: list[ArrayResult], plan: Plan) -> ArraySet:
    spots, results = join_spots(results, plan)
    layout = plan.reference.layout if plan.reference else None
    return _from_results(results, spots, layout, plan.settings, plan.targets)


def _from_results(
    results: Sequence[ArrayResult],
    spots: Mapping[str, Any],
    layout: Any,
    settings: Settings,
    targets: Mapping[str, Any],
) -> ArraySet:
    values = {name: np.stack([result.values[name] for result in results]) for name in results[0].values}
    weights = None
    if any(result.weights is not None for result in results):
        weights = np.stack([np.ones(r.n_spots) if r.weights is None else r.weights for r in results])
    flags = None
    if all(result.flags is not None for result in results):
        flags = np.stack([result.flags for result in results if result.flags is not None])
    used = results[0].used
    history = History().then("background_correct", method=used["background"], offset=used["offset"])
    history = history.then(
        "normalize_within",
        by=settings.by,
        method=used["method"],
        span=settings.span,
        iterations=settings.iterations,
        flags=settings.flags,
    )
    channels = ("R", "G") if "M" in values else tuple(results[0].notes["channels"])
    return ArraySet(
        names=tuple(result.name for result in results),
        channels=channels,
        values=values,
        columns=spots,
        layout=layout,
        flag_codes=flags,
        spot_weights=weights,
        fits=tuple(result.within for result in results),
        history=history,
        targets=targets,
        warnings=tuple(text for result in results for text in result.warnings),
    )
