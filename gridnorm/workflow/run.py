"""The Python face of the workflow: ``read``, ``normalize``, ``write``."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import BetweenTarget
from gridnorm.arrays.between.target import no_target
from gridnorm.arrays.given import as_arrays, is_labels, kind_of, placed, refuse_first_weights, with_labels
from gridnorm.arrays.grouping import SPLIT, WHOLE, Grouping
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.split import join_parts, split_sets
from gridnorm.arrays.spot_types import check_words, count_types
from gridnorm.arrays.stack import stack
from gridnorm.arrays.weights import weights_per_array
from gridnorm.core.option.signature import shows
from gridnorm.errors import OptionError, warn
from gridnorm.workflow.between import Alike, alike_of, make_alike
from gridnorm.workflow.collect import collect, kept
from gridnorm.workflow.given import Paths, frame_plan, is_frame, listed, reordered, with_spot_data
from gridnorm.workflow.output import first_error, run_plan
from gridnorm.workflow.plan import Plan, make_plan
from gridnorm.workflow.record import extra_inputs, put_set
from gridnorm.workflow.replicated import averaged
from gridnorm.workflow.settings import READING, Settings, default_in_words, make_settings, row_options, taken_by
from gridnorm.workflow.target import beside_of, check_device, parse_precision
from gridnorm.workflow.unit import Failure, SetWork, names_tips

if TYPE_CHECKING:
    import pandas as pd

READS = {*READING, SPLIT.name, "preset"}  # and what formats take


@shows(taken_by({*READS, *row_options("format")}), default_in_words)
def read(paths: Paths | pd.DataFrame, **options: Any) -> ArraySet:
    """Read array files into one set.

    Parameters
    ----------
    paths
        A file, folder, glob or targets table, or several. Or a DataFrame, which is read as its file would be: roles by
        ``columns`` or titles of their own, levels of its index that have a name as columns, text in the index as ID
        where nothing else is.
    **options

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
        One per repair, naming file and line; that rows of a DataFrame are in another order now.

    Notes
    -----
    Peer: limma's ``read.maimages``.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.read("example_data/slide1.gpr")  # doctest: +SKIP
    """
    allowed, owner = {*READS, *row_options("format")}, "reading"
    if is_frame(paths):
        made, more = with_spot_data(paths, options, None)
        plan = frame_plan(paths, make_settings(made, allowed, owner), more)
        done = _run(plan, builtins.map, normalize=False)
        warn(reordered(plan, done))
        return done
    _refuse_labels(options)
    return _run(make_plan(listed(paths), make_settings(options, allowed, owner)), builtins.map, normalize=False)


@shows(taken_by(), default_in_words)
def normalize(
    arrays: ArraySet | Paths | pd.DataFrame,
    *,
    weights: Any = None,
    target: BetweenTarget | str | os.PathLike[str] | None = None,
    map: Callable[..., Iterable[Any]] = builtins.map,
    **options: Any,
) -> ArraySet:
    """Background correction and normalization within arrays, the whole chain.

    Parameters
    ----------
    arrays
        Raw arrays, or paths or a DataFrame as for ``read``. Options that say how files are read belong to these.
    weights
        ``none``, a column, ``area:LOW,HIGH``, ``saturation``; or, where no file is read, numbers of shape (spot, array)
        or (spot,). A Series or DataFrame goes by its index (that of ``arrays.spots``, or IDs) and the names of arrays.
    target
        What former arrays were brought to (``result.between``), or its file: these are brought to the same.
    map
        Runs the arrays one by one: the built-in ``map``, or that of a pool.
    **options

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
    ``by``, ``method`` and ``background`` take a row of your own too. ``by`` and ``split`` also take one label for every
    spot, where no file is read: a list, an array, or a Series, which goes by its index as weights do; a tuple crosses
    several groupings. Peer: limma's ``backgroundCorrect`` and ``normalizeWithinArrays``.

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
    if target is not None and not isinstance(target, BetweenTarget | str | os.PathLike):
        raise no_target(target)
    if target is not None and not isinstance(target, BetweenTarget):
        options["target"], target = os.fspath(target), None
    if is_frame(arrays):
        made, more = with_spot_data(arrays, options, weights)
        settings, alike = _settings(made, target)
        return _run(frame_plan(arrays, settings, more), map, normalize=True, alike=alike)
    if isinstance(arrays, ArraySet):
        for option in ("by", "split"):
            if option in options:
                arrays, options[option] = with_labels(arrays, options[option], option)
        settings, alike = _settings(options, target)
        return _normalize_set(arrays, settings, weights, map, alike)
    paths = listed(arrays)
    if weights is not None:
        raise OptionError("weights as numbers need an ArraySet", hint="Read the files first: gn.read(paths)")
    _refuse_labels(options)
    settings, alike = _settings(options, target)
    return _run(make_plan(paths, settings), map, normalize=True, alike=alike)


