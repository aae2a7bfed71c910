"""Direct local regression on one covariate and two: R's results, what must not matter, and degenerate windows."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridnorm.core.engines.numpy.lattice import FEWEST, MOST, STEPS, filled, lattice_of
from gridnorm.core.engines.numpy.loess import loess
from gridnorm.core.segments import Segments

RNG = np.random.default_rng(21)


def one(
    x: Any, y: Any, w: Any = None, use: Any = None, *, zero: str = "exclude", **options: Any
) -> tuple[int, np.ndarray, float]:
    """Count, fit and degrees of freedom of one segment; ``x`` is (item,) or (item, k)."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    n, fitted, freedom = loess(
        y[None, :, None], x.reshape(1, y.size, -1), Segments.single(y.size),
        None if w is None else np.asarray(w, float)[None], None if use is None else use[None],
        zero_weights=zero, **{"span": 0.3, "iterations": 4, "degree": 1, **options},
    )  # fmt: skip
    return int(n[0, 0]), fitted[0], float(freedom[0, 0])


def drawn(k: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, values and weights."""
    rng = np.random.default_rng(n + k)
    x = rng.uniform(0, 1, (n, k)) * [3, 20][:k]
    return x, np.sin(3 * x[:, 0]) + 0.1 * x[:, -1] + rng.normal(0, 0.2, n), rng.uniform(0.1, 1, n)


# ---- R's numbers ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(golden: Path) -> list[dict[str, np.ndarray]]:
    with gzip.open(golden / "loess.tsv.gz", "rt") as handle:
        titles = handle.readline().split()
        cells = np.array(handle.read().split(), float).reshape(-1, len(titles))
    table = dict(zip(titles, cells.T, strict=True))
    return [{t: table[t][table["case"] == k] for t in titles} for k in np.unique(table["case"])]


def test_fits_and_traces_are_those_of_r(cases: list[dict[str, np.ndarray]]) -> None:
    """One covariate with ties and two, on a grid and scattered; degrees 0 and 1, weights, zeros among them."""
    kinds, traces = set(), 0
    for case in cases:
        both = not np.isnan(case["z"]).any()
        x = np.stack([case["x"], case["z"]], axis=1) if both else case["x"]
        span, iterations, degree = (case[name][0] for name in ("span", "iterations", "degree"))
        _, fitted, freedom = one(
            x, case["y"], case["w"], zero="keep", span=span, iterations=int(iterations), degree=int(degree)
        )
        # Values of order 1 to 10; sums in another order.
        np.testing.assert_allclose(fitted, case["fitted"], rtol=0, atol=1e-12, err_msg=str(case["case"][0]))
        if iterations == 1:
            traces += 1
            assert freedom == pytest.approx(case["trace"][0], abs=1e-12 * fitted.size)
        kinds.add((both, degree, span, iterations, bool((case["w"] == 0).any())))
    assert len(cases) == 90 and traces >= 20
    assert {k[0] for k in kinds if k[4]} == {False, True} and {k[2] for k in kinds} == {0.3, 0.4, 1.0}


# ---- what must not matter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [0, 1])
@pytest.mark.parametrize("k", [1, 2])
def test_order_and_units_mean_nothing(k: int, degree: int) -> None:
    x, y, w = drawn(k)
    n, base, freedom = one(x, y, w, degree=degree)
    order = np.random.default_rng(2).permutation(y.size)
    for other, expected in (
        (one(x[order], y[order], w[order], degree=degree), base[order]),
        (one(x, 4 * y + 3, w, degree=degree), 4 * base + 3),
        (one(8 * x - 5, y, w, degree=degree), base),
        (one(x, y, 0.5 * w, degree=degree), base),
    ):
        assert other[0] == n == y.size
        np.testing.assert_allclose(other[1], expected, rtol=0, atol=1e-11)
        assert other[2] == pytest.approx(freedom, rel=1e-9)


def test_several_covariates_have_units_of_their_own() -> None:
    x, y, _ = drawn(2)
    np.testing.assert_allclose(one(x * [1000, 0.01], y)[1], one(x, y)[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("k", [1, 2])
def test_items_that_are_not_in_the_fit_get_a_value_and_have_no_say(k: int) -> None:
    x, y, w = drawn(k)
    out = np.arange(y.size) % 6 == 0
    n, alone, freedom = one(x[~out], y[~out], w[~out])
    at = one(x, np.where(out, np.nan, y), w)
    for found in (at, one(x, np.where(out, 1e6, y), w, ~out), one(x, np.where(out, 1e6, y), np.where(out, 0, w))):
        assert found[0] == n and found[2] == pytest.approx(freedom, rel=1e-12)
        np.testing.assert_allclose(found[1][~out], alone, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[1][out], at[1][out], rtol=0, atol=1e-12)
        assert np.abs(found[1][out] - y[out]).max() < 1.5, "near its neighbours"
    blank = x.copy()
    blank[out, -1] = np.nan
    nowhere = one(blank, y, w)
    np.testing.assert_array_equal(np.isnan(nowhere[1]), out)
    np.testing.assert_allclose(nowhere[1][~out], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_a_segment_and_a_batch_entry_are_what_they_are_alone(k: int) -> None:
    x, y, w = drawn(k)
    codes = np.random.default_rng(3).integers(0, 3, y.size)
    options: dict[str, Any] = {"span": 0.4, "iterations": 3, "degree": 1, "zero_weights": "exclude"}
    given = [np.stack([a, a[::-1]]) for a in (y[:, None], x, w)]
    n, fitted, _ = loess(given[0], given[1], Segments.from_codes(codes, "abcd"), given[2], None, **options)
    assert n[:, 3].tolist() == [0, 0]
    for b in range(2):
        for g in range(3):
            mine = codes == g
            alone = one(given[1][b, mine], given[0][b, mine, 0], given[2][b, mine], span=0.4, iterations=3)
            assert n[b, g] == alone[0]
            np.testing.assert_array_equal(fitted[b, mine], alone[1])


@pytest.mark.parametrize("k", [1, 2])
def test_pieces_of_the_computation_do_not_show(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, w = drawn(k)
    _, base, _ = one(x, y, w)
    module = importlib.import_module(loess.__module__)  # of the name of its function
    monkeypatch.setattr(module, "CELLS", 200)
    monkeypatch.setattr(module, "KEPT", 0)
    np.testing.assert_allclose(one(x, y, w)[1], base, rtol=0, atol=1e-13)


# ---- degenerate windows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [0, 1])
@pytest.mark.parametrize("k", [1, 2])
def test_where_all_covariates_are_equal_the_fit_is_one_mean(k: int, degree: int) -> None:
    """Of all, in any order, though a window holds fewer."""
    y, w = RNG.normal(size=9), RNG.uniform(0.1, 1, 9)
    n, fitted, freedom = one(np.full((9, k), 7.0), y, w, degree=degree, iterations=1)
    np.testing.assert_allclose(fitted, np.average(y, weights=w), rtol=1e-14)
    assert n == 9 and freedom == pytest.approx(1)


def test_ties_that_fill_a_window_count_together() -> None:
    x, y = np.repeat([1.0, 2.0, 5.0], 20), RNG.normal(size=60)
    order = RNG.permutation(60)
    fitted = one(x, y, iterations=1)[1]
    np.testing.assert_allclose(fitted, np.repeat(y.reshape(3, 20).mean(axis=1), 20), rtol=0, atol=1e-14)
    np.testing.assert_allclose(one(x[order], y[order])[1], one(x, y)[1][order], rtol=0, atol=1e-14)


@pytest.mark.parametrize("degree", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_items_are_met(n: int, degree: int) -> None:
    for x in (np.arange(n) + 0.5, np.stack([np.arange(n), np.arange(n) ** 2], axis=1)):
        found, fitted, freedom = one(x, 2.0 * np.arange(n), degree=degree)
        np.testing.assert_array_equal(fitted, 2.0 * np.arange(n))
        assert (found, freedom) == (n, n)
    assert one(np.full(n, np.nan), np.ones(n))[0] == 0 and np.isnan(one(np.full(n, np.nan), np.ones(n))[1]).all()


def test_exact_lines_and_planes_are_met_in_every_round() -> None:
    """Residuals that are rounding are not weighed."""
    for k in (1, 2):
        x = drawn(k, 300)[0]
        y = 2 * x[:, 0] - 0.3 * x[:, -1] + 1
        np.testing.assert_allclose(one(x, y, span=0.2, iterations=8)[1], y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_a_window_that_weighs_nothing_has_no_value_and_leaves_the_others_alone(k: int) -> None:
    x = np.stack([np.arange(200.0), np.zeros(200)][:k], axis=1)
    y = np.sin(x[:, 0] / 9)
    light = (x[:, 0] >= 60) & (x[:, 0] < 140)
    n, fitted, freedom = one(x, y, np.where(light, 0.0, 1.0), zero="keep", span=0.1)
    # Windows hold 20 items whatever they weigh, the farthest counts nothing: from 69 to 130 none weighs anything.
    assert n == 200 and np.isfinite(freedom)
    np.testing.assert_array_equal(np.isnan(fitted), (x[:, 0] >= 69) & (x[:, 0] <= 130))
    far = (x[:, 0] < 40) | (x[:, 0] >= 160)
    np.testing.assert_allclose(fitted[far], one(x, y, span=0.1)[1][far], rtol=0, atol=0.02)
    assert np.isfinite(one(x, y, np.where(light, 0.0, 1.0), span=0.1)[1]).all(), "those left out get a value"


def test_surfaces_over_a_line_have_no_slope_across_it() -> None:
    x = np.stack([np.arange(40.0), np.full(40, 3.0)], axis=1)
    np.testing.assert_allclose(one(x, x[:, 0])[1], x[:, 0], rtol=0, atol=1e-11)


# ---- the lattice ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("span", [0.1, 0.3, 1.0])
def test_a_lattice_is_close_to_the_direct_surface(span: float) -> None:
    """Noise of 0.2 around a surface that spans 3: apart by 0.01 of the noise's σ on average, by a sixth at most."""
    x, y, _ = drawn(2, 1500)
    (_, direct, full), (_, there, near) = (one(x, y, span=span, lattice=lattice) for lattice in (False, True))
    away = there - direct
    assert 0 < np.sqrt(np.mean(away**2)) < 0.004 and np.abs(away).max() < 0.035
    assert near == pytest.approx(full, rel=0.01)


@pytest.mark.parametrize("span", [0.1, 0.3, 1.0])
def test_a_lattice_meets_planes(span: float) -> None:
    x = drawn(2, 1500)[0]
    y = 2 * x[:, 0] - 0.3 * x[:, 1] + 1
    np.testing.assert_allclose(one(x, y, span=span, lattice=True)[1], y, rtol=0, atol=1e-11)


def test_vertices_are_a_quarter_of_a_window_apart_within_limits() -> None:
    at = np.array([[0.0, 0.0], [1.0, 2.0]])
    places = np.zeros((100_000, 2))
    for share, sides in ((1.0, (7, 12)), (4.0, (FEWEST, 7)), (0.01, (52, 80)), (1e-6, (80, 80))):
        radius = np.sqrt(share * 2 / np.pi)
        found = lattice_of(at, places, share)
        assert found is not None and (found.first.size, found.second.size) == sides
        asked = [int(np.ceil(length * STEPS / radius)) + 1 for length in (1.0, 2.0)]
        assert sides == tuple(min(max(n, FEWEST), MOST) for n in asked)
    assert found.vertices.shape == (6400, 2) and found.vertices[-1].tolist() == [1, 2]
    # Where it would be no gain, or where there is no area, fits are computed directly.
    assert lattice_of(at, places[:6400], 1e-6) is None and lattice_of(at, places[:6401], 1e-6) is not None
    assert lattice_of(np.zeros((2, 2)), places, 0.5) is None


def test_vertices_without_a_value_take_that_of_their_neighbours() -> None:
    nan = np.nan
    np.testing.assert_array_equal(filled(np.array([[1.0, nan, 3.0]])), [[1, 2, 3]])
    np.testing.assert_array_equal(filled(np.array([[1.0, nan, nan], [nan, nan, 5.0]])), [[1, 1, 5], [1, 5, 5]])
    np.testing.assert_array_equal(filled(np.full((2, 2), nan)), np.zeros((2, 2)))
    whole = RNG.normal(size=(3, 4))
    np.testing.assert_array_equal(filled(whole), whole)
