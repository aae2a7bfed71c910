from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.raw import ReadOptions
from gridnorm.arrays.simulate import OPTIONS, simulate
from gridnorm.arrays.simulate.slide import EMPTY_LEVEL
from gridnorm.errors import OptionError
from gridnorm.io.formats import gpr
from gridnorm.io.gpr_write import gpr_columns, simulated_columns, write_gpr
from gridnorm.io.text import load
from gridnorm.io.write import write_table


@pytest.mark.parametrize("channels", [1, 2])
def test_a_written_file_reads_back_exactly(tmp_path: Path, channels: int) -> None:
    simulated = simulate(2, blocks=(2, 3), spots=(6, 5), channels=channels, bad=0.2, seed=4)
    path = tmp_path / "array2.gpr"
    write_gpr(path, simulated_columns(simulated, 1), simulated.wavelengths)
    expected, read = simulated.raw(1), gpr.read(load(path), ReadOptions({"foreground": "mean"}))
    assert (read.name, read.channels, read.wavelengths, read.warnings) == (
        expected.name, expected.channels, expected.wavelengths, (),
    )  # fmt: skip
    np.testing.assert_array_equal(read.foreground, expected.foreground)
    np.testing.assert_array_equal(read.background, expected.background)
    np.testing.assert_array_equal(read.flags, expected.flags)
    assert list(read.spots) == list(expected.spots)
    for title, column in expected.spots.items():
        np.testing.assert_array_equal(read.spots[title], column)
    assert read.version == expected.version and read.taken == expected.taken


def test_the_file_is_what_genepix_writes(tmp_path: Path) -> None:
    one, measured = np.array([1, 2, 3, 4]), np.array([[300, 100, 50, 100], [200, 100, 100, 300]])
    columns = gpr_columns(
        block=one, row=one, column=one, name=np.array([b"a", b'2" x', b"c", b"d"]), id=one.astype("S"),
        x=one * 10.0, y=one * 10.0, wavelengths=("635", "532"), flags=np.array([0, -50, 0, -100]),
        mean=measured, median=measured, background=np.array([[100, 100, 100, 90], [100, 90, 90, 300]]),
    )  # fmt: skip
    write_gpr(tmp_path / "a.gpr", columns, ("635", "532"))
    data = (tmp_path / "a.gpr").read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n")
    lines = data.decode().split("\r\n")
    assert lines[0] == "ATF\t1.0" and lines[2] == '"Type=GenePix Results 3"'
    header, width = map(int, lines[1].split("\t"))
    table = list(csv.DictReader(lines[2 + header :], delimiter="\t"))
    assert len(lines) == header + 3 + 4 + 1 and all(len(row) == width for row in table)
    assert [row["Name"] for row in table] == ["a", '2" x', "c", "d"]
    # As in real files: nothing above gives 0 and Error, nothing below 100000 and 16.610, a negative ratio Error.
    assert [row["Ratio of Medians (635/532)"] for row in table] == ["2.000", "0.000", "-5.000", "100000.000"]
    assert [row["Log Ratio (635/532)"] for row in table] == ["1.000", "Error", "Error", "16.610"]
    assert [row["F635 Median - B635"] for row in table] == ["200", "0", "-50", "10"]


def test_a_seed_gives_the_same_arrays_and_each_array_depends_on_its_number_only() -> None:
    one, two = (simulate(3, blocks=(2, 2), spots=(8, 8), seed=7) for _ in range(2))
    alone = simulate(1, blocks=(2, 2), spots=(8, 8), seed=7)
    for name in ("mean", "median", "background", "flags", "bias", "x", "outlier"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one, name)[0], getattr(alone, name)[0])
    other = simulate(1, blocks=(2, 2), spots=(8, 8), seed=8)
    assert not np.array_equal(other.true_a, one.true_a) and not np.array_equal(one.mean[0], one.mean[1])


def test_a_seed_means_the_same_numbers_on_every_machine() -> None:
    counts = simulate(2, blocks=(2, 2), spots=(8, 8), seed=7).mean
    assert hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()[:16] == "33560e461d5e7509"


