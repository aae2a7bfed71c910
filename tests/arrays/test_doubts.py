"""What a person should know of an array: flags, empty groups, a channel without signal."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.doubts import channel_doubts, flag_doubts, group_doubts
from gridnorm.arrays.raw import RawArray
from gridnorm.core.methods import METHODS
from gridnorm.core.segments import Segments
from gridnorm.errors import spoken


def flags_of(*shares: float, size: int = 400) -> tuple[RawArray, Segments]:
    """Groups a, b, … with these shares of flagged spots."""
    raw = gn.simulate(1, (1, len(shares)), (size // 20, 20), seed=1).raw(0)
    flags = np.concatenate([np.where(np.arange(size) < share * size, -50, 0) for share in shares])
    labels = np.repeat([f"{chr(97 + k)}" for k in range(len(shares))], size)
    return replace(raw, flags=flags), Segments.from_labels(labels)


def test_flag_rates_that_differ_name_the_extremes() -> None:
    raw, groups = flags_of(0.1, 0.15, 0.5)
    assert flag_doubts(raw, groups, "exclude") == [
        "array1.gpr: 50% of group c are flagged, 10% of group a; look at the slide there; those not found count in the fit"
    ]
    assert flag_doubts(raw, groups, "ignore") == flag_doubts(raw, groups, "exclude:-75") == []
    assert flag_doubts(replace(raw, flags=None), groups, "exclude") == []


def test_ignoring_flags_is_advised_where_it_would_change_something() -> None:
    raw, groups = flags_of(0.1, 0.5)
    assert raw.flags is not None
    one_bad = replace(raw, flags=np.append(raw.flags[:-1], -100))
    advice = "look at the slide there, and compare with --flags=ignore"
    assert advice in flag_doubts(one_bad, groups, "exclude")[0]
    assert advice in flag_doubts(raw, groups, "exclude:-50")[0] and advice in flag_doubts(raw, groups, "downweight")[0]
    assert advice in flag_doubts(replace(raw, not_found=()), groups, "drop")[0]
    assert advice not in flag_doubts(raw, groups, "drop")[0]


def test_groups_that_a_method_pools_itself_are_said_to_be_alike_where_they_are() -> None:
    half = gn.simulate(1, (1, 1), (20, 20), bad=0, not_found=0, seed=1).arrays
    columns = {**half.columns, "Half": np.arange(half.n_spots) // 200}
    # The second half is the first one again.
    twice = {name: np.concatenate([v[:, :200], v[:, :200]], axis=1) for name, v in half.values.items()}
    alike = replace(half, values=twice, columns=columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        same = gn.normalize(alike, by="Half", method="spline")
        apart = gn.normalize(
            replace(alike, values={**twice, "R": twice["R"] * np.where(np.arange(400) < 200, 1, 2)}),
            by="Half",
            method="spline",
        )
    assert [text for text in same.warnings if "spline" in text] == [
        f"{same.names[0]}: the groups of --by=Half differ by no more than chance, and spline gives all of them the array's fit"
    ]
    assert same.fits[0].sources() == ["array"] * 2 and apart.fits[0].sources() == ["shrunk"] * 2
    assert not [text for text in apart.warnings if "spline" in text]


@pytest.mark.parametrize(
    ("codes", "said"), [("100", True), ("-7", True), ("-7,-50", False), ("-75", False), ("-100,-75", False)]
)
def test_codes_that_no_spot_has_are_said_unless_they_are_the_usual_ones(codes: str, said: bool) -> None:
    raw, groups = flags_of(0.1, 0.15)
    found = flag_doubts(raw, groups, f"exclude:{codes}")
    assert found == (
        [f"array1.gpr: no spot has a flag that --flags names ({codes}); the flags here: -50"] if said else []
    )
    assert raw.flags is not None
    assert flag_doubts(replace(raw, flags=np.zeros_like(raw.flags)), groups, f"exclude:{codes}") == []


@pytest.mark.parametrize(("size", "named"), [(19, False), (20, True)])
def test_a_group_of_few_spots_has_no_rate(size: int, named: bool) -> None:
    flags = np.concatenate([np.where(np.arange(400) % 20 == 0, -100, 0), np.full(size, -100)])
    raw = replace(gn.simulate(1, (1, 1), (1, flags.size), seed=1).raw(0), flags=flags)
    assert bool(flag_doubts(raw, Segments.from_labels(["a"] * 400 + ["b"] * size), "exclude")) is named


def test_an_array_without_a_usable_spot_is_said_where_nothing_is_fitted() -> None:
    arrays = gn.simulate(1, (2, 2), (5, 5), channels=1, seed=1).arrays
    lost = replace(arrays, values={name: np.full_like(matrix, np.nan) for name, matrix in arrays.values.items()})
    with pytest.warns(gn.GridnormWarning) as seen:
        gn.normalize(lost, background="none")
    texts = [str(one.message) for one in seen]
    assert "array1: no spot can be used: every one is missing, flagged or of weight 0" in texts


def test_a_group_of_one_flagged_spot_hides_no_larger_one() -> None:
    raw, groups = flags_of(0.1, 0.5)
    labels = np.append(np.array(groups.labels)[groups.codes][:-1], "single")
    found = flag_doubts(replace(raw, flags=np.append(raw.flags[:-1], -50)), Segments.from_labels(labels), "exclude")  # type: ignore[index]
    assert len(found) == 1 and "50% of group b are flagged, 10% of group a" in found[0]


@pytest.mark.parametrize(
    ("shares", "size", "named"),
    [
        ((0.0, 0.2), 400, False),  # 20 points are not more than 20
        ((0.1, 0.305), 400, True),
        ((0.1, 0.4), 60, False),  # 4 standard errors by chance are 0.31
        ((0.1, 0.45), 60, True),
    ],
)
def test_21_points_and_more_than_chance_are_named(shares: tuple[float, float], size: int, named: bool) -> None:
    raw, groups = flags_of(*shares, size=size)
    assert bool(flag_doubts(raw, groups, "exclude")) is named


def test_rates_that_chance_makes_differ_are_not_named() -> None:
    rng = np.random.default_rng(1)
    raw, groups = flags_of(*[0.0] * 30, size=20)
    rates = [np.where(rng.random(600) < 0.3, -50, 0) for _ in range(20)]
    spread = [groups.count(flags < 0) / 20 for flags in rates]
    assert min(np.ptp(one) for one in spread) > 0.2
    assert [flag_doubts(replace(raw, flags=flags), groups, "exclude") for flags in rates] == [[]] * 20


def test_an_array_that_is_mostly_flagged_is_named() -> None:
    assert flag_doubts(*flags_of(0.5, 0.5), "drop") == []
    raw, groups = flags_of(0.6, 0.6)
    assert flag_doubts(raw, groups, "drop") == [
        "array1.gpr: 60% of the spots are flagged (60% not found); does the grid lie on them? --flags says which codes count"
    ]
    assert "60% of the spots are flagged; does" in flag_doubts(replace(raw, not_found=()), groups, "drop")[0]


def test_a_group_without_a_usable_spot_is_named_with_what_it_got() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1, not_found=0.0).arrays
    flags = np.where(arrays.columns["Block"] == 3, -100, 0)[None, :]
    with pytest.warns(gn.GridnormWarning) as seen:
        done = gn.normalize(replace(arrays, flag_codes=flags))
    texts = [str(one.message) for one in seen]
    (said,) = texts  # once: that all of its spots are flagged is why
    assert said.startswith("array1: no spot of group 3 can be used") and "; it got the array's fit; leave" in said
    assert tuple(map(spoken, done.warnings)) == tuple(texts)


@pytest.mark.parametrize("method", ["loess", "median", "zscore"])
@pytest.mark.parametrize("rule", [{"small_groups": "own"}, {"min_group": 0}])
def test_without_a_rule_such_a_group_has_no_fit_and_is_missing(method: str, rule: dict[str, Any]) -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1, not_found=0.0).arrays
    third = arrays.columns["Block"] == 3
    bad = replace(arrays, flag_codes=np.where(third, -100, 0)[None, :])
    with pytest.warns(gn.GridnormWarning) as seen:
        done = gn.normalize(bad, method=method, background="none", flags="exclude:-100", **rule)
    said = "; it has no fit, and its spots are missing in the result; leave it out"
    assert [said in str(one.message) for one in seen] == [True]
    assert np.isnan(done.M[third]).all() and not np.isnan(done.M[~third]).any()


def test_groups_that_are_told_of_otherwise_are_not_compared_and_the_others_are() -> None:
    raw, groups = flags_of(1.0, 0.1, 0.6, size=100)
    assert "100% of group a are flagged, 10% of group b" in flag_doubts(raw, groups, "exclude")[-1]
    told = np.array([True, False, False])
    assert "60% of group c are flagged, 10% of group b" in flag_doubts(raw, groups, "exclude", told)[-1]


def test_crossed_labels_do_not_read_like_two_groups() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1, not_found=0.0).arrays
    lost = (arrays.columns["Block"] == 3) & (arrays.columns["Row"] == 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(replace(arrays, flag_codes=np.where(lost, -100, 0)[None, :]), by="Block,Row")
    assert any("no spot of group 3 × 2 can be used" in text for text in done.warnings)


def test_a_grouping_of_which_nothing_is_fitted_is_said() -> None:
    arrays = gn.simulate(1, (4, 4), (4, 4), seed=1).arrays
    with pytest.warns(
        gn.GridnormWarning, match="array1: no group of by=.print-tip. has a fit of its own: the largest of "
    ):
        gn.normalize(arrays, small_groups="array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gn.normalize(arrays, by="array", background="half")
        gn.normalize(arrays, small_groups="own", background="half")


@pytest.mark.parametrize(("share", "said"), [(0.0099, True), (0.01, False)])
def test_pooled_groups_have_something_of_their_own_unless_all_are_tiny(share: float, said: bool) -> None:
    arrays = gn.simulate(1, (2, 2), (5, 5), seed=1).arrays
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(arrays).fits[0]
    assert done.fit is not None and set(done.sources()) == {"shrunk"}
    little = replace(done, fit=replace(done.fit, shares=np.full_like(done.fit.shares, share)))
    found = group_doubts("a", little, METHODS["loess"], {"min_group": 200}, "print-tip")
    assert (found != []) == said
    assert not said or "has a fit of its own: the largest of 4 has 25 usable spots, loess wants 30" in found[0]
    few = group_doubts(
        "a", replace(little, n=np.ones_like(little.n)), METHODS["loess"], {"min_group": 200}, "print-tip"
    )
    assert not said or "the largest of 4 has 1 usable spot, " in few[0]


def two_channels(dark: int, seed: int = 1) -> RawArray:
    """A protein array in two wavelengths: one shows background and a few control spots."""
    raw = gn.simulate(1, (2, 2), (15, 15), seed=seed).raw(0)
    rng = np.random.default_rng(seed)
    foreground = raw.foreground.copy()
    foreground[dark] = 600 + 60 * rng.standard_normal(raw.n_spots) + np.where(rng.random(raw.n_spots) < 0.03, 5000, 0)
    background = np.full_like(foreground, 470.0)
    background[1 - dark] = 60.0
    return replace(raw, foreground=foreground, background=background)


@pytest.mark.parametrize(("dark", "names"), [(1, ("532", "635")), (0, ("635", "532"))])
def test_a_channel_without_signal_of_probes_is_said_to_be_none(dark: int, names: tuple[str, str]) -> None:
    raw = two_channels(dark)
    assert channel_doubts(raw) == [
        f"array1.gpr: channel {names[0]} shows no signal of probes; this looks like an experiment of one channel, which "
        f"--channels={names[1]} reads"
    ]
    unnamed = channel_doubts(replace(raw, wavelengths=("", ""), background=None))
    assert f"--channels={'RG'[1 - dark]} (of tables --columns E=TITLE) reads" in unnamed[0]
    assert channel_doubts(replace(raw, channels=("635", "532"))) == []


@pytest.mark.parametrize("options", [{}, {"additive_sd": 84.0, "background": 400.0}, {"background": 1000.0}])
def test_two_channels_with_signal_are_not_accused(options: dict[str, float]) -> None:
    made = gn.simulate(6, (4, 4), (12, 12), seed=3, **options)
    assert [channel_doubts(made.raw(k)) for k in range(6)] == [[]] * 6


def quartiles(dark: float, lit: float, together: float) -> RawArray:
    """Channels whose quartiles lie these logarithms apart, with about this rank correlation."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2, 2000))
    z[1] = together * z[0] + np.sqrt(1 - together**2) * z[1]
    ranks = z.argsort(axis=1).argsort(axis=1) / 1999 - 0.5
    raw = gn.simulate(1, (2, 2), (20, 25), seed=1).raw(0)
    return replace(raw, foreground=1000 * np.exp(2 * ranks * np.array([[lit], [dark]])), background=None)


