"""Effects of groups in items that match: MASS's and statsmodels' numbers, and what cannot be compared."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from backends import Backend
from robust_cases import table

from gridnorm.core.fit import OWN, WHOLE_FIT, fit
from gridnorm.core.methods import METHODS, normalize_within
from gridnorm.core.robust import effects as module
from gridnorm.core.robust.effects import Design, matched, robust_effects, separate
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError

RNG = np.random.default_rng(2)
N = 300
GROUP, MATCH = RNG.integers(0, 5, N), RNG.integers(0, 25, N)
Y = RNG.normal(size=5)[GROUP] + RNG.normal(0, 2, 25)[MATCH] + 0.2 * RNG.standard_t(2, N)
SEGMENTS = Segments.from_codes(GROUP, "abcde")


def located(y: np.ndarray = Y, match: np.ndarray = MATCH, segments: Segments = SEGMENTS, **more) -> np.ndarray:
    return fit(y, segments, "rlm", covariate=match.astype(float), **more).location


def design_of(match: np.ndarray, *factors: np.ndarray) -> tuple[Design, np.ndarray]:
    order = np.argsort(match, kind="stable")
    codes = np.unique(match[order], return_inverse=True)[1]
    return Design.of(codes, [one[order] for one in factors], [int(one.max()) + 1 for one in factors]), order


def against_mass(path: Path) -> float:
    """Largest difference of effects from MASS's, of one factor and of two."""
    given, worst = table(path), 0.0
    for case in ("group", "array", "both"):
        some = given["case"] == case
        array, group, match = (given[name][some].astype(int) - 1 for name in ("array", "group", "match"))
        factors = {"group": [group], "array": [array], "both": [array, group]}[case]
        design, order = design_of(match, *factors)
        for weights, name in ((None, "effect"), (given["weight"][some][order], "weighted")):
            found = design.at(robust_effects(given["y"][some][order], design, weights).levels)
            worst = max(worst, float(np.abs(found - given[name][some][order]).max()))
    return worst


def test_effects_are_those_of_mass(golden: Path) -> None:
    assert against_mass(golden / "robust_effects.tsv") <= 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_effects_and_splines_are_those_of_a_running_r(golden: Path, tmp_path: Path, seed: int) -> None:
    packages = 'stopifnot(requireNamespace("MASS"), requireNamespace("limma"))'
    if shutil.which("Rscript") is None or subprocess.run(["Rscript", "-e", packages], capture_output=True).returncode:
        pytest.skip("no R with MASS and limma")
    effects, splines = tmp_path / "effects.tsv", tmp_path / "splines.tsv"
    command = ["Rscript", "--vanilla", str(golden / "make_robust.R"), str(seed), str(effects), str(splines)]
    subprocess.run(command, check=True, capture_output=True)
    assert against_mass(effects) <= 1e-9
    given = table(splines)
    segments = Segments.from_labels(given["tip"].astype(int))
    for df in (3, 5, 7):
        values = normalize_within(given["M"][None], segments, "spline", covariate=given["A"], df=df).values[0]
        np.testing.assert_allclose(values, given[f"df{df}"], rtol=0, atol=1e-10)


def test_effects_are_those_of_statsmodels(monkeypatch: pytest.MonkeyPatch) -> None:
    sm = pytest.importorskip("statsmodels.api")
    monkeypatch.setattr(module, "NORMAL", 0.6744897501960817)  # exact, in the place of MASS's four digits
    x = np.column_stack(
        [1.0 * (GROUP[:, None] == np.arange(4)) - (GROUP[:, None] == 4), MATCH[:, None] == np.arange(25)]
    )
    fitted = sm.RLM(Y, x.astype(float), M=sm.robust.norms.HuberT(1.345))
    theirs = fitted.fit(scale_est="mad", tol=1e-13, maxiter=500, conv="coefs").params[:4]
    np.testing.assert_allclose(located()[0], [*theirs, -theirs.sum()], rtol=0, atol=1e-9)


