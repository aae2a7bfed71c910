"""Relative variances of the columns of a matrix whose rows follow one linear model.

Row g has values y_gj with mean x_j·β_g and variance exp(δ_g + γ_j): a column that is further from the model
than others in most rows is noisier. The weights are exp(−γ_j), with Σγ = 0. Ritchie et al., BMC Bioinformatics 7:261
(2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ROWS_AT_ONCE = 1 << 20  # numbers of a step of the scoring: temporaries stay small
# A residual variance this far below that of the values is rounding: such a row tells nothing.
EXACT = 1e-20
ROUNDING = 1e-13  # of the likelihood, by which a step may seem to lower it
SHORTEST = 1e-9  # share of a step
STALLS = 6  # steps, one after the other, that do not raise the likelihood
RANK = 1e-10  # share of the largest eigenvalue below which a direction counts as one that nothing is known of


class Model(NamedTuple):
    """What is fitted: values (row, column), an orthonormal design (column, p), weights ≥ 0, where 0 is missing."""

    values: FloatArray
    design: FloatArray
    weights: FloatArray

    def whole(self) -> Model:
        """The rows that are nowhere missing."""
        kept = (self.weights > 0).all(axis=1)
        return Model(self.values[kept], self.design, self.weights[kept])


class Variances(NamedTuple):
    """Relative weights (column,), whose product is 1; steps that were taken, and whether they came to an end."""

    weights: FloatArray
    steps: int
    converged: bool


class _Rows(NamedTuple):
    """Some rows at present weights.

    ``share`` is d / s² of every value (0 where it is missing), ``hat`` its leverage, ``spare`` the residual degrees of
    freedom of the rows, ``total`` their weighted squares, ``volume`` log |X'WX|, ``seen`` the values that count,
    ``cross`` Σ over the rows of the squared hat matrices.
    """

    share: FloatArray
    hat: FloatArray
    spare: FloatArray
    total: FloatArray
    volume: FloatArray
    seen: FloatArray
    cross: FloatArray


class _State(NamedTuple):
    """Twice the restricted log-likelihood, its gradient and expected information, at some log variances."""

    likelihood: float
    score: FloatArray
    information: FloatArray


def model_of(values: FloatArray, design: FloatArray, weights: FloatArray | None = None) -> Model:
    """A model from what is given: missing values have weight 0, columns of the design are made orthonormal."""
    known = np.isfinite(values)
    given = known.astype(np.float64) if weights is None else np.where(known, np.nan_to_num(weights), 0.0)
    return Model(np.where(given > 0, values, 0.0), np.linalg.qr(design)[0], given)


def contrasts(n: int) -> FloatArray:
    """(n, n − 1): columns that sum to zero, limma's ``contr.sum``."""
    return np.vstack([np.eye(n - 1), -np.ones((1, n - 1))])


def by_scoring(model: Model, prior_n: float, tol: float, maxiter: int) -> Variances:
    """REML by Fisher scoring over all rows (Smyth 2002), with the likelihood of ``prior_n`` rows of equal variances.

    It ends where a step promises less than ``tol`` in log-likelihood per row and parameter, or where steps raise it no
    more.
    """
    n_rows, n = model.values.shape
    gamma = np.zeros(n)
    here, stalled = _state(model, gamma, prior_n), 0
    best = here.likelihood
    for step in range(1, maxiter + 1):
        z = _known(here.information)
        slope = z.T @ here.score
        shift = np.linalg.solve(z.T @ here.information @ z + prior_n * np.eye(z.shape[1]), slope)
        last = slope @ shift / (n - 1) / (n_rows + prior_n) < tol
        share, there = 1.0, _state(model, gamma + z @ shift, prior_n)
        least = ROUNDING * abs(here.likelihood)
        # One column far noisier than the others: whole steps go too far.
        while not there.likelihood >= here.likelihood - least and share > SHORTEST:
            share /= 2
            there = _state(model, gamma + share * (z @ shift), prior_n)
        # What whole steps leap over to and fro is as near as rounding lets one come.
        stalled = stalled + 1 if there.likelihood <= best + least else 0
        gamma, here, best = gamma + share * (z @ shift), there, max(best, there.likelihood)
        if last or stalled == STALLS:
            return Variances(np.exp(-gamma), step, True)
    return Variances(np.exp(-gamma), maxiter, False)


def _known(information: FloatArray) -> FloatArray:
    """Orthonormal differences of columns, (column, k), of which some row knows anything.

    None knows of two columns that share a mean with no other. Such a pair stays as it is: what is added has its maximum
    where they are unequal.
    """
    z = np.linalg.qr(contrasts(len(information)))[0]
    size, vectors = np.linalg.eigh(z.T @ information @ z)
    return np.asarray(z @ vectors[:, size > RANK * size[-1]])


