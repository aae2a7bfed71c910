"""The step between arrays: what of an array is made alike, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import BETWEEN, Between, normalize_between
from gridnorm.arrays.between.rows import CHANNELS
from gridnorm.arrays.used import used
from gridnorm.core.across import ACROSS
from gridnorm.errors import FitError, LayoutError, OptionError

SOUND = gn.normalize(gn.simulate(3, blocks=(2, 2), spots=(9, 9), bad=0, not_found=0, seed=1).arrays)
TWO = gn.normalize(gn.simulate(3, blocks=(2, 2), spots=(9, 9), seed=1).arrays)
ONE = gn.normalize(
    gn.simulate(3, blocks=(2, 2), spots=(9, 9), bad=0, not_found=0, channels=1, seed=2).arrays, method="none"
)
SHIFTS = np.array([[0.0], [0.9], [-0.6]])
SOUND = replace(SOUND, values={**SOUND.values, "A": SOUND.values["A"] + SHIFTS})
ONE = replace(ONE, values={"E": ONE.values["E"] + SHIFTS})
SAMPLES = replace(SOUND, targets={"Cy3": ["ref", "ref", "a"], "Cy5": ["a", "b", "ref"]})
FOR_TWO = [name for name in BETWEEN if name not in ("none", "vsn", "rlm")]
FOR_ONE = ["scale", "quantile", "cyclic-loess", "rlm"]


def channel(arrays: ArraySet, sign: int) -> np.ndarray:
    return arrays.A + sign * arrays.M / 2


def spread(values: np.ndarray) -> float:
    """How far the distributions of columns are apart."""
    return float(np.ptp(np.nanquantile(values, [0.1, 0.3, 0.5, 0.7, 0.9], axis=0), axis=1).max())


@pytest.mark.parametrize("method", FOR_TWO)
def test_two_channels(method: str) -> None:
    found = normalize_between(SAMPLES, method)
    assert np.array_equal(np.isnan(found.M), np.isnan(SOUND.M))
    assert found.history.steps[-1].operation == "normalize_between"
    assert found.history.parameters()["between"] == method == found.record(1).history.parameters()["between"]
    assert found.history.parameters()["method"] == "loess", "the step within keeps its name"
    before = [spread(np.hstack([channel(SOUND, -1), channel(SOUND, 1)])), spread(SOUND.A), spread(SOUND.M)]
    after = [spread(np.hstack([channel(found, -1), channel(found, 1)])), spread(found.A), spread(found.M)]
    improved = {"quantile": 0, "cyclic-loess": 0, "aquantile": 1}
    if method in improved:
        assert after[improved[method]] < 0.35 * before[improved[method]]
    if method in ("aquantile", "gquantile", "rquantile"):
        np.testing.assert_array_equal(found.M, SOUND.M)
        assert not np.may_share_memory(found.values["M"], SOUND.values["M"]), "a result can be written to"
    if method == "gquantile":
        assert spread(channel(found, -1)) < 0.1 * spread(channel(SOUND, -1))
    if method == "rquantile":
        assert spread(channel(found, 1)) < 0.1 * spread(channel(SOUND, 1))
    if method == "scale":
        assert np.ptp(np.nanmedian(np.abs(found.M), axis=0)) < 0.02


def test_samples_have_a_distribution_each() -> None:
    found = normalize_between(SAMPLES, "tquantile")
    columns = {
        "ref": [channel(found, -1)[:, 0], channel(found, -1)[:, 1], channel(found, 1)[:, 2]],
        "a": [channel(found, -1)[:, 2], channel(found, 1)[:, 0]],
    }
    for same in columns.values():
        for other in same[1:]:
            np.testing.assert_allclose(np.sort(other), np.sort(same[0]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(channel(found, 1)[:, 1], channel(SOUND, 1)[:, 1], atol=1e-13)  # b is alone
    assert any("'b' is in one channel only" in text for text in found.warnings)
    assert set(found.between.parts) == {"ref", "a"}


@pytest.mark.parametrize("method", FOR_ONE)
def test_one_channel(method: str) -> None:
    found = normalize_between(ONE, method)
    assert spread(found.E) < 0.5 * spread(ONE.E)
    assert list(found.values) == ["E"]


@pytest.mark.parametrize("method", sorted(set(FOR_TWO) - set(FOR_ONE)))
def test_methods_for_two_channels_say_so(method: str) -> None:
    with pytest.raises(OptionError, match=f"{method} is for two channels; found E, expected R and G. Of one channel"):
        normalize_between(ONE, method)


@pytest.mark.parametrize("method", [name for name in FOR_TWO if name != "tquantile"])
def test_one_array_is_brought_to_the_target_of_others(method: str) -> None:
    together = normalize_between(TWO, method)
    for index in range(3):
        alone = normalize_between(TWO.part(index), method, target=together.between)
        np.testing.assert_array_equal(alone.M[:, 0], together.M[:, index])
        np.testing.assert_array_equal(alone.A[:, 0], together.A[:, index])


def test_types_teach_or_do_not_and_means_are_refused() -> None:
    types = np.where(np.arange(TWO.n_spots) % 5 == 0, "control", "gene")
    typed = replace(SOUND, columns={**TWO.columns, "SpotType": types.astype("S")})
    weights = np.where(types[:, None] == "gene", np.ones(SOUND.M.shape), 0)
    for given, kept in (({"exclude_types": "control"}, weights), ({"fit_types": ("gene",)}, weights)):
        expected = normalize_between(replace(SOUND, spot_weights=np.ascontiguousarray(kept.T)), "quantile")
        np.testing.assert_array_equal(normalize_between(typed, "quantile", **given).M, expected.M)
    averaged = gn.average_replicates(replace(TWO, columns={**TWO.columns, "ID": np.arange(TWO.n_spots) // 2}))
    with pytest.raises(OptionError, match="made of replicate spots already.*Make the arrays alike first"):
        normalize_between(averaged, "scale")


def test_blocks_apart() -> None:
    found = normalize_between(SOUND, "scale", by="print-tip")
    assert found.between.by == "print-tip" and found.history.parameters()["between_by"] == "print-tip"
    for block in range(1, 5):
        mine = np.asarray(SOUND.columns["Block"]) == block
        weights = np.where(mine[:, None], np.ones(SOUND.M.shape), 0)
        alone = normalize_between(replace(SOUND, spot_weights=np.ascontiguousarray(weights.T)), "scale")
        np.testing.assert_allclose(found.M[mine], alone.M[mine], rtol=1e-13)


CORRECTED = gn.background_correct(gn.simulate(3, blocks=(2, 2), spots=(9, 9), seed=1).arrays, "subtract")


def test_vsn_takes_intensities_and_makes_levels() -> None:
    """Intensities below their background are not missing, and M of dim spots does not fan out."""
    assert (CORRECTED.R <= 0).any() or (CORRECTED.G <= 0).any()
    found = normalize_between(CORRECTED, "vsn")
    assert list(found.values) == ["M", "A"] and not np.isnan(found.M).any() and found.stage == "levels"
    bright = np.minimum(CORRECTED.R, CORRECTED.G) > 3000
    ratio = np.log2(CORRECTED.R[bright] / CORRECTED.G[bright])
    assert np.corrcoef(found.M[bright], ratio)[0, 1] > 0.99, "where there is much signal it is the log ratio"
    for index in range(3):
        alone = normalize_between(CORRECTED.part(index), "vsn", target=found.between)
        np.testing.assert_allclose(alone.M[:, 0], found.M[:, index], rtol=0, atol=0.1)
    one = normalize_between(gn.background_correct(gn.simulate(3, (2, 2), (9, 9), channels=1).arrays, "subtract"), "vsn")
    assert list(one.values) == ["E"]
    labels = np.asarray(CORRECTED.columns["Block"]) % 2
    apart = normalize_between(CORRECTED, "vsn", by=labels)
    assert apart.between.parts["G+R"].labels == (0, 1)


def test_vsn_refuses_what_is_no_intensity() -> None:
    with pytest.raises(OptionError, match="vsn takes intensities, and these are logarithms"):
        normalize_between(TWO, "vsn")
    with pytest.raises(OptionError, match="vsn takes intensities without their background; found Rb, Gb"):
        normalize_between(gn.simulate(2, blocks=(2, 2), spots=(9, 9), seed=1).arrays, "vsn")
    with pytest.raises(OptionError, match="between vsn takes the place of a method within arrays; found loess"):
        gn.normalize(gn.simulate(2, blocks=(2, 2), spots=(9, 9), seed=1).arrays, between="vsn", method="loess")


def test_nothing_is_done_where_nothing_is_asked() -> None:
    assert normalize_between(TWO, "none") is TWO


def test_a_row_of_one_s_own() -> None:
    row = Between("my-scale", "scale", CHANNELS, True, "together", "one median of both channels")
    found = normalize_between(SOUND, row)
    medians = np.median(np.hstack([channel(found, s) for s in (-1, 1)]), axis=0)
    assert np.ptp(medians) < 1e-12 and found.history.parameters()["between"] == "my-scale"


def test_a_row_of_one_s_own_takes_its_target_again() -> None:
    row = Between("my-scale", "scale", CHANNELS, True, "together", "one median of both channels")
    made = normalize_between(SOUND, row)
    np.testing.assert_array_equal(normalize_between(SOUND.part(1), row, target=made.between).M[:, 0], made.M[:, 1])
    with pytest.raises(OptionError, match="made with another method; found scale, expected my-scale"):
        normalize_between(SOUND, "scale", target=made.between)


def test_a_method_of_the_core_need_not_write_to_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that come back in arrays of their own were lost where the vectors followed one another."""
    row = ACROSS["scale"]
    copying = row._replace(together=lambda values, *rest: row.together(values.copy(), *rest))
    expected = normalize_between(TWO, "scale").M
    monkeypatch.setitem(ACROSS._rows, "scale", copying)
    np.testing.assert_array_equal(normalize_between(TWO, "scale").M, expected)