@pytest.mark.parametrize(
    ("dark", "lit", "together", "said"),
    [(0.39, 0.61, 0.5, True), (0.41, 0.61, 0.5, False), (0.39, 0.59, 0.5, False), (0.39, 0.61, 0.7, False)],
)
def test_limits_of_a_channel_without_signal(dark: float, lit: float, together: float, said: bool) -> None:
    assert bool(channel_doubts(quartiles(dark, lit, together))) is said


def test_equal_values_follow_no_channel_and_missing_ones_nothing() -> None:
    """Ranks of equal values by their place would go with any channel that rises along the file."""
    raw = quartiles(0.2, 1.0, 0.0)
    flat = np.stack([np.sort(raw.foreground[0]), np.full(raw.n_spots, 500.0)])
    assert channel_doubts(replace(raw, foreground=flat))
    apart = raw.foreground.copy()
    apart[0, ::2] = apart[1, 1::2] = np.nan
    assert channel_doubts(replace(raw, foreground=apart))


def test_a_weak_channel_that_follows_the_other_is_signal() -> None:
    raw = two_channels(1)
    weak = raw.foreground.copy()
    weak[1] = 600 + 0.02 * weak[0]
    assert channel_doubts(replace(raw, foreground=weak)) == []


def test_real_arrays_of_two_channels_are_told_from_protein_arrays(shared: Path) -> None:
    real = ["bioc_marray/swirl.1.spot.gz", "caArray/18258_wap3.gpr.gz", "HenrikBengtsson_aroma/gpr123.gpr.gz"]
    protein = sorted((shared / "data" / "arrays").glob("bioc_PAA/dummy_GSM*.gpr.gz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [channel_doubts(gn.read(shared / "data" / "arrays" / name).raw(0)) for name in real] == [[]] * 3
        assert protein and all("--channels=635 reads" in channel_doubts(gn.read(path).raw(0))[0] for path in protein)


@pytest.mark.parametrize(("empty", "named"), [(4, "1, 2, 3, 4"), (6, "1, 2, 3 and 3 more")])
def test_groups_without_a_usable_spot_are_named(empty: int, named: str) -> None:
    arrays = gn.simulate(1, (2, 4), (7, 6), seed=1, not_found=0.0).arrays
    flags = np.where(arrays.columns["Block"] <= empty, -100, 0)[None, :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        done = gn.normalize(replace(arrays, flag_codes=flags), background="half").fits[0]
    found = group_doubts("a", done, METHODS["loess"], {"min_group": 30}, "print-tip")
    assert found[0].startswith(f"a: no spot of group {named} can be used (flagged, missing or of weight 0);")