def test_groups_on_any_backend(backend: Backend) -> None:
    found = backend.run(fit, Y, SEGMENTS, "rlm", covariate=MATCH.astype(float))
    np.testing.assert_allclose(found.location, located(), rtol=0, atol=1e-12)
    assert found.location.sum() == pytest.approx(0, abs=1e-12)
    assert (found.source == OWN).all() and found.n[0].tolist() == np.bincount(GROUP).tolist()


def test_two_runs_are_the_same_to_the_last_bit() -> None:
    np.testing.assert_array_equal(located(), located())


def test_order_shift_scale_and_names() -> None:
    base, order = located(), RNG.permutation(N)
    shuffled = located(Y[order], MATCH[order], Segments.from_codes(GROUP[order], "abcde"))
    np.testing.assert_allclose(shuffled, base, rtol=0, atol=1e-11)
    np.testing.assert_allclose(located(Y + 7), base, rtol=0, atol=1e-11)
    np.testing.assert_allclose(located(4 * Y), 4 * base, rtol=0, atol=1e-11)
    np.testing.assert_allclose(located(match=1000 - 3 * MATCH), base, rtol=0, atol=1e-11)
    np.testing.assert_allclose(located(Y + RNG.normal(0, 3, 25)[MATCH]), base, rtol=0, atol=1e-11)
    moved = np.array([1.0, 0.0, -3.0, 0.5, 1.5])
    np.testing.assert_allclose(located(Y + moved[GROUP]), base + moved, rtol=0, atol=1e-11)


def test_values_far_off_hardly_count_and_those_left_out_do_not() -> None:
    exact = RNG.normal(size=5)[GROUP] + RNG.normal(0, 2, 25)[MATCH] + 0.01 * RNG.normal(size=N)
    out = np.arange(N) % 20 == 0
    wild = np.where(out, 1e3, exact)
    np.testing.assert_allclose(located(wild), located(exact), rtol=0, atol=0.02)
    expected = located(np.where(out, np.nan, exact))
    for more in ({"use": ~out}, {"weights": np.where(out, 0.0, 2.0)}, {"weights": np.where(out, np.nan, 2.0)}):
        np.testing.assert_allclose(located(wild, **more), expected, rtol=0, atol=1e-11)
    hidden = np.where(out, np.nan, MATCH)
    np.testing.assert_allclose(located(wild, hidden), expected, rtol=0, atol=1e-11)


def test_weights_are_inverse_variances() -> None:
    noise = np.where(RNG.random(N) < 0.5, 0.01, 2.0)
    truth = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    y = truth[GROUP] + MATCH + noise * RNG.normal(size=N)
    assert np.abs(located(y, weights=noise**-2) - truth).max() < 0.01
    np.testing.assert_allclose(located(weights=np.full(N, 3.0)), located(), rtol=0, atol=1e-11)


def test_values_without_noise_are_met_exactly() -> None:
    truth = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    np.testing.assert_allclose(located(truth[GROUP] + 3.0 * MATCH)[0], truth, rtol=0, atol=1e-12)
    assert (located(np.zeros(N)) == 0).all()


def test_items_that_match_in_one_group_only_are_left_out() -> None:
    assert matched(np.array([0, 0, 1, 1, 2]), np.array([3, 4, 3, 3, 4])).tolist() == [True, True, False, False, False]
    lonely = np.concatenate([MATCH, [77, 77, 78]])
    segments = Segments.from_codes(np.concatenate([GROUP, [0, 0, 3]]), "abcde")
    found = fit(np.concatenate([Y, [9.0, 5, 2]]), segments, "rlm", covariate=lonely.astype(float))
    np.testing.assert_array_equal(found.location, located())
    assert found.n.sum() == N


