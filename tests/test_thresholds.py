"""Every named threshold of the package: what lies on one side of it and on the other, with the number written out.

The last test lists the numeric constants of the package, so that a new one gets a pair here, or a reason for none.
"""

from __future__ import annotations

import ast
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import Cli, sheet, table, with_cells, with_rows

import gridnorm as gn
from gridnorm.arrays.align import SpotKeys, compare
from gridnorm.arrays.background import correct
from gridnorm.arrays.grouping import find_column, group_spots
from gridnorm.arrays.layout import infer_layout
from gridnorm.arrays.positions import Grid, Origins, block_origins, find_pads, grid_of
from gridnorm.arrays.raw import RawArray
from gridnorm.arrays.split import split_raw
from gridnorm.arrays.weights import saturated
from gridnorm.cli.table import summary
from gridnorm.core.engines.numpy.lowess import lowess
from gridnorm.core.fit import fit
from gridnorm.core.groups import normalize_groups
from gridnorm.core.methods import normalize_within
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, FormatError, GridnormWarning, LayoutError, OptionError
from gridnorm.io.atomic import sweep
from gridnorm.io.text import load
from gridnorm.io.write import write_table
from gridnorm.report.figures import drawn_groups
from gridnorm.report.panels import Panel
from gridnorm.workflow.inspect import failed_rules
from gridnorm.workflow.sidecar import Summary
from gridnorm.workflow.target import parse_precision

PACKAGE = Path(gn.__file__).parent


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, tmp_path)


# ---------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(("others", "another_run"), [(50, False), (51, True)])
def test_more_than_5_percent_of_other_ids_are_another_print_run(others: int, another_run: bool) -> None:
    n = 1000
    names = np.array([f"g{k}" for k in range(n)], "S8")
    one = SpotKeys(n, np.ones(n, np.int64), np.ones(n, np.int64), np.arange(1, n + 1), names)
    strange = names.copy()
    strange[:others] = b"x"
    two = replace(one, id=strange)
    if another_run:
        with pytest.raises(LayoutError, match="another print run; found another ID at 51 of 1000"):
            compare(one, two, "b.gpr")
    else:
        assert compare(one, two, "b.gpr").missing == 50


@pytest.mark.parametrize(("spots", "plates"), [(384, 1), (385, 2), (768, 2), (769, 3)])
def test_a_plate_holds_384_spots(spots: int, plates: int) -> None:
    assert of_one_tip("plate", spots) == plates


@pytest.mark.parametrize(("spots", "windows"), [(149, 1), (150, 1), (299, 1), (300, 2)])
def test_a_window_of_print_order_holds_150_spots(spots: int, windows: int) -> None:
    assert of_one_tip("print-order", spots) == windows


def of_one_tip(word: str, n: int) -> int:
    columns = {"Block": np.ones(n, np.int64), "Row": np.ones(n, np.int64), "Column": np.arange(1, n + 1)}
    return group_spots(word, columns, infer_layout(*columns.values()), n).n_segments


@pytest.mark.parametrize(("titles", "rest"), [(7, ", column 6"), (8, ", column 5 and 2 more")])
def test_6_titles_of_a_file_are_listed_or_one_more_where_that_is_all(titles: int, rest: str) -> None:
    with pytest.raises(OptionError) as caught:
        find_column("§", [f"column {k}" for k in range(titles)], "a.gpr")
    assert str(caught.value).endswith(rest)


def origins(x: Any, y: Any, spots: tuple[int, int] = (5, 4), pitch: float = 100.0) -> Origins:
    return Origins(np.asarray(x, float), np.asarray(y, float), pitch, pitch, *spots)


@pytest.mark.parametrize(("shift", "columns"), [(100.0, 1), (100.5, 2)])
def test_blocks_within_a_quarter_of_their_width_stand_in_one_line(shift: float, columns: int) -> None:
    found = grid_of(origins([0, shift], [0, 5000]), np.array([1, 2]))  # 4 columns of 100: 400 wide
    assert found is not None and (found.rows, found.columns) == (2, columns)


def pads_of(x: list[float], spots: tuple[int, int] = (1, 3), y: list[float] | None = None) -> int:
    """Pads of blocks in one row, or of two blocks by two."""
    if y is None:
        place = Grid(1, len(x), np.zeros(len(x), np.int64), np.arange(len(x)))
        return int(find_pads(origins(x, [0.0] * len(x), spots), place, *spots)[0].max())
    row, column = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    return int(find_pads(origins(x, y, spots), Grid(2, 2, row, column), *spots)[0].max())


@pytest.mark.parametrize(("gap", "pads"), [(600.0, 1), (601.0, 2)])
def test_a_gap_of_more_than_three_times_the_narrowest_sets_pads_apart(gap: float, pads: int) -> None:
    # 3 spots of 100 reach 200 far; blocks stand 400 apart, which leaves gaps of 200.
    assert pads_of([0, 400, 800, 1000 + gap]) == pads


@pytest.mark.parametrize(("distance", "pads"), [(10009.0, 1), (10011.0, 2)])
def test_pads_stand_more_than_a_tenth_farther_apart_than_blocks(distance: float, pads: int) -> None:
    # 91 spots reach 9000 far; gaps of 100 and of about 1010, which is ten times as much: what counts is 9100 · 1.1.
    assert pads_of([0, 9100, 18200, 18200 + distance], (1, 91)) == pads


@pytest.mark.parametrize(("distance", "pads"), [(1099.0, 1), (1101.0, 2)])
def test_blocks_a_tenth_farther_apart_across_than_down_are_no_print_head(distance: float, pads: int) -> None:
    # Down: distance 1000, gap 100. Across: gap of about 900, nine times as much.
    assert pads_of([0, distance, 0, distance], (10, 3), [0, 0, 1000, 1000]) == pads


