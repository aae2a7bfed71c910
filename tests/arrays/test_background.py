from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gridnorm.arrays import background as bg
from gridnorm.arrays import normexp
from gridnorm.arrays.logarithms import to_log_ratio
from gridnorm.errors import FitError, OptionError

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED_SETS = (
    "agilp", "aroma_gpr123", "aroma_gpr123_median", "aroma_imagene234", "aroma_spot123", "caarray_mm",
    "caarray_versions", "doelan_demo", "geworkbench_ras7_cut", "paa_dummy", "pepdat", "swirl",
)  # fmt: skip
EXACT = ("none", "subtract", "half", "minimum", "edwards")
LOCAL = ("none", "subtract", "half")  # methods whose result for a spot depends on that spot alone
POSITION = (np.repeat(np.arange(5), 8), np.tile(np.arange(8), 5))  # 40 spots on a 5 x 8 grid
# kooperberg and nec need columns of spots: their own files have these properties.
PLAIN = [name for name in bg.BACKGROUNDS if name not in ("kooperberg", "nec")]


def table(path: Path) -> dict[str, np.ndarray]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    titles, *cells = csv.reader(text.splitlines(), delimiter="\t")
    return {
        c[0]: np.array([np.nan if v == "NA" else float(v) for v in c[1:]]) for c in zip(titles, *cells, strict=True)
    }


def equal(got: np.ndarray, want: np.ndarray, atol: float, what: str) -> None:
    __tracebackhide__ = True
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=f"{what}: other values are missing")
    finite = np.isfinite(want)
    worst = np.abs(got - want)[finite].max(initial=0.0)
    assert worst <= atol, f"{what}: {worst}"
    np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])


