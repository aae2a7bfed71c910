"""Buffer spots: what they show leaves their group, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from damage import Cli, sheet, sidecar, with_cells
from printed import frame, one_channel, two_channels

import gridnorm as gn

RNG = np.random.default_rng(21)
BLOCK = np.repeat(np.arange(1, 7), 90)
IS_BUFFER = np.tile(np.arange(90) % 11 == 4, 6)
TYPES = np.where(IS_BUFFER, "Buffer", "protein")
LEVEL = 100.0 + 20 * BLOCK + RNG.normal(0, 3, 540)
E = np.where(IS_BUFFER, LEVEL, LEVEL + RNG.exponential(800, 540))
SAID = "ignore::gridnorm.errors.GridnormWarning"


@pytest.mark.filterwarnings(SAID)
@pytest.mark.parametrize(("statistic", "of"), [("median", np.median), ("mean", np.mean)])
def test_every_group_loses_what_its_buffer_shows(statistic: str, of: object) -> None:
    arrays = one_channel(E, SpotType=TYPES)
    done = gn.correct_intensities(arrays, "buffer", buffer_statistic=statistic)
    for block in range(1, 7):
        mine = block == BLOCK
        expected = E[mine] - of(E[mine & IS_BUFFER])  # type: ignore[operator]
        np.testing.assert_allclose(done.E[mine, 0], expected, rtol=0, atol=1e-9)
    whole = gn.correct_intensities(arrays, "buffer", buffer_statistic=statistic, buffer_groups="array")
    np.testing.assert_allclose(whole.E[:, 0], E - of(E[IS_BUFFER]), rtol=0, atol=1e-9)  # type: ignore[operator]


@pytest.mark.filterwarnings(SAID)
def test_each_channel_by_itself() -> None:
    done = gn.correct_intensities(two_channels(E, 3 * E + 50, SpotType=TYPES), "buffer")
    np.testing.assert_allclose(done.G, 3 * done.R, rtol=0, atol=1e-8)
    assert np.abs(np.median(done.R[IS_BUFFER & (BLOCK == 2)])) < 1e-9


def test_what_is_zero_or_less_is_missing_in_the_logarithm_and_counted() -> None:
    dark = int((gn_quiet(one_channel(E, SpotType=TYPES)).E <= 0).sum())
    assert 20 < dark < 80
    with pytest.warns(gn.GridnormWarning) as said:
        done = gn.normalize(one_channel(E, SpotType=TYPES), correct="buffer")
    texts = [str(one.message) for one in said]
    assert texts[0] == (
        "array1: buffer: the median of 48 spots of type Buffer was subtracted in each of 6 groups (print-tip)"
    )
    assert texts[1] == (
        f"array1: {dark} intensities are not positive after background correction (none) and corrections (buffer); "
        "those spots are missing in the result"
    )
    assert int(np.isnan(done.E).sum()) == dark == done.record(0).missing


def gn_quiet(arrays: gn.ArraySet, **options: object) -> gn.ArraySet:
    with pytest.warns(gn.GridnormWarning, match="buffer"):
        return gn.correct_intensities(arrays, "buffer", **options)


def test_which_types_are_buffer() -> None:
    names = np.where(np.arange(540) % 2 == 1, "buffer 2", "Buffer")
    two = one_channel(E, SpotType=np.where(IS_BUFFER, names, "protein"))
    every = gn_quiet(two)
    np.testing.assert_array_equal(every.E, gn_quiet(one_channel(E, SpotType=TYPES)).E)
    assert every.warnings[-1].startswith("array1: buffer: the median of 48 spots of type Buffer, buffer 2 was")
    some = gn_quiet(two, buffer_type="BUFFER 2", buffer_groups="array")
    chosen = IS_BUFFER & (np.arange(540) % 2 == 1)
    np.testing.assert_allclose(some.E[:, 0], E - np.median(E[chosen]), rtol=0, atol=1e-9)
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(two, "buffer", buffer_type="bufer")
    assert str(said.value).endswith(
        "buffer_type names a type that no spot has; found 'bufer', expected protein, Buffer, buffer 2. "
        "Did you mean buffer 2?"
    )
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(one_channel(E, SpotType=np.where(IS_BUFFER, "PBS", "protein")), "buffer")
    assert str(said.value) == (
        "array1: no spot type begins with buffer; found protein, PBS. Name the types that are buffer: buffer_type"
    )


def test_a_group_without_a_buffer_spot_is_named_with_the_remedy() -> None:
    lacking = one_channel(E, SpotType=np.where(IS_BUFFER & (BLOCK != 3), "buffer", "protein"))
    with pytest.raises(gn.FitError) as said:
        gn.correct_intensities(lacking, "buffer")
    assert str(said.value) == (
        "array1: correct buffer: no buffer spot with a value in 1 group of 6; found print-tip 3, expected at least "
        'one buffer spot in every group. One level for the array: buffer_groups="array"'
    )
    assert np.isfinite(gn_quiet(lacking, buffer_groups="array").E).all()
    missing = one_channel(np.where(IS_BUFFER, np.nan, E), SpotType=TYPES)
    with pytest.raises(gn.FitError) as said:
        gn.correct_intensities(missing, "buffer", buffer_groups="array")
    assert str(said.value) == (
        "array1: correct buffer: no buffer spot with a value in the array; expected at least one buffer spot. "
        "Leave buffer out"
    )


def test_a_group_without_any_value_needs_no_buffer() -> None:
    done = gn_quiet(one_channel(np.where(BLOCK == 3, np.nan, E), SpotType=TYPES))
    assert np.isnan(done.E[BLOCK == 3]).all() and np.isfinite(done.E[BLOCK != 3]).all()


def test_without_types_or_blocks() -> None:
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(one_channel(E), "buffer")
    assert str(said.value) == (
        "array1: correct buffer needs the types of the spots; found no column SpotType. "
        "Give a table of them with controls"
    )
    bare = gn.read(frame()[["ID"]].assign(E=E, SpotType=TYPES), columns="E=E", keep="SpotType")
    np.testing.assert_array_equal(gn_quiet(bare).E, gn_quiet(bare, buffer_groups="array").E)
    with pytest.raises(gn.LayoutError, match="buffer_groups print-tip needs the block of every spot"):
        gn.correct_intensities(bare, "buffer", buffer_groups="print-tip")


def test_on_the_command_line_types_come_from_a_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(capsys, tmp_path)
    for k, name in enumerate("ab"):
        with_cells(sheet(k), "Name", range(0, 224, 9), "buffer").write(tmp_path / f"{name}.gpr")
    Path("types.txt").write_text("SpotType\tName\ngene\t*\nbuffer\tbuffer\n")
    asked = ("normalize", "a.gpr", "b.gpr", "--controls", "types.txt", "--background", "none", "--method", "none")
    ran = cli(*asked, "--correct", "buffer", "-o", "x.tsv")
    assert ran.code == 0, ran.err
    assert "background: none, offset 0; corrected: buffer" in ran.err
    assert "buffer: the median of 25 spots of type buffer was subtracted in each of 4 groups (print-tip)" in ran.err
    record = sidecar(Path("x.tsv"))
    assert record["parameters"]["correct"] == ["buffer"] and record["parameters"]["buffer_statistic"] == "median"
    assert [step["operation"] for step in record["history"]] == ["read", "background_correct", "correct_intensities", "normalize_within"]  # fmt: skip
    ran = cli(*asked, "--correct", "buffer", "--buffer-type", "bufer", "-o", "y.tsv")
    assert (ran.code, ran.err) == (
        2, "gridnorm: types.txt: --buffer-type names a type that no spot has; found 'bufer', expected gene, buffer. "
        "Did you mean buffer?\n",
    )  # fmt: skip
    Path("types.txt").write_text("SpotType\tName\ngene\tnobody\n")
    ran = cli(*asked, "--correct", "buffer", "-o", "y.tsv")
    assert ran.code != 0 and "no spot of a.gpr is of any of these types" in ran.err