@pytest.mark.parametrize(("far", "counted"), [(0.999e9, True), (1e9, False)])
def test_positions_of_1e9_and_more_are_none(far: float, counted: bool) -> None:
    index, place = np.zeros(4, np.int64), np.array([1, 1, 2, 2])
    x, y = np.array([0.0, 100.0, 0.0, far]), np.array([0.0, 0.0, 100.0, 100.0])
    found = block_origins(index, 1, place, np.array([1, 2, 1, 2]), x, y)
    assert found is not None and (found.pitch_x > 1e6) == counted


def raw(fore: Any, back: Any = None) -> RawArray:
    fore = np.atleast_2d(np.asarray(fore, float))
    return RawArray("a.gpr", "GPR", "", ("E",), ("",), fore, None if back is None else np.atleast_2d(back), {})


def test_full_scale_is_65535() -> None:
    assert saturated(raw([65534.0, 65534.9, 65535.0, 70000.0, np.nan])).tolist() == [False, False, True, True, False]


def in_groups(sizes: list[int]) -> RawArray:
    """Spots of as many samples as there are sizes, each with IDs of its own."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    made = raw(np.arange(1.0, labels.size + 1))
    return replace(made, spots={"Sample": labels, "ID": np.array([f"p{k}" for k in range(labels.size)], "S8")})


@pytest.mark.parametrize(("sizes", "arrays"), [([5, 5, 1], True), ([5, 4, 4], False), ([6, 4], True), ([5, 4], False)])
def test_most_parts_of_an_array_have_5_spots_or_more(sizes: list[int], arrays: bool) -> None:
    if arrays:
        assert len(split_raw(in_groups(sizes), None, "Sample")) == len(sizes)
    else:
        with pytest.raises(OptionError, match="too small to be arrays"):
            split_raw(in_groups(sizes), None, "Sample")


@pytest.mark.parametrize(("contents", "more"), [(4, ""), (5, " and 1 more")])
def test_4_contents_of_parts_are_listed(contents: int, more: str) -> None:
    (told,) = split_raw(in_groups([6] * contents), None, "Sample")[0].raw.warnings
    assert told.count("1 part of 6 spots") == 4 and f"(Sample 3){more}; of the {6 * contents} rows" in told


@pytest.mark.parametrize(
    ("values", "fits"),
    [([1.0, 2, 3], False), ([1.0, 2, 3, 3], True), ([1.0, 2, 2, 2, 2], False), ([1.0, 2, 4, 4, 4], True)],
)
def test_normexp_needs_4_values_of_which_3_differ(values: list[float], fits: bool) -> None:
    if fits:
        assert np.isfinite(correct(np.array([values]) * 100, None, "normexp").values).all()
    else:
        with pytest.raises(FitError, match="at least 4 values, 3 of them distinct"):
            correct(np.array([values]) * 100, None, "normexp")


# ---------------------------------------------------------------------------------------------- core


@pytest.mark.parametrize(("method", "least"), [("median", 5), ("mean", 5), ("mad", 5), ("zscore", 5), ("loess", 30)])
def test_smallest_groups_with_a_fit_of_their_own(method: str, least: int) -> None:
    rng = np.random.default_rng(0)
    sizes = [60, least, least - 1]
    segments = Segments.from_labels(np.repeat([0, 1, 2], sizes))
    covariate = {"covariate": rng.uniform(6, 15, sum(sizes))} if method == "loess" else {}
    done = normalize_within(rng.normal(size=sum(sizes)), segments, method, **covariate)
    assert done.fit is not None and done.fit.source.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("n", "span", "least"), [(8, 0.5, None), (7, 0.5, 8), (1, 0.5, 8), (14, 0.3, None), (13, 0.3, 14), (4, 1.0, None)]
)
def test_loess_of_fewer_than_4_values_a_window_is_told_with_the_smallest_size_that_is_none(
    n: int, span: float, least: int | None
) -> None:
    labels, x = np.repeat([0, 1], [40, n]), np.arange(40.0 + n)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        normalize_groups(np.sin(x), labels, "loess", covariate=x, span=span)
    texts = [str(w.message) for w in said if issubclass(w.category, GridnormWarning)]
    expected = f"loess with span {span} reproduces groups of fewer than {least} values: 1; consider min_group=30"
    assert texts == ([] if least is None else [expected])


def test_the_size_that_is_named_is_the_smallest_without_a_warning() -> None:
    for span in (0.07, 0.1, 0.3, 0.41, 0.5, 0.7, 1.0):
        x = np.arange(3.0)
        with pytest.warns(GridnormWarning) as said:
            normalize_groups(x, [0, 0, 0], "loess", covariate=x, span=span)
        least = int(str(said[0].message).split("fewer than ")[1].split()[0])
        assert least * span >= 4 > (least - 1) * span


def test_below_one_value_a_window_curves_are_the_values_themselves() -> None:
    x, y = np.repeat([1.0, 2.0], 4), np.array([0, 0.1, 0.2, 9, 0, 0.3, 0.5, -7])
    offsets = np.array([0, 8])

    def curve(span: float) -> np.ndarray:
        return lowess(x, y, offsets, span=span, iterations=4).y

    # 8 · .125 = 1: a robust fit, limma's .1005 and .2576; below it the means of equal x.
    np.testing.assert_allclose(curve(0.125), [0.1005, 0.2576], atol=5e-5)
    np.testing.assert_allclose(curve(0.1249), [2.325, -1.55], rtol=1e-12)


@pytest.mark.parametrize(("groups", "rest"), [(4, ", 3"), (5, " and 2 more")])
def test_3_names_are_listed_or_one_more_where_that_is_all(groups: int, rest: str) -> None:
    with pytest.raises(OptionError) as caught:
        fit(np.zeros(2), Segments.from_labels(["x", "y"]), "median").on(Segments.from_labels(np.arange(groups)))
    assert str(caught.value).endswith("leave their items out") and f"found 0, 1, 2{rest}, exp" in str(caught.value)


# ---------------------------------------------------------------------------------------------- io


@pytest.mark.parametrize(("minutes", "stale"), [(59, False), (61, True)])
def test_temporary_files_of_an_hour_are_stale(tmp_path: Path, minutes: int, stale: bool) -> None:
    name = f".a.tsv.00000000-{os.getpid()}-0a1b2c3d.tmp"  # of another machine: the age decides
    (tmp_path / name).write_bytes(b"")
    then = time.time() - 60 * minutes
    os.utime(tmp_path / name, (then, then))
    assert sweep(tmp_path) == ([name] if stale else [])


def test_six_decimals_unless_it_is_said(cli: Cli, tmp_path: Path) -> None:
    write_table(tmp_path / "x.tsv", {}, {"v": np.array([1 / 3, 2 / 3])})
    assert (tmp_path / "x.tsv").read_text() == "v\n0.333333\n0.666667\n"
    sheet().write(Path("a.gpr"))
    assert cli("normalize", "a.gpr", "-o", "a.tsv").code == 0
    cells = [cell.partition(".")[2] for cell in table(Path("a.tsv"))["M.a"] if cell]
    assert max(map(len, cells)) == 6


@pytest.mark.parametrize(("given", "fits"), [(0, True), (15, True), (16, False), (-1, False), ("full", True)])
def test_decimals_are_0_to_15(given: Any, fits: bool, tmp_path: Path) -> None:
    if fits:
        assert parse_precision(str(given)) == given
        write_table(tmp_path / "x.tsv", {}, {"v": np.array([0.5])}, precision=given)
        return
    with pytest.raises(OptionError, match="out of range"):
        parse_precision(given)
    with pytest.raises(OptionError, match="out of range"):
        write_table(tmp_path / "x.tsv", {}, {"v": np.array([0.5])}, precision=given)


@pytest.mark.parametrize("value", [999999999.4375, 1e9, 1234567890.4375, -999999999.4375, -1e9])
def test_numbers_on_both_sides_of_1e9_have_their_decimals(value: float, tmp_path: Path) -> None:
    write_table(tmp_path / "x.tsv", {}, {"v": np.array([value, 0.5])}, precision=3)
    assert (tmp_path / "x.tsv").read_text() == f"v\n{value:.3f}\n0.500\n"


@pytest.mark.parametrize(("above", "found"), [(199, True), (200, False)])
def test_titles_of_a_table_stand_in_the_first_200_lines(above: int, found: bool, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("remark\n" * above + "R,G\n" + "1,2\n3,4\n" * 3)
    if found:
        assert gn.read(tmp_path / "x.csv").R.shape == (6, 1)
    else:
        with pytest.raises(FormatError):
            gn.read(tmp_path / "x.csv")


def utf16(share: float, tmp_path: Path) -> str:
    """How a file of text in UTF-16 without a mark is read, of which this share of characters is not Latin."""
    n = 2000
    strange = round(n * share)
    text = ("\u0101" * 19 + "\n") * (strange // 19) + "a\n" * ((n - strange // 19 * 20) // 2)
    (tmp_path / "x.txt").write_bytes(text.encode("utf-16-be"))
    return load(tmp_path / "x.txt").encoding


def test_utf16_without_a_mark_is_known_where_seven_tenths_are_latin(tmp_path: Path) -> None:
    assert utf16(0.0, tmp_path) == utf16(0.27, tmp_path) == "utf-16-be"
    with pytest.raises(FormatError, match="NUL bytes"):
        utf16(0.33, tmp_path)


def test_utf16_without_a_mark_may_hold_characters_whose_other_byte_is_zero(tmp_path: Path) -> None:
    text = "Ā" + "Block\tRow\n" * 40  # U+0100: its second byte is the zero
    (tmp_path / "x.txt").write_bytes(text.encode("utf-16-be"))
    assert load(tmp_path / "x.txt").data == text.encode()
    with pytest.raises(FormatError, match="NUL bytes"):  # a tenth of them: neither kind of text
        (tmp_path / "x.txt").write_bytes(("Ā" * 12 + "a" * 88).encode("utf-16-be"))
        load(tmp_path / "x.txt")


@pytest.mark.parametrize(("lines", "joined"), [(20, True), (21, False)])
def test_a_quoted_cell_spans_20_lines(lines: int, joined: bool, tmp_path: Path) -> None:
    given = with_rows(sheet(), range(30))
    given = with_cells(given, "Name", [3], "\r\n".join(["x"] * lines))
    given.write(tmp_path / "a.gpr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)
        try:
            spots = gn.read(tmp_path / "a.gpr").n_spots
        except FormatError:
            spots = None
    assert (spots == 30) == joined


@pytest.mark.parametrize(("line", "known"), [(2000, True), (2001, False)])
def test_titles_of_a_gpr_are_looked_for_among_2000_lines(line: int, known: bool, tmp_path: Path) -> None:
    text = sheet().text().split("\r\n")
    more = line - 1 - next(k for k, one in enumerate(text) if one.startswith('"Block"'))
    # The count of header records is wrong, as spreadsheets leave it.
    (tmp_path / "a.gpr").write_text("\r\n".join([*text[:2], *['"Remark=x"'] * more, *text[2:]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)
        try:
            found = gn.read(tmp_path / "a.gpr").n_spots == 224
        except FormatError:
            found = False
    assert found == known


# ---------------------------------------------------------------------------------------------- workflow, report, cli


@pytest.mark.parametrize(
    ("name", "limit"), [("flagged", 0.3), ("saturated", 0.05), ("not_above_background", 0.5), ("missing", 0.1)]
)
def test_limits_of_quality(name: str, limit: float) -> None:
    assert failed_rules({"file": "a.gpr", "quality": {name: limit}}) == []
    said = failed_rules({"file": "a.gpr", "quality": {name: limit + 1e-6}})
    assert len(said) == 1 and said[0].startswith("a.gpr: ") and said[0].endswith(f"more than {limit:.0%}")


def panel(sizes: list[int]) -> Panel:
    n, groups = sum(sizes), len(sizes)
    zero = np.zeros(n)
    segments = Segments.from_labels(np.repeat(np.arange(groups), sizes))
    shifts = np.linspace(-1, 1, groups)
    return Panel("a", "tip", "loess", zero, zero, zero, segments, shifts, shifts, np.ones(n, bool))


def test_curves_are_drawn_through_30_spots_and_of_64_groups() -> None:
    assert drawn_groups(panel([30, 29, 31])) == [0, 2]
    assert drawn_groups(panel([30] * 64)) == list(range(64))
    drawn = drawn_groups(panel([30] * 65))
    assert len(drawn) == 64 and drawn[0] == 0 and drawn[-1] == 64


@pytest.mark.parametrize(("arrays", "more"), [(16, False), (17, True)])
def test_16_arrays_are_drawn(arrays: int, more: bool) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.text import Text

    from gridnorm.report import ma_by_group

    done = gn.normalize(
        gn.simulate(arrays, blocks=(1, 2), spots=(4, 4), channels=1, seed=2).arrays,
        by="print-tip",
        background="none",
        min_group=0,
    )
    said = [text.get_text() for text in ma_by_group(done).findobj(Text)]
    assert f"array{16}" in said and f"array{17}" not in said
    assert any("16 of the 17" in text or "of 17" in text for text in said) == more


@pytest.mark.parametrize(("arrays", "drawn"), [(16, 16), (17, 16)])
def test_of_a_folder_16_arrays_are_kept_for_the_figure(cli: Cli, arrays: int, drawn: int) -> None:
    from gridnorm.workflow.output import normalize_to
    from gridnorm.workflow.settings import make_settings
    from gridnorm.workflow.target import Request

    small = with_rows(sheet(), range(60))
    Path("in").mkdir()
    for k in range(arrays):
        small.write(Path(f"in/a{k:02}.gpr"))
    seen: list[int] = []

    def draw(sets: Any, total: int) -> bytes:
        assert total == arrays
        seen.append(sum(len(one) for one in sets))
        return b"picture"

    request = Request("out/", figure="x.png", draw=draw, most_drawn=16)
    done = normalize_to(["in"], make_settings({"method": "median", "background": "none"}), request)
    assert len(done.arrays) == arrays and seen == [drawn]


@pytest.mark.parametrize(("length", "shown"), [(32, "x" * 32), (33, "…" + "x" * 31)])
def test_names_of_32_characters_are_shown_whole(length: int, shown: str) -> None:
    nothing = (np.nan, np.nan)
    one = Summary("x" * length, 1, 0, 0, 1, "none", (), nothing, nothing, "none")
    assert summary([one])[1].split()[0] == shown


@pytest.mark.parametrize(("groups", "rows"), [(20, 20), (21, 20)])
def test_20_groups_and_6_channels_of_a_norm_are_shown(groups: int, rows: int) -> None:
    from gridnorm.nn import group_doctor

    assert len(group_doctor._some(range(6)).split(", ")) == 6 and "more" not in group_doctor._some(range(6))
    assert group_doctor._some(range(7)) == "0, 1, 2, 3, 4, 5 and 1 more"
    x = np.random.default_rng(0).normal(size=(8, 2 * groups, 4, 4))
    lines = group_doctor._table(group_doctor.doctor(x, groups, permutations=9))
    assert sum(line.split()[0].isdigit() for line in lines) == rows


# ---------------------------------------------------------------------------------------------- the list

# Constants without a pair here, each with its reason.
SIZES = "a size of steps in memory: results do not depend on it"
CODES = "a code or a name of the outside world, compared for equality only"
ELSEWHERE = {
    "arrays/background.py:_LEAST": "test_background.py: limma's own numbers",
    "arrays/background.py:_EDWARDS_ZERO": "test_background.py::test_edwards_at_its_limit",
    "arrays/background.py:_EDWARDS_SHARE": "test_background.py::test_edwards_at_its_limit",
    "arrays/kooperberg/calibration.py:_UP": "a place in a neighbourhood",
    "arrays/kooperberg/calibration.py:_LEFT": "a place in a neighbourhood",
    "arrays/kooperberg/calibration.py:_HERE": "a place in a neighbourhood",
    "arrays/kooperberg/calibration.py:_RIGHT": "a place in a neighbourhood",
    "arrays/kooperberg/calibration.py:_DOWN": "a place in a neighbourhood",
    "arrays/kooperberg/channel.py:FULL_SCALE": "test_channel.py::test_no_signal_is_above_full_scale",
    "arrays/kooperberg/channel.py:_BLOCK": SIZES,
    "arrays/kooperberg/limma.py:_SMALLEST": "where two formulas of one function meet",
    "arrays/kooperberg/limma.py:DEVIATIONS": "kooperberg/test_limma.py: limma's own numbers",
    "arrays/kooperberg/limma.py:FARTHEST": "kooperberg/test_limma.py: limma's own numbers",
    "arrays/kooperberg/limma.py:_NODES": "test_limma.py::test_the_rule_integrates_polynomials_exactly",
    "arrays/kooperberg/limma.py:_WEIGHTS": "test_limma.py::test_the_rule_integrates_polynomials_exactly",
    "arrays/kooperberg/limma.py:HALVES": "kooperberg/test_limma.py: limma's own numbers",
    "arrays/kooperberg/posterior.py:CERTAIN": "test_posterior.py::test_it_is_the_integral",
    "arrays/kooperberg/posterior.py:_LOST": "test_posterior.py::test_it_is_the_integral",
    "arrays/kooperberg/posterior.py:_NODES": "test_posterior.py::test_it_is_the_integral",
    "arrays/kooperberg/posterior.py:_LEAST": "test_posterior.py::test_a_foreground_without_error_is_the_limit_of_small_ones",
    "arrays/kooperberg/posterior.py:_ROUNDS": "test_posterior.py: how long the search is",
    "arrays/negative_controls.py:OFFSET": "test_negative_controls.py: limma's own numbers",
    "arrays/negative_controls.py:LEAST_ALPHA": "test_negative_controls.py::test_the_mean_signal_is_10_at_least",
    "arrays/negative_controls.py:FEWEST": "test_negative_controls.py::test_what_has_no_model_is_named",
    "arrays/annotate.py:ENOUGH": "test_annotate.py::test_a_file_with_few_ids_of_its_own_says_that_geometry_is_all_there_is",
    "arrays/corrections/plates.py:FEW": "test_plates.py::test_a_plate_of_fewer_than_10_values_is_said",
    "arrays/corrections/print_order.py:ITERATIONS": "test_print_order.py: limma's numbers",
    "arrays/corrections/print_order.py:ROUNDING": "test_print_order.py::test_a_window_holds_a_spot",
    "arrays/blocks.py:SHOWN_LEAST": "test_blocks.py: what would be shown as 0.00 is not told",
    "arrays/doubts.py:FEW": "test_doubts.py::test_a_group_of_few_spots_has_no_rate",
    "arrays/doubts.py:USUAL": CODES,
    "arrays/tip_effect.py:LONG": "test_tip_effect.py::test_few_and_small_blocks_are_not_tested",
    "arrays/tip_effect.py:BOTH": "test_tip_effect.py::test_few_and_small_blocks_are_not_tested",
    "arrays/normexp/scaled.py:_NEXT": "test_scaled.py::test_a_few_spots_far_below_all_others_are_no_noise",
    "arrays/normexp/scaled.py:FARTHEST": "test_scaled.py::test_a_few_spots_far_below_all_others_are_no_noise",
    "arrays/subset.py:SHOWN_ROWS": "test_subset.py::test_a_page_shows_20_arrays_and_counts_the_others",
    "plain.py:WHOLE": "no limit: names of files are not cut",
    "core/weights.py:LARGEST_WEIGHT": "test_weights.py::test_the_largest_weights_still_give_the_numbers_of_equal_ones",
    "core/pooling.py:_REACH": "test_pooling.py::test_one_group_far_off_among_many_is_far_off",
    "arrays/doubts.py:APART": "test_doubts.py::test_21_points_and_more_than_chance_are_named",
    "arrays/control_spots.py:BEYOND": "test_control_spots.py::test_more_than_a_twentieth_beyond_all_controls_are_said",
    "arrays/doubts.py:BEYOND_CHANCE": "test_doubts.py::test_21_points_and_more_than_chance_are_named",
    "arrays/doubts.py:MOST_FLAGGED": "test_doubts.py::test_an_array_that_is_mostly_flagged_is_named",
    "arrays/doubts.py:DARK": "test_doubts.py::test_limits_of_a_channel_without_signal",
    "arrays/doubts.py:LIT": "test_doubts.py::test_limits_of_a_channel_without_signal",
    "arrays/doubts.py:TOGETHER": "test_doubts.py::test_limits_of_a_channel_without_signal",
    "arrays/doubts.py:NOTHING": "test_doubts.py::test_pooled_groups_have_something_of_their_own_unless_all_are_tiny",
    "arrays/doubts.py:LOOKED_AT": "a size of a sample: quartiles of 4096 spots are those of all within 0.03",
    "arrays/raw.py:NOT_FOUND": CODES,
    "arrays/background.py:OFFSET_SPREADS": "test_background.py: the automatic offset; truth_offset.py has its reasons",
    "arrays/normexp/doubts.py:MOST": "test_background.py::test_most_spots_on_the_floor_are_said",
    "arrays/normexp/scaled.py:LEAST_SIGMA": "test_scaled.py: fits at and above the bound",
    "arrays/normexp/scaled.py:LEAST_ALPHA": "test_scaled.py: fits at and above the bound",
    "arrays/normexp/scaled.py:_BRIGHT": "test_scaled.py: continuous where the formulas meet",
    "arrays/normexp/scaled.py:_LOW": "test_scaled.py: quantiles of known values",
    "arrays/normexp/scaled.py:_HIGH": "test_scaled.py: quantiles of known values",
    "arrays/normexp/scaled.py:_STEPS": "test_background.py::test_a_search_that_was_stopped_is_said",
    "arrays/normexp/scaled.py:_SEEN": "test_scaled.py: how the search ends; results scale with the data",
    "arrays/normexp/scaled.py:_SHORT": "test_scaled.py: how the search ends; results scale with the data",
    "arrays/normexp/scaled.py:_LONGEST": "test_scaled.py: how the search goes, the optimum does not depend on it",
    "arrays/nelder_mead.py:MAX_EVALUATIONS": "test_nelder_mead.py",
    "arrays/nelder_mead.py:_TOLERANCE": "test_normexp.py: limma's numbers of evaluations",
    "arrays/normexp/normal.py:TAIL": "test_normexp.py: continuous where the formulas meet",
    "arrays/normexp/saddle.py:_CHUNK": SIZES,
    "arrays/simulate/slide.py:BLOB_RADIUS": "test_simulate.py::test_a_blob_is_somewhere_and_changes_nothing_else",
    "arrays/simulate/slide.py:SPOT_PITCH": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:LOWEST": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:HIGHEST": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:EMPTY_LEVEL": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:SPOT_SD": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:DAMAGE_SD": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:READING_SD": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:BACKGROUND_SD": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:BACKGROUND_STEP": "a fact of what is made, no threshold",
    "arrays/simulate/slide.py:NOT_FOUND": CODES,
    "arrays/simulate/slide.py:BAD": CODES,
    "arrays/array_weights.py:FEWEST": "test_array_weights.py::test_three_arrays_are_needed",
    "arrays/array_weights.py:LEAST_SPARE": "test_array_weights.py::test_two_residual_degrees_of_freedom_are_needed",
    "arrays/array_weights.py:END": "test_variances.py: what limma finds when it goes as far",
    "arrays/array_weights.py:LIMMAS_TOL": "test_array_weights.py::test_swirl_has_limmas_array_weights",
    "core/variances.py:ROWS_AT_ONCE": SIZES,
    "core/variances.py:EXACT": "test_variances.py::test_a_high_level_does_not_make_noise_exact",
    "core/variances.py:RANK": "test_variances.py::test_reml_takes_what_a_row_has",
    "core/variances.py:ROUNDING": "test_variances.py::test_no_step_lowers_the_likelihood",
    "core/variances.py:SHORTEST": "test_variances.py::test_no_step_lowers_the_likelihood",
    "core/variances.py:STALLS": "test_variances.py: one bad column, whose search ends by it",
    "arrays/replicates.py:WIDE": "test_replicates.py::test_replicates_that_agree_are_all_taken",
    "provenance.py:SCHEMA_VERSION": CODES,
    "arrays/between/target.py:SCHEMA": CODES,
    "core/across/__init__.py:MOST_ROUNDS": "across/test_cyclic.py::test_the_number_of_rounds_has_an_end",
    "core/across/cyclic.py:PAIRS_AT_ONCE": "across/test_cyclic.py: more entries than are fitted at once",
    "workflow/inspect.py:INSPECT_SCHEMA": CODES,
    "workflow/workers.py:AHEAD": "test_execute.py: bounds memory, results do not depend on it",
    "workflow/workers.py:PATIENCE": "seconds until a worker is killed that does not leave",
    "workflow/workers.py:STILLBORN": "test_execute.py: how many are started before it is given up",
    "io/gpr_write.py:_TOO_LARGE": "what GenePix writes, no threshold",
    "io/gpr_write.py:_LOG_TOO_LARGE": "what GenePix writes, no threshold",
    "io/gpr_write.py:_ROWS": SIZES,
    "io/cells.py:LEAD": SIZES,
    "io/cells.py:_LONGEST": "test_table.py: every number of any length equals float()",
    "io/text.py:_BLOCK": SIZES,
    "io/table.py:_BLOCK": SIZES,
    "io/write.py:_BLOCK_WORDS": SIZES,
    "io/write.py:_BLOCK_NUMBERS": SIZES,
    "io/atomic.py:_NAME_BYTES": "test_atomic.py::test_long_names_work",
    "io/atf.py:_SNIFFED": "the reading of sniffed files is test_registry.py's",
    "core/spread/permutation.py:_CHUNK": SIZES,
    "core/spread/permutation.py:_TIE": "test_spread.py: ties of permutations",
    "core/spread/difference.py:PARTS": "spread/test_difference.py::test_two_groups_of_four_items_are_needed",
    "core/spread/difference.py:MANY_ITEMS": "spread/test_difference.py: a quarter of large groups, else a half",
    "core/spread/difference.py:ENOUGH_ITEMS": "spread/test_difference.py: groups of 6000 items stand for all",
    "core/spread/difference.py:ENOUGH_GROUPS": "spread/test_difference.py: and twelve at least",
    "core/spread/difference.py:_Z": "a number of mathematics",
    "core/spread/difference.py:_STUDENT": "a number of mathematics",
    "arrays/tip_effect.py:DEGREE": "test_tip_effect.py: surfaces of the third degree go, of the fourth stay",
    "arrays/tip_effect.py:MOST_SHIFTS": "test_tip_effect.py: numbers of shifts",
    "arrays/tip_effect.py:FEWEST_SHIFTS": "test_tip_effect.py: what is too small to be tested",
    "arrays/tip_effect.py:LEAST_SPOTS": "test_tip_effect.py: what is too small to be tested",
    "arrays/tip_effect.py:_CLIP": "test_tip_effect.py: outliers are drawn in to three deviations",
    "arrays/tip_effect.py:_PASSES": "passes of a robust fit; the truth measurements hold with them",
    "arrays/tip_effect.py:_ROUNDING": "test_tip_effect.py: nothing is left of a constant, something of noise of 1e-9",
    "workflow/explained.py:ALPHA": "test_explained.py: a tip effect is named below 0.05",
    "workflow/explained.py:_DIGITS": "how shares are written, no threshold",
    "core/across/vsn/__init__.py:LEAST_ITEMS": "across/test_vsn.py::test_a_group_needs_42_items_of_each_entry",
    "core/across/vsn/__init__.py:SAME": "across/test_vsn.py: copies are refused, and noise of 1e-9 is fitted",
    "core/across/vsn/__init__.py:BENT": "across/test_vsn.py::test_curves_that_are_lines_are_refused",
    "core/across/vsn/__init__.py:QUANTILES": "where a search starts, the optimum does not depend on it",
    "core/across/vsn/likelihood.py:AT_ONCE": SIZES,
    "core/across/vsn/newton.py:MOST_STEPS": "across/test_vsn.py: what has no optimum is named; fits take about 40",
    "core/across/vsn/newton.py:CLOSE": "across/test_vsn.py: no search from elsewhere finds more",
    "core/across/vsn/newton.py:DAMPING": "how the search goes, the optimum does not depend on it",
    "core/across/vsn/newton.py:_LEAST": "how the search goes, the optimum does not depend on it",
    "core/across/vsn/newton.py:_MOST": "how the search goes, the optimum does not depend on it",
    "core/across/vsn/newton.py:_TRUSTED": "how the search goes, the optimum does not depend on it",
    "core/across/vsn/newton.py:_DOUBTED": "how the search goes, the optimum does not depend on it",
    "core/across/vsn/rounds.py:SLICES": "across/test_vsn.py: the package's variance to the last digit, of its five slices",
    "core/robust/huber.py:K": "core/robust/test_huber.py::test_weights_are_hubers",
    "core/robust/huber.py:NORMAL": "a number of mathematics, in MASS's four digits",
    "core/robust/huber.py:RANK": "core/robust/test_huber.py::test_what_is_left_of_a_column_decides_its_rank",
    "core/robust/huber.py:SMALLEST": "core/robust/test_huber.py::test_a_round_stops_by_how_far_residuals_moved",
    "core/robust/huber.py:AT_ONCE": SIZES,
    "core/robust/huber.py:_PASSES": "bases are orthonormal to rounding: the numbers of limma hold with them",
    "core/robust/huber.py:_MOST_LEFT": "bases are orthonormal to rounding: the numbers of limma hold with it",
    "core/robust/natural.py:APART": "core/robust/test_natural.py::test_equal_knots_are_one",
    "core/robust/splines.py:ACCURACY": "limma's stopping rule: core/robust/test_splines.py::test_splines_are_limmas",
    "core/robust/splines.py:ROUNDS": "limma's stopping rule: core/robust/test_splines.py::test_splines_are_limmas",
    "core/robust/splines.py:MOST_KNOTS": "core/robust/test_splines.py::test_it_pools_groups_itself",
    "core/robust/splines.py:OF_WHOLE": CODES,
    "core/robust/splines.py:SHRUNKEN": CODES,
    "core/robust/effects.py:ACCURACY": "core/robust/test_effects.py::test_effects_are_those_of_mass",
    "core/robust/effects.py:ROUNDS": "core/robust/test_effects.py::test_what_does_not_settle_is_refused",
    "core/robust/effects.py:SETTLED": "core/robust/test_effects.py::test_what_does_not_settle_is_refused",
    "core/robust/effects.py:EXACT": "core/robust/test_effects.py::test_values_without_noise_are_met_exactly",
    "core/robust/effects.py:MOST_LEVELS": "core/robust/test_effects.py::test_4096_groups_are_compared_and_no_more",
    "core/robust/effects.py:SINGULAR": "core/robust/test_effects.py::test_effects_that_cannot_be_told_apart_are_none",
    "core/robust/effects.py:AT_ONCE": SIZES,
    "core/engines/activation.py:_DENSITY": "a number of mathematics",
    "core/payload.py:WINDOW": "test_pooling.py::test_few_values_are_fitted_with_25_in_a_window",
    "core/payload.py:BENDS": "test_pooling.py::test_the_noise_of_a_shape_is_what_it_is_said_to_be",
    "core/payload.py:LOG_SCALE": "test_pooling.py::test_the_noise_of_scales_and_medians_is_what_it_is_said_to_be",
    "core/surfaces.py:WINDOW": "core/test_surfaces.py::test_few_values_are_fitted_with_36_in_a_window",
    "core/surfaces.py:BENDS": "core/test_surfaces.py::test_the_noise_of_a_shape_is_what_it_is_said_to_be",
    "core/composed.py:ROUNDS": "core/test_composed.py::test_a_fourth_round_changes_little",
    "core/composed.py:SPANS": "core/test_composed.py: curves and a surface are found together; of noise there is none",
    "core/composed.py:PILOT": "core/test_composed.py::test_what_is_far_off_does_not_choose_the_surface",
    "core/composed.py:HELD": "core/test_composed.py::test_what_is_far_off_does_not_choose_the_surface",
    "core/pooling.py:_MAD": "a number of mathematics",
    "core/pooling.py:_MEDIAN": "a number of mathematics",
    "core/pooling.py:_MUTE": "test_pooling.py::test_where_the_noise_cannot_be_told_nothing_is_kept",
    "core/pooling.py:_TOLD": "test_pooling.py::test_half_of_the_values_must_lie_in_groups_that_tell_the_noise",
    "core/pooling.py:_HELD": "test_pooling.py::test_accidents_do_not_count_as_noise_without_end",
    "core/pooling.py:_LONGEST": "test_pooling.py::test_one_wild_shape_does_not_let_in_the_noise_of_the_others",
    "core/pooling.py:_FREE": "test_pooling.py::test_shares_are_those_of_the_true_variances",
    "core/pooling.py:_ROUNDS": "test_pooling.py::test_shares_are_those_of_the_true_variances",
    "core/pooling.py:_NOTHING": "test_pooling.py::test_constant_groups_and_equal_groups_are_no_trouble",
    "core/statistic.py:MOST_ITERATIONS": "test_hostile.py::test_the_most_that_may_be_asked_for",
    "arrays/simulate/simulated.py:_MOST_SPOTS": "test_hostile.py::test_the_most_that_may_be_asked_for",
    "io/text.py:_FIRST_STEP": SIZES,
    "arrays/weights.py:SHOWN": "as in odd_cells.py",
    "io/text.py:_BEGINNING": "test_foreign.py::test_binary_files_are_named: what is no text shows it at once",
    "io/formats/foreign.py:_LOOKED_AT": "as much as is read of a file to recognise it",
    "io/formats/foreign.py:_SHOWN": "test_foreign.py::test_of_an_unknown_file_20_printable_characters_are_shown",
    "io/formats/foreign.py:_TITLES": "test_foreign.py::test_a_table_without_roles_is_shown_by_its_titles",
    "io/roles.py:_SHOWN": "test_roles.py::test_titles_that_are_not_there_are_shown_with_the_nearest",
    "io/odd_cells.py:_SHOWN": "test_odd_cells.py::test_of_a_cell_40_characters_are_shown",
    "io/columns.py:MOST_BLOCKS": "test_columns.py::test_rows_and_columns_of_blocks_are_numbered_from_1_to_a_million",
    "io/formats/gpr.py:SHORTEST": "test_gpr.py::test_an_image_without_a_wavelength_is_a_channel_of_that_number",
    "workflow/target.py:_NAME_BYTES": "test_hostile.py::test_names_too_long_for_a_file_are_cut_not_refused",
    "workflow/target.py:_LABEL_BYTES": "test_hostile.py::test_names_too_long_for_a_file_are_cut_not_refused",
    "core/huber_location.py:NEAR": "test_huber_location.py: MASS's numbers",
    "core/huber_location.py:TOLERANCE": "test_huber_location.py: MASS's numbers, which are those of its last step but one",
    "core/fit.py:OWN": CODES,
    "core/fit.py:WHOLE_FIT": CODES,
    "core/fit.py:MERGED": CODES,
    "core/fit.py:SHRUNK": CODES,
    "core/affine.py:SHARE": "test_affine.py::test_at_most_the_share_of_points_falls_below_the_offsets_and_one_more_would",
    "core/affine.py:MOST_SHARE": "core/test_affine.py::test_a_constraint_is_a_share_or_the_diagonal",
    "core/affine.py:FEWEST": "core/test_affine.py::test_three_points_are_enough",
    "core/affine.py:LEAST_SLOPE": "core/test_affine.py::test_a_slope_of_a_millionth_of_the_largest_is_one",
    "core/affine.py:SAME_SLOPES": "core/test_affine.py::test_slopes_within_a_tenth_do_not_tell_the_diagonals_offsets",
    "core/affine.py:_NEAREST": "core/test_affine.py: points exactly on a line; results scale with the data",
    "core/affine.py:_STILL": "core/test_affine.py: how the search ends; results scale with the data",
    "core/affine.py:_ROUNDS": "core/test_affine.py: how long the search is; fits take about 100",
    "core/affine.py:_ROUND": "core/test_affine.py::test_what_has_no_line_is_named",
    "nn/onnx.py:_PER_CHANNEL": CODES,
    "nn/onnx.py:_SINCE": CODES,
    "nn/onnx.py:_FLOAT": CODES,
    "nn/onnx.py:_DOUBLE": CODES,
    "nn/partition.py:_MOST_KEPT": SIZES,
    "nn/partition.py:PASSED": CODES,
    "nn/group_doctor.py:_CHUNK": SIZES,
}
HERE = {
    "arrays/align.py:OTHER_PRINT_RUN",
    "arrays/grouping.py:WELLS",
    "arrays/grouping.py:WINDOW_SPOTS",
    "arrays/normexp/values.py:_MIN_VALUES",
    "arrays/normexp/values.py:_MIN_DISTINCT",
    "arrays/positions.py:FARTHEST",
    "arrays/positions.py:TOLERANCE",
    "arrays/positions.py:PAD_GAP",
    "arrays/positions.py:SAME_PITCH",
    "arrays/raw.py:FULL_SCALE",
    "arrays/split.py:LEAST_SPOTS",
    "arrays/split.py:SHOWN_CONTENTS",
    "cli/gather.py:LONGEST",
    "cli/gather.py:LONGEST_QUOTE",
    "cli/gather.py:MOST_KINDS",
    "cli/table.py:MOST_ROWS",
    "cli/table.py:WIDEST_NAME",
    "io/atf.py:_HEADER_LINES",
    "io/atomic.py:STALE_AFTER",
    "io/fixed.py:_TABLE_LIMIT",
    "io/formats/table.py:HEAD_LINES",
    "io/ragged.py:_LONGEST_CELL",
    "nn/group_doctor.py:SHOWN_GROUPS",
    "nn/group_doctor.py:SHOWN_CHANNELS",
    "plain.py:SHOWN_NAMES",
    "plain.py:SHOWN_TITLES",
    "plain.py:WIDEST_NAME",
    "report/figures.py:MOST_CURVES",
    "report/figures.py:MOST_ARRAYS",
    "report/figures.py:FEWEST_SPOTS",
    "workflow/inputs.py:SHOWN_SIGNS",
    "workflow/inspect.py:QUALITY_LIMITS",
}
CODES_OF = (
    "cli/",
    "io/fixed.py:_POINT",
    "io/fixed.py:_MINUS",
    "io/fixed.py:_ZERO",
    "workflow/output.py:",
)  # bytes, exit codes
# Numerics of the engines are held to limma's numbers, to NumPy's and to each other.
NUMERICS = ("core/engines/numpy/", "core/engines/cuda/")


def is_number(node: ast.expr | None) -> bool:
    """Whether an expression is a number, or numbers: ``0.3``, ``(4, 3)``, ``1 << 20``, ``{"flagged": 0.3}``."""
    if isinstance(node, ast.Tuple | ast.Dict):
        parts = node.elts if isinstance(node, ast.Tuple) else node.values
        return bool(parts) and all(map(is_number, parts))
    if isinstance(node, ast.UnaryOp):
        return is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def constants() -> set[str]:
    """Numeric constants of the package's modules, by file and name."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not is_number(node.value):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
            place = path.relative_to(PACKAGE).as_posix()
            found |= {f"{place}:{name}" for name in names if name.strip("_").isupper()}
    return found


def test_every_named_number_has_a_pair_or_a_reason() -> None:
    known = constants()
    free = {name for name in known if not name.startswith((*NUMERICS, *CODES_OF)) or name in HERE}
    assert free - HERE - ELSEWHERE.keys() == set(), "numbers without a boundary pair: test both sides, or give a reason"
    assert (HERE | ELSEWHERE.keys()) - known == set(), "numbers that are gone"
    assert not HERE & ELSEWHERE.keys()