def broken(index: int, value: float) -> ArraySet:
    values = {name: matrix.copy() for name, matrix in TWO.values.items()}
    values["M"][index] = value
    return replace(TWO, values=values)


def test_what_breaks_in_peers_is_refused_by_name() -> None:
    with pytest.raises(FitError, match="the median absolute value is 0 in array2, so there is no scale"):
        normalize_between(broken(1, 0.0), "scale")
    for method in ("scale", "quantile", "cyclic-loess"):
        with pytest.raises(FitError, match="no usable value in array3"):
            normalize_between(broken(2, np.nan), method)
    with pytest.raises(OptionError, match="between scale needs two arrays or more; found array1. To bring one array"):
        normalize_between(TWO.part(0))
    with pytest.raises(OptionError, match="not normalized yet"):
        normalize_between(gn.simulate(2, blocks=(2, 2), spots=(9, 9), seed=1).arrays)
    with pytest.raises(OptionError, match="samples of both channels; found no targets table, expected columns Cy3"):
        normalize_between(TWO, "tquantile")
    with pytest.raises(OptionError, match="cyclic_span has no meaning for between quantile"):
        normalize_between(TWO, "quantile", cyclic_span=0.5)
    with pytest.raises(OptionError, match="unknown method between arrays; found 'quantil'.*Did you mean quantile"):
        normalize_between(TWO, "quantil")


