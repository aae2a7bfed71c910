"""What makes spots comparable: IDs, types, control spots; and the method rlm on arrays."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.matching import match_codes, match_doubts
from gridnorm.errors import FitError, GridnormWarning, OptionError, recorded_option

BLOCKS, SPOTS = 6, 80
OFFSETS = np.array([0.8, -0.8, 0.4, -0.4, 0.2, -0.2])


def slides(count: int = 1, channels: int = 1, seed: int = 1) -> gn.ArraySet:
    """Arrays whose blocks have the same 80 IDs, and levels of their own."""
    made = gn.simulate(
        count, (2, 3), (8, 10), channels=channels, bad=0, not_found=0, tip_offset_sd=0.0, seed=seed
    ).arrays
    number = np.arange(made.n_spots)
    rng = np.random.default_rng(seed)
    level = rng.normal(9, 2, SPOTS)[number % SPOTS] + OFFSETS[number // SPOTS]
    values = {
        name: np.exp2(level + 0.1 * rng.standard_t(3, (count, made.n_spots)) + k)
        for k, name in enumerate(made.channels)
    }
    ids = np.array([b"p%d" % (k % SPOTS) for k in number])
    columns = {**made.columns, "Block": number // SPOTS + 1, "ID": ids}
    return replace(made, values=values, columns=columns)


def typed(arrays: gn.ArraySet, types: np.ndarray) -> gn.ArraySet:
    return replace(arrays, columns={**arrays.columns, "SpotType": types.astype("S")})


def within(arrays: gn.ArraySet, **options: Any) -> gn.ArraySet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)
        return gn.normalize(arrays, **{"by": "Block", "method": "rlm", "background": "none", **options})


def taken_off(arrays: gn.ArraySet, done: gn.ArraySet, array: int = 0, name: str = "E") -> np.ndarray:
    """What was taken off the blocks."""
    before = within(arrays, method="none", by="array")
    off = (before.values[name] - done.values[name])[array].reshape(BLOCKS, SPOTS)
    assert np.nanmax(np.ptp(off, axis=1)) < 1e-12
    return off[:, 0]


def test_codes_are_equal_where_cells_are() -> None:
    columns = {"ID": np.array([b"b", b"a", b"b", b""]), "SpotType": np.array([b"gene", b"", b"Control", b"gene"])}
    options = {"match": "id", "control_type": ()}
    assert match_codes({"ID": columns["ID"]}, 4, options, "a").tolist()[:3] == [2, 1, 2]
    np.testing.assert_array_equal(match_codes(columns, 4, options, "a"), [np.nan, np.nan, 2, np.nan])
    genes = match_codes(columns, 4, {"match": "id", "control_type": ("gene",)}, "a")
    np.testing.assert_array_equal(genes, [2, np.nan, np.nan, np.nan])
    types = match_codes(columns, 4, {"match": "type", "control_type": ("gene", "control")}, "a")
    np.testing.assert_array_equal(types, [2, np.nan, 1, 2])
    numbers = match_codes({"ID": np.array([3.0, 1.0, np.nan, 3.0])}, 4, options, "a")
    np.testing.assert_array_equal(numbers, [1, 0, np.nan, 1])


def test_blocks_are_brought_together_by_their_ids() -> None:
    arrays = slides()
    done = within(arrays)
    np.testing.assert_allclose(taken_off(arrays, done), OFFSETS, rtol=0, atol=0.05)
    assert taken_off(arrays, done).sum() == pytest.approx(0, abs=1e-10)
    assert done.fits[0].sources() == ["own"] * BLOCKS and done.fits[0].n.tolist() == [[SPOTS] * BLOCKS]
    assert done.history.parameters()["match"] == "id" and done.history.parameters()["control_type"] == []
    again = within(arrays)
    np.testing.assert_array_equal(again.E, done.E)


def test_contents_do_not_pass_for_levels_of_blocks() -> None:
    """Half of the IDs of one block are its own, and bright: its median is high, and it is no higher than others."""
    arrays = slides()
    number = np.arange(arrays.n_spots)
    own = (number // SPOTS == 2) & (number % 2 == 0)
    ids = np.where(own, np.array([b"own%d" % k for k in number]), arrays.columns["ID"])
    bright = replace(
        arrays, columns={**arrays.columns, "ID": ids}, values={"E": np.where(own, 16 * arrays.values["E"], arrays.values["E"])}
    )  # fmt: skip
    done = within(bright)
    np.testing.assert_allclose(taken_off(bright, done), OFFSETS, rtol=0, atol=0.05)
    assert abs(taken_off(bright, within(bright, method="median"))[2] - OFFSETS[2]) > 0.5
    told = [text for text in done.warnings if "tell nothing" in text]
    assert told == [
        f"{arrays.names[0]}: 40 of 480 spots that rlm may compare are alone in their group by {recorded_option('match', 'id')}, "
        "and tell nothing"
    ] or told[0].endswith("and tell nothing")
    assert "40 of 480 spots" in told[0]


def test_control_spots_alone_are_compared_where_there_are_some() -> None:
    arrays = slides()
    number = np.arange(arrays.n_spots)
    controls = number % SPOTS < 10
    block = number // SPOTS
    changed = replace(arrays, values={"E": arrays.values["E"] * np.where(controls, 1, 2.0 ** (block - 2))})
    marked = typed(changed, np.where(controls, "Control", "gene"))
    np.testing.assert_allclose(taken_off(marked, within(marked)), OFFSETS, rtol=0, atol=0.15)
    assert np.abs(taken_off(changed, within(changed)) - OFFSETS).max() > 1
    named = typed(changed, np.where(controls, "spike", "gene"))
    np.testing.assert_array_equal(within(named, control_type="spike").E, within(marked).E)
    one = within(named, control_type=("spike", "dark"))
    assert [text for text in one.warnings if "dark" in text] == [
        f"{arrays.names[0]}: no spot is of the type dark ({recorded_option('control_type')})"
    ]


def test_spots_are_compared_by_type() -> None:
    arrays = slides()
    number = np.arange(arrays.n_spots)
    ids = np.array([b"u%d" % k for k in number])
    unique = replace(arrays, columns={**arrays.columns, "ID": ids})
    types = np.array(["control a", "control b", "gene", "gene"])[np.minimum(number % SPOTS // 20, 3)]
    done = within(typed(unique, types), match="type")
    assert done.fits[0].n.tolist() == [[40] * BLOCKS]
    level = arrays.values["E"][0]
    per_type = [np.median(np.log2(level)[(types == t)].reshape(BLOCKS, -1), axis=1) for t in ("control a", "control b")]
    centred = np.mean([one - one.mean() for one in per_type], axis=0)
    np.testing.assert_allclose(taken_off(unique, done), centred, rtol=0, atol=0.6)
    with pytest.raises(FitError, match="groups that share nothing with the others"):
        within(unique)


def test_several_channels_and_m() -> None:
    two = slides(channels=2)
    done = within(two)
    assert done.fits[0].fit is not None and done.fits[0].fit.location.shape == (1, BLOCKS)
    assert np.abs(taken_off(two, done, name="M")).max() < 0.1
    rng = np.random.default_rng(3)
    wavelengths = ("635", "594", "532")
    number = np.arange(two.n_spots)
    values = {
        w: np.exp2(9 + rng.normal(0, 2, SPOTS)[number % SPOTS] + k * OFFSETS[number // SPOTS])[None]
        for k, w in enumerate(wavelengths)
    }
    three = replace(slides(), values=values, channels=wavelengths)
    found = within(three)
    location = found.fits[0].fit.location  # type: ignore[union-attr]
    np.testing.assert_allclose(location, np.outer([0, 1, 2], OFFSETS), rtol=0, atol=1e-6)


def test_flagged_and_weightless_spots_tell_nothing() -> None:
    arrays = slides()
    out = np.arange(arrays.n_spots) % 9 == 0
    wild = replace(
        arrays, values={"E": np.where(out, 60000.0, arrays.values["E"])}, flag_codes=np.where(out, -100, 0)[None]
    )
    base = replace(arrays, flag_codes=np.where(out, -100, 0)[None])
    np.testing.assert_allclose(within(wild).E[~out], within(base).E[~out], rtol=0, atol=1e-11)
    weighed = within(replace(wild, flag_codes=None), weights=np.where(out, 0.0, 1.0))
    np.testing.assert_allclose(weighed.E[~out], within(base).E[~out], rtol=0, atol=1e-11)


def test_groups_without_a_usable_spot_are_told_and_have_no_effect() -> None:
    arrays = slides()
    lost = np.where(np.arange(arrays.n_spots) // SPOTS == 4, np.nan, arrays.values["E"])
    done = within(replace(arrays, values={"E": lost}))
    assert done.fits[0].sources()[4] == "array" and np.isnan(done.E[:, 0].reshape(BLOCKS, -1)[4]).all()
    assert [text for text in done.warnings if "no spot of group 5 can be used" in text]


@pytest.mark.parametrize(
    ("options", "change", "says"),
    [
        ({"match": "type"}, {}, r"spots are compared by their type, and there is none; found no column SpotType, expected "
         r"a column SpotType. Give a table of spot types with controls or compare spots by match=\"id\""),
        ({"control_type": "spike"}, {}, "control_type needs the types of the spots; found no column SpotType"),
        ({"by": "array"}, {}, "rlm compares groups, and there is one; found group 1, expected usable values in two or more"),
        ({"match": "name"}, {}, "unknown value of match; found 'name', expected id, type"),
        ({"min_group": 5}, {}, "min_group has no meaning for method rlm"),
        ({"small_groups": "own"}, {}, "small_groups has no meaning for method rlm"),
        ({"method": "median", "match": "id"}, {}, "match has no meaning for method median"),
        ({"method": "spline", "control_type": "x"}, {}, "control_type has no meaning for method spline"),
        ({}, {"ID": None}, "spots are compared by their ID, and there is none; found no column ID, expected a column ID"),
        ({"control_type": "one"}, {"SpotType": "few"}, "groups that share nothing with the others cannot be compared with "
         "them; found 1, 2, 3 and 3 more"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(options: dict[str, Any], change: dict[str, Any], says: str) -> None:
    arrays = slides()
    columns = dict(arrays.columns)
    if "ID" in change:
        del columns["ID"]
    if "SpotType" in change:
        columns["SpotType"] = np.where(np.arange(arrays.n_spots) == 3, b"one", b"gene")
    with pytest.raises((FitError, OptionError), match=says.replace("(", r"\(")):
        within(replace(arrays, columns=columns), **options)


def test_groups_that_are_not_connected_are_named_with_their_array() -> None:
    arrays = slides()
    number = np.arange(arrays.n_spots)
    ids = np.where(number // SPOTS >= 4, np.char.add(arrays.columns["ID"], b"x"), arrays.columns["ID"])
    with pytest.raises(FitError) as caught:
        within(replace(arrays, columns={**arrays.columns, "ID": ids}))
    assert str(caught.value) == (
        f"{arrays.names[0]}: groups that share nothing with the others cannot be compared with them; found 5, 6, expected "
        "groups that hang together by what match names. Leave them out, or say with match and control_type what is alike"
    )


def test_counts_of_spots_that_tell_nothing() -> None:
    match, use = np.array([0.0, 0, 1, np.nan, 2]), np.array([True, True, True, True, False])
    told = "a.gpr: 1 of 3 spots that rlm may compare are alone in their group by --match=id, and tell nothing"
    assert match_doubts("a.gpr", match, use, np.array([1, 1]), {"match": "id"}) == [told]
    assert match_doubts("a.gpr", match, use, np.array([2, 1]), {"match": "id"}) == []


def test_arrays_are_compared_between() -> None:
    arrays = slides(4)
    moved = replace(arrays, values={"E": arrays.values["E"] * 2.0 ** np.array([[0.0], [1], [-1], [0.5]])})
    plain = within(moved, method="none", by="array")
    done = gn.normalize_between(plain, "rlm", by="Block")
    off = (plain.E - done.E).reshape(BLOCKS, SPOTS, 4)
    assert np.ptp(off, axis=1).max() < 1e-12
    np.testing.assert_allclose(
        off[:, 0] - off[:, 0].mean(axis=1, keepdims=True), [[-0.125, 0.875, -1.125, 0.375]] * 6, atol=0.05
    )
    np.testing.assert_allclose(off[:, 0].mean(axis=1), OFFSETS, atol=0.05)
    step = done.history.steps[-1].parameters
    assert (step["method"], step["by"], step["match"], step["control_type"]) == ("rlm", "Block", "id", [])
    together = within(moved, method="none", by="array", between="rlm", between_by="Block")
    np.testing.assert_array_equal(together.E, done.E)
    one = gn.normalize_between(plain.part(1), "rlm", by="Block", target=done.between)
    np.testing.assert_allclose(one.E[:, 0], done.E[:, 1], rtol=0, atol=0.02)


def test_between_arrays_it_needs_two_of_one_channel() -> None:
    plain = within(slides(), method="none", by="array")
    with pytest.raises(OptionError, match="rlm needs two arrays or more"):
        gn.normalize_between(plain, "rlm")
    with pytest.raises(OptionError) as caught:
        within(slides(2, channels=2), between="rlm", method="median")
    assert str(caught.value) == (
        "rlm between arrays is for one channel; found R G, expected arrays of one channel, or of three and more. Choose "
        'one with channels, or name method="rlm"'
    )
