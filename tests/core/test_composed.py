"""Curves of groups beside something of the whole: composite curves, and a surface over space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gridnorm.core import composed
from gridnorm.core.apply import evaluate
from gridnorm.core.composed import HELD, PILOT, ROUNDS, SPANS
from gridnorm.core.fit import Fit, fit
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError

N = 400
CODES = np.arange(N) % 4
SEGMENTS = Segments.from_codes(CODES, range(4))


def levels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A covariate, and marks of a quarter of the items over all of it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(6, 14, N)
    return x, (rng.random(N) < 0.25).astype(float)


def at(found: Fit, covariate: np.ndarray, segments: Segments = SEGMENTS) -> np.ndarray:
    return evaluate(found, covariate[None], segments)[0]


# ---- composite -----------------------------------------------------------------------------------------------------


def test_the_share_is_the_rank_of_the_covariate() -> None:
    """(rank − 1) / n, the mean of ties: 0 at the lowest, (n − 1) / n at the highest; held beyond."""
    x = np.array([5.0, 1.0, 2.0, 2.0, 9.0, 7.0, np.nan, 30.0])
    enters = np.array([True] * 6 + [False] * 2)
    knots = composed._shares(x[None], enters[None]).knots
    assert knots.x.tolist() == [1, 2, 5, 7, 9]
    np.testing.assert_allclose(knots.y, [0, 1.5 / 6, 3 / 6, 4 / 6, 5 / 6], rtol=1e-15)


def test_groups_go_over_from_their_own_curve_to_that_of_the_marked() -> None:
    """What is fitted is the rank's share of the one and the rest of the other."""
    x, mark = levels()
    y = np.sin(x) + 0.5 * CODES + np.random.default_rng(1).normal(0, 0.1, N)
    covariate = np.column_stack([x, mark])
    found = fit(y, SEGMENTS, "composite", covariate=covariate)
    own = at(fit(y, SEGMENTS, "lowess", covariate=x), x[:, None])
    single = Segments.single(N)
    marked = fit(y, single, "loess", covariate=x, degree=0, use=mark > 0)
    share = (np.argsort(np.argsort(x))) / N
    expected = share * at(marked, x[:, None], single) + (1 - share) * own
    np.testing.assert_allclose(at(found, covariate), expected, rtol=0, atol=1e-12)
    lowest, highest = np.argmin(x), np.argmax(x)
    assert at(found, covariate)[lowest] == pytest.approx(own[lowest], abs=1e-12)
    assert share[highest] == (N - 1) / N
    assert found.n.tolist() == [[100] * 4]


def test_it_is_the_curve_of_the_groups_where_the_marked_lie_on_it() -> None:
    x, mark = levels()
    y = np.full(N, 2.5)
    covariate = np.column_stack([x, mark])
    np.testing.assert_allclose(at(fit(y, SEGMENTS, "composite", covariate=covariate), covariate), 2.5, atol=1e-13)
    # A curve that all have, as far as a local mean of a tenth of the marked follows it, which it does not at its end.
    smooth = np.sin(x / 4)
    close = at(fit(smooth, SEGMENTS, "composite", covariate=covariate, span=0.1), covariate)
    np.testing.assert_allclose(close[x < 13.5], smooth[x < 13.5], rtol=0, atol=0.03)
    np.testing.assert_allclose(close, smooth, rtol=0, atol=0.1)


@pytest.mark.parametrize(("marked", "enough"), [(3, False), (4, True)])
def test_the_curve_of_the_marked_needs_one_in_a_window(marked: int, enough: bool) -> None:
    x, _ = levels()
    covariate = np.column_stack([x, np.arange(N) < marked])
    if enough:
        assert fit(np.sin(x), SEGMENTS, "composite", covariate=covariate, span=0.3).n.sum() == N
        return
    with pytest.raises(FitError) as caught:
        fit(np.sin(x), SEGMENTS, "composite", covariate=covariate, span=0.3)
    assert str(caught.value).startswith(
        "too few usable controls for the curve that all groups share; found 3, expected at least 4"
    )


def test_marked_items_that_are_left_out_are_none() -> None:
    x, mark = levels()
    y = np.sin(x) + np.random.default_rng(2).normal(0, 0.1, N)
    wild = (mark > 0) & (np.arange(N) % 8 == 0)
    covariate = np.column_stack([x, mark])
    for given in ({"use": ~wild}, {"weights": (~wild).astype(float)}):
        one, two = (fit(v, SEGMENTS, "composite", covariate=covariate, **given) for v in (y, y + 1e3 * wild))
        np.testing.assert_allclose(at(one, covariate), at(two, covariate), rtol=0, atol=1e-12)
    unmarked = np.column_stack([x, np.where(wild, 0.0, mark)])
    other = fit(y, SEGMENTS, "composite", covariate=unmarked, use=~wild)
    np.testing.assert_allclose(at(other, covariate), at(one, covariate), rtol=0, atol=1e-12)


# ---- joint ---------------------------------------------------------------------------------------------------------


def slide(seed: int, n: int = 1600, height: float = 0.6) -> dict[str, Any]:
    """Four groups with a curve each, and a blob over a slide of 40 columns."""
    rng = np.random.default_rng(seed)
    place = np.column_stack(np.divmod(np.arange(n), 40)).astype(float)
    codes, x = np.arange(n) * 4 // n, rng.uniform(6, 14, n)
    blob = height * np.exp(-((place[:, 0] - 15) ** 2 + (place[:, 1] - 25) ** 2) / 50)
    curve = 0.5 * np.sin(x / 2 + codes)
    return {
        "y": curve + blob + rng.normal(0, 0.3, n), "truth": curve + blob, "x": x,
        "covariate": np.column_stack([x, place]), "segments": Segments.from_codes(codes, range(4)),
    }  # fmt: skip