def simulated(rows: int = 2, n: int = 40, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(150, 20, (rows, n)) + rng.exponential(300, (rows, n)), rng.normal(120, 25, (rows, n))


# ---- against limma -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHARED_SETS)
def test_real_arrays_equal_limma(name: str, shared: Path) -> None:
    folder = shared / "data" / "golden" / "limma" / name
    raw, want = table(folder / "raw.tsv.gz"), table(folder / "bc.tsv.gz")
    channels = ("R", "G") if "a1.R" in raw else ("E",)
    arrays = sorted({t.split(".")[0] for t in raw if t.endswith("." + channels[0])}, key=lambda a: int(a[1:]))
    compared = 0
    for a in arrays:
        e = np.stack([raw[f"{a}.{c}"] for c in channels])
        eb = np.stack([raw[f"{a}.{c}b"] for c in channels])
        for method in (*EXACT, "normexp"):
            got = bg.correct(
                e, eb, method, **({"offset": 50, "normexp_method": "saddle"} if method == "normexp" else {})
            )
            atol = 1e-9 if method == "normexp" else 1e-12
            what = f"{a} {method}"
            if channels == ("E",):
                equal(got.values[0], want[f"{a}.{method}.E"], atol, what)
            else:
                m, av, dark = to_log_ratio(*got.values)
                equal(m, want[f"{a}.{method}.M"], atol, what + " M")
                equal(av, want[f"{a}.{method}.A"], atol, what + " A")
                assert dark == (got.values <= 0).sum()
            compared += 1
    assert compared == 6 * len(arrays) > 0


@pytest.mark.parametrize("name", ["swirl", "aroma_gpr123", "pepdat"])
def test_real_arrays_normexp_fits_equal_limma(name: str, shared: Path) -> None:
    folder = shared / "data" / "golden" / "limma" / name
    raw = table(folder / "raw.tsv.gz")
    with (folder / "normexp_par.tsv").open() as f:
        lines = list(csv.DictReader(f, delimiter="\t"))
    log_sigma = {(r["array"], r["channel"]): float(r["log_sigma"]) for r in lines if r["method"] == "saddle"}
    for r in lines:
        title = f"{r['array']}.{r['channel']}"
        got = bg.correct(raw[title][None], raw[title + "b"][None], "normexp", normexp_method=r["method"]).fits
        assert got is not None
        if r["method"] == "saddle":
            found = (got[0].mu, got[0].log_sigma, got[0].log_alpha)
            assert found == pytest.approx([float(r[k]) for k in ("mu", "log_sigma", "log_alpha")], rel=1e-9), title
        else:  # where sigma goes to 0 limma stops on the way
            flat = log_sigma[r["array"], r["channel"]] < 0
            assert got[0].mu == pytest.approx(float(r["mu"]), rel=1e-4 if flat else 1e-5), title
            assert got[0].log_alpha == pytest.approx(float(r["log_alpha"]), abs=1e-3 if flat else 1e-5), title


@pytest.mark.parametrize("name", ["float", "integer", "dark", "sharp"])
@pytest.mark.parametrize("method", ["subtract", "half", "minimum", "edwards", "normexp", "normexp_mle"])
def test_own_fixture_equals_limma(name: str, method: str) -> None:
    with (GOLDEN / "background.tsv").open() as f:
        lines = [r for r in csv.DictReader(f, delimiter="\t") if r["set"] == name]
    e, eb, want = (np.array([float(r[k].replace("NA", "nan")) for r in lines]) for k in ("E", "Eb", method))
    got = bg.correct(
        e[None], eb[None], method.removesuffix("_mle"), offset=0,
        **({"normexp_method": method[8:] or "saddle"} if method.startswith("normexp") else {}),
    )  # fmt: skip
    # sharp: sigma is not identified, and below mu limma's formula is its own rounding noise
    loose = {"normexp": 1e-9, "normexp_mle": 1e-2 if name == "sharp" else 1e-4}
    equal(got.values[0], want, loose.get(method, 1e-12 * float(np.nanmax(e))), f"{name} {method}")


def movingmin_cases() -> dict[str, dict[str, np.ndarray]]:
    t = table(GOLDEN / "movingmin.tsv")
    cases = {str(int(k)): {c: v[t["case"] == k] for c, v in t.items()} for k in np.unique(t["case"])}
    for c in cases.values():
        c["y"] = ((c["tip_row"] - 1) * c["row"].max() + c["row"]).astype(np.int64)
        c["x"] = ((c["tip_column"] - 1) * c["column"].max() + c["column"]).astype(np.int64)
    return cases


@pytest.mark.parametrize("case", sorted(movingmin_cases()))
def test_movingmin_equals_limmas_matrix_and_printer_route(case: str) -> None:
    c = movingmin_cases()[case]
    e, eb = c["E"][None], c["Eb"][None]
    np.testing.assert_array_equal(bg.correct(e, eb, "movingmin", position=(c["y"], c["x"])).values[0], c["movingmin"])
    # order of the spots, and where the grid lies, do not matter
    p = np.random.default_rng(0).permutation(e.size)
    got = bg.correct(e[:, p], eb[:, p], "movingmin", position=(c["y"][p] - 9, c["x"][p] + 4000, p))
    np.testing.assert_array_equal(got.values[0], c["movingmin"][p])


# ---- movingmin beyond limma --------------------------------------------------------------------------------------


def by_definition(eb: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    near = (np.abs(y[:, None] - y) <= 1) & (np.abs(x[:, None] - x) <= 1)
    lowest = np.min(np.where(near & ~np.isnan(eb), eb, np.inf), axis=1)
    return np.where(np.isinf(lowest), np.nan, lowest)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_movingmin_is_the_lowest_background_in_reach_with_holes_doubles_and_gaps(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    y, x = (data.draw(hnp.arrays(np.int64, n, elements=st.sampled_from([-3, 0, 1, 2, 3, 5, 6, 10**12]))) for _ in "yx")
    eb = data.draw(hnp.arrays(np.float64, n, elements=st.sampled_from([np.nan, 1.0, 2.0, 3.0, 40.0])))
    got = bg.correct(np.full((1, n), 100.0), eb[None], "movingmin", position=(y, x))
    np.testing.assert_array_equal(got.values[0], 100 - by_definition(eb, y, x))
    assert bool(got.notes) == bool(np.isnan(got.values).any())


def test_movingmin_notes_spots_without_any_background_in_reach() -> None:
    eb = np.array([[np.nan, 5.0]])
    got = bg.correct(np.full((1, 2), 9.0), eb, "movingmin", position=(np.array([1, 1]), np.array([1, 4])), names=["G"])
    np.testing.assert_array_equal(got.values, [[np.nan, 4.0]])
    assert got.notes == ("G: movingmin: 1 spots have no background in their neighbourhood and are missing",)


# ---- properties --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name in PLAIN if not bg.BACKGROUNDS[name].together])
def test_rows_are_independent_to_the_last_bit(method: str) -> None:
    e, eb = simulated(4)
    together = bg.correct(e, eb, method, position=POSITION).values
    for i in range(4):
        alone = bg.correct(e[i : i + 1], eb[i : i + 1], method, position=POSITION).values[0]
        np.testing.assert_array_equal(together[i], alone)


@pytest.mark.parametrize("method", PLAIN)
def test_order_of_spots_does_not_matter_to_the_last_bit(method: str) -> None:
    e, eb = simulated()
    e[0, 3], eb[1, 7] = np.nan, np.nan
    p = np.random.default_rng(2).permutation(40)
    whole = bg.correct(e, eb, method, position=POSITION).values
    moved = bg.correct(e[:, p], eb[:, p], method, position=(POSITION[0][p], POSITION[1][p])).values
    np.testing.assert_array_equal(moved, whole[:, p])


@pytest.mark.parametrize("method", ["none", "subtract", "minimum", "movingmin", "edwards"])
def test_methods_without_a_constant_scale_with_the_unit(method: str) -> None:
    e, eb = simulated()
    one = bg.correct(e, eb, method, position=POSITION).values
    other = bg.correct(e * 4, eb * 4, method, position=POSITION).values  # a power of two: no rounding
    np.testing.assert_array_equal(other, one * 4)


@pytest.mark.parametrize("method", PLAIN)
def test_missing_foreground_stays_missing_and_input_is_not_changed(method: str) -> None:
    e, eb = simulated()
    e[0, 5] = np.nan
    before = e.copy(), eb.copy()
    got = bg.correct(e, eb, method, position=POSITION, offset=10).values
    np.testing.assert_array_equal(np.isnan(got), np.isnan(e))
    np.testing.assert_array_equal(e, before[0])
    np.testing.assert_array_equal(eb, before[1])
    assert got is not e


@pytest.mark.parametrize("method", ["subtract", "half", "minimum", "edwards", "normexp"])
def test_missing_background_makes_the_spot_missing(method: str) -> None:
    e, eb = simulated()
    eb[1, 9] = np.nan
    np.testing.assert_array_equal(np.isnan(bg.correct(e, eb, method).values), np.isnan(eb))


@pytest.mark.parametrize("method", PLAIN)
def test_offset_is_added_at_the_end_by_every_method(method: str) -> None:
    e, eb = simulated()
    plain = bg.correct(e, eb, method, position=POSITION, offset=0).values
    np.testing.assert_array_equal(bg.correct(e, eb, method, position=POSITION, offset=50).values, plain + 50)


@pytest.mark.parametrize("method", ["half", "minimum", "normexp"])
def test_methods_that_promise_positive_values_keep_it(method: str) -> None:
    e, eb = simulated()
    eb[0, :15] += 500
    assert (bg.correct(e, eb, method).values > 0).all()


@pytest.mark.parametrize("method", ["none", "subtract", "half", "minimum", "movingmin", "edwards"])
def test_a_row_without_any_value_stays_missing(method: str) -> None:
    e, eb = simulated()
    e[1] = np.nan
    got = bg.correct(e, eb, method, position=POSITION).values
    assert np.isnan(got[1]).all()
    assert not np.isnan(got[0]).any()


def test_normexp_without_background_works_on_the_foreground() -> None:
    e, _ = simulated()
    got = bg.correct(e, None, "normexp")
    same = bg.correct(e, np.zeros_like(e), "normexp")
    np.testing.assert_array_equal(got.values, same.values)
    assert got.fits == same.fits
    assert got.fits is not None
    assert len(got.fits) == 2
    np.testing.assert_array_equal(bg.correct(e, None, "none").values, e)


def test_a_background_without_spread_is_fitted_without_complaint() -> None:
    e = np.round(500 + np.random.default_rng(0).exponential(3000, (1, 300)))
    for method in ("scaled", "saddle"):
        got = bg.correct(e, None, "normexp", names=["R"], normexp_method=method)
        assert got.notes == ()
        assert got.fits is not None
        assert np.isfinite(got.values).all()
        if method == "saddle":
            assert got.fits[0].log_sigma - got.fits[0].log_alpha < np.log(1e-5)
        else:  # the darkest spot keeps some signal
            assert got.fits[0].sigma == pytest.approx(0.05 * got.fits[0].spread)


def test_minimum_and_edwards_by_hand() -> None:
    e, eb = np.array([[10.0, 10, 10, 10, 10]]), np.array([[2.0, 6, 10, 11, np.nan]])
    np.testing.assert_array_equal(bg.correct(e, eb, "minimum").values, [[8, 4, 2, 2, np.nan]])
    # d = 8 4 0 -1: half are not positive; the 0.55 quantile of (-1 0 4 8) lies at 1.65: 0 + .65*4 = 2.6
    want = [[8, 4, 2.6 * np.exp(1 - 1.26), 2.6 * np.exp(1 - 1.36), np.nan]]
    np.testing.assert_allclose(bg.correct(e, eb, "edwards").values, want, rtol=1e-15)


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["subtract", "half", "minimum", "movingmin", "edwards"])
def test_method_that_needs_a_background_says_so(method: str) -> None:
    with pytest.raises(OptionError, match=f"'{method}' needs background intensities.*Use none, or normexp"):
        bg.correct(np.ones((1, 3)), None, method, position=POSITION)


def test_wrong_options_say_what_was_expected() -> None:
    e = np.ones((1, 3))
    with pytest.raises(OptionError, match=r"found 'Half', expected none, subtract, half"):
        bg.correct(e, e, "Half")
    with pytest.raises(OptionError, match="needs the positions"):
        bg.correct(e, e, "movingmin")
    with pytest.raises(OptionError, match=r"not one position a spot; found \(2,\), \(3,\), expected \(3,\)"):
        bg.correct(e, e, "movingmin", position=(np.arange(2), np.arange(3)))
    with pytest.raises(OptionError, match=r"not one position a spot; found \(3,\), \(2,\), expected \(3,\)"):
        bg.correct(e, e, "movingmin", position=(np.arange(3), np.arange(2)))
    with pytest.raises(OptionError, match=r"differ in shape; found \(1, 2\), expected \(1, 3\)"):
        bg.correct(e, np.ones((1, 2)), "subtract")


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("minimum", "R: minimum cannot be used: .*found 20 values, all of them zero or less"),
        ("edwards", r"R: edwards cannot be used: .*found 20 of 20 values zero or less, expected at most 10/11"),
        ("normexp", "R: normexp cannot be fitted: .*1 of them distinct"),
    ],
)
def test_dark_row_is_an_error_that_names_row_method_and_way_out(method: str, says: str) -> None:
    e = np.full((2, 20), 5.0)
    e[0] = np.arange(20) + 30  # G is fine
    with pytest.raises(FitError, match=says) as caught:
        bg.correct(e, np.full((2, 20), 9.0), method, names=("G", "R"))
    assert caught.value.hint is not None


