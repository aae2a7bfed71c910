"""Several scans of one slide: nearer to the truth than each of them, and what is kept, counted and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gridnorm as gn
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.scans import Channel, merge_channel, merge_raws
from gridnorm.errors import FitError, GridnormWarning, LayoutError
from gridnorm.provenance import InputDigest

Array = NDArray[Any]
GAINS, ADDED, DARK = (1.0, 5.0, 30.0), 20.0, 40.0  # DARK: what lies around the spots, in counts at the lowest gain
N = 4000


def truth(channels: int = 2, seed: int = 3) -> Array:
    """Signals over five decades, (channel, spot): dim ones are lost at the lowest gain, bright ones at the highest."""
    return np.exp(np.random.default_rng(seed).uniform(np.log(2), np.log(60000), (channels, N)))


def scan(z: Array, gain: float, seed: int, **more: Any) -> RawArray:
    """What a scanner of 16 bits makes of signals: it multiplies, adds, is noisy, rounds and cuts off."""
    rng = np.random.default_rng(seed)

    def read(light: Array) -> Array:
        return np.clip(np.rint(ADDED + gain * light + rng.normal(0, 3, light.shape)), 0, 65535)

    names = ("R", "G") if z.shape[0] == 2 else ("E",)
    spots = {"Block": np.ones(N, np.int64), "Row": np.arange(1, N + 1), "Column": np.ones(N, np.int64)}
    made = RawArray(
        f"scan{gain:g}.gpr", "GPR", "", names, ("635", "532")[: z.shape[0]], read(z + DARK), read(np.full(z.shape, DARK)),
        spots,
    )  # fmt: skip
    return replace(made, **more)


def scans(z: Array, **more: Any) -> list[RawArray]:
    return [scan(z, gain, k, **more) for k, gain in enumerate(GAINS)]


def log_error(signal: Array, z: Array) -> float:
    """Root mean square of log2 signal against the truth, one constant apart; what is not positive counts as 1e-3."""
    apart = np.log2(np.maximum(signal, 1e-3)) - np.log2(z)
    return float(np.sqrt(np.mean((apart - np.median(apart)) ** 2)))


def test_merged_intensities_are_nearer_to_the_truth_than_those_of_any_scan() -> None:
    z = truth()
    each = scans(z)
    merged = merge_raws(each, "slide")
    assert merged.background is not None
    for k in range(2):
        found = log_error(merged.foreground[k] - merged.background[k], z[k])
        single = [log_error(raw.foreground[k] - raw.background[k], z[k]) for raw in each if raw.background is not None]
        assert found < 0.1 * min(single), (found, single)
    # No constant but that of the unit, which is the lowest gain's, and the background around the spots.
    np.testing.assert_allclose(merged.foreground - DARK, z, rtol=0.002, atol=2.5)
    np.testing.assert_allclose(merged.background, DARK, atol=15)  # where only the lowest gain has both: noise of 3
    spread = (merged.foreground - merged.background - z)[z < 1000].std()
    assert spread < 0.2, "the noise of the highest gain, 4.3 counts of 30 a unit"


def test_spots_that_are_saturated_at_high_gain_come_back() -> None:
    z = truth()
    each = scans(z)
    full = each[2].foreground >= 65535
    assert full.mean() > 0.25 and (each[0].foreground < 65535).all()
    merged = merge_raws(each, "slide")
    np.testing.assert_allclose(merged.foreground[full], (z + DARK)[full], rtol=0.01)
    counts = [[scan.channels[name]["saturated"] for name in "RG"] for scan in merged.scans]
    assert counts == [(raw.foreground >= 65535).sum(axis=1).tolist() for raw in each]


def test_offsets_and_gains_are_those_of_the_scanner() -> None:
    found = merge_raws(scans(truth()), "slide").scans
    for name in "RG":
        np.testing.assert_allclose([scan.channels[name]["gain"] for scan in found], GAINS, rtol=1e-3)
        np.testing.assert_allclose([scan.channels[name]["offset"] for scan in found], ADDED, atol=2.5)
    assert [scan.file for scan in found] == ["scan1.gpr", "scan5.gpr", "scan30.gpr"]


def test_the_order_of_the_scans_and_of_their_spots_does_not_matter() -> None:
    z = truth()
    each = scans(z)
    once = merge_raws(each, "slide")
    turned = merge_raws(each[::-1], "slide")
    np.testing.assert_allclose(turned.foreground, once.foreground, rtol=1e-6, atol=1e-5)
    order = np.random.default_rng(1).permutation(N)
    moved = replace(
        each[1], foreground=each[1].foreground[:, order], background=each[1].background[:, order],  # type: ignore[index]
        spots={name: column[order] for name, column in each[1].spots.items()},
    )  # fmt: skip
    mixed = merge_raws([each[0], moved, each[2]], "slide")
    np.testing.assert_array_equal(mixed.foreground, once.foreground)
    assert "scan5.gpr: the spots stand in another order than in scan1.gpr; they were re-ordered" in mixed.warnings


def test_every_spot_that_is_saturated_everywhere_has_what_the_lowest_gain_says_and_is_counted() -> None:
    z = truth()
    z[0, :7] = 1e6
    merged = merge_raws(scans(z), "slide")
    offset = merged.scans[0].channels["R"]["offset"]
    np.testing.assert_allclose(merged.foreground[0, :7], 65535 - offset)
    said = "slide (3 scans): R: 7 spots are saturated in every scan, and too dim in the scan of the lowest gain"
    assert said in merged.warnings and not any("G: " in text and "every scan" in text for text in merged.warnings)


def test_a_spot_that_a_scan_lacks_comes_from_the_others() -> None:
    each = scans(truth())
    holed = each[2].foreground.copy()
    holed[0, :5] = np.nan
    bare = np.asarray(each[1].background).copy()
    bare[0, :3] = np.nan
    none = each[0].foreground.copy()
    none[0, :2] = np.nan
    given = [replace(each[0], foreground=none), replace(each[1], background=bare), replace(each[2], foreground=holed)]
    merged = merge_raws(given, "slide")
    assert np.isfinite(merged.foreground[0]).all(), "the second scan has a foreground, if no background"
    assert merged.background is not None
    assert np.flatnonzero(np.isnan(merged.background[0])).tolist() == [0, 1]
    assert merged.missing == 2
    low = (each[0].foreground[0, 2] - merged.scans[0].channels["R"]["offset"], merged.foreground[0, 2])
    assert low[0] == pytest.approx(low[1], rel=1e-8), "the one scan that has both"


def test_pixels_that_are_saturated_leave_a_scan_out_where_a_column_tells_them() -> None:
    z = truth(1)
    each = scans(z)
    share = np.where(each[2].foreground[0] > 40000, 20.0, 0.0)
    bent = np.where(share > 0, 0.7 * each[2].foreground, each[2].foreground)
    told = [replace(raw, spots=raw.spots | {"F635 % Sat.": np.zeros(N)}) for raw in each[:2]]
    told.append(replace(each[2], foreground=bent, spots=each[2].spots | {"F635 % Sat.": share}))
    merged = merge_raws(told, "slide")
    np.testing.assert_allclose(merged.foreground - DARK, z, rtol=0.002, atol=2.5)
    assert (merged.spots["F635 % Sat."] == 0).all() and merged.scans[2].channels["E"]["saturated"] == (share > 0).sum()
    silent = merge_raws([replace(raw, spots=each[0].spots) for raw in told], "slide")
    assert np.abs(silent.foreground - DARK - z).max() > 10 * np.abs(merged.foreground - DARK - z).max()


def flagged(codes: list[list[int]], full: list[tuple[int, int]] = []) -> RawArray:  # noqa: B006
    """A merged array whose first spots have these codes, a list a scan; ``full``: (scan, spot) that are saturated."""
    each = scans(np.clip(truth(1), 2, 1000))
    for k, raw in enumerate(each):
        flags = np.zeros(N, np.int64)
        flags[: len(codes[k])] = codes[k]
        fore = raw.foreground.copy()
        for scan_, spot in full:
            if scan_ == k:
                fore[0, spot] = 65535
        each[k] = replace(raw, flags=flags, foreground=fore)
    return merge_raws(each, "slide")


def test_the_lowest_flag_of_the_scans_in_use_counts_and_not_found_only_where_none_found_the_spot() -> None:
    merged = flagged([[0, -100, -50, -50, -50, 100, -100], [0, 0, 0, -50, -100, 100, 0], [0, 0, 0, -50, 0, 0, 0]])
    assert merged.flags is not None
    assert merged.flags[:7].tolist() == [0, -100, 0, -50, -100, 0, -100]
    texts = [text for text in merged.warnings if "flagged" in text or "not found" in text]
    assert texts == [
        "slide (3 scans): 3 spots are flagged in some of the scans that they come from, and so are in the result",
        "slide (3 scans): 1 spots were not found in some of the scans that they come from, and count as found",
    ]
    # A flag of a scan that is saturated there says nothing of the value.
    merged = flagged([[0], [0], [-100]], [(2, 0)])
    assert merged.flags is not None and merged.flags[0] == 0


def test_scans_at_one_gain_are_averaged_and_keep_what_the_scanner_adds() -> None:
    z = truth(1)
    merged = merge_raws([scan(z, 1.0, 0), scan(z, 1.02, 1)], "slide")
    np.testing.assert_allclose(merged.foreground, z + DARK + ADDED, rtol=0.03, atol=25)
    said = "E: the gains of the scans are alike (1 to 1.02), which does not tell what the scanner adds to all of them"
    assert any(said in text for text in merged.warnings)


def test_what_was_merged_is_said_in_a_line_and_kept_with_digests() -> None:
    digests = [InputDigest(f"scan{k}.gpr", 10, str(k)) for k in range(3)]
    merged = merge_raws(scans(truth()), "slide", digests)
    assert merged.name == "slide (3 scans)" and [scan.digest for scan in merged.scans] == digests
    first = merged.warnings[0]
    assert first.startswith(
        "slide (3 scans): scan1.gpr, scan5.gpr and scan30.gpr are merged, in the unit of the lowest gain; R gains 1, "
    )
    full = (scan(truth(), 30.0, 2).foreground >= 65535).sum(axis=1)
    assert first.endswith(f"{full[1]} spots saturated in some"), first


def test_scans_that_are_none_are_refused() -> None:
    z = truth()
    one, two, three = scans(z)
    other = replace(two, channels=("G", "R"))
    with pytest.raises(
        LayoutError, match="scan5.gpr: scans of one slide have other channels; found G R, expected R G as in"
    ):
        merge_raws([one, other], "slide")
    with pytest.raises(LayoutError, match="found no background, expected a measured background as in scan1.gpr"):
        merge_raws([one, replace(two, background=None)], "slide")
    fewer = replace(
        three, foreground=three.foreground[:, 9:], background=np.asarray(three.background)[:, 9:],
        spots={name: column[9:] for name, column in three.spots.items()},
    )  # fmt: skip
    with pytest.raises(LayoutError) as caught:
        merge_raws([one, two, fewer], "slide")
    assert str(caught.value).startswith(
        "scan30.gpr: its spots are not those of scan1.gpr, a scan of the same slide; found 9 spots missing, 0 more"
    )
    named = [replace(raw, spots=raw.spots | {"ID": np.full(N, word, "S1")}) for raw, word in ((one, "x"), (two, "y"))]
    with pytest.raises(LayoutError) as renamed:
        merge_raws(named, "slide")
    assert str(renamed.value).startswith("scan5.gpr: the spots are not those of scan1.gpr: another print run; found an")
    assert str(renamed.value).endswith("Are these scans of one slide?")
    strange = replace(three, foreground=three.foreground.max() - three.foreground)
    with pytest.raises(FitError) as failed:
        merge_raws([one, strange], "slide")
    assert str(failed.value).startswith("slide (2 scans): the scans cannot be merged: R: scan1.gpr falls where others")
    assert str(failed.value).endswith("Are these scans of one slide?")
    glare = replace(three, foreground=np.full(three.foreground.shape, 65535.0))
    with pytest.raises(
        FitError, match="too few points for a line; found 0.*Leave out scan30.gpr, in which 4000 of 4000"
    ):
        merge_raws([one, two, glare], "slide")


def test_without_a_background_the_foreground_alone_is_merged() -> None:
    z = truth(1)
    merged = merge_raws(scans(z, background=None), "slide")
    assert merged.background is None
    np.testing.assert_allclose(merged.foreground - DARK, z, rtol=0.002, atol=2.5)


def test_exact_scans_give_the_exact_signal() -> None:
    z = np.linspace(1, 100, 50)
    given = Channel("E", np.stack([7 + z, 7 + 12 * z]), None, np.zeros((2, 50), bool))
    done = merge_channel(given, ["a", "b"])
    np.testing.assert_allclose(done.foreground, z, atol=1e-8)
    np.testing.assert_allclose(done.offsets, 7, atol=1e-8)
    np.testing.assert_allclose(done.gains, [1, 12], rtol=1e-10)


def test_nine_real_scans_of_one_slide_have_one_offset_and_rising_gains(shared: Path) -> None:
    """GenePix scans at 250 to 650 V: about 20 counts are the scanner's, as Bengtsson et al. found of theirs."""
    files = sorted((shared / "data" / "arrays" / "gainscan").glob("*array1*"))
    assert len(files) == 9
    with pytest.warns(GridnormWarning):
        arrays = gn.read([str(file) for file in files])
    with pytest.warns(GridnormWarning) as seen:
        merged = gn.merge_scans(arrays, ["0000088695"] * 9)
    said = (
        "no column tells saturated pixels (merge_scans looks for F<nm> % Sat. in every file); a scan is left out only"
    )
    assert any(said in str(one.message) for one in seen)
    found = [scan.channels["E"] for scan in merged.record(0).scans]
    gains = [one["gain"] for one in found]
    assert gains == sorted(gains) and 500 < gains[-1] < 900
    assert all(17 < one["offset"] < 23 for one in found)
    signal = (merged.E - merged.Eb)[:, 0] * gains[5]
    single = (arrays.E - arrays.Eb)[:, 5]
    bright = (single > 2000) & (single < 10000)  # of the brightest, pixels are saturated at 600 and 650 V
    assert bright.sum() == 31
    np.testing.assert_allclose(signal[bright], single[bright], rtol=0.1)
