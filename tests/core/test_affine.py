"""A line by IWPCA and the affine model on it: truth, what the fit must not depend on, and what cannot be fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gridnorm.core.affine import Affine, fit_affine, fit_line
from gridnorm.errors import FitError, OptionError

Array = NDArray[Any]
OFFSET, SLOPE = np.array([60.0, 20.0, 35.0]), np.array([1.7, 0.6, 1.0])


def made(n: int = 2000, k: int = 2, changed: float = 0.1, seed: int = 0) -> Array:
    """Points on a known line with noise; some are off it, all on one side."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.normal(6.5, 1.3, n))
    points = OFFSET[:k] + SLOPE[:k] * z[:, None] + rng.normal(0, 8, (n, k))
    off = rng.random(n) < changed
    points[off, 0] += SLOPE[0] * z[off] * rng.choice([1.0, 3.0], off.sum())
    return np.asarray(points)


@pytest.mark.parametrize("k", [2, 3])
def test_slopes_and_line_are_found_beside_points_that_are_off_on_one_side(k: int) -> None:
    found = fit_affine(made(20000, k))
    assert found.line.converged
    ratio = found.slope / found.slope[-1]
    np.testing.assert_allclose(ratio, SLOPE[:k] / SLOPE[k - 1], rtol=0.002)
    np.testing.assert_allclose(np.prod(found.slope), 1, rtol=1e-12)
    # The true offsets are a point of the line, as far as 20 000 points with noise of 8 tell it.
    apart = OFFSET[:k] - found.line.centre
    apart -= (apart @ found.line.direction) * found.line.direction
    assert np.abs(apart).max() < 1
    plain = np.linalg.svd(made(20000, k) - made(20000, k).mean(axis=0), full_matrices=False)[2][0]
    assert abs(plain[0] / plain[-1] / (SLOPE[0] / SLOPE[k - 1]) - 1) > 0.1, "unweighted, those points would be in it"


def test_the_diagonal_finds_offsets_that_are_alike() -> None:
    """A scanner adds the same to every scan, whatever its gain."""
    rng = np.random.default_rng(1)
    z = np.exp(rng.normal(5, 1.5, 5000))
    points = 20 + np.array([1.0, 3.0, 10.0]) * z[:, None] + rng.normal(0, 3, (5000, 3))
    found = fit_affine(points, "diagonal")
    np.testing.assert_allclose(found.offset, 20, atol=0.3)
    np.testing.assert_allclose(found.slope / found.slope[0], [1, 3, 10], rtol=1e-3)
    back = found.undone(points) / found.slope[0] ** -1
    np.testing.assert_allclose(np.median(back[:, 2] / z), 1, atol=2e-3)


def test_points_exactly_on_a_line_are_undone_exactly() -> None:
    z = np.linspace(1, 50, 40)
    found = fit_affine(np.stack([5 + 2 * z, 5 + 8 * z], axis=1), "diagonal")
    np.testing.assert_allclose(found.offset, [5, 5], atol=1e-9)
    np.testing.assert_allclose(found.slope, [0.5, 2], rtol=1e-12)
    np.testing.assert_allclose(found.undone([[13, 37]]), [[16, 16]], rtol=1e-10)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_at_most_the_share_of_points_falls_below_the_offsets_and_one_more_would(share: float) -> None:
    points = made(400)
    found = fit_affine(points, share)
    assert (found.undone(points) <= 0).any(axis=1).sum() == 400 * share
    reached = np.sort(((points - found.line.centre) / found.line.direction).min(axis=1))
    at = ((found.offset - found.line.centre) / found.line.direction)[0]
    rank = round(400 * share)
    np.testing.assert_allclose(at, (reached[rank - 1] + reached[rank]) / 2, rtol=1e-9)


def test_a_share_that_is_less_than_a_point_leaves_every_point_above() -> None:
    points = made(30, changed=0)
    found = fit_affine(points, 0.03)
    assert (found.undone(points) > 0).all()
    # Half of points that have one value are more than the share: they stay above as well.
    z = np.concatenate([np.full(50, 1.0), np.arange(2.0, 52.0)])
    tied = fit_affine(np.stack([z, 3 * z], axis=1), 0.3)
    assert (tied.undone(np.stack([z, 3 * z], axis=1)) > 0).all()


@pytest.mark.parametrize("constraint", [0.05, "diagonal"])
def test_the_fit_follows_scale_and_order_and_for_a_share_any_shift(constraint: float | str) -> None:
    points = made(500)
    once = fit_affine(points, constraint)
    order = np.random.default_rng(5).permutation(500)

    def same(found: Affine, offset: Array) -> None:
        np.testing.assert_allclose(found.slope, once.slope, rtol=1e-6)
        # The offset is a point far down the line: a change of direction of 1e-9 moves it by 1e-6 of the spread.
        np.testing.assert_allclose(found.offset, offset, rtol=1e-5)

    assert fit_affine(points[order], constraint).offset.tobytes() == once.offset.tobytes()
    same(fit_affine(1000 * points, constraint), 1000 * once.offset)
    same(fit_affine(points[:, ::-1], constraint)._replace(slope=once.slope), once.offset[::-1])
    shift = np.array([300.0, 300.0]) if constraint == "diagonal" else np.array([300.0, -40.0])
    same(fit_affine(points + shift, constraint), once.offset + shift)