def test_intensities_are_truth_plus_bias_plus_noise() -> None:
    s = simulate(3, noise_sd=0.1, tip_scale_sd=0.0, additive_sd=0.0, outliers=0.0, bad=0.0, background=50.0, seed=2)
    net = s.mean - s.background
    bright = (net > 500).all(axis=(0, 1)) & (s.mean < 65535).all(axis=(0, 1))
    assert bright.sum() > 5000
    m = np.log2(net[:, 0][:, bright] / net[:, 1][:, bright])
    error = m - s.true_m[bright] - s.bias[:, bright]
    # Noise of 0.1, and a little from counting: rounding and a background reading that is off by about 2 of > 500.
    assert np.std(error) == pytest.approx(0.1, abs=0.01)
    assert abs(np.mean(error)) < 0.005  # standard error below 0.001
    raw = np.std(m - s.true_m[bright])
    assert raw > 0.3  # the bias is there to be removed


def test_every_source_of_bias_can_be_switched_off_and_leaves_what_it_says() -> None:
    none: dict[str, Any] = {
        "tip_offset_sd": 0.0, "tip_slope_sd": 0.0, "tip_curve_sd": 0.0, "dye_bias": 0.0, "spatial": 0.0,
    }  # fmt: skip
    assert np.all(simulate(2, blocks=(2, 2), **none).bias == 0.0)
    tips = simulate(1, blocks=(4, 4), **{**none, "tip_offset_sd": 0.5})
    per_tip = tips.bias[0].reshape(16, -1)
    assert np.ptp(per_tip, axis=1).max() == 0.0 and np.std(per_tip[:, 0]) > 0.2
    assert np.abs(simulate(1, **{**none, "spatial": 0.2}).bias).max() <= 0.2 + 1e-12
    bent = simulate(1, blocks=(4, 4), **{**none, "tip_curve_sd": 0.3})
    for tip in range(1, 17):
        here = bent.block == tip
        fits = np.polyfit(bent.true_a[here], bent.bias[0][here], 2, full=True)
        assert fits[1][0] < 1e-20  # a parabola over A, another one in every tip
    assert np.ptp(simulate(1, channels=1, **{**none, "dye_bias": 0.5}).bias) == 0.0  # one dye is no imbalance


def test_shares_and_masks_are_what_was_asked_for() -> None:
    s = simulate(2, blocks=(4, 4), changed=0.25, up=0.75, effect=2.0, outliers=0.05, bad=0.04, not_found=0.06,
                 not_found_sd=0.0, empty=0.1, seed=3)  # fmt: skip
    n = s.block.size
    assert s.changed.sum() == round(0.25 * n) and set(np.abs(s.true_m[s.changed])) == {2.0}
    assert np.all(s.true_m[~s.changed] == 0.0)
    # Binomial, n = 13440: three standard deviations are 0.006 and 0.008.
    assert s.outlier.mean() == pytest.approx(0.05, abs=0.006)
    assert (s.flags == -100).mean() == pytest.approx(0.04, abs=0.006)
    assert (s.flags == -50).mean() == pytest.approx(0.06 * 0.96, abs=0.006)  # a damaged one has one flag only
    assert set(np.unique(s.flags)) == {-100, -50, 0}
    assert (s.true_m[s.changed] > 0).mean() == pytest.approx(0.75, abs=0.025)  # n = 1680
    empty = s.true_a == EMPTY_LEVEL
    assert empty.mean() == pytest.approx(0.1, abs=0.009) and not s.changed[empty].any()


def test_bad_spots_are_bad_and_spots_not_found_are_dim() -> None:
    s = simulate(1, blocks=(4, 4), bad=0.1, not_found=0.2, outliers=0.0, seed=6)
    net = np.maximum(s.mean[0] - s.background[0], 1.0)
    error = np.abs(np.log2(net[0] / net[1]) - s.true_m - s.bias[0])
    bright = s.true_a > 9
    bad, fine = bright & (s.flags[0] == -100), bright & (s.flags[0] == 0)
    assert np.median(error[bad]) > 4 * np.median(error[fine])
    assert np.median(s.true_a[s.flags[0] == -50]) < np.quantile(s.true_a, 0.25)
    rates = [(s.flags[0][s.block == tip] == -50).mean() for tip in range(1, 17)]
    assert np.ptp(rates) > 0.1  # the spread between tips: 0.5 in log odds
    even = simulate(1, blocks=(4, 4), bad=0.0, not_found=0.2, not_found_sd=0.0, seed=6)
    assert np.ptp([(even.flags[0][even.block == tip] == -50).mean() for tip in range(1, 17)]) == 0.0
    for share, found in ((0.0, 0.0), (1.0, 1.0)):
        assert (simulate(1, (1, 2), (5, 5), bad=0.0, not_found=share).flags == -50).mean() == found


