"""The Python face of the workflow: ``read``, ``normalize``, ``write``."""

from __future__ import annotations

import builtins
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import BetweenTarget
from gridnorm.arrays.grouping import SPLIT, WHOLE
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.split import join_parts, split_sets
from gridnorm.arrays.stack import stack
from gridnorm.arrays.weights import weights_per_array
from gridnorm.errors import GridnormWarning, OptionError
from gridnorm.plain import one_line
from gridnorm.workflow.between import Alike, alike_of, make_alike
from gridnorm.workflow.collect import collect
from gridnorm.workflow.output import first_error, run_plan
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.record import extra_inputs, put_set
from gridnorm.workflow.settings import READING, Settings, make_settings, row_options
from gridnorm.workflow.target import beside_of, check_device, parse_precision
from gridnorm.workflow.unit import Failure, SetWork, names_tips

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def read(paths: Paths, **options: Any) -> ArraySet:
    """Read array files into one set.

    Parameters
    ----------
    paths
        A file, folder, glob or targets table, or several.
    **options
        As on the command line: ``foreground``, ``channels``, ``columns``, ``split``, ``gal``, ``layout``, ``align``,
        ``keep``, and what a format of your own takes.

    Returns
    -------
    ArraySet
        Spots in layout order. Spots that a file lacks are NaN.

    Raises
    ------
    FormatError, LayoutError
        For the first file that cannot be read, or whose spots are another print run.
    OptionError
        An option that says nothing about reading.

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
    settings = make_settings(options, {*READING, SPLIT.name, "preset", *row_options("format")}, "reading")
    return _run(paths, settings, builtins.map, normalize=False)


def normalize(
    arrays: ArraySet | Paths,
    *,
    weights: FloatArray | str | None = None,
    target: BetweenTarget | str | os.PathLike[str] | None = None,
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
    target
        What former arrays were brought to, or its file: these are brought to the same.
    map
        Runs the arrays one by one: the built-in ``map``, or that of a pool.
    **options
        The names of the command line: ``by``, ``split``, ``method``, ``span``, ``iterations``, ``background``,
        ``offset``, ``flags``, ``min_group``, ``small_groups``, ``preset``, …; ``by``, ``method`` and ``background``
        take a row of your own too.

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
    background_correct(method=normexp, offset=auto, normexp_method=scaled) → normalize_within(by=print-tip, ...)
    """
    if isinstance(weights, str):
        options["weights"], weights = weights, None
    if target is not None and not isinstance(target, BetweenTarget):
        options["target"], target = os.fspath(target), None
    settings = make_settings(options)
    check_device(settings)
    alike = alike_of(settings, target)
    if isinstance(arrays, ArraySet):
        return _normalize_set(arrays, settings, weights, map, alike)
    if weights is not None:
        raise OptionError("weights as numbers need an ArraySet", hint="Read the files first: gn.read(paths)")
    return _run(arrays, settings, map, normalize=True, alike=alike)


def write(arrays: ArraySet, path: str | os.PathLike[str], *, precision: int | str = 6, force: bool = False) -> None:
    """Write a table (``.tsv .csv``, also ``.gz``; ``.parquet``) and the record of its making; whole or not at all.

    The record stands beside the table, as ``<path>.gridnorm.json``; both are what the command line writes.

    Parameters
    ----------
    arrays
        A normalized (or raw) set.
    path
        Target; the suffix says the format. ``-`` is standard output, without a record.
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
    from gridnorm.io.atomic import Output
    from gridnorm.io.write import form_of

    target = os.fspath(path)
    beside = beside_of(target)
    with Output(force) as files:
        put_set(
            arrays, target, files, precision=parse_precision(precision), form=form_of(target), beside=beside
        )  # fmt: skip


def _listed(paths: Paths) -> list[str]:
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def _run(
    paths: Paths,
    settings: Settings,
    map: Callable[..., Iterable[Any]],
    *,
    normalize: bool,
    alike: Alike | None = None,
) -> ArraySet:
    """All arrays of a run in one set; the first that failed is raised."""
    plan = make_plan(_listed(paths), settings)
    found = list(run_plan(plan, map, normalize=normalize))
    failures = [*plan.failures, *(item for item in found if isinstance(item, Failure))]
    if failures or not plan.tasks:
        raise first_error(failures)
    done = collect([item for item in found if isinstance(item, ArraySet)], plan, extra_inputs(settings, alike))
    done = make_alike(done, alike, settings)
    _warn(done.warnings, stacklevel=4)
    return done


def _warn(texts: Sequence[str], stacklevel: int = 3) -> None:
    for text in texts:
        warnings.warn(one_line(text), GridnormWarning, stacklevel=stacklevel)


def _normalize_set(
    arrays: ArraySet,
    settings: Settings,
    weights: FloatArray | None,
    map: Callable[..., Iterable[Any]],
    alike: Alike | None,
) -> ArraySet:
    # Parts are matched here, not where the files were read.
    read = [name for name in READING if name != "align" or settings.split == WHOLE]
    strange = [name for name in (*read, *row_options("format")) if name in settings.given]
    if strange:
        raise OptionError(
            f"{strange[0]} has no meaning for arrays that have been read", hint=f"Give it to gn.read: {strange[0]}=…"
        )
    given = weights_per_array(weights, arrays.n_spots, len(arrays))
    work = SetWork(settings.recipe.resolved())
    if settings.split == WHOLE:
        tasks = [(arrays.part(index), given[index]) for index in range(len(arrays))]
        done = stack(list(map(work, tasks)), like=arrays)
    else:
        # Normalized before they are joined: each part has spot columns of its own.
        parts = split_sets(arrays, settings.split, names_tips(settings))
        weighted = [(given[k], rows, one) for k, rows, one in parts]
        tasks = [(one, None if every is None else every[rows]) for every, rows, one in weighted]
        sets = [replace(one, columns=part.columns) for one, (*_, part) in zip(map(work, tasks), parts, strict=True)]
        done = join_parts(sets, arrays, settings.align if "align" in settings.given else None)
    done = make_alike(done, alike, settings)
    _warn(done.warnings[len(arrays.warnings) :])
    return done