def test_groups_without_a_value_have_no_effect() -> None:
    found = fit(np.where(GROUP == 2, np.nan, Y), SEGMENTS, "rlm", covariate=MATCH.astype(float))
    assert (found.n[0, 2], found.location[0, 2], found.source[0, 2]) == (0, 0, WHOLE_FIT)
    four = Segments.from_codes((GROUP - (GROUP > 2))[GROUP != 2], "abde")
    np.testing.assert_allclose(
        found.location[0, [0, 1, 3, 4]], located(Y[GROUP != 2], MATCH[GROUP != 2], four)[0], rtol=0, atol=1e-12
    )
    nothing = fit(np.full(N, np.nan), SEGMENTS, "rlm", covariate=MATCH.astype(float))
    assert np.isnan(nothing.location).all()
    with pytest.raises(FitError, match="no usable value"):
        normalize_within(np.full((1, N), np.nan), SEGMENTS, "rlm", covariate=MATCH.astype(float))


@pytest.mark.parametrize(
    ("match", "found"),
    [
        (np.where(GROUP == 3, 100 + MATCH, MATCH), "d"),
        (np.where(GROUP > 2, 100 + MATCH, MATCH), "d, e"),
        (np.where(GROUP == 3, np.nan, MATCH), "d"),
        (GROUP, "a, b, c and 2 more"),
        (np.full(N, np.nan), "a, b, c and 2 more"),
    ],
)
def test_groups_that_share_nothing_with_the_others_are_named(match: np.ndarray, found: str) -> None:
    with pytest.raises(FitError) as caught:
        located(match=match)
    assert str(caught.value) == (
        f"groups that share nothing with the others cannot be compared with them; found {found}, expected groups that "
        "hang together by what match names. Leave them out, or say with match and control_type what is alike"
    )


def test_a_chain_of_groups_hangs_together() -> None:
    group = np.array([0, 1, 1, 2, 2, 3])
    found = located(np.array([1.0, 3, 10, 20, 5, 6]), np.array([0, 0, 1, 1, 2, 2]), Segments.from_codes(group, "abcd"))
    np.testing.assert_allclose(np.diff(found[0]), [2, 10, 1], rtol=1e-12)


def test_one_group_cannot_be_compared() -> None:
    for segments, y in ((Segments.single(N), Y), (SEGMENTS, np.where(GROUP == 1, Y, np.nan))):
        with pytest.raises(FitError, match="rlm compares groups, and there is one; found group (all|b), expected"):
            located(y, segments=segments)


def test_effects_that_cannot_be_told_apart_are_none() -> None:
    a, b = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 0, 1])
    design, _ = design_of(np.array([0, 1, 0, 1, 2, 2]), a, b)
    assert separate(design) is None
    design, _ = design_of(np.array([0, 1, 0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.arange(8) // 4)
    assert [part.size for part in separate(design) or []] == [0, 0]


def test_large_tables_are_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    base = located()
    monkeypatch.setattr(module, "AT_ONCE", 1)
    np.testing.assert_allclose(located(), base, rtol=0, atol=1e-12)


def test_4096_groups_are_compared_and_no_more() -> None:
    group, match = np.arange(4097), np.zeros(4097)
    with pytest.raises(FitError, match="rlm compares too many groups; found 4097, expected 4096 at most"):
        located(np.ones(4097), match, Segments.from_codes(group, range(4097)))
    module._refuse_many(4096)


def test_what_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", 3)
    monkeypatch.setattr(module, "SETTLED", 1e-9)
    with pytest.raises(
        FitError, match="does not settle in 3 rounds; found residuals that still move by .*1e-09 or less"
    ):
        located()


def test_it_pools_groups_itself() -> None:
    assert METHODS["rlm"].pools_itself
    with pytest.raises(OptionError, match="^minimum has no meaning for method rlm"):
        normalize_within(Y[None], SEGMENTS, "rlm", covariate=MATCH.astype(float), minimum=3)
