"""Background affine: what channels add and multiply is found and taken out, and said; what cannot be is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import sheet
from numpy.typing import NDArray

import gridnorm as gn
from gridnorm.arrays.affine import undone
from gridnorm.arrays.background import correct
from gridnorm.errors import FitError, GridnormWarning, OptionError

Array = NDArray[Any]
ADDED, GAIN = np.array([[40.0], [80.0]]), np.array([[2.0], [0.5]])


def scanned(n: int = 5000, changed: float = 0.1, seed: int = 0, noise: float = 0.08) -> tuple[Array, Array]:
    """Foregrounds (channel, spot) with known offsets and gains, and the true M; most changes go up."""
    rng = np.random.default_rng(seed)
    m = np.where(rng.random(n) < changed, rng.choice([-1.0, 1.0, 1.5], n), 0.0)
    z = np.exp(rng.normal(6.2, 1.2, n))
    both = np.stack([z * 2 ** (m / 2), z * 2 ** (-m / 2)]) * np.exp(rng.normal(0, noise, (2, n)))
    return ADDED + GAIN * both + rng.normal(0, 2, (2, n)), m


def log_ratio(values: Array) -> tuple[Array, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log2(np.where(values > 0, values, np.nan))
    return logs[0] - logs[1], logs.mean(axis=0)


def test_offsets_and_gains_are_taken_out_and_the_curve_of_m_with_them() -> None:
    foreground, true = scanned()
    found = undone(foreground, 0.05, 1e9, False)
    assert found.notes == ()
    # A tenth of the spots is changed, two thirds of them up: a twentieth of a log2 unit remains.
    np.testing.assert_allclose(found.gains[0] / found.gains[1], 4, rtol=0.04)
    # The offsets are a point of the line through the true ones: 40 + 2 t, 80 + 0.5 t.
    t = (found.offsets - ADDED[:, 0]) / GAIN[:, 0]
    assert abs(t[0] - t[1]) < 4 and t.min() > 0
    m, a = log_ratio(found.values)
    same, bright = true == 0, a > np.nanmedian(a)
    assert abs(np.nanmedian(m[same & bright])) < 0.05, "the constant log ratio is gone"
    assert abs(np.nanmedian(m[same & ~bright])) < 0.08, "and so is the curve"
    raw, level = log_ratio(foreground)
    assert abs(np.median(raw[level > np.median(level)]) - np.median(raw[level < np.median(level)])) > 0.1
    assert (found.values <= 0).any(axis=0).sum() == 0.05 * 5000
    # The unit stays: the geometric mean of the gains is 1.
    np.testing.assert_allclose(np.prod(found.gains), 1, rtol=1e-12)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (500.0, -30.0)])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_what_is_added_to_a_channel_does_not_matter_and_the_unit_is_that_of_the_data(
    shift: tuple[float, float], scale: float
) -> None:
    foreground, _ = scanned(600)
    once = undone(foreground, 0.05, 1e9, False)
    order = np.random.default_rng(1).permutation(600)
    moved = scale * foreground[:, order] + np.array(shift)[:, None]
    found = undone(moved, 0.05, 1e9, False)
    np.testing.assert_allclose(found.values, scale * once.values[:, order], rtol=1e-5, atol=1e-3 * scale)


def test_channels_change_places_with_their_numbers() -> None:
    foreground, _ = scanned(600)
    once, turned = undone(foreground, 0.05, 65535, False), undone(foreground[::-1], 0.05, 65535, False)
    np.testing.assert_allclose(turned.values, once.values[::-1], rtol=1e-6, atol=1e-4)


def test_saturated_spots_are_not_in_the_fit_but_in_the_result() -> None:
    foreground, _ = scanned(800)
    free = undone(foreground, 0.05, 1e9, False)
    clipped = foreground.copy()
    full = np.zeros(800, bool)
    full[np.argsort(foreground[0])[-40:]] = True
    clipped[0, full] = 65535
    found = undone(clipped, 0.05, 65535, False)
    alone = undone(foreground[:, ~full], 0.05, 65535, False)
    np.testing.assert_array_equal(found.gains, alone.gains)
    assert np.isfinite(found.values).all()
    assert found.notes == ("40 saturated spots are not in the fit of affine (--saturated=65535)",)
    assert abs(np.log(found.gains / free.gains)).max() < 0.01
    inside = undone(clipped, 0.05, 1e9, False)
    assert abs(np.log(inside.gains / free.gains)).max() > abs(np.log(found.gains / free.gains)).max()


def test_a_set_says_once_that_the_background_is_left_out_and_keeps_the_numbers(tmp_path: Path) -> None:
    sheet().write(tmp_path / "a.gpr")
    file = tmp_path / "a.gpr"
    with pytest.warns(GridnormWarning) as seen:
        done = gn.normalize(file, background="affine", by="array", constraint=0.1)
    said = [str(one.message) for one in seen]
    assert sum("affine works on the foreground as it is; the measured background is left out" in t for t in said) == 1
    known = done.record(0).affine
    assert known is not None and list(known) == ["R", "G"]
    assert known["R"]["gain"] * known["G"]["gain"] == pytest.approx(1)
    assert done.history.parameters()["constraint"] == 0.1 and done.history.parameters()["saturated"] == 65535
    gn.write(done, tmp_path / "m.tsv")
    written = json.loads((tmp_path / "m.tsv.gridnorm.json").read_text())
    entry = written["arrays"][0]
    assert entry["affine"] == {name: dict(one) for name, one in known.items()} and entry["normexp"] is None
    schema = Path(gn.__file__).parent / "schemas" / "sidecar-2.schema.json"
    pytest.importorskip("jsonschema").validate(written, json.loads(schema.read_text()))
    raw = gn.read(file)
    with pytest.warns(GridnormWarning, match="the measured background is left out"):
        step = gn.background_correct(raw, "affine", constraint=0.1)
    np.testing.assert_allclose(
        step.R[:, 0], (raw.R[:, 0] - known["R"]["offset"]) / known["R"]["gain"], rtol=1e-6, atol=1e-4
    )
    assert step.record(0).affine == known
    other = gn.background_correct(replace(raw, values={k: v for k, v in raw.values.items() if k in "RG"}), "affine")
    assert other.record(0).affine != known, "a constraint of 0.05"


def test_an_offset_is_added_as_with_every_method() -> None:
    foreground, _ = scanned(300)
    plain, more = (correct(foreground, None, "affine", offset=offset).values for offset in (0, 50))
    np.testing.assert_allclose(more - plain, 50)


def test_more_than_two_channels_are_brought_to_one_scale() -> None:
    rng = np.random.default_rng(4)
    z = np.exp(rng.normal(6, 1, 2000))
    foreground = np.array([[50.0], [20], [90]]) + np.array([[1.0], [3], [0.5]]) * z + rng.normal(0, 3, (3, 2000))
    values = correct(foreground, None, "affine").values
    bright = z > np.median(z)
    np.testing.assert_allclose(np.median(values[:, bright] / values[0, bright], axis=1), 1, rtol=5e-3)


def test_one_channel_is_refused_with_a_way_out() -> None:
    arrays = gn.simulate(1, blocks=(2, 2), spots=(10, 10), channels=1, seed=1).arrays
    with pytest.raises(OptionError) as caught:
        gn.normalize(arrays, background="affine")
    assert "background method 'affine' needs two channels or more, whose signals it compares; found one" in str(
        caught.value
    )
    assert str(caught.value).endswith("Use normexp or none")


def hurt(kind: str) -> Array:
    foreground, _ = scanned(60, changed=0, noise=0.0)
    if kind == "saturated":
        foreground[1] = 65535
    elif kind == "missing":
        foreground[0] = np.nan
    elif kind == "constant":
        foreground[1] = 300
    elif kind == "opposite":
        foreground[1] = 1e4 - foreground[0]
    elif kind == "two spots":
        foreground[:, 2:] = np.nan
    return foreground


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("saturated", "too few points for a line; found 0; 60 of 60 spots are saturated, expected 3 or more"),
        ("missing", "too few points for a line; found 0, expected 3 or more"),
        ("two spots", "too few points for a line; found 2, expected 3 or more"),
        ("constant", "channel 2 does not change with the others; found slope 0 of the largest, expected slopes above"),
        ("opposite", "channel 2 falls where others rise; found slope -1 of the largest"),
    ],
)
def test_what_has_no_affine_model_is_named(kind: str, words: str) -> None:
    with pytest.raises(FitError) as caught:
        correct(hurt(kind), None, "affine")
    assert str(caught.value).startswith(f"affine cannot be used: {words}")
    assert str(caught.value).endswith("Use normexp or none")


def test_missing_spots_stay_missing_and_change_nothing() -> None:
    foreground, _ = scanned(300)
    holed = foreground.copy()
    holed[0, :10] = np.nan
    found, alone = (correct(x, None, "affine").values for x in (holed, foreground[:, 10:]))
    assert np.isnan(found[0, :10]).all() and np.isfinite(found[1, :10]).all()
    np.testing.assert_array_equal(found[:, 10:], alone)


def test_channels_that_are_exactly_affine_become_equal() -> None:
    z = np.linspace(1, 500, 200)
    values = correct(np.stack([12 + 3 * z, 400 + 0.2 * z]), None, "affine").values
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("given", [0, 0.6, "half"])
def test_a_constraint_outside_its_range_is_refused(given: object) -> None:
    with pytest.raises(OptionError, match="constraint"):
        correct(scanned(30)[0], None, "affine", constraint=given)
