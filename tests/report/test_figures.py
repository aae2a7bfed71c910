"""Pictures: the right numbers in the titles, the same bytes every time, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.cli import run
from gridnorm.errors import OptionError, OutputError
from gridnorm.report import check_figure, figure_bytes, figures, ma_by_group

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def normalized() -> gn.ArraySet:
    return gn.normalize(simulated(2), background="half")


def simulated(n: int, blocks: tuple[int, int] = (2, 2), spots: tuple[int, int] = (15, 15)) -> gn.ArraySet:
    return gn.simulate(n, blocks=blocks, spots=spots, seed=1).arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("arrays")
    assert run(["simulate", "-o", str(out), "--arrays", "2", "--blocks", "2x2", "--spots", "12x12"]) == 0
    return out


def texts(figure: Any) -> list[str]:
    """Everything that a figure says, in no order."""
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def axes_titled(figure: Any, word: str) -> Any:
    axes = figure.findobj(lambda artist: hasattr(artist, "get_title"))
    return next(axis for axis in axes if word in axis.get_title(loc="left"))


def test_titles_carry_the_spread_of_the_group_medians_before_and_after(normalized: gn.ArraySet) -> None:
    said = " | ".join(texts(ma_by_group(normalized)))
    within = normalized.fits[0]
    assert f"Before: print-tip medians spread by {within.before[0].std(ddof=1):.3f}" in said
    assert f"After: print-tip medians spread by {within.after[0].std(ddof=1):.3f}" in said


def test_before_panel_shows_m_as_it_was_and_after_panel_m_as_it_is(normalized: gn.ArraySet) -> None:
    figure = ma_by_group(normalized)
    for word, expected in (("Before", normalized.fits[0].start[0]), ("After", normalized.M[:, 0])):
        drawn = [line for line in axes_titled(figure, word).lines if line.get_linestyle() == "None"]
        shown = np.concatenate([line.get_ydata() for line in drawn])
        np.testing.assert_array_equal(np.sort(shown[np.isfinite(shown)]), np.sort(expected[np.isfinite(expected)]))


def test_values_before_normalization_are_kept_as_the_fit_saw_them(normalized: gn.ArraySet) -> None:
    # M before is M after plus the curve, so with method none both are the same numbers.
    same = gn.normalize(simulated(2), background="half", method="none")
    np.testing.assert_array_equal(same.fits[0].start[0], same.M[:, 0])
    np.testing.assert_array_equal(normalized.fits[0].start[0], same.M[:, 0])


def test_every_group_has_a_curve_in_its_own_colour_and_the_same_after(normalized: gn.ArraySet) -> None:
    figure = ma_by_group(normalized)
    colours = [
        {tuple(colour) for colour in (line.get_color() for line in axes_titled(figure, word).lines) if len(colour) == 4}
        for word in ("Before", "After")
    ]
    assert len(colours[0]) == 4
    assert colours[0] == colours[1]


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_same_result_gives_the_same_bytes(normalized: gn.ArraySet, form: str) -> None:
    first, second = (figure_bytes(ma_by_group(normalized), form) for _ in range(2))
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[form])
    assert b"CreationDate" not in first
    assert b"<dc:date>" not in first


def test_a_style_of_the_user_changes_nothing(normalized: gn.ArraySet) -> None:
    import matplotlib as mpl

    plain = figure_bytes(ma_by_group(normalized), "png")
    with mpl.rc_context({"axes.facecolor": "black", "lines.linewidth": 9, "font.size": 22}):
        assert figure_bytes(ma_by_group(normalized), "png") == plain


def test_one_channel_arrays_show_their_group_medians(folder: Path) -> None:
    result = gn.normalize(
        gn.simulate(3, blocks=(2, 2), spots=(12, 12), channels=1, seed=2).arrays, by="print-tip", background="none"
    )
    said = texts(ma_by_group(result))
    assert not any(text.startswith("Before") for text in said)
    assert {"array1", "array2", "array3"} <= set(said)
    assert any("Print-tip medians of every array" in text for text in said)


def test_many_small_groups_are_thinned_and_said_to_be(normalized: gn.ArraySet) -> None:
    arrays = simulated(1, (10, 10), (7, 7))
    said = texts(ma_by_group(gn.normalize(arrays, background="half", min_group=0, method="median", flags="ignore")))
    assert any(f"lowess curves of {figures.MOST_CURVES} of the 100 print-tips" in text for text in said)


def test_groups_too_small_for_a_curve_are_said_to_be(normalized: gn.ArraySet) -> None:
    arrays = simulated(1, (2, 2), (4, 4))
    said = texts(ma_by_group(gn.normalize(arrays, background="half", method="median")))
    assert "no print-tip has the 30 spots that a curve needs" in said


def test_an_array_without_any_value_still_makes_a_figure() -> None:
    arrays = simulated(1, (2, 2), (6, 6))
    arrays.values["R"][:] = np.nan
    with pytest.warns(gn.GridnormWarning, match="no spot can be used"):
        result = gn.normalize(arrays, background="none", method="none")
    said = texts(ma_by_group(result))
    assert "Before: no usable spot" in said


def test_arrays_that_were_not_normalized_are_refused() -> None:
    with pytest.raises(OptionError, match="have not been normalized"):
        ma_by_group(simulated(1, (2, 2), (6, 6)))


def test_colours_follow_the_order_of_the_shifts() -> None:
    colours = figures.group_colours(np.array([0.5, -0.5, np.nan, 0.0]))
    lightness = colours[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert lightness[1] < lightness[3] < lightness[0]


def test_command_line_writes_the_figure_beside_the_table(folder: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "m.tsv", tmp_path / "ma.png"
    arguments = ["normalize", str(folder), "-o", str(out), "--figure", str(figure)]
    assert run(arguments) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.tsv", "m.tsv.gridnorm.json", "ma.png"]
    before = figure.read_bytes()
    assert run(arguments) == 2  # the output exists
    assert run([*arguments, "--force"]) == 0
    assert figure.read_bytes() == before


def test_figure_goes_into_a_folder_that_the_run_makes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    assert run(["normalize", str(folder / "slide1.gpr"), "-o", f"{out}/", "--figure", str(out / "ma.svg")]) == 0
    assert (out / "ma.svg").read_bytes().startswith(b"<?xml")


def test_a_figure_that_cannot_be_drawn_leaves_no_table(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> bytes:
        raise OutputError("no ink")

    monkeypatch.setattr("gridnorm.report.figure_bytes", broken)
    arguments = ["normalize", str(folder / "slide1.gpr"), "-o", str(tmp_path / "m.tsv")]
    assert run([*arguments, "--figure", str(tmp_path / "ma.png")]) == OutputError.exit_code
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_says_what_to_install_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    # The input does not exist: the figure is refused first.
    assert run(["normalize", str(tmp_path / "none.gpr"), "--figure", str(tmp_path / "ma.png")]) == OutputError.exit_code
    assert 'pip install "gridnorm[report]"' in capsys.readouterr().err


def test_unknown_suffix_is_a_usage_error() -> None:
    with pytest.raises(OptionError, match=r"expected \.png, \.svg, \.pdf"):
        check_figure("ma.jpg")


def test_importing_the_report_loads_no_matplotlib() -> None:
    code = "import sys, gridnorm.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_drawing_leaves_pyplot_alone(folder: Path) -> None:
    code = (
        "import sys, gridnorm as gn; from gridnorm.report import ma_by_group, figure_bytes\n"
        "r = gn.normalize(gn.simulate(1, blocks=(2, 2), spots=(12, 12)).arrays, background='none')\n"
        "figure_bytes(ma_by_group(r), 'png'); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_arrays_with_other_rows_keep_before_and_after_in_the_same_rows(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "slide2.gpr").read_bytes().split(b"\r\n")
    (tmp_path / "short.gpr").write_bytes(b"\r\n".join(lines[:-40]) + b"\r\n")
    with pytest.warns(gn.GridnormWarning):
        result = gn.normalize([folder / "slide1.gpr", tmp_path / "short.gpr"], method="none", background="none")
    np.testing.assert_array_equal(result.fits[1].start[0], result.M[:, 1])
    ma_by_group(result)


@pytest.mark.parametrize("output", ["each/", "one.tsv"])
def test_a_figure_of_many_arrays_says_how_many_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["simulate", "-o", "sim", "--arrays", "4", "--blocks", "2x2", "--spots", "9x9"]) == 0
    monkeypatch.setattr(figures, "MOST_ARRAYS", 3)
    drawn: list[list[str]] = []
    known = figures.figure_bytes
    monkeypatch.setattr(
        "gridnorm.report.figure_bytes", lambda figure, form: drawn.append(texts(figure)) or known(figure, form)
    )
    assert run(["normalize", "sim", "-o", output, "--figure", "a.svg"]) == 0
    assert any("medians of every array (the first 3 of 4)" in text for text in drawn[0])