def _settings(options: dict[str, Any], target: BetweenTarget | None) -> tuple[Settings, Alike | None]:
    """Settings of the whole chain, and what makes the arrays alike."""
    settings = make_settings(options)
    check_device(settings)
    return alike_of(settings, target)


def _refuse_labels(options: dict[str, Any]) -> None:
    """Labels of spots, where files are read whose spots nobody has seen yet."""
    for option in ("by", "split"):
        given = options.get(option)
        for part in given if isinstance(given, tuple) and not isinstance(given, Grouping) else (given,):
            if is_labels(part):
                raise OptionError(
                    f"{option} as labels needs arrays that have been read", found=kind_of(part),
                    hint="Read the files first: gn.read(paths)",
                )  # fmt: skip


def write(
    arrays: ArraySet,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    precision: int | str = 6,
    force: bool = False,
) -> None:
    """Write a table (``.tsv .csv``, also ``.gz``; ``.parquet``) and the record of its making; whole or not at all.

    The record stands beside the table, as ``<path>.gridnorm.json``; both are what the command line writes.

    Parameters
    ----------
    arrays
        A normalized (or raw) set.
    path
        Target; the suffix says the format. ``-`` is standard output, without a record.
    format
        ``tsv``, ``csv``, ``tsv.gz``, ``csv.gz``, ``parquet``, instead of the suffix.
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

    arrays = as_arrays(arrays)
    if not isinstance(path, str | bytes | os.PathLike):
        raise OptionError("no path to write to", found=kind_of(path), expected="the name of a file")
    target = os.fsdecode(path)
    beside = beside_of(target)
    with Output(force) as files:
        form = form_of(target, format)
        put_set(arrays, target, files, precision=parse_precision(precision), form=form, beside=beside)


def _run(plan: Plan, map: Callable[..., Iterable[Any]], *, normalize: bool, alike: Alike | None = None) -> ArraySet:
    """All arrays of a run in one set; the first that failed is raised."""
    found = list(run_plan(plan, map, normalize=normalize))
    failures = [*plan.failures, *(item for item in found if isinstance(item, Failure))]
    if failures or not plan.tasks:
        raise first_error(failures)
    done = collect([item for item in found if isinstance(item, ArraySet)], plan, extra_inputs(plan.settings, alike))
    if normalize:
        done = averaged(make_alike(done, alike, plan.settings), plan.settings)
    warn(done.warnings)
    return kept(done)


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
    check_words(count_types(arrays.columns), settings.exclude_types, settings.fit_types, arrays.names[0])
    refuse_first_weights(arrays, settings.weights if weights is None else "none")
    given = weights_per_array(placed(weights, arrays, "weights"), arrays.n_spots, len(arrays))
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
    done = averaged(make_alike(done, alike, settings), settings)
    warn(done.warnings[len(arrays.warnings) :])
    return done
