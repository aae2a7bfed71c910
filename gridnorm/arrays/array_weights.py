"""How far each array, or each group of its spots, can be trusted: weights from the residuals of a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.given import as_arrays, with_labels
from gridnorm.arrays.grouping import by_text, group_spots
from gridnorm.arrays.matrices import INTENSITIES
from gridnorm.arrays.raw import FloatArray
from gridnorm.core.option import NUMBER, WHOLE, Option, Range, nearest
from gridnorm.core.segments import Segments
from gridnorm.core.tables import aligned, labelled
from gridnorm.core.variances import Variances, by_scoring, model_of, row_by_row
from gridnorm.errors import FitError, OptionError, warn

FEWEST = 3  # arrays: of two, both are equally far from their mean in every row
LEAST_SPARE = 2  # residual degrees of freedom: with one, every row's residuals have the same shares by construction
# What the last step of the scoring may promise; limma stops there.
END, LIMMAS_TOL = 1e-14, 1e-5
WEIGHING = ("reml", "genebygene")
PRIOR_N = Option("prior_n", NUMBER, 10.0, "Rows of equal variances that are added.", Range(0, low_open=True))
TOL = Option("tol", NUMBER, None, "What the last step may still promise.", Range(0, low_open=True), auto=True)
MAXITER = Option("maxiter", WHOLE, 200, "Steps at most.", Range(1))


def array_weights(
    arrays: ArraySet,
    design: Any = None,
    method: str = "reml",
    by: Any = None,
    *,
    prior_n: float = 10.0,
    tol: float | None = None,
    maxiter: int = 200,
    limma: bool = False,
) -> FloatArray:
    """Weights of arrays for a later analysis: the noisier an array is beside the others, the smaller its weight.

    Values of a spot follow the design; the variance of array j is exp(δ + γ_j), δ the spot's own and Σγ = 0. The weight
    is exp(−γ_j), so that weights multiply to 1.

    Parameters
    ----------
    arrays
        Normalized arrays of one or two channels. Missing values are left out, and so are spots of weight 0 (``W`` of
        the result, as flagged ones have); other weights count.
    design
        Columns of the model (array,) or (array, k); None: all arrays are replicates. Or a column of the targets table:
        numbers are taken as they are, words as groups with a mean each. A Series or DataFrame whose index holds names
        of arrays goes by these.
    method
        ``reml``: restricted maximum likelihood by scoring. ``genebygene``: one pass, spot by spot; limma's choice for
        print-tips and wherever something is missing. It depends on the order of spots, and is far from the maximum
        where one array is much noisier.
    by
        Groups of spots with weights of their own, as ``by`` of ``normalize``: ``print-tip`` gives limma's
        ``printtipWeights``. One label for every spot, too.
    prior_n
        Spots with equal variances that are added, which draws weights toward 1.
    tol, maxiter
        ``reml`` ends where a step promises less log-likelihood than ``tol`` per spot and parameter (1e-14), or after so
        many steps, with a warning.
    limma
        The numbers of limma 3.54 where they differ, see Notes; of print-tips where no spot is missing.

    Returns
    -------
    numpy.ndarray
        float64 (array,); with ``by`` (spot, array).

    Raises
    ------
    OptionError
        Raw arrays, an unknown method or column, a design of another length or with columns that say the same.
    FitError
        Fewer than three arrays; a design that leaves too few arrays to compare, or one alone; an array without values.

    Warns
    -----
    GridnormWarning
        No end after ``maxiter`` steps.

    Notes
    -----
    Ritchie et al., BMC Bioinformatics 7:261 (2006); Smyth, J Comput Graph Stat 11:836 (2002). Peers: limma's
    ``arrayWeights`` and ``printtipWeights``. Three things differ unless ``limma`` is true. Its ``reml`` ends at a
    ``tol`` of 1e-5, on good arrays up to 1 % short of the maximum, further where arrays differ much, and leaves out
    every spot that is missing in some array. Its print-tips (``genebygene``) take a prior of ``prior_n`` ·
    (1 − k/arrays), and one contrast's share of the information where each has its own, so that weights depend, in the
    third digit, on which array comes first. Arrays about whose difference no spot tells anything, such as the only two
    of a sample, get the same weight.

    Examples
    --------
    >>> import gridnorm as gn
    >>> arrays = gn.normalize(gn.simulate(4, blocks=(2, 2), spots=(10, 10), seed=1).arrays)
    >>> gn.array_weights(arrays).shape, gn.array_weights(arrays, by="print-tip").shape
    ((4,), (400, 4))
    """
    arrays = as_arrays(arrays)
    if by is not None:
        arrays, by = with_labels(arrays, by)
    values = _levels(arrays)
    if method not in WEIGHING:
        near = nearest(str(method), WEIGHING)
        raise OptionError(
            "unknown method of array weights", found=repr(method), expected=", ".join(WEIGHING),
            hint=f"Did you mean {near}?" if near else None,
        )  # fmt: skip
    prior, most, given = PRIOR_N.read(prior_n), MAXITER.read(maxiter), TOL.read(tol)
    least = given if given is not None else LIMMAS_TOL if limma else END
    tips = by is not None and limma
    if tips and method == "reml":
        raise OptionError(
            "limma's reml within groups does not come to an end", found="limma=True",
            expected='method="genebygene", or limma=False',
        )  # fmt: skip
    if len(arrays) < FEWEST:
        raise FitError(
            "weights of arrays need three arrays or more", found=str(len(arrays)), expected=f"{FEWEST} or more",
            hint="Of two, both are equally far from their mean",
        )  # fmt: skip
    x = _checked(_columns(design, arrays), arrays)
    groups = Segments.single(arrays.n_spots)
    if by is not None:
        groups = group_spots(by, arrays.columns, arrays.layout, arrays.n_spots, arrays.names[0])
    out = np.empty((groups.n_segments, len(arrays)))
    for g, rows in enumerate(np.split(groups.order, groups.offsets[1:-1])):
        where = "" if by is None else f" in group {groups.labels[g]} of {by_text(by)}"
        spots = None if arrays.spot_weights is None else arrays.spot_weights.T[rows]
        model = model_of(values[rows], x, spots)
        if limma and method == "reml":
            model = model.whole()
            if not len(model.values):
                raise FitError(f"no spot{where} has a value in every array", hint="limma=False takes what there is")
        _refuse_empty(model.weights, arrays.names, where)
        if method == "genebygene":
            found = row_by_row(model, prior * (1 - x.shape[1] / len(x)) if tips else prior, one_for_all=tips)
        else:
            found = by_scoring(model, prior, least, most)
        out[g] = _ended(found, where)
    weights: FloatArray = out[0] if by is None else out[groups.codes]
    return weights


def _levels(arrays: ArraySet) -> FloatArray:
    """What is compared, (spot, array): M, or log2 intensities of one channel."""
    levels = [m.name for m in arrays.matrices.values() if m.role == "level"]
    if arrays.stage == INTENSITIES:
        raise OptionError("weights of arrays need normalized ones", found="raw intensities", hint="Normalize first")
    if len(levels) != 1:
        raise OptionError("weights of arrays need one or two channels", found=" ".join(arrays.channels))
    return arrays.values[levels[0]].T


def _columns(design: Any, arrays: ArraySet) -> FloatArray:
    """The design as columns (array, k)."""
    if design is None:
        return np.ones((len(arrays), 1))
    given: Any = _of_targets(design, arrays) if isinstance(design, str) else design
    if labelled(given) and given.index.dtype.kind == "O":  # names of arrays; numbers that count rows go by position
        import pandas as pd

        given = aligned(given, (pd.Index(arrays.names),), "design", "arrays")
    try:
        x = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise OptionError(
            "design must be numbers", found=repr(design)[:60], expected="one or more for each array"
        ) from None
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[0] != len(arrays) or not x.shape[1] or not np.isfinite(x).all():
        bad = "" if np.isfinite(x).all() else " with missing or infinite numbers"
        raise OptionError(
            "design does not fit the arrays", found=f"shape {np.shape(given)}{bad}",
            expected=f"({len(arrays)},) or ({len(arrays)}, k), finite",
        )  # fmt: skip
    return x


def _of_targets(name: str, arrays: ArraySet) -> FloatArray:
    """Numbers of a column of the targets table; of words a column for each."""
    if name not in arrays.targets:
        near = nearest(name, arrays.targets)
        have = ", ".join(arrays.targets) or "none"
        raise OptionError(
            "design names no column of the targets table", found=repr(name), expected=f"one of: {have}",
            hint=f"Did you mean {near}?" if near else None,
        )  # fmt: skip
    cells = [str(cell).strip() for cell in arrays.targets[name]]
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        words = list(dict.fromkeys(cells))
        return np.array([[float(cell == word) for word in words] for cell in cells])


def _checked(x: FloatArray, arrays: ArraySet) -> FloatArray:
    """A design from whose residuals the weight of every array can be had.

    Raises
    ------
    OptionError, FitError
    """
    n, k = x.shape
    rank = int(np.linalg.matrix_rank(x))
    if rank < k:
        raise OptionError(
            "columns of design say the same", found=f"{k} columns of rank {rank}", expected=f"{rank} columns",
            hint="Leave out the columns that are sums of others",
        )  # fmt: skip
    if n - rank < LEAST_SPARE:
        raise FitError(
            "design leaves too few arrays to compare", found=f"{n} arrays, {rank} coefficients",
            expected=f"{LEAST_SPARE} arrays more than coefficients",
        )  # fmt: skip
    q = np.linalg.qr(x)[0]
    alone = np.flatnonzero((q * q).sum(axis=1) > 1 - 1e-9)
    if alone.size:
        raise FitError(
            "this array has a coefficient of design of its own, and so no residuals", file=arrays.names[int(alone[0])],
            hint="Leave it out, or give it the coefficient of its replicates",
        )  # fmt: skip
    return x


def _refuse_empty(weights: FloatArray, names: Sequence[str], where: str) -> None:
    lacking: NDArray[np.int64] = np.flatnonzero(~(weights > 0).any(axis=0))
    if lacking.size:
        raise FitError(
            f"no spot{where} has a value",
            file=names[int(lacking[0])],
            hint="Leave out the array, or name larger groups",
        )


def _ended(found: Variances, where: str) -> FloatArray:
    if not np.isfinite(found.weights).all():
        raise FitError(f"weights of arrays{where} ran out of all bounds", hint='method="reml" finds its maximum')
    if not found.converged:
        text = f"weights of arrays{where} did not come to an end in {found.steps} steps; maxiter allows more"
        warn([text])
    return found.weights
