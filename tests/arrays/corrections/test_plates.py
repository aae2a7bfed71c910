"""The level of plates: what is a plate, what is removed, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from printed import one_channel, two_channels

import gridnorm as gn

RNG = np.random.default_rng(9)
INDEX = np.tile(np.arange(1, 91), 6)
PLATE = (INDEX - 1) // 32
RED = np.exp2(9 + np.array([0.8, -0.3, 0.1])[PLATE] + 0.3 * RNG.standard_normal(540))
GREEN = np.exp2(10 + np.array([0.8, -0.3, 0.1])[PLATE] + 0.3 * RNG.standard_normal(540))


def medians(values: np.ndarray) -> np.ndarray:
    return np.array([np.nanmedian(values[k == PLATE]) for k in range(3)])


def test_plates_are_level_afterwards_and_the_mean_of_the_array_stays() -> None:
    before = two_channels(RED, GREEN)
    done = gn.correct_intensities(before, "plates", separate_channels=True)
    for channel, was in (("R", RED), ("G", GREEN)):
        now = np.log2(getattr(done, channel)[:, 0])
        assert np.ptp(medians(np.log2(was))) > 1 and np.ptp(medians(now)) < 0.08
        np.testing.assert_allclose(now.mean(), np.log2(was).mean(), rtol=0, atol=1e-12)
    joint = gn.correct_intensities(before, "plates")
    np.testing.assert_allclose(np.log2(joint.R / joint.G), np.log2(before.R / before.G), rtol=0, atol=1e-12)
    assert np.ptp(medians(np.log2(joint.R * joint.G)[:, 0])) < 0.15


@pytest.mark.parametrize("size", [31, 32, 33])
def test_a_plate_is_so_many_consecutive_dips(size: int) -> None:
    plates = np.char.add("p", ((INDEX - 1) // size).astype(str))
    arrays = two_channels(RED, GREEN, Plate=plates)
    by_order = gn.correct_intensities(arrays, "plates", plate_size=size)
    by_column = gn.correct_intensities(arrays, "plates", plates_by="Plate")
    np.testing.assert_array_equal(by_order.R, by_column.R)
    step = by_column.history.steps[-1]
    assert step.operation == "correct_intensities" and step.parameters["plates_by"] == "Plate"
    if size == 32:
        np.testing.assert_array_equal(gn.correct_intensities(arrays, "plates").R, by_order.R)
    else:
        assert np.abs(gn.correct_intensities(arrays, "plates").R / by_order.R - 1).max() > 0.01


def test_groupings_serve_as_plates_and_a_single_plate_is_said() -> None:
    arrays = one_channel(RED)
    pads = gn.correct_intensities(arrays, "plates", plates_by="print-tip,slide-row")
    assert not np.array_equal(pads.E, arrays.E)
    with pytest.warns(gn.GridnormWarning, match="plates: all spots are of one plate, and nothing was removed"):
        alone = gn.correct_intensities(arrays, "plates", plate_size=90)
    np.testing.assert_array_equal(alone.E, arrays.E)


@pytest.mark.parametrize(("n", "said"), [(9, True), (10, False)])
def test_a_plate_of_fewer_than_10_values_is_said(n: int, said: bool, recwarn: pytest.WarningsRecorder) -> None:
    plates = np.where(np.arange(540) < n, "few", "many")
    gn.correct_intensities(one_channel(RED, Plate=plates), "plates", plates_by="Plate")
    expected = ["array1: plates: 1 plate of fewer than 10 values: a level of so few is signal"]
    assert [str(one.message) for one in recwarn] == (expected if said else [])


def test_a_plate_without_a_value_stays_as_it_is() -> None:
    red = np.where(PLATE == 1, np.nan, RED)
    with pytest.warns(gn.GridnormWarning, match="plates: 1 plate without a value: nothing was removed there"):
        done = gn.correct_intensities(two_channels(red, GREEN), "plates")
    assert np.isnan(done.R[PLATE == 1]).all()
    np.testing.assert_array_equal(done.G[PLATE == 1, 0], GREEN[PLATE == 1])
    assert np.isfinite(done.R[PLATE != 1]).all()


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_an_array_without_any_value_stays_so() -> None:
    done = gn.correct_intensities(two_channels(np.full(540, np.nan), GREEN), "plates")
    assert np.isnan(done.R).all()
    np.testing.assert_array_equal(done.G[:, 0], GREEN)


def test_what_cannot_be_a_plate_is_refused() -> None:
    arrays = two_channels(RED, GREEN, Plate=np.char.add("p", PLATE.astype(str)))
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(arrays, "plates", plates_by="plaet")
    assert "plates_by names no column; found 'plaet', expected print-tip, array, plate" in str(said.value)
    assert str(said.value).endswith("or a spot column. Did you mean 'plate'?")
    with pytest.raises(gn.OptionError, match='plate_size has no meaning for plates_by="Plate"'):
        gn.correct_intensities(arrays, "plates", plates_by="Plate", plate_size=16)
    with pytest.raises(gn.OptionError, match="plate_size is out of range; found 0, expected 1 or more"):
        gn.correct_intensities(arrays, "plates", plate_size=0)
    bare = gn.read(arrays.spots.drop(columns=["Block", "Row", "Column"]).assign(R=RED, G=GREEN), columns="R=R,G=G")
    with pytest.raises(gn.LayoutError, match="plates_by plate needs the layout of the slide"):
        gn.correct_intensities(bare, "plates", plates_by="plate")
    with pytest.raises(
        gn.LayoutError, match="plates_by print-tip needs the block of every spot; found no column Block"
    ):
        gn.correct_intensities(bare, "plates", plates_by="print-tip")
