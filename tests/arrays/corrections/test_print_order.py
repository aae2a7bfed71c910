"""The trend over the order of printing: limma's numbers, and what must hold of any trend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from printed import WAYS, frame, golden_table, one_channel, two_channels

import gridnorm as gn
from gridnorm.arrays.corrections.print_order import _trend

RNG = np.random.default_rng(3)
INDEX = np.tile(np.arange(1, 91), 6)
RED = np.exp2(9 + 0.5 * np.sin(INDEX / 15) + 0.3 * RNG.standard_normal(540))
GREEN = np.exp2(10 + 0.5 * np.sin(INDEX / 15) + 0.3 * RNG.standard_normal(540))


def plain(index: np.ndarray, values: np.ndarray, span: float, fits: int = 5) -> np.ndarray:
    """The trend at each value, point by point: robust mean of the nearest share, tricube in distance."""
    near = int(index.size * span + 1e-5)
    weight = np.ones(index.size)
    for fit in range(fits):
        out = np.empty(index.size)
        for k, at in enumerate(index):
            distance = np.abs(index - at).astype(float)
            reach = np.sort(distance)[near - 1]
            share = np.where(distance < reach, (1 - (distance / reach) ** 3) ** 3, 0.0) if reach else distance == 0
            out[k] = (share * weight * values).sum() / (share * weight).sum()
        if fit == fits - 1:
            return out
        far = np.abs(values - out)
        limit = 6 * np.median(far)
        weight = np.where(far <= 0.001 * limit, 1, np.where(far <= 0.999 * limit, (1 - (far / limit) ** 2) ** 2, 0.0))
    raise AssertionError


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_both_corrections_are_those_of_limma(golden: Path, way: tuple[str, bool, str]) -> None:
    row, separate, start = way
    table = golden_table(golden)
    done = gn.correct_intensities(
        two_channels(table["R"], table["G"]), row, separate_channels=separate, order_start=start
    )
    name = f"{'loess' if row == 'print-order' else 'plate'}.{'separate' if separate else 'joint'}.{start}"
    for channel in "RG":
        ours, limma = getattr(done, channel)[:, 0], table[f"{channel}.{name}"].to_numpy()
        known = np.isfinite(limma)
        assert known.sum() > 515
        np.testing.assert_allclose(np.log2(ours[known]), np.log2(limma[known]), rtol=0, atol=1e-12)
        # Where limma has none, one of the channels has no logarithm, here as there: M and A are missing.
        other = done.G[:, 0] if channel == "R" else done.R[:, 0]
        lost = ~known & ((ours > 0) & (separate | (other > 0)))
        assert not lost.any()


@pytest.mark.parametrize(("n", "places", "span"), [(540, 90, 0.1), (300, 300, 0.05), (60, 7, 0.1), (80, 80, 1.0)])
def test_the_trend_is_the_mean_point_by_point(n: int, places: int, span: float) -> None:
    index = np.sort(RNG.integers(1, places + 1, n)) if places < n else np.arange(1, n + 1)
    values = np.sin(index / 9) + RNG.standard_t(2, n)
    found = _trend(index, values, span, index)
    np.testing.assert_allclose(found, plain(index, values, span), rtol=0, atol=1e-12)


def test_m_stays_and_a_loses_its_trend() -> None:
    before = two_channels(RED, GREEN)
    joint = gn.normalize(before, correct="print-order", method="none")
    alone = gn.normalize(before, method="none")
    np.testing.assert_allclose(joint.M, alone.M, rtol=0, atol=1e-12)
    assert np.ptp([alone.A[k == INDEX // 10].mean() for k in range(1, 9)]) > 0.8
    assert np.ptp([joint.A[k == INDEX // 10].mean() for k in range(1, 9)]) < 0.25
    np.testing.assert_allclose(joint.A.mean(), alone.A.mean(), rtol=0, atol=1e-12)


def test_a_scanner_twice_as_bright_and_other_orders_of_tips_change_nothing() -> None:
    done = gn.correct_intensities(two_channels(RED, GREEN), "print-order", separate_channels=True)
    twice = gn.correct_intensities(two_channels(2 * RED, GREEN), "print-order", separate_channels=True)
    np.testing.assert_allclose(twice.R, 2 * done.R, rtol=1e-12)
    np.testing.assert_array_equal(twice.G, done.G)
    tips = RED.reshape(6, 90)[::-1].ravel()
    other = gn.correct_intensities(two_channels(tips, GREEN), "print-order", separate_channels=True)
    np.testing.assert_allclose(other.R[:, 0].reshape(6, 90)[::-1].ravel(), done.R[:, 0], rtol=1e-12)


def test_from_the_right_columns_are_mirrored() -> None:
    mirrored = (INDEX - 1) // 10 * 10 + 10 - (INDEX - 1) % 10
    order = np.argsort(np.repeat(np.arange(6), 90) * 1000 + mirrored)  # mirroring undoes itself
    right = gn.correct_intensities(two_channels(RED, GREEN), "print-order", order_start="topright")
    left = gn.correct_intensities(two_channels(RED[order], GREEN[order]), "print-order")
    np.testing.assert_allclose(right.R[order], left.R, rtol=1e-12)


def test_spots_without_a_logarithm_stay_so_and_are_counted() -> None:
    red = RED.copy()
    red[[3, 400]], red[7] = (0.0, -2.5), np.nan
    with pytest.warns(gn.GridnormWarning, match=r"2 intensities are not positive after background correction \(none\) "
                      r"and corrections \(print-order\); those spots are missing"):  # fmt: skip
        done = gn.normalize(two_channels(red, GREEN), correct="print-order", method="none")
    assert np.isnan(done.M[:, 0]).nonzero()[0].tolist() == [3, 7, 400]
    net = gn.correct_intensities(two_channels(red, GREEN), "print-order")
    assert net.R[3, 0] == 0 and net.R[400, 0] < 0 and np.isnan(net.R[7, 0]) and np.isfinite(net.G).all()


def test_one_channel() -> None:
    done = gn.correct_intensities(one_channel(RED), "print-order")
    both = gn.correct_intensities(two_channels(RED, GREEN), "print-order", separate_channels=True)
    np.testing.assert_allclose(done.E, both.R, rtol=1e-13)
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(one_channel(RED), "print-order", separate_channels=True)
    assert str(said.value).endswith(
        "separate_channels has no meaning for one channel; found E, expected two channels. "
        "Leave it out, or say separate_channels=False"
    )


@pytest.mark.parametrize(("spots", "enough"), [(9, False), (10, True)])
def test_a_window_holds_a_spot(spots: int, enough: bool) -> None:
    values = np.where(np.arange(540) < spots, RED, np.nan)
    if enough:
        assert np.isfinite(gn.correct_intensities(one_channel(values), "print-order").E).sum() == 10
        return
    with pytest.raises(gn.FitError) as said:
        gn.correct_intensities(one_channel(values), "print-order")
    assert str(said.value).endswith(
        "E: correct print-order has too few spots for a trend; found 9 with a logarithm, expected 10 or more. "
        "Give a larger order_span, or leave print-order out"
    )


@pytest.mark.parametrize("row", ["print-order", "plates"])
def test_a_file_without_positions_is_refused(row: str) -> None:
    arrays = gn.read(frame().assign(R=RED, G=GREEN)[["ID", "R", "G"]], columns="R=R,G=G")
    with pytest.raises(gn.LayoutError) as said:
        gn.correct_intensities(arrays, row)
    assert str(said.value).endswith(
        f"correct {row} needs the place of every spot in its block; found no Block, Row and Column columns. "
        f"Name them with columns Block=…,Row=…,Column=…, or leave {row} out"
    )
