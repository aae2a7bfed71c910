"""vsn: the likelihood and its optimum, known truth, what must not matter, targets, and what has no best curve."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from backends import Backend
from scipy.optimize import minimize
from vsn_truth import misled, truth, under

from gridnorm.core.across import vsn
from gridnorm.core.across.entries import Given
from gridnorm.core.across.vsn.likelihood import Rows, terms
from gridnorm.core.across.vsn.rounds import joint
from gridnorm.core.engines import backend_for
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError

OPTIONS = {option.name: option.default for option in vsn.OPTIONS}
PLAIN = {**OPTIONS, "vsn_keep": 1.0}


def given(values: np.ndarray, use: Any = None) -> Given:
    return Given(backend_for(values), [f"e{k}" for k in range(values.shape[0])], None, use)


def together(y: np.ndarray, segments: Segments | None = None, use: Any = None, **options: Any) -> Any:
    segments = segments or Segments.single(y.shape[1])
    return vsn.together(y.copy(), segments, given(y, use), {**OPTIONS, **options})


def learn(y: np.ndarray, segments: Segments | None = None, use: Any = None, **options: Any) -> Any:
    return vsn.learn(y, segments or Segments.single(y.shape[1]), given(y, use), {**OPTIONS, **options})


# ---- the likelihood and its optimum --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["complete", "missing", "known levels"])
def test_slopes_and_bends_of_the_likelihood_are_those_of_differences(kind: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("gridnorm.core.across.vsn.likelihood.AT_ONCE", 50)  # several pieces
    rng = np.random.default_rng(0)
    u = rng.gamma(1, 1, (3, 40))
    there = rng.random(u.shape) < 0.8
    there[:2, there.sum(axis=0) < 2] = True
    level = rng.normal(1, 1, 40) if kind == "known levels" else None
    rows = Rows(np.where(there, u, 0.0) if kind == "missing" else u, there if kind == "missing" else None,
                np.zeros(3), np.ones(3), level)  # fmt: skip
    at = rng.normal(0.3, 0.3, 6)
    here = terms(rows, at)
    for k, step in enumerate(1e-5 * np.eye(6)):
        up, down = terms(rows, at + step), terms(rows, at - step)
        close = {"rtol": 1e-6, "atol": 1e-6}  # of central differences with steps of 1e-5
        np.testing.assert_allclose((up.slope - down.slope) / 2e-5, here.slope_gradient[k], **close)
        np.testing.assert_allclose((up.square - down.square) / 4e-5, here.square_gradient[k], **close)
        np.testing.assert_allclose((up.slope_gradient - down.slope_gradient) / 2e-5, here.slope_hessian[k], **close)
        np.testing.assert_allclose((up.square_gradient - down.square_gradient) / 2e-5, here.square_hessian[k], **close)


@pytest.mark.parametrize("groups", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_no_search_from_elsewhere_finds_more(groups: int) -> None:
    y, _ = truth(1, n=240, entries=3)
    segments = Segments.uniform(240, groups)
    curves, _ = learn(y, segments, vsn_keep=1.0)
    unit = y.std()
    rows = [Rows(part / unit, None, np.zeros(3), np.ones(3)) for part in np.split(y, groups, axis=1)]
    surface = joint(rows)
    found = np.concatenate([curves.offset * np.exp(-curves.factor) / unit, curves.factor + np.log(unit)]).T
    assert np.abs(surface(found).gradient).max() < 0.01  # of a likelihood of 720 values
    for seed in range(2 * groups):
        start = found + np.random.default_rng(seed).normal(0, 0.3, found.shape)
        other = minimize(lambda p: surface(p.reshape(found.shape)).value, start.ravel(), method="L-BFGS-B",
                         jac=lambda p: surface(p.reshape(found.shape)).gradient.ravel())  # fmt: skip
        assert surface(found).value < other.fun + 1e-6


# ---- known truth ---------------------------------------------------------------------------------------------------


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "entries"),
    [
        ({}, 4),
        *(pytest.param(*case, marks=SLOW) for case in [({"vsn_keep": 1.0}, 4), ({"vsn_keep": 0.5}, 4), ({}, 2)]),
    ],
)
def test_offsets_and_factors_are_found_within_their_errors(options: dict[str, Any], entries: int) -> None:
    seeds = range(8)
    errors = []
    for seed in seeds:
        y, true = truth(seed, entries=entries)
        curves, target = learn(y, **options)
        errors.append([(a - b).mean() for a, b in zip(curves, true, strict=True)])
        if options.get("vsn_keep") == 1.0:
            assert target.variance == pytest.approx(0.04, rel=0.3)  # which moves with all factors
    mean, error = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1)
    assert (np.abs(mean) < 4 * error / np.sqrt(len(seeds))).all()
    assert (error < (0.15 if entries == 4 else 0.3)).all()


@pytest.mark.slow
def test_the_packages_trimming_makes_offsets_too_small() -> None:
    """Why it is not the default: residuals of the dimmest fifth are not trimmed and look larger than those above."""
    errors = [(learn(y, vsn_trim="bright")[0].offset - true.offset).mean() for y, true in map(truth, range(8))]
    assert np.mean(errors) < -0.1 and np.std(errors) < 0.1


@pytest.mark.slow
def test_four_times_the_items_halve_the_errors() -> None:
    """Of factors beside those of the other entries."""
    small, large = (
        np.std([np.diff(learn(y)[0].factor - true.factor, axis=0) for y, true in (truth(k, n) for k in range(16))])
        for n in (600, 2400)
    )
    assert 1.5 < small / large < 2.7


@pytest.mark.parametrize(("changed", "keep", "gain"), [(0.1, 0.9, 3), (0.3, 0.9, 1.2), (0.3, 0.5, 8)])
def test_changed_items_mislead_a_trimmed_fit_less(changed: float, keep: float, gain: float) -> None:
    cases = [truth(seed, entries=8, changed=changed) for seed in range(2)]
    plain, robust = (
        np.mean([misled(y, true, together(y, vsn_keep=share)[0]) for y, true in cases]) for share in (1.0, keep)
    )
    assert robust * gain < plain


# ---- what must not matter ------------------------------------------------------------------------------------------


def test_scale_and_zero_of_an_entry_shift_its_factor_and_offset_and_nothing_else() -> None:
    y, _ = truth(2, n=400)
    gain, zero = np.array([3.0, 1.0, 0.01, 1.0])[:, None], np.array([0.0, 50.0, 0.0, -7.0])[:, None]
    curves, target = learn(y)
    other, moved = learn(gain * y + zero)
    np.testing.assert_allclose(other.factor, curves.factor - np.log(gain), atol=1e-6)
    np.testing.assert_allclose(other.offset, curves.offset - np.exp(other.factor) * zero, atol=1e-6)
    np.testing.assert_allclose(moved.level, target.level, atol=1e-6)
    assert moved.variance == pytest.approx(target.variance, rel=1e-6)


def test_order_of_items_of_entries_and_of_groups_does_not_matter() -> None:
    y, _ = truth(3, n=400)
    codes = np.arange(400) % 2
    done, _ = together(y, Segments.from_labels(codes))
    rng = np.random.default_rng(0)
    items, entries = rng.permutation(400), rng.permutation(4)
    mixed, _ = together(y[entries][:, items], Segments.from_labels(1 - codes[items]))
    np.testing.assert_allclose(mixed, done[entries][:, items], atol=1e-6)


def test_groups_have_curves_of_their_own() -> None:
    """A group that another tip printed, twice as bright and 100 higher, comes out as the others do."""
    y, _ = truth(4, n=2000)
    segments = Segments.uniform(2000, 2)
    other = y.copy()
    other[:, 1000:] = 2 * y[:, 1000:] + 100
    (curves, _), (moved, _) = learn(y, segments), learn(other, segments)
    np.testing.assert_allclose(moved.factor - curves.factor, [[0, -np.log(2)]] * 4, atol=1e-6)
    assert np.abs(np.diff(curves.factor, axis=1)).max() > 0.001


def test_missing_values_stay_missing_and_leave_the_curves_unbiased() -> None:
    errors = []
    for seed in range(4):
        y, true = truth(seed)
        y[np.random.default_rng(seed).random(y.shape) < [[0.5], [0.1], [0.1], [0.1]]] = np.nan
        done, target = together(y)
        np.testing.assert_array_equal(np.isnan(done), np.isnan(y))
        np.testing.assert_array_equal(np.isnan(target.level), np.isnan(y).all(axis=0))
        errors.append(np.nanmean(done - under(y, true), axis=1) - np.nanmean(done - under(y, true)))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.03


def test_a_missing_value_is_an_item_that_is_not_used() -> None:
    y, _ = truth(5, n=400)
    out = np.random.default_rng(5).random(y.shape) < 0.1
    (curves, target), (other, without) = learn(np.where(out, np.nan, y)), learn(y, use=~out)
    np.testing.assert_array_equal(other.factor, curves.factor)
    np.testing.assert_array_equal(without.level, target.level)


def test_items_that_are_not_used_do_not_matter_and_get_the_same_curve() -> None:
    y, _ = truth(6, n=600)
    use = np.ones(y.shape, bool)
    use[:, ::6] = False
    wild = np.where(use, y, 1000 - y)
    done, target = together(wild, use=use)
    curves, _ = learn(y[:, use[0]])
    np.testing.assert_allclose(done, under(wild, curves), atol=1e-6)
    assert np.isnan(target.level[::6]).all()


def test_squares_of_few_values_count_for_what_their_mean_took() -> None:
    """Of 2 values about their mean half of the variance is left, of 4 three quarters."""
    u = np.arcsinh(np.random.default_rng(0).normal(3, 1, (4, 2)))
    there = np.array([[True, True], [True, True], [True, False], [True, False]])
    at = np.repeat([0.0, 1.0], 4)
    h = Rows(u, there, np.zeros(4), np.ones(4)).transformed(at)
    weighed = terms(Rows(np.where(there, u, 0.0), there, np.zeros(4), np.ones(4)), at).square
    alone = [((part - part.mean()) ** 2).sum() for part in (h[:, 0], h[:2, 1])]
    assert weighed == pytest.approx(alone[0] + 1.5 * alone[1], rel=1e-12)


# ---- a target ------------------------------------------------------------------------------------------------------


def toward(y: np.ndarray, target: Any, segments: Segments | None = None, **options: Any) -> np.ndarray:
    segments = segments or Segments.single(y.shape[1])
    done: np.ndarray = vsn.toward(y.copy(), segments, target, given(y), {**OPTIONS, **options})
    return done


@pytest.mark.parametrize("options", [{}, {"vsn_keep": 1.0}])
def test_a_further_entry_gets_its_own_curve_on_the_scale_of_the_target(options: dict[str, Any]) -> None:
    errors = []
    for seed in range(4):
        y, true = truth(seed, entries=5)
        kept = vsn.Curves(*(part[:4] for part in true))
        _, target = together(y[:4], **options)
        right = vsn.transform(y[4:].copy(), Segments.single(y.shape[1]), vsn.Curves(*(part[4:] for part in true)),
                              1 + kept.factor.mean(axis=0) / np.log(2), given(y[4:]))  # fmt: skip
        errors.append(toward(y[4:], target, **options) - right)
    assert abs(np.mean(errors)) < 0.08 and np.std(errors) < 0.12  # noise of .29 each


def test_a_target_has_the_variance_of_values_that_its_levels_are_not_made_of() -> None:
    y, _ = truth(7)
    curves, target = learn(y, vsn_keep=1.0)
    h = np.arcsinh(np.exp(curves.factor) * y + curves.offset)
    assert target.variance == pytest.approx(h.var(axis=0, ddof=1).mean(), rel=1e-12)
    np.testing.assert_allclose(target.level, h.mean(axis=0), rtol=1e-12)


def test_entries_of_the_fit_are_brought_near_to_where_they_were() -> None:
    y, _ = truth(7, entries=6)
    done, target = together(y)
    assert np.abs(toward(y, target) - done).max() < 0.1


def test_a_kept_target_does_what_it_did_and_each_entry_is_alone() -> None:
    y, _ = truth(8, n=400)
    y[0, 5] = np.nan
    segments = Segments.uniform(400, 2)
    _, target = together(y[:3], segments)
    kept = vsn.Stabilized.from_plain(json.loads(json.dumps(target.to_plain(), allow_nan=False)))
    done = toward(y, target, segments)
    np.testing.assert_array_equal(toward(y, kept, segments), done)
    np.testing.assert_array_equal(toward(y[3:], target, segments), done[3:])


# ---- what has no best curve ----------------------------------------------------------------------------------------


def bad(y: np.ndarray, segments: Segments | None = None) -> str:
    with pytest.raises(FitError) as raised:
        together(y, segments)
    return str(raised.value)


@pytest.mark.parametrize(("n", "refused"), [(41, True), (42, False)])
def test_a_group_needs_42_items_of_each_entry(n: int, refused: bool) -> None:
    y, _ = truth(9, n=300)
    segments = Segments.from_labels((np.arange(300) < 100).astype(int))
    y[1, n:100] = np.nan
    if refused:
        assert "too few values for vsn in e1 (group 1); expected 42 or more in each group" in bad(y, segments)
    else:
        together(y, segments)


def test_an_entry_without_values_or_with_one_value_is_named() -> None:
    y, _ = truth(10, n=300)
    gone, flat = y.copy(), y.copy()
    gone[2], flat[3] = np.nan, 7.0
    assert "too few values for vsn in e2;" in bad(gone)
    assert "all values are equal in e3, so there is no curve" in bad(flat)
    assert "too few values for vsn in e0" in bad(y[:1])
    _, target = together(y)
    for wrong, what in ((gone, "too few values for vsn in e2"), (flat, "all values are equal in e3")):
        with pytest.raises(FitError, match=what):
            toward(wrong, target)
    assert "nothing to fit" in bad(y[:, :0])


def test_copies_are_refused_and_noise_of_a_billionth_is_fitted() -> None:
    y, _ = truth(11, n=300, entries=2)
    assert "e0 and the others agree exactly" in bad(np.stack([y[0], 2 * y[0] + 3]))
    noise = np.exp(np.random.default_rng(0).normal(0, 1e-9, 300))
    done, _ = together(np.stack([y[0], 2 * y[0] * noise]))
    assert np.abs(np.diff(done, axis=0)).max() < 1e-6
    copied = y.copy()
    copied[1, :150] = 2 * y[0, :150]
    assert "vsn found no best curve for e" in (text := bad(copied, Segments.uniform(300, 2))) and "(group 0)" in text


def test_an_entry_of_equal_values_mostly_is_named() -> None:
    y, _ = truth(12, n=400)
    y[2, :320] = 0.0
    assert "vsn found no best curve for e2. Many equal values" in bad(y)


@pytest.mark.parametrize(("brightest", "refused"), [(100, True), (20000, False)])
def test_curves_that_are_lines_are_refused(brightest: float, refused: bool) -> None:
    """Errors of 20 everywhere, and of 5 % of the values, which only bright ones show."""
    rng = np.random.default_rng(13)
    level = rng.uniform(0, brightest, 1000)
    y = level * np.exp(rng.normal(0, 0.05, (4, 1000))) + rng.normal(0, 20, (4, 1000))
    if refused:
        assert "errors do not grow with the values in e0, e1, e2, e3: vsn has nothing to stabilize" in bad(y)
    else:
        done, _ = together(y)
        assert np.ptp(done) > 5


# ---- on every backend ----------------------------------------------------------------------------------------------


def test_every_backend_has_the_same_values(backend: Backend) -> None:
    y, _ = truth(14, n=300)
    y[1, 7] = np.nan
    segments = Segments.uniform(300, 2)

    def both(values: Any) -> Any:
        about = Given(backend_for(values), ["a", "b", "c", "d"])
        done, target = vsn.together(values.copy(), segments, about, OPTIONS)
        return done, vsn.toward(values.copy(), segments, target, about, OPTIONS)

    alone, target = together(y, segments)
    for found, expected in zip(backend.run(both, y), (alone, toward(y, target, segments)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