def test_edwards_at_its_limit() -> None:
    e = np.arange(1.0, 12.0)[None]  # 10 of 11 are zero or less: the threshold is the largest difference
    got = bg.correct(e, np.full((1, 11), 10.0), "edwards").values[0]
    # printed by limma's backgroundCorrect.matrix
    np.testing.assert_allclose(got[[0, 1, 9, 10]], [4.539993e-05, 1.110900e-02, 9.048374e-01, 1], rtol=1e-6)
    for k in (1, 2, 3, 7, 30):  # 1.1 * (10k / 11k) may round to just above 1
        many = np.tile(e, k)
        np.testing.assert_array_equal(
            bg.correct(many, np.full(many.shape, 10.0), "edwards").values, np.tile(got, k)[None]
        )


@pytest.mark.parametrize("method", LOCAL)
def test_no_spots_give_no_values(method: str) -> None:
    assert bg.correct(np.empty((2, 0)), np.empty((2, 0)), method).values.shape == (2, 0)


def test_movingmin_of_no_spots() -> None:
    none = np.empty(0, dtype=np.int64)
    assert bg.correct(np.empty((2, 0)), np.empty((2, 0)), "movingmin", position=(none, none)).values.shape == (2, 0)


# ---- defaults --------------------------------------------------------------------------------------------------------


