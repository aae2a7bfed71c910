"""Corrections in their order, on every route, and what is refused of all of them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import Cli, sheet, sidecar, table
from printed import one_channel, two_channels

import gridnorm as gn
from gridnorm.arrays.corrections import CORRECTIONS, Correction, Done
from gridnorm.arrays.corrections.rows import CORRECT_OPTION, options_of
from gridnorm.arrays.recipe import Recipe

RNG = np.random.default_rng(40)
INDEX = np.tile(np.arange(1, 91), 6)
RED, GREEN = np.exp2(9 + 0.5 * np.sin(INDEX / 15) + 0.5 * RNG.standard_normal((2, 540)))
SPOTS = {
    "Name": np.where(INDEX < 4, "GST", "x"), "Tag": np.where(INDEX % 5 == 4, "GST", ""),
    "SpotType": np.where(INDEX % 9 == 0, "buffer", "protein"),
}  # fmt: skip
QUIET = "ignore::gridnorm.errors.GridnormWarning"


def same(one: gn.ArraySet, two: gn.ArraySet) -> None:
    for name, matrix in one.values.items():
        np.testing.assert_array_equal(matrix, two.values[name])


@pytest.mark.filterwarnings(QUIET)
def test_rows_are_carried_out_in_their_order_and_all_are_on_record() -> None:
    arrays = two_channels(RED, GREEN + 300, **SPOTS)
    one = gn.correct_intensities(arrays, "tag,print-order", order_span=0.2)
    two = gn.correct_intensities(gn.correct_intensities(arrays, "tag"), ["print-order"], order_span=0.2)
    same(one, two)
    assert one.history == two.history
    other = gn.correct_intensities(arrays, "print-order,tag", order_span=0.2)
    assert not np.allclose(one.R, other.R, equal_nan=True)
    done = one.history.parameters()
    assert done["correct"] == ["tag", "print-order"] and done["order_span"] == 0.2 and done["tag_column"] == "Tag"
    assert other.history.parameters()["correct"] == ["print-order", "tag"]
    assert [step.operation for step in one.history.steps] == ["read", "correct_intensities", "correct_intensities"]


@pytest.mark.filterwarnings(QUIET)
@pytest.mark.parametrize("correct", ["print-order", "plates", "buffer", "tag", "print-order,buffer"])
@pytest.mark.parametrize("channels", [1, 2])
def test_steps_are_the_whole_chain(correct: str, channels: int) -> None:
    arrays = one_channel(RED, **SPOTS) if channels == 1 else two_channels(RED, GREEN, **SPOTS)
    whole = gn.normalize(arrays, correct=correct, method="median", by="print-tip")
    parts = gn.correct_intensities(gn.background_correct(arrays, "none"), correct)
    steps = gn.normalize_within(parts, method="median", by="print-tip")
    same(whole, steps)
    assert whole.history == steps.history
    same(whole, gn.normalize(parts, method="median", by="print-tip"))
    assert {*steps.warnings} >= {*whole.warnings}


@pytest.mark.filterwarnings(QUIET)
def test_they_come_before_a_method_that_takes_intensities() -> None:
    made = gn.simulate(3, blocks=(4, 4), spots=(12, 12), bad=0, not_found=0, seed=2).arrays
    whole = gn.normalize(made, correct="print-order", between="vsn", separate_channels=True)
    parts = gn.correct_intensities(gn.background_correct(made, "subtract"), "print-order", separate_channels=True)
    plain = gn.normalize(made, between="vsn")
    assert not np.allclose(whole.M, plain.M)
    same(whole, gn.normalize(parts, between="vsn"))


@pytest.mark.filterwarnings(QUIET)
def test_an_array_does_not_depend_on_the_others_and_is_not_changed() -> None:
    made = gn.background_correct(gn.simulate(2, blocks=(2, 2), spots=(12, 12), seed=2).arrays, "half")
    kept = {name: matrix.copy() for name, matrix in made.values.items()}
    both = gn.correct_intensities(made, "print-order,plates")
    for k, one in enumerate(made):
        np.testing.assert_array_equal(gn.correct_intensities(one, "print-order,plates").R[:, 0], both.R[:, k])
    for name, matrix in kept.items():
        np.testing.assert_array_equal(made.values[name], matrix)


def test_nothing_is_nothing() -> None:
    arrays = two_channels(RED, GREEN)
    assert gn.correct_intensities(arrays, "none") is arrays
    same(gn.normalize(arrays, correct="none"), gn.normalize(arrays))
    assert "correct" not in gn.normalize(arrays).history.parameters()
    assert [CORRECT_OPTION.read(given) for given in ("", "none", [], ())] == [()] * 4
    assert CORRECT_OPTION.read(" plates , tag ") == ("plates", "tag") == CORRECT_OPTION.read(["plates", "tag"])
    assert CORRECT_OPTION.plain((CORRECTIONS["tag"], "plates")) == ["tag", "plates"]
    names = [option.name for option in options_of(("print-order", "plates"))]
    assert names == ["order_span", "order_start", "separate_channels", "plate_size", "plates_by"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"correct": "plaets"}, "unknown correction; found 'plaets', expected none, print-order, plates, buffer, tag. "
         "Did you mean plates?"),
        ({"correct": "plates,plates"}, "correct names a correction twice; found plates, expected each once"),
        ({"correct": 3}, "this is no row of the table of corrections; found 3, expected a row such as print-order, "
         "plates, buffer"),
        ({"correct": "plates", "order_span": 0.2}, "order_span has no meaning for correct plates. "
         "It belongs to correct print-order"),
        ({"correct": "print-order", "order_span": 0}, "order_span is out of range; found 0, expected more than 0 and "
         "at most 1"),
        ({"correct": "print-order", "order_start": "top"}, "unknown value of order_start; found 'top', expected "
         "topleft, topright. Did you mean topleft?"),
        ({"separate_channels": True}, "separate_channels has no meaning for correct none. It belongs to correct "
         "print-order or plates"),
    ],
)  # fmt: skip
def test_what_nobody_can_mean_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(gn.OptionError) as said:
        gn.normalize(two_channels(RED, GREEN), **given)
    assert str(said.value).startswith(says)


def test_arrays_that_cannot_be_corrected_are_refused() -> None:
    made = gn.simulate(1, blocks=(2, 2), spots=(8, 7), seed=1).arrays
    with pytest.raises(gn.OptionError) as said:
        gn.correct_intensities(made, "plates")
    assert str(said.value) == (
        "corrections take intensities without their background; found Rb, Gb. Call background_correct first; "
        '"none" leaves the foreground as it is'
    )
    with pytest.raises(gn.OptionError, match="these arrays are normalized already"):
        gn.correct_intensities(gn.normalize(made), "plates")
    once = gn.correct_intensities(two_channels(RED, GREEN), "plates")
    for again in (lambda: gn.correct_intensities(once, "plates"), lambda: gn.normalize(once, correct="plates")):
        with pytest.raises(gn.OptionError) as said:
            again()
        assert str(said.value).startswith("array1: plates has been carried out already; found read(")
        assert str(said.value).endswith("expected other corrections than plates")


def test_rows_of_ones_own_give_intensities_or_are_refused() -> None:
    arrays = two_channels(RED, GREEN)
    row = Correction("own", lambda given: Done(given.values * 2.0, ("doubled",)), "twice")
    with pytest.warns(gn.GridnormWarning, match="^array1: doubled$"):
        np.testing.assert_array_equal(gn.correct_intensities(arrays, row).R[:, 0], 2 * RED)
    endless = row._replace(function=lambda given: Done(np.where(given.values > 900, np.inf, given.values)))
    with pytest.warns(gn.GridnormWarning, match="own: [0-9]+ intensities are infinite and were taken as missing"):
        done = gn.correct_intensities(arrays, endless)
    assert np.isnan(done.R[RED > 900]).all() and np.isfinite(done.R[RED <= 900]).all()
    for made in (np.ones(3), np.ones((2, 540), int), "text"):
        bad = row._replace(function=lambda given, made=made: Done(made))
        with pytest.raises(gn.OptionError, match="array1: correction own gives something else than intensities; found"):
            gn.correct_intensities(arrays, bad)
    with pytest.raises(gn.OptionError, match="correction 'own' has no function; found function = None"):
        gn.correct_intensities(arrays, row._replace(function=None))


def test_a_recipe_with_corrections_travels() -> None:
    recipe = Recipe(correct=("plates", "tag"), options={"plate_size": 16}, given=frozenset({"plate_size"})).resolved()
    back = pickle.loads(pickle.dumps(recipe))
    assert [row.name for row, _ in back.corrections()] == ["plates", "tag"]
    assert back.corrections()[0][1]["plate_size"] == 16
    assert [step.parameters["method"] for step in back.correction_steps()] == ["plates", "tag"]


@pytest.mark.filterwarnings(QUIET)
def test_spots_that_an_array_lacks_are_no_part_of_it() -> None:
    made = two_channels(RED, GREEN, **SPOTS)
    absent = np.zeros((1, 540), bool)
    absent[0, 8::90] = True  # its buffer spots of one dip
    values = {name: np.where(absent, np.nan, matrix) for name, matrix in made.values.items()}
    lacking = replace(made, values=values, absent=absent)
    done = gn.correct_intensities(lacking, "buffer")
    assert done.warnings[-1].startswith("array1: buffer: the median of 54 spots of type buffer")
    same(gn.normalize(lacking, correct="buffer"), gn.normalize_within(done))


def test_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = Cli(capsys, tmp_path)
    for k, name in enumerate("ab"):
        sheet(k).write(tmp_path / f"{name}.gpr")
    asked = (
        "normalize",
        "a.gpr",
        "b.gpr",
        "--correct",
        "print-order,plates",
        "--order-span",
        "0.2",
        "--plate-size",
        "8",
    )
    ran = cli(*asked, "--separate-channels", "--precision", "full", "-o", "x.tsv")
    assert ran.code == 0, ran.err
    assert "background: normexp, offset auto; corrected: print-order, plates" in ran.err
    done = gn.normalize(["a.gpr", "b.gpr"], correct=["print-order", "plates"], order_span=0.2, plate_size=8,
                        separate_channels=True)  # fmt: skip
    np.testing.assert_array_equal([float(cell) for cell in table(Path("x.tsv"))["M.b"]], done.M[:, 1])
    record = sidecar(Path("x.tsv"))
    assert record["parameters"] == done.history.parameters()
    assert record["parameters"]["correct"] == ["print-order", "plates"] and record["parameters"]["plate_size"] == 8
    shown = " ".join(cli("normalize", "--help").out.split())
    assert (
        "--correct ROW,… Corrections of intensities, after the background and in this order: print-order, plates, "
        in shown
    )
    assert "plates; default: topleft]" in shown and "[of plates; default: 32]" in shown
    planned = cli(*asked, "--dry-run")
    assert planned.code == 0 and '"plates_by": "order"' in planned.out
    ran = cli("normalize", "a.gpr", "--correct", "print", "-o", "y.tsv")
    assert (ran.code, "unknown correction; found 'print'" in ran.err) == (2, True)
    # A target remembers what its arrays had gone through.
    kept = cli("normalize", "a.gpr", "b.gpr", "--correct", "plates", "--between", "scale", "--save-target", "t.json",
               "-o", "k.tsv")  # fmt: skip
    assert kept.code == 0, kept.err
    other = cli("normalize", "a.gpr", "--target", "t.json", "-o", "o.tsv")
    assert other.code == 0 and "of arrays with --correct plates (here none)" in other.err
