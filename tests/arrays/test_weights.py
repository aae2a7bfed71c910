"""Flags and weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gridnorm as gn
from gridnorm.arrays.raw import FULL_SCALE as SATURATED
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.weights import FLAGS as OPTION
from gridnorm.arrays.weights import (
    POLICIES,
    WEIGHTS,
    flag_rule,
    flagged,
    parse_area,
    spot_weights,
    use_of,
    weight_columns,
    weight_doubts,
)
from gridnorm.errors import FormatError, OptionError

FLAGS = np.array([0, -50, -75, -100, 100, 0])


@pytest.fixture
def raw() -> RawArray:
    made = gn.simulate(1, (1, 2), (4, 5), seed=1).raw(0)
    area = np.arange(40.0)
    return replace(
        made,
        spots=made.spots
        | {
            "F Pixels": area,
            "Trust": np.linspace(0, 1, 40),
            "F635 % Sat.": np.full(40, 25.0),
            "Word": np.full(40, b"x"),
        },
    )


def test_only_negative_flags_are_flags() -> None:
    assert flagged(FLAGS, 6).tolist() == [False, True, True, True, False, False]
    assert flagged(None, 3).tolist() == [False] * 3


@pytest.mark.parametrize("policy", POLICIES)
@given(
    flags=st.lists(st.sampled_from([0, -50, 100]), min_size=1, max_size=30),
    weights=st.one_of(st.none(), st.lists(st.floats(0, 10) | st.just(float("nan")), min_size=30, max_size=30)),
)
def test_what_every_policy_promises(policy: str, flags: list[int], weights: list[float] | None) -> None:
    codes = np.array(flags)
    n, marked = codes.size, codes < 0
    w = None if weights is None else np.array(weights[:n])
    before = None if w is None else w.copy()
    found = use_of(codes, n, policy, w)
    base = np.ones(n) if w is None else np.nan_to_num(w)
    np.testing.assert_array_equal(found.dropped, marked if policy == "drop" else np.zeros(n, bool))
    np.testing.assert_array_equal(found.use, ~marked if policy in ("exclude", "drop") else np.ones(n, bool))
    np.testing.assert_array_equal(found.reported, base if policy == "ignore" else np.where(marked, 0.0, base))
    assert (found.weights is None) == (w is None and not (policy == "downweight" and marked.any()))
    assert found.weights is None or not np.isnan(found.weights).any()
    if w is not None:
        np.testing.assert_array_equal(w, before)  # what was given is not changed


@pytest.mark.parametrize("policy", ["exclude", "drop"])
def test_spots_that_were_not_found_stay_in_the_fit_and_have_no_weight_in_the_result(policy: str) -> None:
    """They are dim: a median without them is that of the brighter ones. The other codes stay out."""
    found = use_of(FLAGS, 6, policy, not_found=(-50,))
    assert found.use.tolist() == [True, True, False, False, True, True]
    assert found.reported.tolist() == [1, 0, 0, 0, 1, 1]
    assert found.dropped.tolist() == ([False] * 6 if policy == "exclude" else [False, True, True, True, False, False])
    for other in ("ignore", "downweight"):
        one, two = (use_of(FLAGS, 6, other, not_found=codes) for codes in ((), (-50,)))
        np.testing.assert_array_equal(one.use, two.use)
        np.testing.assert_array_equal(one.reported, two.reported)


def test_codes_say_which_flags_count() -> None:
    """A code that is named is left out, also the one of spots that were not found; others are no flags then."""
    named = use_of(FLAGS, 6, "exclude:-50,100", not_found=(-50,))
    assert named.use.tolist() == [True, False, True, True, False, True]
    assert named.reported.tolist() == [1, 0, 1, 1, 0, 1]
    assert use_of(FLAGS, 6, "drop:-100").dropped.tolist() == [False, False, False, True, False, False]
    assert use_of(FLAGS, 6, "downweight:-75").weights.tolist() == [1, 1, 0, 1, 1, 1]  # type: ignore[union-attr]
    assert use_of(FLAGS, 6, "exclude:-1").use.all()
    assert OPTION.read("exclude:-75, -100,-75") == "exclude:-100,-75" and OPTION.read("drop") == "drop"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exclud", "unknown value of flags; found 'exclud'.*Did you mean exclude"),
        ("exclude:bad", "a code of flags is no whole number; found 'exclude:bad'.*exclude:-100,-75"),
        ("exclude:", "no whole number"),
        ("drop:-50,", "no whole number"),
        ("drop:-50.5", "no whole number"),
        ("ignore:-50", "flags ignore takes no codes.*Name those that are left out"),
    ],
)
def test_flags_that_cannot_be_are_refused(text: str, says: str) -> None:
    for read in (flag_rule, OPTION.read):
        with pytest.raises(OptionError, match=says):
            read(text)
    with pytest.raises(OptionError, match="flags must be text"):
        OPTION.read(None)


def test_negative_weights_and_unknown_policies_are_usage_errors() -> None:
    with pytest.raises(OptionError, match="negative"):
        use_of(None, 2, "ignore", np.array([1.0, -0.5]))
    with pytest.raises(OptionError, match="unknown value of flags"):
        use_of(None, 2, "keep")


@pytest.mark.parametrize("strange", [np.inf, 1e200, -1.0])
def test_weights_that_are_none_are_refused_wherever_they_come_from(raw: RawArray, strange: float) -> None:
    """One infinite weight moved a median by 0.6 and emptied a z-score, without a word."""
    trust = raw.spots["Trust"].copy()
    trust[[7, 9]] = strange
    says = f"neither negative nor infinite; found {strange:g} at index {{}}, 2 in all".replace("+", r"\+")
    with pytest.raises(FormatError, match="'Trust' must be " + says.format(7)):
        spot_weights("Trust", replace(raw, spots={"Trust": trust}))
    with pytest.raises(OptionError, match=says.format(7)):
        use_of(None, 40, "ignore", trust)
    arrays = gn.simulate(1, (1, 2), (4, 5), seed=1).arrays
    for weights, place in ((trust, "7"), (trust[:, None], r"\(7, 0\)")):
        for call in (gn.normalize, gn.normalize_within):
            with pytest.raises(OptionError, match=says.format(place)):
                call(arrays, weights=weights)


def test_spots_without_a_weight_are_counted_and_those_that_are_absent_are_not(raw: RawArray) -> None:
    weights = np.ones(40)
    weights[:3] = np.nan
    assert weight_doubts(raw, None, "none") == [] == weight_doubts(raw, np.ones(40), "Trust")
    assert weight_doubts(raw, weights, "Trust") == [f"{raw.name}: 3 spots have no weight (Trust), which counts as 0"]
    absent = np.arange(40) < 2
    assert "1 spot has no weight" in weight_doubts(replace(raw, absent=absent), weights, "Trust")[0]
    arrays = gn.simulate(1, (1, 2), (4, 5), seed=1).arrays
    with pytest.warns(gn.GridnormWarning, match=r"3 spots have no weight \(given\)"):
        gn.normalize(arrays, weights=weights)


@given(st.floats(1, 100), st.floats(0, 300))
def test_area_rises_to_1_and_falls_at_the_same_slope(low: float, extra: float) -> None:
    high = low + extra
    assert parse_area(f"area:{low!r},{high!r}") == (low, high)
    made = gn.simulate(1, (1, 1), (2, 3), seed=1).raw(0)
    area = np.array([0.0, low / 2, low, high, high + low / 2, high + 2 * low])
    found = spot_weights(f"area:{low!r},{high!r}", replace(made, spots=made.spots | {"area": area}))
    np.testing.assert_allclose(found, [0, 0.5, 1, 1, 0.5, 0], atol=1e-12)


def test_weights_that_leave_no_spot_are_refused_with_the_areas_that_there_are() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    areas = np.linspace(30, 90, arrays.n_spots)
    arrays = replace(arrays, columns={**arrays.columns, "F Pixels": areas})
    with pytest.raises(gn.FitError) as caught:
        gn.normalize(arrays, weights="area:1")
    lowest, highest = areas[areas > 0].min(), areas.max()
    assert str(caught.value) == (
        f'array1: no spot has a weight above 0 with weights="area:1"; found areas of {lowest:g} to {highest:g} pixels, '
        "expected area:LOW,HIGH with the usual areas between them"
    )
    with pytest.raises(gn.FitError, match="no spot has a weight above 0; expected one above 0 for some spots"):
        gn.normalize(arrays, weights=np.zeros(arrays.n_spots))
    assert np.isfinite(gn.normalize(arrays, weights="area:1", preset="limma", background="half").M).any()  # as limma


@pytest.mark.parametrize(
    "spec", ["area:", "area:x", "area:0", "area:-1,2", "area:2,1", "area:1,2,3", "area:nan", "area:1,inf"]
)
def test_malformed_areas_are_usage_errors(spec: str) -> None:
    with pytest.raises(OptionError, match="malformed spot area"):
        parse_area(spec)


def test_weights_come_from_a_column_of_numbers(raw: RawArray) -> None:
    assert spot_weights("none", raw) is None
    np.testing.assert_array_equal(spot_weights("trust", raw), raw.spots["Trust"])
    with pytest.raises(FormatError, match="holds text; found 'x'"):
        spot_weights("Word", raw)
    with pytest.raises(FormatError, match="'Trust' must be neither negative nor infinite; found -0.02"):
        spot_weights("Trust", replace(raw, spots={"Trust": -raw.spots["Trust"]}))
    with pytest.raises(OptionError, match="names no column"):
        spot_weights("Trusty", raw)
    with pytest.raises(FormatError, match="'F Pixels' holds text; found 'x'"):
        spot_weights("area:1,2", replace(raw, spots={"F Pixels": raw.spots["Word"]}))
    with pytest.raises(FormatError, match="no spot area"):
        spot_weights("area:1,2", replace(raw, spots={}))


def test_saturation_takes_the_worst_channel_and_full_scale_counts_nothing(raw: RawArray) -> None:
    bright = raw.foreground.copy()
    bright[1, 3] = SATURATED
    found = spot_weights("saturation", replace(raw, foreground=bright))
    assert found is not None
    assert found[3] == 0
    np.testing.assert_allclose(np.delete(found, 3), 0.75)


def test_columns_to_read_are_known_from_the_titles() -> None:
    titles = ("Block", "F635 % Sat.", "F Pixels", "area", "Trust")
    assert weight_columns("none", titles) == ()
    assert weight_columns("saturation", titles) == ("F635 % Sat.",)
    assert weight_columns("area:1,2", titles) == ("area",)
    assert weight_columns("trust", titles) == ("Trust",)


def test_a_malformed_area_is_refused_before_any_file_is_read() -> None:
    assert WEIGHTS.read("area:60,90") == "area:60,90" and WEIGHTS.read("Trust") == "Trust"
    with pytest.raises(OptionError, match="malformed spot area"):
        WEIGHTS.read("area:90,60")


def test_of_some_spots_only_those_that_are_seen_enter_a_fit() -> None:
    whole = use_of(np.array([0, -100, 0, 0, 0]), 5, "drop", np.array([1.0, 1.0, 0.5, 2.0, 1.0]))
    some = whole.of(np.array([3, 1, 2]), np.array([True, True, False]))
    assert some.use.tolist() == [True, False, False] and some.dropped.tolist() == [False, True, False]
    assert some.weights is not None and some.weights.tolist() == [2, 1, 0.5] and some.reported.tolist() == [2, 0, 0.5]
    assert use_of(None, 5, "ignore").of(np.array([3]), np.array([True])).weights is None


def test_weights_that_are_text_show_their_first_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ID,R,G,w\nx,5,6,1\ny,5,6,\nz,5,6," + "bad" * 20 + "\n")
    with pytest.raises(
        FormatError, match=r"a\.csv: the weights column 'w' holds text; found '(bad){13}b', expected numbers"
    ):
        gn.normalize(tmp_path / "a.csv", weights="w", by="array", method="median", min_group=0)


def test_saturation_is_that_of_the_channels_in_use(raw: RawArray) -> None:
    spots = {"F635 % Sat.": np.zeros(raw.n_spots), "F532 % Sat.": np.full(raw.n_spots, 60.0)}
    one = replace(raw, channels=("E",), wavelengths=("635",), foreground=raw.foreground[:1], spots=spots)
    np.testing.assert_array_equal(spot_weights("saturation", one), 1.0)
    two = replace(raw, wavelengths=("635", "532"), spots=spots)
    np.testing.assert_allclose(spot_weights("saturation", two), 0.4)
    unnamed = replace(raw, wavelengths=("", ""), spots=spots)
    np.testing.assert_allclose(spot_weights("saturation", unnamed), 0.4)
    bare = replace(raw, spots={})
    said = weight_doubts(bare, spot_weights("saturation", bare), "saturation")
    assert said == [f"{bare.name}: no column tells saturated pixels; only spots at full scale have weight 0"]
