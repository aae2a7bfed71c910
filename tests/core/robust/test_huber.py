"""Huber's fits of many groups at once: against statsmodels, and what holds of any fit."""

from __future__ import annotations

import numpy as np
import pytest

from gridnorm.core.robust import huber as module
from gridnorm.core.robust.huber import Huber, huber, moved, weights_of

RNG = np.random.default_rng(7)
SIZES = np.array([60, 7, 0, 200, 33, 1, 4])
OFFSETS = np.concatenate([[0], np.cumsum(SIZES)])
N = int(SIZES.sum())
X = np.column_stack([np.ones(N), RNG.normal(size=N), RNG.uniform(0, 9, N)])
Y = X @ [1.0, -2.0, 0.5] + RNG.standard_t(2, N)


def done(x: np.ndarray = X, y: np.ndarray = Y, offsets: np.ndarray = OFFSETS, accuracy: float = 1e-12) -> Huber:
    return huber(x, y, offsets, accuracy=accuracy, rounds=500)


@pytest.mark.parametrize("group", [0, 3, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_are_those_of_statsmodels(monkeypatch: pytest.MonkeyPatch, group: int, weighted: bool) -> None:
    sm = pytest.importorskip("statsmodels.api")
    # Their scale is the same with the exact quantile, in the place of MASS's four digits.
    monkeypatch.setattr(module, "NORMAL", 0.6744897501960817)
    root = np.sqrt(RNG.gamma(2, 1, N)) if weighted else np.ones(N)
    found = done(X * root[:, None], Y * root)
    some = slice(OFFSETS[group], OFFSETS[group + 1])
    x, y = X[some] * root[some, None], Y[some] * root[some]
    theirs = sm.RLM(y, x, M=sm.robust.norms.HuberT(1.345)).fit(scale_est="mad", tol=1e-13, maxiter=500, conv="coefs")
    np.testing.assert_allclose(found.coefficients[group], theirs.params, rtol=0, atol=1e-9)
    # The covariance of theirs has other weights (H1); it is of one size.
    np.testing.assert_allclose(np.diag(found.covariance[group]), theirs.bse**2, rtol=0.6)


def test_each_group_is_what_it_is_alone() -> None:
    together = done()
    for g, size in enumerate(SIZES):
        some = slice(OFFSETS[g], OFFSETS[g + 1])
        alone = done(X[some], Y[some], np.array([0, size]))
        np.testing.assert_allclose(together.coefficients[g], alone.coefficients[0], rtol=0, atol=1e-11)
        np.testing.assert_allclose(together.covariance[g], alone.covariance[0], rtol=1e-8, atol=1e-14)
        assert together.rank[g] == alone.rank[0]


def test_groups_with_no_more_items_than_columns_have_no_fit() -> None:
    assert done().rank.tolist() == [3, 3, 0, 3, 3, 0, 3]
    assert (done().coefficients[[2, 5]] == 0).all() and (done().covariance[[2, 5]] == 0).all()
    assert done(X[:4], Y[:4], np.array([0, 3, 4])).rank.tolist() == [0, 0], "as many parameters as items"


def test_of_dependent_columns_the_leading_ones_are_fitted() -> None:
    x = np.column_stack([X[:60], X[:60, 0] + X[:60, 1]])
    found, fewer = done(x, Y[:60], np.array([0, 60])), done(X[:60], Y[:60], np.array([0, 60]))
    assert found.rank.tolist() == [3]
    np.testing.assert_allclose(found.coefficients[0, :3], fewer.coefficients[0], rtol=1e-12)
    np.testing.assert_allclose(found.covariance[0, :3, :3], fewer.covariance[0], rtol=1e-12)
    assert (
        found.coefficients[0, 3] == 0 and (found.covariance[0, 3] == 0).all() and (found.covariance[0, :, 3] == 0).all()
    )
    twice = np.column_stack([X[:60, 0], X[:60, 0], X[:60, 1]])
    assert done(twice, Y[:60], np.array([0, 60])).rank.tolist() == [0], "rank 2, and the first two are one"


def test_what_is_left_of_a_column_decides_its_rank() -> None:
    for share, rank in ((3e-7, 2), (3e-8, 1)):
        z = np.where(np.arange(60) % 2, 1.0, -1.0)
        x = np.column_stack([np.ones(60), 1 + share * z])
        assert done(x, Y[:60], np.array([0, 60])).rank.tolist() == [rank]


def test_order_shift_and_scale_of_items_do_what_they_should() -> None:
    order = RNG.permutation(60)
    base, offsets = done(X[:60], Y[:60], np.array([0, 60])), np.array([0, 60])
    np.testing.assert_allclose(done(X[order], Y[order], offsets).coefficients, base.coefficients, rtol=1e-10)
    shifted = done(X[:60], Y[:60] + X[:60] @ [5.0, 1.0, -2.0], offsets)
    moved_by = np.array([5.0, 1.0, -2.0])
    np.testing.assert_allclose(shifted.coefficients, base.coefficients + moved_by, rtol=0, atol=1e-10)
    np.testing.assert_allclose(shifted.covariance, base.covariance, rtol=1e-9)
    scaled = done(X[:60], 4 * Y[:60], offsets)
    np.testing.assert_allclose(scaled.coefficients, 4 * base.coefficients, rtol=1e-12)
    np.testing.assert_allclose(scaled.covariance, 16 * base.covariance, rtol=1e-12)


def test_a_few_items_far_off_hardly_count() -> None:
    y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=N)
    wild = np.where(np.arange(N) % 25 == 3, y + 1e6, y)
    base, found = done(y=y).coefficients[3], done(y=wild).coefficients[3]
    assert np.abs(found - base).max() < 0.1


def test_values_without_noise_are_met_exactly() -> None:
    found = done(y=X @ [1.0, -2.0, 0.5])
    np.testing.assert_allclose(found.coefficients[0], [1.0, -2.0, 0.5], rtol=1e-12)
    assert np.abs(found.covariance).max() < 1e-20
    zero = done(y=np.zeros(N))
    assert (zero.coefficients == 0).all() and (zero.covariance == 0).all() and zero.rank[0] == 3


def test_many_groups_are_done_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = done()
    monkeypatch.setattr(module, "AT_ONCE", 1)
    for one, two in zip(done(), whole, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-13)


def test_a_round_stops_by_how_far_residuals_moved() -> None:
    assert moved(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(0.1)
    assert moved(np.zeros(2), np.array([1e-12, 0.0])) == pytest.approx(1e-2), "of nothing a share of 1e-10"
    loose, tight = done(accuracy=0.5), done(accuracy=1e-12)
    assert np.abs(loose.coefficients[3] - tight.coefficients[3]).max() > 1e-4


def test_weights_are_hubers() -> None:
    found = weights_of(np.array([0.0, 1.345, -1.345, 2.69, -13.45]), np.array(1.0))
    np.testing.assert_allclose(found, [1, 1, 1, 0.5, 0.1], rtol=1e-15)
    assert weights_of(np.array([0.0, 5.0]), np.array(0.0)).tolist() == [1, 1], "nothing is noise"