def test_noise_is_additive_where_nothing_is_bound_and_of_the_tip_where_much_is() -> None:
    s = simulate(1, blocks=(4, 4), spots=(30, 30), empty=0.3, additive_sd=28.0, bad=0.0, outliers=0.0, seed=4)
    dark = s.true_a == EMPTY_LEVEL
    assert np.std((s.mean - s.background)[0, 0][dark]) == pytest.approx(28.0, rel=0.1)  # rounding, 2 counts of reading
    counts = simulate(1, blocks=(2, 2), background=0.0, additive_sd=28.0, seed=4)
    assert counts.mean.min() == counts.background.min() == counts.sd.min() == 0
    one = simulate(1, blocks=(4, 4), spots=(30, 30), tip_scale_sd=0.8, additive_sd=0.0, bad=0.0, outliers=0.0, seed=4)
    net = np.log2(np.maximum(one.mean - one.background, 1.0)[0])
    left = net[0] - net[1] - one.true_m - one.bias[0]
    spreads = [np.std(left[(one.block == tip) & (one.true_a > 9)]) for tip in range(1, 17)]
    assert 0.4 < np.std(np.log(spreads)) < 1.3


def test_small_and_uneven_tips_lack_rows_and_change_nothing_else() -> None:
    whole = simulate(1, blocks=(2, 3), spots=(10, 10), seed=9)
    some = simulate(1, blocks=(2, 3), spots=(10, 10), seed=9, small_tips=2, small_tip_spots=7, uneven=0.4)
    sizes = np.bincount(some.block)[1:]
    assert (
        sorted(sizes)[:2] == [7, 7] and sorted(sizes)[2] >= 60 and sizes.max() <= 100 and np.ptp(sizes[sizes > 7]) > 0
    )
    place = {key: k for k, key in enumerate(zip(whole.block, whole.row, whole.column, strict=True))}
    at = [place[key] for key in zip(some.block, some.row, some.column, strict=True)]
    for name in ("mean", "background", "flags", "bias", "x"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[..., at])
    np.testing.assert_array_equal(some.id, whole.id[at])
    assert some.arrays.layout is not None and not some.arrays.layout.complete


def test_blocks_with_samples_or_contents_of_their_own() -> None:
    s = simulate(1, blocks=(4, 4), spots=(8, 8), channels=1, same_probes=True, content_sd=0.8, seed=2)
    ids = s.id.reshape(16, 64)
    assert ids.tolist() == 16 * [[b"P%06d" % k for k in range(1, 65)]]
    levels = s.true_a.reshape(16, 64)
    np.testing.assert_allclose(levels - levels[:, :1], (levels - levels[:, :1])[:1].repeat(16, axis=0), atol=1e-12)
    assert 0.4 < np.std(levels[:, 0]) < 1.3
    apart = simulate(1, blocks=(4, 4), spots=(8, 8), channels=1, seed=2)
    assert len(set(apart.id)) == 1024


def test_scans_at_several_gains_are_of_one_slide() -> None:
    s = simulate(3, blocks=(2, 2), spots=(15, 15), gains=(0.5, 1.0, 4.0), additive_sd=5.0, seed=3)
    np.testing.assert_array_equal(s.bias[0], s.bias[2])
    np.testing.assert_array_equal(s.x[0], s.x[1])
    net = (s.mean - s.background).astype(float)[:, 0]
    bright = (s.mean.max(axis=(0, 1)) < 60000) & (net[0] > 400)
    assert bright.sum() > 100
    np.testing.assert_allclose(np.median(net[2][bright] / net[0][bright]), 8.0, rtol=0.02)
    assert np.median(s.background[2]) == pytest.approx(8 * np.median(s.background[0]), rel=0.05)
    one = simulate(1, (2, 2), (15, 15), gains="1", additive_sd=5.0, seed=3)
    np.testing.assert_array_equal(one.mean, simulate(1, (2, 2), (15, 15), additive_sd=5.0, seed=3).mean)