def test_targets_of_something_else_are_refused() -> None:
    made = {method: normalize_between(TWO, method).between for method in ("scale", "quantile", "cyclic-loess")}
    with pytest.raises(OptionError, match="made with another method; found quantile, expected scale"):
        normalize_between(TWO, "quantile", target=made["scale"])
    with pytest.raises(OptionError, match="made with another grouping; found print-tip, expected array"):
        normalize_between(TWO, "scale", by="print-tip", target=made["scale"])
    with pytest.raises(OptionError, match="made with another cyclic_span; found 0.5, expected 0.7"):
        normalize_between(TWO, "cyclic-loess", target=made["cyclic-loess"], cyclic_span=0.5)
    with pytest.raises(OptionError, match="made of arrays of other channels; found E, expected R G"):
        normalize_between(ONE, "scale", target=made["scale"])
    other = gn.normalize(gn.simulate(1, blocks=(2, 2), spots=(9, 8), seed=1).arrays)
    with pytest.raises(LayoutError, match="the target is of another number of spots; found 288, expected 324"):
        normalize_between(other, "quantile", target=made["quantile"])
    with pytest.raises(LayoutError, match="another number of spots; found 288, expected 324.*beside one that has them"):
        normalize_between(other, "scale", target=made["scale"])
    renamed = replace(TWO, columns={**TWO.columns, "ID": np.array(TWO.columns["ID"])[::-1]})
    with pytest.raises(LayoutError, match="the target is of other spots"):
        normalize_between(renamed, "cyclic-loess", target=made["cyclic-loess"])
    assert normalize_between(renamed, "quantile", target=made["quantile"]) is not None


def test_spots_that_are_left_out_teach_nothing() -> None:
    bad = ~np.stack([used(TWO, index) for index in range(3)], axis=1)
    assert bad.any() and (TWO.weights[~bad] == 0).any(), "spots that were not found teach"
    values = {name: np.where(bad.T, 40.0, matrix) for name, matrix in TWO.values.items()}
    for method in ("scale", "quantile", "cyclic-loess"):
        found, expected = (normalize_between(one, method) for one in (replace(TWO, values=values), TWO))
        np.testing.assert_array_equal(found.M[~bad], expected.M[~bad])
        assert np.isfinite(found.A[bad]).all()


