"""Array and print-tip weights of a set: limma's numbers on swirl, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from limma_sets import SETS, files

import gridnorm as gn
from gridnorm.errors import FitError, GridnormWarning, OptionError

DYE_SWAP = [-1, 1, -1, 1]


@pytest.fixture(scope="module")
def result() -> gn.ArraySet:
    return gn.normalize(gn.simulate(5, (2, 2), (10, 10), bad=0.1, seed=1).arrays)


@pytest.fixture(scope="module")
def swirl(shared: Path) -> gn.ArraySet:
    return gn.normalize(files(shared, SETS["swirl"]), preset="limma")


@pytest.fixture(scope="module")
def golden(shared: Path) -> tuple[dict[str, list[float]], np.ndarray]:
    lines = (shared / "data" / "golden" / "peers" / "limma_weights.txt").read_text().splitlines()
    methods = {line.split()[1]: [float(cell) for cell in line.split()[2:]] for line in lines[1:3]}
    return methods, np.array([line.split()[1:] for line in lines[4:]], float)


@pytest.mark.slow
def test_swirl_has_limmas_array_weights(swirl: gn.ArraySet, golden: tuple[dict[str, list[float]], np.ndarray]) -> None:
    found = gn.array_weights(swirl, DYE_SWAP, limma=True)
    np.testing.assert_allclose(found, golden[0]["reml"], rtol=1e-9)
    found = gn.array_weights(swirl, np.transpose([DYE_SWAP]), method="genebygene")
    np.testing.assert_allclose(found, golden[0]["genebygene"], rtol=1e-9)


@pytest.mark.slow
def test_swirl_has_limmas_print_tip_weights(
    swirl: gn.ArraySet, golden: tuple[dict[str, list[float]], np.ndarray]
) -> None:
    found = gn.array_weights(swirl, DYE_SWAP, method="genebygene", by="print-tip", limma=True)
    block = swirl.columns["Block"]
    np.testing.assert_allclose(found, golden[1][block - 1], rtol=1e-9)


@pytest.mark.slow
def test_print_tips_as_the_paper_has_them_differ_in_the_third_digit(swirl: gn.ArraySet) -> None:
    limma = gn.array_weights(swirl, DYE_SWAP, "genebygene", "print-tip", prior_n=10, limma=True)
    ours = gn.array_weights(swirl, DYE_SWAP, "genebygene", "print-tip", prior_n=7.5)
    assert 1e-4 < np.abs(limma - ours).max() < 3e-3
    turned = replace(swirl, names=swirl.names[::-1], values={k: v[::-1] for k, v in swirl.values.items()})
    mirrored = gn.array_weights(turned, DYE_SWAP[::-1], "genebygene", "print-tip", prior_n=7.5)[:, ::-1]
    np.testing.assert_allclose(mirrored, ours, rtol=1e-9)
    with pytest.raises(OptionError, match="limma's reml within groups does not come to an end"):
        gn.array_weights(swirl, DYE_SWAP, by="print-tip", limma=True)


@pytest.mark.slow
def test_limmas_reml_stops_short_of_the_end(swirl: gn.ArraySet) -> None:
    """Said in the docstring: the end is up to 1 % away."""
    end, short = gn.array_weights(swirl, DYE_SWAP), gn.array_weights(swirl, DYE_SWAP, limma=True)
    assert 1e-3 < np.abs(end / short - 1).max() < 1e-2


def test_a_noisy_array_gets_little_weight_and_flagged_spots_do_not_count(result: gn.ArraySet) -> None:
    m = result.values["M"].copy()
    m[2] += np.random.default_rng(1).normal(0, 2, m.shape[1])
    noisy = replace(result, values={**result.values, "M": m})
    assert np.argmin(gn.array_weights(noisy)) == 2
    assert result.weights is not None
    wild = np.where(result.spot_weights == 0, 1e6, result.values["M"])
    spoilt = replace(result, values={**result.values, "M": wild})
    np.testing.assert_array_equal(gn.array_weights(spoilt), gn.array_weights(result))
    assert not np.allclose(gn.array_weights(replace(spoilt, spot_weights=None)), gn.array_weights(result), rtol=0.01)


def test_one_channel_and_groups_by_a_column(result: gn.ArraySet) -> None:
    one = gn.normalize(gn.simulate(4, (2, 2), (10, 10), channels=1, seed=1).arrays, by="print-tip")
    assert gn.array_weights(one).shape == (4,)
    found = gn.array_weights(result, by="Block")
    np.testing.assert_array_equal(gn.array_weights(result, by=list(result.columns["Block"])), found)
    assert found.shape == (400, 5)
    block = result.columns["Block"]
    for k in range(1, 5):
        few = result.columns["Block"] == k
        assert (found[few] == found[few][0]).all()
        alone = replace(
            result, values={name: v[:, few] for name, v in result.values.items()}, flag_codes=None, fits=(),
            columns={name: c[few] for name, c in result.columns.items()},
            spot_weights=None if result.spot_weights is None else result.spot_weights[:, few],
        )  # fmt: skip
        np.testing.assert_allclose(gn.array_weights(alone), found[block == k][0], rtol=1e-12)


def test_a_design_from_the_targets_table(result: gn.ArraySet) -> None:
    named = replace(result, targets={"Dye": ["1", "-1", "1", "-1", "1"], "Strain": ["a", "a", "b", "b", "b"]})
    np.testing.assert_array_equal(gn.array_weights(named, "Dye"), gn.array_weights(result, [1, -1, 1, -1, 1]))
    groups = [[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    np.testing.assert_array_equal(gn.array_weights(named, "Strain"), gn.array_weights(result, groups))
    with pytest.raises(OptionError, match=r"no column of the targets table; found 'dye', expected one of: Dye, Strain"):
        gn.array_weights(named, "dye")


@pytest.mark.parametrize(
    ("design", "error", "text"),
    [
        ([1, 1, 1], OptionError, r"design does not fit the arrays; found shape \(3,\), expected \(5,\) or \(5, k\)"),
        ([1, 1, np.nan, 1, 1], OptionError, "missing or infinite"),
        ("x", OptionError, "names no column"),
        ([["a"]] * 5, OptionError, "design must be numbers"),
        (np.ones((5, 2)), OptionError, "columns of design say the same; found 2 columns of rank 1"),
        (np.eye(5)[:, :4], FitError, "too few arrays to compare; found 5 arrays, 4 coefficients"),
        ([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], FitError, "array5: this array has a coefficient of design of its own"),
    ],
)  # fmt: skip
def test_designs_that_cannot_be_are_refused(result: gn.ArraySet, design: object, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        gn.array_weights(result, design)  # type: ignore[arg-type]


@pytest.mark.parametrize(("coefficients", "refused"), [(3, False), (4, True)])
def test_two_residual_degrees_of_freedom_are_needed(result: gn.ArraySet, coefficients: int, refused: bool) -> None:
    design = np.vander(np.arange(5.0), coefficients, increasing=True)
    if refused:
        with pytest.raises(FitError, match="2 arrays more than coefficients"):
            gn.array_weights(result, design)
    else:
        assert gn.array_weights(result, design).shape == (5,)


def test_three_arrays_are_needed() -> None:
    two = gn.normalize(gn.simulate(2, (2, 2), (10, 10), seed=1).arrays)
    with pytest.raises(FitError, match="need three arrays or more; found 2"):
        gn.array_weights(two)
    three = gn.normalize(gn.simulate(3, (2, 2), (10, 10), seed=1).arrays)
    assert gn.array_weights(three).shape == (3,)


def test_what_cannot_be_weighted_is_refused(result: gn.ArraySet) -> None:
    with pytest.raises(OptionError, match="no set of arrays; found a list"):
        gn.array_weights([1])  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="Normalize first"):
        gn.array_weights(gn.simulate(3, (2, 2), (10, 10), seed=1).arrays)
    with pytest.raises(OptionError, match="unknown method of array weights; found 'rem'.*Did you mean reml"):
        gn.array_weights(result, method="rem")
    with pytest.raises(OptionError, match="names no column"):
        gn.array_weights(result, by="nothing")
    with pytest.raises(OptionError, match="maxiter is out of range"):
        gn.array_weights(result, maxiter=0)
    m = result.values["M"].copy()
    m[3, result.columns["Block"] == 2] = np.nan
    lacking = replace(result, values={**result.values, "M": m})
    with pytest.raises(FitError, match="array4: no spot in group 2 of print-tip has a value"):
        gn.array_weights(lacking, by="print-tip")
    m[:, ::2] = np.nan
    m[3] = result.values["M"][3]
    m[3, 1::2] = np.nan
    scattered = replace(result, values={**result.values, "M": m})
    with pytest.raises(FitError, match="no spot has a value in every array. limma=False takes what there is"):
        gn.array_weights(scattered, limma=True)
    assert gn.array_weights(scattered, prior_n=1).shape == (5,)
    m[3] = np.nan
    with pytest.raises(FitError, match="array4: no spot has a value"):
        gn.array_weights(replace(result, values={**result.values, "M": m}))


def test_no_end_is_said(result: gn.ArraySet) -> None:
    with pytest.warns(GridnormWarning, match="did not come to an end in 2 steps; maxiter allows more"):
        gn.array_weights(result, maxiter=2)


def test_a_design_with_names_of_arrays_goes_by_them(result: gn.ArraySet) -> None:
    design = np.array([1.0, -1, 1, -1, 1])
    expected = gn.array_weights(result, design)
    turned = pd.Series(design, index=list(result.names))[::-1]
    np.testing.assert_array_equal(gn.array_weights(result, turned), expected)
    np.testing.assert_array_equal(gn.array_weights(result, turned.to_frame("swap")), expected)
    np.testing.assert_array_equal(gn.array_weights(result, pd.Series(design)), expected)
    with pytest.raises(OptionError, match="the index of design is not that of the arrays"):
        gn.array_weights(result, pd.Series(design, index=[*result.names[:4], "other"]))


def test_one_failed_array_is_given_its_weight(result: gn.ArraySet) -> None:
    noise = np.random.default_rng(1).normal(0, 5, result.M.shape[0])
    bad = replace(result, values={**result.values, "M": result.values["M"] + np.outer([0, 0, 0, 0, 1], noise)})
    for design in (None, [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]):
        found = gn.array_weights(bad, design)
        assert np.isfinite(found).all() and found.argmin() in (3, 4) and found[4] < 0.1
