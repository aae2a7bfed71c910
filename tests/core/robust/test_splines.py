"""Robust splines of groups: limma's numbers, what pooling does, and groups that have nothing to fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from backends import Backend
from robust_cases import table

from gridnorm.core.apply import apply, evaluate
from gridnorm.core.fit import OWN, SHRUNK, WHOLE_FIT, fit
from gridnorm.core.methods import METHODS, normalize_within
from gridnorm.core.robust.huber import Huber
from gridnorm.core.robust.natural import knots_at
from gridnorm.core.robust.splines import Splines, shrunken
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError

RNG = np.random.default_rng(3)
GROUPS, SIZE = 6, 80
LABELS = np.repeat(np.arange(GROUPS), SIZE)
SEGMENTS = Segments.from_labels(LABELS)
A = RNG.uniform(6, 15, (1, LABELS.size))
M = 0.1 * (A - 10) ** 2 + RNG.normal(0, 0.5, GROUPS)[LABELS] + 0.2 * RNG.standard_t(3, LABELS.size)


def done(m: np.ndarray = M, a: np.ndarray = A, segments: Segments = SEGMENTS, **options) -> np.ndarray:
    return normalize_within(m, segments, "spline", covariate=a, **options).values


@pytest.mark.parametrize("df", [3, 5, 7])
def test_splines_are_limmas(backend: Backend, golden: Path, df: int) -> None:
    """Missing values, a group without any, one of two values of the covariate (of lower rank), one of 20."""
    given = table(golden / "robust_splines.tsv")
    segments = Segments.from_labels(given["tip"].astype(int))
    found = backend.run(fit, given["M"], segments, "spline", covariate=given["A"], df=df)
    values = backend.run(apply, given["M"], segments, found, "subtract", covariate=given["A"])
    expected = given[f"df{df}"]
    np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert found.source.tolist() == [[SHRUNK, SHRUNK, WHOLE_FIT, SHRUNK, SHRUNK, SHRUNK]]
    assert found.shares[0, 2].tolist() == [0, 0]
    assert ((found.shares > 0.5) | (found.n == 0)[:, :, None]).all() and (found.shares <= 1).all()


def test_groups_that_are_alike_have_the_fit_of_the_whole() -> None:
    a = np.tile(A[:, :SIZE], GROUPS)
    m = 0.1 * (a - 10) ** 2 + np.tile(0.2 * np.random.default_rng(1).normal(size=SIZE), GROUPS)
    found = fit(m, SEGMENTS, "spline", covariate=a)
    assert (found.source == WHOLE_FIT).all() and (found.shares == 0).all()
    whole = fit(m, Segments.single(LABELS.size), "spline", covariate=a)
    assert whole.source.tolist() == [[OWN]] and whole.shares is None
    same = np.repeat(whole.payload.values[0], GROUPS, axis=0)
    np.testing.assert_allclose(found.payload.values[0], same, rtol=0, atol=1e-14)


def test_small_groups_keep_less_of_their_own() -> None:
    keep = np.ones(LABELS.size, bool)
    keep[LABELS == 2] = np.arange(SIZE) < 12
    found = fit(M, SEGMENTS, "spline", covariate=A, use=keep)
    assert found.n[0].tolist() == [80, 80, 12, 80, 80, 80]
    assert found.shares[0, 2, 0] < found.shares[0, [0, 1, 3, 4, 5], 0].min()


def test_groups_without_a_fit_of_their_own_have_that_of_the_whole() -> None:
    """As many parameters as values, and leading columns that are one: there limma stops."""
    for some in (np.arange(SIZE) < 5, np.arange(SIZE) < 1, np.zeros(SIZE, bool)):
        keep = np.ones(LABELS.size, bool)
        keep[LABELS == 1] = some
        found = fit(M, SEGMENTS, "spline", covariate=A, use=keep)
        assert (found.source[0, 1], found.shares[0, 1, 0]) == (WHOLE_FIT, 0)
        whole = fit(M, Segments.single(LABELS.size), "spline", covariate=A, use=keep)
        np.testing.assert_allclose(found.payload.values[0, 1], whole.payload.values[0, 0], rtol=0, atol=1e-12)
    top = A.copy()
    top[0, LABELS == 4] = A.max() - np.linspace(0, 1e-5, SIZE)
    found = fit(M, SEGMENTS, "spline", covariate=top)
    assert found.source[0, 4] == WHOLE_FIT, "at the top end the first B-splines are 0"
    assert np.isfinite(done(a=top)).all()


def test_weights_are_inverse_variances() -> None:
    rng = np.random.default_rng(2)
    noise = np.where(np.arange(LABELS.size) % 2, 3.0, 0.1)
    m = 0.1 * (A - 10) ** 2 + rng.normal(0, 1, LABELS.size) * noise
    truth = 0.1 * (A - 10) ** 2
    errors = [
        np.abs(evaluate(fit(m, SEGMENTS, "spline", covariate=A, weights=w), A, SEGMENTS) - truth).mean()
        for w in (None, noise**-2)
    ]
    assert errors[1] < 0.5 * errors[0]
    np.testing.assert_allclose(done(weights=np.full(LABELS.size, 4.0)), done(), rtol=0, atol=1e-12)


def test_what_is_left_out_has_no_say_and_gets_the_curve() -> None:
    out = np.arange(LABELS.size) % 7 == 0
    wild = np.where(out, 1e6, M)
    base = done(np.where(out, np.nan, M))
    for more in ({"use": ~out}, {"weights": np.where(out, 0.0, 1.0)}, {"weights": np.where(out, np.nan, 1.0)}):
        found = done(wild, **more)
        np.testing.assert_allclose(found[:, ~out], base[:, ~out], rtol=0, atol=1e-12)
        assert (found[:, out] > 9e5).all()


def test_order_names_shift_and_scale() -> None:
    base, order = done(), np.random.default_rng(1).permutation(LABELS.size)
    np.testing.assert_allclose(
        done(M[:, order], A[:, order], Segments.from_labels(LABELS[order])), base[:, order], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(done(segments=Segments.from_labels(-LABELS)), base, rtol=0, atol=1e-12)
    np.testing.assert_allclose(done(M + 3.0), base, rtol=0, atol=1e-12)
    np.testing.assert_allclose(done(M + A), base, rtol=0, atol=1e-11)
    np.testing.assert_allclose(done(8 * M), 8 * base, rtol=0, atol=1e-12)
    np.testing.assert_allclose(done(a=2 * A - 5), base, rtol=0, atol=1e-11)


def test_entries_of_a_batch_do_not_know_each_other() -> None:
    m, a = np.concatenate([M, M[:, ::-1] ** 2]), np.concatenate([A, A[:, ::-1]])
    m[1, LABELS == 3] = np.nan
    together = done(m, a)
    for b in range(2):
        np.testing.assert_array_equal(together[b], done(m[b : b + 1], a[b : b + 1])[0])


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_few_values_have_fewer_knots(count: int) -> None:
    keep = np.arange(LABELS.size) < count
    found = fit(M, Segments.single(LABELS.size), "spline", covariate=A, use=keep)
    assert np.isfinite(found.payload.at[0, 0]).sum() == max(min(count - 1, 5), 1)
    assert np.isfinite(evaluate(found, A, Segments.single(LABELS.size))).all()
    with pytest.raises(FitError) as caught:
        done(np.where(keep, M, np.nan))
    assert str(caught.value) == (
        f"too few usable values for this method; found {count} in all groups together, expected at least 30. "
        "Choose a simpler method such as median"
    )


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_covariate_of_few_values_is_no_trouble(levels: int) -> None:
    a = 8.0 + np.arange(LABELS.size)[None] % levels
    m = a**2 + np.where(np.arange(LABELS.size) % 2, 0.1, -0.1)
    assert np.abs(done(m, a)).max() < 0.3


def test_a_batch_entry_without_values_has_no_fit() -> None:
    found = fit(np.concatenate([M, np.full_like(M, np.nan)]), SEGMENTS, "spline", covariate=A)
    assert (found.n[1] == 0).all() and np.isnan(found.payload.values[1]).all()
    assert np.isfinite(found.payload.values[0]).all()


def test_shrinking_is_what_the_matrices_say() -> None:
    whole = Huber(np.array([[1.0, 2.0]]), np.eye(2)[None], np.array([2]))
    own = Huber(np.array([[3.0, 2.0], [-1.0, 2.0], [1.0, 6.0]]), np.stack([0.5 * np.eye(2)] * 3), np.array([2, 2, 2]))
    # Squares about the mean over 2: level 4, slope 16/3; less the noise's trace of 1, over the whole's trace of 2.
    factor = (4 + 16 / 3 - 1) / 2
    coefficients, shares = shrunken(own, whole, np.arange(3))
    share = factor / (factor + 0.5)
    np.testing.assert_allclose(shares, share, rtol=1e-14)
    np.testing.assert_allclose(coefficients, whole.coefficients + share * (own.coefficients - [1.0, 2.0]), rtol=1e-14)
    none = own._replace(covariance=own.covariance * 100)
    coefficients, shares = shrunken(none, whole, np.arange(3))
    assert np.isnan(shares).all() and (coefficients == [1.0, 2.0]).all()


def test_knots_of_a_payload_are_those_of_all_values() -> None:
    found = fit(M, SEGMENTS, "spline", covariate=A).payload
    np.testing.assert_array_equal(found.at, np.broadcast_to(knots_at(A[0], 5), (1, GROUPS, 5)))
    with pytest.raises(ValueError, match="knots of shape"):
        Splines.from_plain({"at": [[[1.0]]], "values": [[[1.0, 2.0]]]})


def test_it_pools_groups_itself() -> None:
    assert METHODS["spline"].pools_itself
    for name, value in (("minimum", 5), ("small_groups", "own")):
        with pytest.raises(OptionError, match=f"^{name} has no meaning for method spline"):
            done(**{name: value})
    for df in (1, 51):
        with pytest.raises(OptionError, match="df is out of range.*2 to 50"):
            done(df=df)
    assert np.isfinite(done(df=2)).all() and np.isfinite(done(df=50)).all()