@pytest.mark.parametrize("method", ["scale", "quantile", "aquantile", "cyclic-loess"])
def test_dim_spots_that_were_not_found_do_not_drive_arrays_apart_that_agree(method: str) -> None:
    """One slide three times with a little noise; the dimmest 2, 5 and 50 % are called not found."""
    raw = gn.simulate(1, blocks=(2, 2), spots=(12, 12), bad=0, not_found=0, seed=6).arrays
    rng = np.random.default_rng(0)
    one = gn.normalize(raw)
    level = one.A[:, 0]
    shape = (3, level.size)
    values = {name: matrix + rng.normal(0, 0.05, shape) for name, matrix in one.values.items()}
    codes = np.where(level < np.quantile(level, [[0.02], [0.05], [0.5]]), -50, 0)
    many = replace(
        one, names=("a", "b", "c"), values=values, flag_codes=codes, spot_weights=np.where(codes < 0, 0.0, 1.0),
        records=tuple(one.record(0)._replace(not_found=(-50,)) for _ in range(3)), fits=(), absent=None,
    )  # fmt: skip
    found = normalize_between(many, method)
    assert np.abs(np.median(found.A, axis=0) - np.median(found.A[:, 0])).max() < 0.03
    np.testing.assert_allclose(found.M.std(axis=0), found.M[:, 0].std(), rtol=0.05)


def test_types_are_remembered_checked_and_part_of_a_target() -> None:
    types = np.resize(np.array([b"gene"] * 4 + [b"spike"]), SOUND.n_spots)
    raw = gn.simulate(3, blocks=(2, 2), spots=(9, 9), bad=0, not_found=0, seed=2).arrays
    done = gn.normalize(replace(raw, columns={**raw.columns, "SpotType": types}), exclude_types="spike")
    together = normalize_between(done, "quantile", exclude_types="spike")
    np.testing.assert_array_equal(normalize_between(done, "quantile").M, together.M)
    assert not np.array_equal(normalize_between(done, "quantile", exclude_types=()).M, together.M)
    np.testing.assert_array_equal(normalize_between(done.part(1), "quantile", target=together.between).M[:, 0], together.M[:, 1])  # fmt: skip
    with pytest.raises(OptionError, match="made with other exclude_types; found none, expected spike"):
        normalize_between(done, "quantile", exclude_types=(), target=together.between)
    with pytest.raises(OptionError, match="exclude_types names a type that no spot has; found 'spik'"):
        normalize_between(done, "quantile", exclude_types="spik")


def test_what_the_arrays_of_a_target_had_gone_through_is_compared() -> None:
    kept = normalize_between(TWO, "scale").between
    assert not normalize_between(TWO, "scale", target=kept).warnings[len(TWO.warnings) :]
    raw = gn.simulate(3, blocks=(2, 2), spots=(9, 9), seed=2).arrays
    other = normalize_between(gn.normalize(raw, background="half"), "scale", target=kept)
    assert other.warnings[-1].startswith("the target is of arrays with --background normexp (here half), ")


def test_weights_between_nothing_and_one_are_said_to_count_as_one() -> None:
    weighted = replace(SOUND, spot_weights=np.full(SOUND.M.T.shape, 0.5))
    said = "scale: a weight counts as yes or no, and all above 0 are alike"
    assert said in normalize_between(weighted, "scale").warnings
    assert said.replace("scale", "cyclic-loess") not in normalize_between(weighted, "cyclic-loess").warnings


@pytest.mark.parametrize("cell", ["", " ", "NA"])
def test_a_channel_without_a_sample_is_no_sample(cell: str) -> None:
    lacking = replace(SOUND, targets={"cy3": ["ref", cell, "a"], "CY5": ["a", "b ", " ref"]})
    with pytest.raises(OptionError, match="needs the samples of both channels.*expected the sample"):
        normalize_between(lacking, "tquantile")
    whole = replace(SOUND, targets={"cy3": ["ref", "ref", "a"], "CY5": ["a", "b ", " ref"]})
    np.testing.assert_array_equal(normalize_between(whole, "tquantile").M, normalize_between(SAMPLES, "tquantile").M)


def test_results_are_written_to_without_a_trace_in_what_they_were_made_of() -> None:
    for method in ("gquantile", "scale"):
        before = {name: matrix.copy() for name, matrix in TWO.values.items()}
        found = normalize_between(TWO, method)
        for matrix in (*found.values.values(), found.spot_weights):
            matrix[:] = 99.0
        for name, matrix in TWO.values.items():
            np.testing.assert_array_equal(matrix, before[name])
        assert TWO.spot_weights is not None and TWO.spot_weights.max() == 1.0


def test_other_words_for_the_groups_and_no_target_are_told() -> None:
    with pytest.raises(OptionError, match="groups of normalize_between are named by; found between_by, expected by"):
        normalize_between(TWO, "scale", between_by="print-tip")
    for given in ("t.json", {}, 5):
        with pytest.raises(OptionError, match="there is no target; found an? (str|dict|int)"):
            normalize_between(TWO, "scale", target=given)  # type: ignore[arg-type]