def test_controls_are_never_changed_and_are_on_all_levels() -> None:
    plain = simulate(2, blocks=(4, 4), changed=0.3, seed=3)
    s = simulate(2, blocks=(4, 4), changed=0.3, controls=0.1, seed=3)
    control = np.char.startswith(s.id, b"C")
    assert control.sum() == round(0.1 * s.id.size) and not s.changed[control].any()
    assert np.all(s.true_m[control] == 0.0)
    # As many in every fifth of the levels as elsewhere: 672 controls, binomial, four standard deviations are 42.
    fifth = np.searchsorted(np.quantile(s.true_a, [0.2, 0.4, 0.6, 0.8]), s.true_a[control])
    np.testing.assert_allclose(np.bincount(fifth, minlength=5), control.sum() / 5, rtol=0, atol=42)
    types = s.arrays.columns["SpotType"]
    assert types.tolist() == [b"control" if c else b"probe" for c in control]
    assert s.name[control][0].startswith(b"control ") and s.name[~control][0].startswith(b"probe ")
    assert "SpotType" not in plain.arrays.columns
    # They are named, and nothing else about them is different.
    for name in ("mean", "background", "flags", "bias", "true_m", "true_a", "changed"):
        np.testing.assert_array_equal(getattr(s, name), getattr(plain, name))
    np.testing.assert_array_equal(s.id[~control], plain.id[~control])


def test_controls_are_neither_empty_nor_changed_however_many_are_asked_for() -> None:
    s = simulate(1, blocks=(2, 2), changed=0.4, empty=0.3, controls=1.0, seed=5)
    control = np.char.startswith(s.id, b"C")
    np.testing.assert_array_equal(control, (s.true_a > EMPTY_LEVEL) & ~s.changed)


def test_controls_are_found_by_the_methods_that_need_them() -> None:
    s = simulate(1, blocks=(2, 2), spots=(15, 15), controls=0.2, seed=1)
    done = gn.normalize(s.arrays, by="array", method="control", background="none", flags="ignore")
    left = done.M[:, 0] - s.true_m
    before = gn.normalize(s.arrays, method="none", background="none", flags="ignore").M[:, 0] - s.true_m
    assert np.median(np.abs(left)) < 0.6 * np.median(np.abs(before))