def test_auto_stands_for_normexp_only_with_a_background() -> None:
    assert [bg.choose_background("auto", measured).name for measured in (True, False)] == ["normexp", "none"]


# ---- the automatic offset and what is doubted --------------------------------------------------------------------


def slide(seed: int = 4, n: int = 1500, noise: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """Two channels with some dark spots and background measured with noise."""
    rng = np.random.default_rng(seed)
    signal = np.where(rng.random(n) < 0.1, 0.0, np.exp2(rng.normal(9, 1.8, n)))
    e = np.stack([signal * np.exp2(rng.normal(0, 0.2, n)) for _ in "RG"]) + 150 + rng.normal(0, noise, (2, n))
    return e, np.full((2, n), 150.0)


@pytest.mark.parametrize("gains", [(4.0, 4.0), (1.7, 1.0), (0.01, 1.0), (1e-3, 1e-3), (1000.0, 0.3)])
@pytest.mark.parametrize("rounded", [False, True])
def test_log_ratios_do_not_see_the_gain_of_a_scanner(gains: tuple[float, float], rounded: bool) -> None:
    e, eb = slide()
    e = e.round() if rounded else e
    gain = np.array(gains)[:, None]
    one, two = bg.correct(e, eb, "normexp"), bg.correct(e * gain, eb * gain, "normexp")
    np.testing.assert_allclose(two.values, one.values * gain, rtol=1e-10)
    np.testing.assert_allclose(two.offsets, one.offsets * gain[:, 0], rtol=1e-12)
    assert one.fits is not None and all(fit.converged for fit in one.fits)


def test_the_automatic_offset_is_a_multiple_of_the_spread_of_the_darkest_spots() -> None:
    e, eb = slide()
    plain, auto = bg.correct(e, eb, "normexp", offset=0), bg.correct(e, eb, "normexp", offset="auto")
    low, high = np.quantile(e - eb, [0.01, 0.05], axis=1)
    np.testing.assert_allclose(auto.offsets, 1.1 * (high - low), rtol=1e-12)
    np.testing.assert_array_equal(auto.values, plain.values + np.array(auto.offsets)[:, None])
    assert plain.offsets == (0.0, 0.0) and bg.correct(e, eb, "normexp").offsets == auto.offsets
    assert bg.correct(e, eb, "normexp", offset=16).offsets == (16.0, 16.0)


def test_auto_is_nothing_for_one_channel_and_for_other_methods() -> None:
    e, eb = slide()
    assert bg.correct(e[:1], eb[:1], "normexp", ratio=False).offsets == (0.0,)
    for method in ("none", "subtract", "half"):
        got = bg.correct(e, eb, method, offset="auto")
        assert got.offsets == (0.0, 0.0)
        np.testing.assert_array_equal(got.values, bg.correct(e, eb, method).values)
    silent = bg.Background("own", lambda row: bg.Done(row.foreground), "", (bg.OFFSET._replace(default="auto"),))
    np.testing.assert_array_equal(bg.correct(e, eb, silent).values, e)


def test_a_mixture_that_is_not_there_is_said_once_for_both_channels() -> None:
    from statistics import NormalDist

    e = np.array([NormalDist(3000, 800).inv_cdf((k + 0.5) / 400) for k in range(400)]) * np.array([[1.0], [1.3]])
    for method in normexp.METHODS:
        note = bg.correct(e, None, "normexp", names=("R", "G"), normexp_method=method).notes[-1]
        assert note.startswith("R, G: normexp cannot tell signal from background")
        assert "--background=subtract or --background=none; found mean signal" in note


def test_small_numbers_and_a_fixed_offset_are_said_and_scaled_numbers_are_not() -> None:
    e, eb = slide()
    (note,) = bg.correct(e / 1000, eb / 1000, "normexp", offset=50, names=("R", "G")).notes
    assert note.startswith("R, G: normexp: most signals are smaller than the offset") and "100% below 50" in note
    assert bg.correct(e / 1000, eb / 1000, "normexp").notes == bg.correct(e, eb, "normexp").notes == ()


@pytest.mark.parametrize(("share", "said"), [(0.499, False), (0.501, True)])
def test_most_spots_on_the_floor_are_said(share: float, said: bool) -> None:
    e, eb = slide()
    found = bg.correct(e[:1], eb[:1], "normexp", offset=0).values[0]
    offset = float(np.quantile(found, share))
    assert bool(bg.correct(e[:1], eb[:1], "normexp", offset=offset).notes) == said


def test_a_search_that_was_stopped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from gridnorm.arrays.normexp import scaled

    monkeypatch.setattr(scaled, "_STEPS", 2)
    (note, _) = bg.correct(*slide(), "normexp", names=("R", "G")).notes
    assert note == "R: normexp: the fit was stopped after 3 evaluations and may not be the optimum"


@pytest.mark.parametrize("method", ["none", "subtract", "half", "minimum", "edwards"])
def test_intensities_without_end_are_missing_and_counted(method: str) -> None:
    most = 1.7e308
    fore = np.tile(np.linspace(100.0, 900.0, 40), (2, 1))
    back = np.full_like(fore, 20.0)
    fore[0, 3], fore[1, 5], back[1, 5] = most, most, -most
    done = bg.correct(fore, back, method, offset=1e308, names=("R", "G"))
    m, a, _ = to_log_ratio(*done.values)
    assert np.isinf(done.values).sum() == np.isinf(m).sum() == np.isinf(a).sum() == 0
    assert [np.flatnonzero(np.isnan(row)).tolist() for row in done.values] == [[3], [5]]
    assert "R: 1 corrected intensities are infinite and were taken as missing" in done.notes
    ends = bg.correct(fore, back, "subtract", names=("R", "G"))
    assert np.isnan(ends.values).sum() == 1 and ends.values[0, 3] == most, "what a number can hold is kept"
