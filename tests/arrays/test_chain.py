"""The chain: what is chosen, what is refused, fits that can be kept for other arrays."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.chain import apply_one, fit_one, groups_of, levels_of, normalize_one
from gridnorm.arrays.corrected import correct_one
from gridnorm.arrays.matrices import LEVELS
from gridnorm.arrays.recipe import Recipe, check_options
from gridnorm.arrays.weights import use_of
from gridnorm.arrays.within import choose_method, take_options
from gridnorm.core.fit import Fit
from gridnorm.core.segments import Segments
from gridnorm.errors import OptionError


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(2, (2, 2), (12, 10), seed=3).arrays


def test_a_kept_fit_serves_another_array(arrays: gn.ArraySet) -> None:
    """Fit on one array, keep it as text, apply it to the other: nothing but the fit is needed."""
    recipe = Recipe(background="half")
    row, options = recipe.within(arrays.channels)
    one, two = (
        levels_of(correct_one(raw, arrays.layout, recipe).raw)[0] for raw in map(arrays.raw, range(len(arrays)))
    )
    groups = groups_of(recipe, arrays.columns, arrays.layout, arrays.n_spots)
    use = use_of(None, arrays.n_spots, "ignore")
    kept = Fit.from_plain(json.loads(json.dumps(fit_one(one, groups, row, use, options).to_plain())))
    done = apply_one(two, groups, row, kept)
    removed = two.values - done
    for g in range(4):
        mine = groups.codes == g
        x, y = (getattr(kept.curve, name)[kept.curve.offsets[g] : kept.curve.offsets[g + 1]] for name in "xy")
        np.testing.assert_allclose(removed[0, mine], np.interp(two.covariates["level"][0, mine], x, y), atol=1e-12)
    fewer = np.flatnonzero(groups.codes != 2)
    part = Segments.from_labels(np.array(groups.labels)[groups.codes[fewer]])
    less = two._replace(values=two.values[:, fewer], covariates={"level": two.covariates["level"][:, fewer]})
    np.testing.assert_array_equal(apply_one(less, part, row, kept), done[:, fewer])
    with pytest.raises(OptionError, match="the fit lacks 1 of the 4 groups"):
        apply_one(two, Segments.from_labels(groups.codes + 2), row, kept)


def test_one_channel_keeps_the_level_that_the_fit_has_learnt() -> None:
    arrays = gn.simulate(2, (2, 2), (12, 10), channels=1, seed=3).arrays
    recipe = Recipe(background="none", options={"small_groups": "own"}, given=frozenset({"by"}))
    row, options = recipe.within(arrays.channels)
    levels = [levels_of(correct_one(raw, arrays.layout, recipe).raw)[0] for raw in map(arrays.raw, range(len(arrays)))]
    groups = groups_of(recipe, arrays.columns, arrays.layout, arrays.n_spots)
    use = use_of(None, arrays.n_spots, "ignore")
    found = fit_one(levels[0], groups, row, use, options)
    own = np.median(levels[0].values)
    assert found.level is not None and found.level[0, 0] == own
    moved = apply_one(levels[1], groups, row, found)
    medians = np.array([np.median(levels[0].values[0, groups.codes == g]) for g in range(4)])
    np.testing.assert_allclose(levels[1].values - moved, (medians - own)[groups.codes][None], atol=1e-12)


@pytest.mark.parametrize(("channels", "method"), [(1, "median"), (2, "loess")])
def test_spots_that_were_not_found_shape_the_fit_whatever_becomes_of_them(channels: int, method: str) -> None:
    """A block of which half was not found is not moved against the others; dropped spots were in the fit all the same."""
    arrays = gn.simulate(1, (2, 2), (20, 20), channels=channels, not_found=0.0, bad=0.0, seed=2).arrays
    raw = arrays.raw(0)
    level = raw.foreground.mean(axis=0)
    dim = (level < np.median(level)) & (raw.spots["Block"] == 2)
    recipe = Recipe(background="none", method=method)
    whole = normalize_one(raw, recipe, arrays.layout)
    for code, same in ((-50, True), (-100, False)):
        lost = replace(raw, flags=np.where(dim, code, 0))
        kept, dropped = (
            normalize_one(lost, recipe._replace(flags=flags), arrays.layout) for flags in ("exclude", "drop")
        )
        for matrix in whole.values:
            assert np.array_equal(kept.values[matrix], whole.values[matrix]) is (same or matrix == "A")
            np.testing.assert_array_equal(dropped.values[matrix][0, ~dim], kept.values[matrix][0, ~dim])
        assert np.isnan(dropped.fits[0].values[0, dim]).all() and (kept.spot_weights[0] == ~dim).all()


def test_auto_is_resolved_by_what_the_array_has() -> None:
    assert choose_method("auto", ("R", "G")).name == "loess" and choose_method("auto", ("E",)).name == "none"
    assert choose_method("auto", ("E",), grouped=True).name == "median"
    recipe = Recipe(given=frozenset({"by"}))
    assert recipe.correction(True)[0].name == "normexp" and recipe.correction(False)[0].name == "none"
    assert dict(recipe.within_step(("E",)).parameters) == {
        "by": "print-tip", "method": "median", "scale": "none", "small_groups": "shrink", "min_group": 200, "flags": "exclude", "weights": "none",
        "device": "cpu",
    }  # fmt: skip
    assert dict(Recipe().within_step(("E",)).parameters) == {
        "by": "print-tip", "method": "none", "flags": "exclude", "weights": "none", "device": "cpu",
    }  # fmt: skip
    assert dict(recipe.background_step(False).parameters) == {"method": "none", "offset": 0.0}


def test_options_that_no_candidate_takes_are_refused() -> None:
    check_options(Recipe(options={"span": 0.4, "normexp_method": "mle", "min_group": 3}))
    for recipe, says in (
        (Recipe(method="mad", options={"span": 0.4}), "span has no meaning for method mad. It takes small_groups, min_group"),
        (Recipe(background="none", options={"normexp_method": "mle"}), "normexp_method has no meaning for background none"),
        (Recipe(options={"height": 3}), "height has no meaning for method loess"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=says):
            check_options(recipe)
    with pytest.raises(OptionError, match="span is out of range"):
        take_options(choose_method("loess", ("R", "G")), {"span": 2})


@pytest.mark.filterwarnings("ignore::gridnorm.errors.GridnormWarning")
def test_the_chain_makes_a_set_with_its_record(arrays: gn.ArraySet) -> None:
    raw = arrays.raw(0)
    done = normalize_one(raw, Recipe(background="subtract"), arrays.layout, name="mine")
    assert (done.names, done.stage, len(done), list(done.values)) == (("mine",), LEVELS, 1, ["M", "A"])
    record = done.record(0)
    assert record.missing == int(np.isnan(done.M).sum()) > 0
    assert any("not positive after background correction (subtract)" in text for text in record.warnings)
    assert [step.operation for step in record.history.steps] == ["background_correct", "normalize_within"]
    np.testing.assert_array_equal(done.M[:, 0], gn.normalize(arrays, background="subtract").M[:, 0])


def typed(seed: int, controls: int = 4) -> gn.ArraySet:
    """Tips of 0.5 and a curve; one spot in ``controls`` is a control."""
    made = gn.simulate(1, blocks=(4, 4), spots=(14, 14), bad=0, not_found=0, seed=seed).arrays
    kinds = np.array([b"control"] + [b"gene"] * (controls - 1))
    return replace(made, columns={**made.columns, "SpotType": np.resize(kinds, made.n_spots)})


def test_what_controls_alone_have_fitted_is_judged_by_the_other_spots() -> None:
    """Controls of which one tip's were moved: their own medians are 0 after the fit, those of the genes are not."""
    arrays = typed(3)
    hit = (arrays.columns["Block"] == 2) & (arrays.columns["SpotType"] == b"control")
    moved = replace(arrays, values={**arrays.values, "R": arrays.values["R"] * np.where(hit, 4.0, 1.0)})
    done = gn.normalize(moved, fit_types="control", method="median", background="none", min_group=0, flags="ignore")
    fit = done.fits[0]
    genes = done.M[(arrays.columns["Block"] == 2) & ~hit, 0]
    assert np.median(genes) < -1 and fit.after[0, 1] < -0.9
    assert float(fit.real_after.low[0]) > 0.3, "and the evidence says so"
    shown = gn.normalize(arrays, fit_types="control", method="median", background="none", min_group=0, flags="ignore")
    assert np.abs(shown.fits[0].after).max() < 0.3


def test_the_reason_of_an_empty_group_is_its_types() -> None:
    arrays = typed(3)
    kinds = np.where(arrays.columns["Block"] == 1, arrays.columns["SpotType"], b"gene")
    given = {"fit_types": "control", "method": "median", "small_groups": "own", "flags": "ignore"}
    with pytest.warns(
        gn.GridnormWarning, match=r"group 2, 3, 4 and 12 more can be used \(none is of the types that fit_types"
    ):
        gn.normalize(replace(arrays, columns={**arrays.columns, "SpotType": kinds}), background="none", **given)
    with pytest.raises(OptionError, match="a type cannot be in exclude_types and in fit_types; found Control"):
        gn.normalize(arrays, fit_types="control", exclude_types="Control")