def missed(found: Fit, d: dict[str, Any], covariate: np.ndarray) -> float:
    return float(np.sqrt(np.mean((at(found, covariate, d["segments"]) - d["truth"]) ** 2)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_curves_and_a_surface_are_found_together(seed: int) -> None:
    """A noise of 0.3: off by 0.05 in the mean where curves alone are off by 0.11."""
    d = slide(seed)
    both = fit(d["y"], d["segments"], "joint", covariate=d["covariate"])
    curves = fit(d["y"], d["segments"], "lowess", covariate=d["x"])
    off, alone = missed(both, d, d["covariate"]), missed(curves, d, d["x"][:, None])
    assert off < 0.06 and off < 0.6 * alone


def test_a_surface_has_no_level_which_is_the_curves() -> None:
    d = slide(3)
    one, two = (fit(d["y"] + up, d["segments"], "joint", covariate=d["covariate"]) for up in (0.0, 7.0))
    for found in (one, two):
        assert abs(np.median(found.payload.rest[0].y)) < 1e-12
    np.testing.assert_allclose(two.payload.rest[0].y, one.payload.rest[0].y, rtol=0, atol=1e-11)
    np.testing.assert_allclose(two.payload.own.knots.y, one.payload.own.knots.y + 7, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("slides", "fewest"), [(8, 6), pytest.param(40, 34, marks=pytest.mark.slow)])
def test_of_pure_noise_mostly_no_surface_is_made(slides: int, fewest: int) -> None:
    """Of 40 slides of noise 37 have none, of the first 8 it is 6; of the three others the span is 0.35 or more."""
    none = 0
    for seed in range(slides):
        rng = np.random.default_rng(seed)
        place = np.column_stack(np.divmod(np.arange(800), 40))
        y, x = rng.normal(0, 0.3, 800), rng.uniform(6, 14, 800)
        found = fit(y, Segments.from_codes(np.arange(800) // 200, range(4)), "joint", covariate=np.c_[x, place])
        height = found.payload.rest[0].y
        none += not height.any()
        assert np.abs(height).max() < 0.3, "no more than the noise"
    assert none >= fewest


def test_a_span_that_is_given_is_taken() -> None:
    d = slide(4, height=0.0)
    made = fit(d["y"], d["segments"], "joint", covariate=d["covariate"], space_span=0.2)
    assert np.ptp(made.payload.rest[0].y) > 0.05
    wide = fit(d["y"], d["segments"], "joint", covariate=d["covariate"], space_span=1.0)
    assert np.ptp(wide.payload.rest[0].y) < np.ptp(made.payload.rest[0].y)


def test_entries_of_a_batch_choose_for_themselves() -> None:
    blob, noise = slide(5, 800), slide(6, 800, height=0.0)
    noise["y"] = np.random.default_rng(1).normal(0, 0.3, 800)
    y, covariate = (np.stack([blob[name], noise[name]]) for name in ("y", "covariate"))
    both = fit(y, blob["segments"], "joint", covariate=covariate)
    for b, d in enumerate((blob, noise)):
        alone = fit(d["y"], d["segments"], "joint", covariate=d["covariate"])
        mine = evaluate(both, covariate, d["segments"])[b]
        np.testing.assert_allclose(mine, at(alone, d["covariate"], d["segments"]), rtol=0, atol=1e-13)
    parts = np.split(both.payload.rest[0].y, both.payload.rest[0].offsets[1:-1])
    assert parts[0].any() and not parts[1].any()


def test_what_is_far_off_does_not_choose_the_surface() -> None:
    """Twenty spots that really differ, in one corner of noise: they are held at three deviations."""
    d = slide(7, 800, height=0.0)
    d["y"] = np.random.default_rng(1).normal(0, 0.3, 800)
    place = d["covariate"][:, 1:]
    hit = np.where((place[:, 0] < 4) & (place[:, 1] % 8 == 3), 8.0, 0.0)
    assert np.count_nonzero(hit) == 20
    plain, spoiled = (fit(d["y"] + h, d["segments"], "joint", covariate=d["covariate"]) for h in (0.0, hit))
    for found in (plain, spoiled):
        assert np.abs(found.payload.rest[0].y).max(initial=0) < 0.5


def test_a_fourth_round_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    d = slide(8)
    three = at(fit(d["y"], d["segments"], "joint", covariate=d["covariate"]), d["covariate"], d["segments"])
    assert ROUNDS == 3
    monkeypatch.setattr(composed, "ROUNDS", 4)
    four = at(fit(d["y"], d["segments"], "joint", covariate=d["covariate"]), d["covariate"], d["segments"])
    assert 0 < np.sqrt(np.mean((four - three) ** 2)) < 0.005, "of a noise of 0.3"


def test_generalized_cross_validation_is_what_it_is_called() -> None:
    left, w = np.array([[1.0, -2.0, 5.0, 0.5]]), np.array([[1.0, 0.5, 9.0, 2.0]])
    enters = np.array([[True, True, False, True]])
    assert composed._gcv(left, w, enters, 1.0) == pytest.approx(3 * (1 + 0.5 * 4 + 2 * 0.25) / 4)
    assert composed._gcv(left, w, enters, 3.0) == np.inf
    assert tuple(sorted(SPANS)) == SPANS and SPANS[-1] == 1 and PILOT in SPANS and HELD == 3