def _state(model: Model, gamma: FloatArray, prior_n: float) -> _State:
    """All rows at log variances γ; a likelihood of NaN where their weights cannot be told from 0 or infinity."""
    n = gamma.size
    with np.errstate(all="ignore"):
        weights = np.exp(-gamma)
    score, information = prior_n * (weights - 1.0), np.zeros((n, n))
    likelihood = -prior_n * float((weights + gamma).sum())
    if not np.isfinite(likelihood) or not (weights > 0).all():
        return _State(np.nan, score, information)
    for rows in _blocks(model, weights):
        score = score + (rows.share - rows.seen * (1.0 - rows.hat)).sum(axis=0)
        information += _information(rows)
        likelihood -= float(rows.spare @ np.log(rows.total) + rows.volume.sum() + (rows.seen @ gamma).sum())
    return _State(likelihood, score, information)


def row_by_row(model: Model, prior_n: float, one_for_all: bool = False) -> Variances:
    """One pass over the rows, each of which moves the variances that the next one is weighted by.

    The result depends on the order of the rows, the less the more there are. ``one_for_all``: what a row's level takes
    away from the information about the first contrast is taken from every entry, as limma's ``printtipWeights`` has it.
    """
    n_rows, n = model.values.shape
    z = contrasts(n)
    gamma, information = np.zeros(n - 1), prior_n * z.T @ z
    for k in range(n_rows):
        one = Model(model.values[k : k + 1], model.design, model.weights[k : k + 1])
        rows = _at(one, np.exp(-z @ gamma))
        if rows.seen.size == 0 or rows.spare[0] < 2:
            continue
        free = rows.seen[0] * (1.0 - rows.hat[0])
        taken = z.T @ free
        information += (z.T * free) @ z - (taken[0] ** 2 if one_for_all else np.outer(taken, taken)) / rows.spare[0]
        gamma += np.linalg.solve(information, z.T @ (rows.share[0] - free))
    return Variances(np.exp(-z @ gamma), n_rows, True)


def _blocks(model: Model, weights: FloatArray) -> Iterator[_Rows]:
    n_rows, n = model.values.shape
    size = max(1, ROWS_AT_ONCE // (n * model.design.shape[1] ** 2))
    for start in range(0, n_rows, size):
        part = slice(start, start + size)
        yield _at(Model(model.values[part], model.design, model.weights[part]), weights)


def _at(model: Model, weights: FloatArray) -> _Rows:
    """Weighted least squares of every row at once; rows that tell nothing are left out."""
    values, design, given = model
    n, p = design.shape
    weighted = given * weights
    pairs = (design[:, :, None] * design[:, None, :]).reshape(n, p * p)
    size, vectors = np.linalg.eigh((weighted @ pairs).reshape(-1, p, p))
    kept = size > RANK * size[:, -1:]
    # Each row's own orthonormal design, (row, column, p): √w x, in the directions that its observations determine.
    root = vectors * np.where(kept, 1.0 / np.sqrt(np.where(kept, size, 1.0)), 0.0)[:, None, :]
    own = np.sqrt(weighted)[:, :, None] * np.matmul(design, root)
    scaled = np.sqrt(weighted) * values
    rest = scaled - np.matmul(own, np.matmul(own.transpose(0, 2, 1), scaled[:, :, None]))[:, :, 0]
    seen = given > 0
    spare = (seen.sum(axis=1) - kept.sum(axis=1)).astype(np.float64)
    squares = rest * rest
    total = squares.sum(axis=1)
    told = (spare > 0) & (total > EXACT * (scaled * scaled).sum(axis=1))
    own, spare = own[told], spare[told]
    wide = (own[:, :, :, None] * own[:, :, None, :]).transpose(0, 2, 3, 1).reshape(-1, n)
    share = squares[told] * (spare / total[told])[:, None]
    volume = np.log(np.where(kept, size, 1.0)).sum(axis=1)[told]
    hat = (own * own).sum(axis=2)
    return _Rows(share, hat, spare, total[told], volume, seen[told].astype(np.float64), wide.T @ wide)


def _information(rows: _Rows) -> FloatArray:
    """Of the log variances of the columns, what each row's own level takes away left out (without the factor ½)."""
    free = rows.seen * (1.0 - rows.hat)
    diagonal = (rows.seen * (1.0 - 2.0 * rows.hat)).sum(axis=0)
    return np.asarray(np.diag(diagonal) + rows.cross - (free / rows.spare[:, None]).T @ free)