def test_a_blob_is_somewhere_and_changes_nothing_else() -> None:
    options = {"blocks": (4, 4), "spots": (20, 20), "seed": 8}
    plain, s = simulate(6, **options), simulate(6, blob=0.7, **options)
    centres = set()
    for k in range(6):
        blob = s.bias[k] - plain.bias[k]
        # The highest spot lies within half a pitch of the centre; σ is 0.08 of the slide, which is 88 spots long.
        assert 0.69 < blob.max() <= 0.7 and blob.min() >= 0.0
        row, column = ((s.block - 1) // 4 * 22 + s.row, (s.block - 1) % 4 * 22 + s.column)
        top = int(blob.argmax())
        centres.add(top)
        away = np.hypot(row - row[top], column - column[top])
        near = (away > 0.08 * 88 - 0.6) & (away < 0.08 * 88 + 0.6)
        np.testing.assert_allclose(blob[near], 0.7 * np.exp(-0.5), rtol=0, atol=0.11)
        assert blob[away > 5 * 0.08 * 88].max() < 1e-4
    assert len(centres) == 6, "on every slide at another place"
    for name in ("x", "y", "outlier", "background", "true_m", "true_a", "id"):
        np.testing.assert_array_equal(getattr(s, name), getattr(plain, name))
    np.testing.assert_array_equal(s.flags == -100, plain.flags == -100)  # which are not found follows the signal
    assert not np.array_equal(s.mean, plain.mean)
    dent = simulate(1, blob=-0.7, **options)
    np.testing.assert_allclose(dent.bias[0] + s.bias[0], 2 * plain.bias[0], rtol=0, atol=1e-12)
    scans = simulate(2, blob=0.7, gains=(1.0, 2.0), **options)
    np.testing.assert_array_equal(scans.bias[0], scans.bias[1])


def test_the_layout_of_simulated_arrays_is_found() -> None:
    arrays = simulate(2, blocks=(12, 4), spots=(5, 6), seed=5).arrays
    assert arrays.names == ("array1", "array2") and arrays.layout is not None
    assert arrays.layout.describe() == "12 x 4 blocks of 5 x 6 spots (from X/Y positions)"
    assert arrays.layout.complete


def test_the_truth_is_a_table(tmp_path: Path) -> None:
    s = simulate(2, blocks=(1, 2), spots=(3, 3), seed=1)
    write_table(tmp_path / "truth.tsv", *s.truth_columns())
    with (tmp_path / "truth.tsv").open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert list(rows[0]) == [
        "Block", "Row", "Column", "ID", "changed", "outlier.array1", "outlier.array2",
        "true.M", "true.A", "bias.array1", "bias.array2",
    ]  # fmt: skip
    assert len(rows) == 18 and sum(int(row["changed"]) for row in rows) == 2
    assert float(rows[4]["bias.array2"]) == pytest.approx(s.bias[1, 4], abs=5.1e-7)  # six decimals


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"changed": 1.5}, "changed is out of range"), ({"channels": 3}, "channels is out of range; found 3, expected 1 to 2"),
     ({"noise_sd": -1.0}, "noise_sd is out of range; found -1.0, expected a finite number, 0 or more"),
     ({"blocks": (0, 4)}, "blocks must be two whole numbers, down and across; found .0, 4., expected 1 or more"),
     ({"blocks": (2,)}, "blocks must be two whole"), ({"blocks": (2.5, 1)}, "blocks must be two whole"),
     ({"spots": "4x4"}, "spots must be two whole"), ({"spots": 4}, "spots must be two whole"),
     ({"n_arrays": 1.5}, "n_arrays must be a whole number"), ({"gains": 5}, "a list of gains; found 5, expected numbers"),
     ({"gains": "a,b"}, "a list of gains; found 'a,b', expected numbers above 0"), ({"seed": -1}, "seed"), ({"n_arrays": 0}, "n_arrays"),
     ({"effect": float("inf")}, "effect is out of range; found inf, expected a finite number$"),
     ({"gains": (1.0, 2.0)}, "gains must be as many as arrays; found 2 gains, expected 1"),
     ({"gains": "0"}, "gains must be a list of gains; found '0', expected numbers above 0"),
     ({"gains": "1,-2"}, "gains must be a list of gains; found '1,-2', expected numbers above 0"),
     ({"small_tips": 2}, "small_tips are more than there are print-tips; found 2, expected at most 1"),
     ({"small_tip_spots": 0}, "small_tip_spots is out of range"),
     ({"small_tip_spots": 3}, "small_tip_spots has no meaning for small_tips 0"), ({"uneven": 2}, "uneven is out of range"),
     ({"flagged": 0.1}, "flagged has no meaning for simulate")],
)  # fmt: skip
def test_impossible_parameters_are_usage_errors(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        simulate(**{"n_arrays": 1, "blocks": (1, 1), **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [option.name for option in OPTIONS if option.kind.name == "a number"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        simulate(1, (2, 2), (5, 5), **{name: value})


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_changes_the_arrays(option: Any) -> None:
    other = {
        "channels": 1, "small_tips": 1, "small_tip_spots": 3, "same_probes": True, "gains": (2.0,), "seed": 2,
    }.get(option.name, 0.5 if option.default != 0.5 else 0.2)  # fmt: skip
    base: dict[str, Any] = {"small_tips": 1} if option.name == "small_tip_spots" else {}
    plain, changed = simulate(1, (2, 2), (9, 9), **base), simulate(1, (2, 2), (9, 9), **{**base, option.name: other})
    assert plain.mean.shape != changed.mean.shape or any(
        not np.array_equal(getattr(plain, name), getattr(changed, name)) for name in ("mean", "flags", "id")
    )