def test_weights_count_as_so_many_points_and_masks_and_missing_leave_out() -> None:
    points = made(300)
    weights = np.random.default_rng(2).integers(0, 3, 300).astype(float)
    once = fit_line(points, weights)
    assert once.n == np.count_nonzero(weights)
    np.testing.assert_allclose(
        once.direction, fit_line(np.repeat(points, weights.astype(int), axis=0)).direction, rtol=1e-7
    )
    kept = np.arange(300) % 3 > 0
    masked = fit_line(points, use=kept)
    np.testing.assert_array_equal(masked.direction, fit_line(points[kept]).direction)
    holed, none = points.copy(), np.where(kept, 1.0, np.nan)
    holed[~kept, 1] = np.where(np.arange((~kept).sum()) % 2, np.nan, np.inf)
    np.testing.assert_array_equal(fit_line(holed).direction, masked.direction)
    np.testing.assert_array_equal(fit_line(points, none).direction, masked.direction)


@pytest.mark.parametrize(("n", "enough"), [(2, False), (3, True)])
def test_three_points_are_enough(n: int, enough: bool) -> None:
    points = [[1.0, 2.0], [2.0, 4.1], [3.0, 6.0]][:n]
    if enough:
        assert fit_line(points).n == 3
    else:
        with pytest.raises(FitError, match="too few points for a line; found 2, expected 3 or more"):
            fit_line(points)


SQUARE = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
Z = np.arange(1.0, 21.0)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.full((9, 2), np.nan), "too few points for a line; found 0, expected 3 or more"),
        (np.ones((9, 2)), "the points have no direction; found all of them in one place"),
        (SQUARE, "the points have no direction; found as wide across as along"),
        (np.stack([Z, 0 * Z + 7], axis=1), "coordinate 2 does not change with the others; found slope 0 of the larg"),
        (np.stack([Z, 0 * Z, 2 * Z], axis=1), "coordinate 2 does not change with the others"),
        (np.stack([3 * Z, 9 - Z], axis=1), "coordinate 2 falls where others rise; found slope -0.333 of the largest"),
        (np.stack([1e200 * Z, 1e200 * Z], axis=1), "the points are too far apart for a line"),
    ],
)
def test_what_has_no_line_is_named(points: Any, words: str) -> None:
    with np.errstate(over="ignore"), pytest.raises(FitError, match=words):
        fit_affine(points)


@pytest.mark.parametrize(("slope", "fits"), [(0.9e-6, False), (1.1e-6, True)])
def test_a_slope_of_a_millionth_of_the_largest_is_one(slope: float, fits: bool) -> None:
    points = np.stack([1e6 * Z, 1e6 * slope * Z], axis=1)
    if fits:
        fit_affine(points)
    else:
        with pytest.raises(FitError, match="coordinate 2 does not change with the others"):
            fit_affine(points)


@pytest.mark.parametrize(("ratio", "fits"), [(1.09, False), (1.11, True)])
def test_slopes_within_a_tenth_do_not_tell_the_diagonals_offsets(ratio: float, fits: bool) -> None:
    points = np.stack([5 + Z, 5 + ratio * Z], axis=1)
    if fits:
        np.testing.assert_allclose(fit_affine(points, "diagonal").offset, 5, atol=1e-6)
    else:
        with pytest.raises(FitError, match="too much alike to tell the offsets; found largest 1.09 times the smallest"):
            fit_affine(points, "diagonal")
    fit_affine(points)  # a share needs no difference


@pytest.mark.parametrize("constraint", [0, 0.51, -1.0, True, "diag", np.nan])
def test_a_constraint_is_a_share_or_the_diagonal(constraint: Any) -> None:
    with pytest.raises(OptionError, match="unknown constraint of an affine fit"):
        fit_affine(made(30), constraint)


def test_shapes_and_weights_that_cannot_be_are_refused() -> None:
    for points in (np.ones(4), np.ones((4, 1)), np.ones((2, 2, 2))):
        with pytest.raises(OptionError, match="points need two coordinates or more"):
            fit_line(points)
    with pytest.raises(OptionError, match="weights of another length than the points"):
        fit_line(np.ones((4, 2)), np.ones(3))
    with pytest.raises(OptionError, match="weights must be neither negative nor infinite"):
        fit_line(made(4), [-1.0, 1, 1, 1])
    with pytest.raises(OptionError, match="use of another length"):
        fit_line(np.ones((4, 2)), use=np.ones((4, 2), bool))


def test_alike_slopes_are_told_and_zero_says_how_offsets_differ() -> None:
    found = fit_affine(np.stack([5 + Z, 9 + Z], axis=1), "zero")
    assert found.alike and not fit_affine(np.stack([5 + Z, 9 + 1.2 * Z], axis=1)).alike
    np.testing.assert_allclose(found.offset, [-2, 2], atol=1e-9)
