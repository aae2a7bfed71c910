"""``gridnorm normalize``: every option that changes numbers does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from damage import Cli, sheet, sidecar, table

import gridnorm as gn

SPOTS = 224


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a folder with two arrays, ``a.gpr`` and ``b.gpr``."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        sheet(k, bad=0.1).write(tmp_path / f"{name}.gpr")
    return Cli(capsys, tmp_path)


def made(cli: Cli, *args: object) -> dict[str, list[str]]:
    ran = cli("normalize", *args, "--force", "-o", "made.tsv")
    assert ran.code == 0, ran.err
    return table(Path("made.tsv"))


def record(cli: Cli, *args: object) -> dict:
    made(cli, *args)
    return sidecar(Path("made.tsv"))


def numbers(cells: list[str]) -> np.ndarray:
    return np.array([float(cell or "nan") for cell in cells])


@pytest.mark.parametrize(
    "by",
    [
        "print-tip",
        "array",
        "plate",
        "print-order",
        "pad",
        "slide-row",
        "slide-column",
        "Block",
        "block",
        "Dia.",
        "ID",
        "Block,Row",
        "Row , slide-column",
    ],
)
def test_by_takes_every_grouping_and_any_column(cli: Cli, by: str) -> None:
    groups = record(cli, "a.gpr", "--by", by, "--method", "median", "--min-group", "0", "--flags", "ignore")["arrays"][
        0
    ]["groups"]
    count = {"print-tip": 4, "Block": 4, "block": 4, "array": 1, "pad": 1, "Dia.": 1, "plate": 1, "slide-row": 16, "slide-column": 14,
             "ID": SPOTS, "Block,Row": 32, "Row , slide-column": 8 * 14}  # fmt: skip
    assert len(groups) == count.get(by, len(groups))
    assert sum(group["spots"] for group in groups) == SPOTS
    if by == "Block,Row":
        assert groups[0]["group"] == [1, 1]
    if by == "print-order":
        assert all(group["spots"] >= 150 for group in groups)


def test_a_missing_label_is_a_group_of_its_own(cli: Cli) -> None:
    base = sheet()
    given = damage.Sheet(
        base.records, [*base.titles, "Lot"], [[*row, "" if k < 60 else "L1"] for k, row in enumerate(base.rows)]
    )
    given.write(Path("lots.gpr"))
    groups = record(cli, "lots.gpr", "--by", "Lot")["arrays"][0]["groups"]
    assert {str(g["group"]): g["spots"] for g in groups} == {"(none)": 60, "L1": SPOTS - 60}


def test_a_gal_goes_with_columns_of_its_own_and_with_those_of_the_file(cli: Cli) -> None:
    base = sheet()
    lots = [f"L{k % 3}" for k in range(SPOTS)]
    genes = [f"g{k % 5}" for k in range(SPOTS)]
    own = damage.Sheet(base.records, [*base.titles, "Lot"], [[*r, x] for r, x in zip(base.rows, lots, strict=True)])
    own.write(Path("lots.gpr"))
    damage.gal_of(base, Path("print.gal"))
    head, *rows = Path("print.gal").read_text().split("ATF\t1.0\n1\t4\n")[1].split("Block")[1].splitlines()
    lines = ["ATF\t1.0", "1\t5", '"Type=GenePix ArrayList V1.0"', f"Block{head}\tGene"]
    Path("genes.gal").write_text("\n".join([*lines, *(f"{r}\t{g}" for r, g in zip(rows, genes, strict=True))]) + "\n")

    def sizes(*args: str) -> dict[Any, int]:
        groups = record(cli, "lots.gpr", *args, "--min-group", "0", "--method", "median")["arrays"][0]["groups"]
        return {g["group"] if isinstance(g["group"], str) else tuple(g["group"]): g["spots"] for g in groups}

    of_lots = {name: lots.count(name) for name in ("L0", "L1", "L2")}
    of_genes = {name: genes.count(name) for name in ("g0", "g1", "g2", "g3", "g4")}
    assert sizes("--by", "Lot") == of_lots
    assert sizes("--by", "Lot", "--gal", "print.gal") == of_lots
    assert sizes("--by", "lot", "--gal", "genes.gal") == of_lots
    assert sizes("--by", "Gene", "--gal", "genes.gal") == of_genes
    both = sizes("--by", "Gene,Lot", "--gal", "genes.gal")
    assert len(both) == 15 and sum(both.values()) == SPOTS
    ran = cli("normalize", "lots.gpr", "--by", "Gene", "--gal", "print.gal", "--force", "-o", "x.tsv")
    assert ran.code == 2 and "--by names no column; found 'Gene'" in ran.err


@pytest.mark.parametrize("method", ["median", "mean", "mad", "zscore", "loess"])
def test_every_method_brings_the_groups_together(cli: Cli, method: str) -> None:
    own = ("--small-groups", "own", "--background", "half")
    groups = record(cli, "a.gpr", "--method", method, *own)["arrays"][0]["groups"]
    before, after = (np.array([g[f"shift_{k}"] for g in groups]) for k in ("before", "after"))
    assert after.std() < before.std() / 2
    if method in ("median", "mad"):
        np.testing.assert_allclose(after, 0, atol=1e-9)
    plain = made(cli, "a.gpr", "--method", "none", "--background", "half")
    assert made(cli, "a.gpr", "--method", method, "--background", "half")["A.a"] == plain["A.a"]


def test_method_none_changes_nothing(cli: Cli) -> None:
    found = made(
        cli, "a.gpr", "--method", "none", "--background", "subtract", "--flags", "ignore", "--precision", "full"
    )
    raw = sheet(bad=0.1)
    net = {
        w: np.array(raw.cells(f"F{w} Mean"), float) - np.array(raw.cells(f"B{w} Median"), float) for w in ("635", "532")
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where((net["635"] > 0) & (net["532"] > 0), np.log2(net["635"]) - np.log2(net["532"]), np.nan)
    np.testing.assert_array_equal(numbers(found["M.a"]), expected)


def test_foreground_and_offset_are_what_they_say(cli: Cli) -> None:
    raw = sheet(bad=0.1)
    found = made(
        cli,
        "a.gpr",
        "--method",
        "none",
        "--background",
        "none",
        "--foreground",
        "median",
        "--offset",
        "3.5",
        "--precision",
        "full",
    )
    red, green = (np.array(raw.cells(f"F{w} Median"), float) + 3.5 for w in ("635", "532"))
    np.testing.assert_array_equal(numbers(found["M.a"]), np.log2(red) - np.log2(green))
    assert record(cli, "a.gpr")["parameters"]["offset"] == "auto"
    assert record(cli, "a.gpr", "--offset", "50")["parameters"]["offset"] == 50
    assert record(cli, "a.gpr", "--background", "subtract")["parameters"]["offset"] == 0
    assert record(cli, "a.gpr", "--background", "auto")["parameters"]["background"] == "normexp"


def test_channels_turn_the_sign_of_m_and_keep_a(cli: Cli) -> None:
    options = ("--method", "none", "--background", "half")
    one, two = made(cli, "a.gpr", *options), made(cli, "a.gpr", *options, "--channels", "532,635")
    np.testing.assert_array_equal(numbers(one["M.a"]), -numbers(two["M.a"]))
    assert one["A.a"] == two["A.a"]
    assert list(made(cli, "a.gpr", "--channels", "532"))[5] == "E.a"


def test_one_channel_keeps_the_level_of_the_array(cli: Cli) -> None:
    sheet(channels=1).write(Path("one.gpr"))
    before = numbers(made(cli, "one.gpr", "--method", "none")["E.one"])
    np.testing.assert_array_equal(numbers(made(cli, "one.gpr")["E.one"]), before)  # nobody named a grouping
    after = numbers(made(cli, "one.gpr", "--by", "print-tip", "--small-groups", "own")["E.one"])
    np.testing.assert_allclose(np.median(after), np.median(before), atol=0.2)
    blocks = np.array(sheet(channels=1).cells("Block"))
    np.testing.assert_allclose([np.median(after[blocks == b]) for b in "1234"], np.median(before), atol=1e-6)
    assert cli("normalize", "one.gpr", "--method", "loess", "-o", "x.tsv").code == 2


def test_span_and_iterations_reach_the_curve(cli: Cli) -> None:
    tables = [made(cli, "a.gpr", *options)["M.a"] for options in ([], ["--span", "0.9"], ["--iterations", "1"])]
    assert tables[0] != tables[1] and tables[0] != tables[2]
    assert made(cli, "a.gpr", "--span", "0.3", "--iterations", "4")["M.a"] == tables[0]


def test_flags_decide_who_is_fitted_and_who_is_shown(cli: Cli) -> None:
    flagged = np.array(sheet(bad=0.1).cells("Flags"), int) < 0
    tables = {
        policy: made(cli, "a.gpr", "--flags", policy, "--background", "half")
        for policy in ("exclude", "ignore", "drop", "downweight")
    }
    m = {policy: numbers(found["M.a"]) for policy, found in tables.items()}
    assert flagged.sum() > 10
    assert np.isnan(m["drop"][flagged]).all() and not np.isnan(m["exclude"]).any()
    np.testing.assert_array_equal(m["drop"][~flagged], m["exclude"][~flagged])
    assert (m["ignore"] != m["exclude"]).any()
    # Weight 1e-5 is nearly, not quite, out of the fit, and limma's weighted path is another algorithm.
    assert np.median(np.abs(m["downweight"] - m["exclude"])[~flagged]) < 0.02
    for policy in ("exclude", "drop", "downweight"):
        assert [float(w) for w in tables[policy]["W.a"]] == np.where(flagged, 0.0, 1.0).tolist()


def test_codes_of_flags_reach_fit_table_and_record(cli: Cli) -> None:
    lost = damage.with_cells(sheet(0), "Flags", range(0, 224, 4), "-50")
    damage.with_cells(lost, "Flags", range(1, 224, 8), "-100").write(Path("c.gpr"))
    n = {}
    for flags in ("exclude", "drop", "exclude:-100", "exclude:-100,-50", "ignore"):
        found = made(cli, "c.gpr", "--flags", flags, "--background", "half", "--min-group", "0")
        record = sidecar(Path("made.tsv"))
        n[flags] = sum(group["spots"] for group in record["arrays"][0]["groups"])
        zero = [k for k in range(SPOTS) if "W.c" in found and float(found["W.c"][k]) == 0]
        assert record["parameters"]["flags"] == flags
        named = (
            set()
            if flags == "ignore"
            else set(range(1, 224, 8)) | (set() if flags == "exclude:-100" else {*range(0, 224, 4)})
        )
        assert set(zero) == named
        assert {k for k in range(SPOTS) if found["M.c"][k] == ""} == (named if flags == "drop" else set())
    assert n == {"exclude": 196, "drop": 196, "exclude:-100": 196, "exclude:-100,-50": 140, "ignore": 224}
    ran = cli("normalize", "c.gpr", "--flags", "exclude:low", "-o", "x.tsv")
    assert ran.code == 2 and "a code of --flags is no whole number; found 'exclude:low'" in ran.err


def test_weights_from_a_column_an_area_or_saturation(cli: Cli) -> None:
    base = sheet()
    weight = ["0" if k % 5 == 0 else "1" for k in range(SPOTS)]
    damage.Sheet(
        base.records, [*base.titles, "Trust"], [[*r, w] for r, w in zip(base.rows, weight, strict=True)]
    ).write(Path("w.gpr"))
    found = made(cli, "w.gpr", "--weights", "trust")
    assert [float(w) for w in found["W.w"]] == [float(w) for w in weight]
    area = np.array(base.cells("F Pixels"), float)
    found = made(cli, "w.gpr", "--weights", "area:80,90")
    np.testing.assert_allclose(
        numbers(found["W.w"]),
        np.clip(np.where(area <= 90, np.minimum(area / 80, 1), 1 - (area - 90) / 80), 0, None),
        atol=5e-7,
    )
    assert "W.w" not in made(cli, "w.gpr", "--weights", "none")
    ran = cli("normalize", "w.gpr", "--weights", "Name", "-o", "y.tsv")
    assert ran.code == 3 and "holds text; found 'probe 1'" in ran.err


@pytest.mark.parametrize(("spots", "fit"), [(199, "shrunk"), (200, "own")])
def test_from_200_usable_spots_on_a_group_has_its_own_fit(cli: Cli, spots: int, fit: str) -> None:
    whole = sheet(spots=(15, 14))
    damage.with_cells(whole, "Flags", whole.where(Block=1)[spots:], "-100").write(Path("few.gpr"))
    for method in ("loess", "median"):
        groups = record(cli, "few.gpr", "--method", method)["arrays"][0]["groups"]
        assert (groups[0]["spots"], groups[0]["fit"], "shares" in groups[0]) == (spots, fit, fit == "shrunk")
        assert groups[1]["fit"] == "own"


def test_min_group_and_small_groups_decide_about_few_spots(cli: Cli) -> None:
    tip = sheet().where(Block=1)
    damage.with_cells(sheet(), "Flags", tip[20:], "-100").write(Path("few.gpr"))

    def fits(*options: object) -> list[str]:
        return [g["fit"] for g in record(cli, "few.gpr", *options)["arrays"][0]["groups"]]

    assert fits() == ["shrunk"] * 4, "none has 200 spots"
    assert fits("--min-group", "30") == ["shrunk", "own", "own", "own"]
    assert fits("--small-groups", "array") == ["array", "own", "own", "own"]
    assert fits("--min-group", "20") == ["own"] * 4
    assert fits("--min-group", "0") == ["own"] * 4
    assert fits("--min-group", "auto") == fits()
    assert fits("--min-group", "60", "--small-groups", "array") == ["array"] * 4
    assert sorted(fits("--small-groups", "merge")) == ["merged", "merged", "own", "own"]
    assert fits("--method", "median") == ["shrunk"] * 4
    ran = cli("normalize", "few.gpr", "--small-groups", "error", "-o", "x.tsv")
    assert ran.code == 4
    ran = cli("normalize", "few.gpr", "--min-group", "60", "--small-groups", "merge", "-o", "x.tsv")
    assert ran.code == 4
    assert "whole" not in ran.err and "--small-groups" in ran.err


def test_preset_limma_is_its_parts_and_explicit_options_win(cli: Cli) -> None:
    parts = [
        "--background",
        "subtract",
        "--offset",
        "0",
        "--foreground",
        "mean",
        "--span",
        "0.3",
        "--iterations",
        "4",
        "--flags",
        "ignore",
        "--min-group",
        "0",
    ]
    assert made(cli, "a.gpr", "--preset", "limma") == made(cli, "a.gpr", *parts)
    found = record(cli, "a.gpr", "--preset", "limma", "--offset", "7", "--flags", "exclude")
    assert (found["parameters"]["offset"], found["parameters"]["flags"], found["parameters"]["background"]) == (
        7,
        "exclude",
        "subtract",
    )


def test_keep_adds_columns_behind_the_spots(cli: Cli) -> None:
    found = made(cli, "a.gpr", "--keep", "F Pixels,dia.,X")
    assert list(found)[5:9] == ["F Pixels", "Dia.", "X", "M.a"]
    assert found["F Pixels"] == sheet(bad=0.1).cells("F Pixels")
    assert found["X"] == sheet(bad=0.1).cells("X")


def test_precision_is_decimals_or_exact(cli: Cli) -> None:
    full = numbers(made(cli, "a.gpr", "--precision", "full", "--background", "half")["M.a"])
    for digits in (0, 3, 15):
        np.testing.assert_allclose(
            numbers(made(cli, "a.gpr", "--precision", digits, "--background", "half")["M.a"]),
            full,
            atol=0.51 * 10.0**-digits,
            rtol=1e-15,
        )
    np.testing.assert_array_equal(full, gn.normalize("a.gpr", background="half").M[:, 0])


def test_layout_overrides_what_was_found(cli: Cli) -> None:
    layout = record(cli, "a.gpr", "--layout", "1x4x8x7")["layout"]
    assert (layout["grid_rows"], layout["grid_columns"], layout["source"]) == (1, 4, "override")
    ran = cli("normalize", "a.gpr", "--layout", "3x3x8x7", "-o", "y.tsv")
    assert ran.code in (0, 2, 3)
    ran = cli("normalize", "a.gpr", "--layout", "1x1x8x7", "-o", "z.tsv")
    assert ran.code in (2, 3)
    assert "a.gpr" in ran.err


def test_plain_tables_with_columns(cli: Cli) -> None:
    base = sheet()
    head = "gene,tip,ch2,ch1,bg2,bg1\n"
    rows = zip(
        *(base.cells(t) for t in ("ID", "Block", "F635 Mean", "F532 Mean", "B635 Median", "B532 Median")), strict=True
    )
    Path("t.csv").write_text(head + "".join(",".join(row) + "\n" for row in rows))
    found = made(cli, "t.csv", "--columns", "R=ch2,G=ch1,Rb=bg2,Gb=bg1,ID=gene,Block=tip")
    assert list(found) == ["Block", "ID", "M.t", "A.t"]
    sheet().write(Path("t.gpr"))
    assert found["M.t"] == made(cli, "t.gpr")["M.t"]
    one = made(cli, "t.csv", "--columns", "E=ch1,ID=gene", "--by", "tip", "--offset", "0")
    assert list(one) == ["ID", "E.t"]
    ran = cli("normalize", "t.csv", "-o", "x.tsv")
    assert ran.code == 3 and "--columns" in ran.err
    ran = cli("normalize", "a.gpr", "--columns", "R=x,G=y", "-o", "z.tsv")
    assert ran.code == 3 and "there is no column 'x'" in ran.err
    both = cli("normalize", "a.gpr", "t.csv", "--columns", "R=ch2,G=ch1,Rb=bg2,Gb=bg1,ID=gene,Block=tip", "-o", "both/")
    assert both.code == 1 and "a.gpr:24: there is no column 'ch2'" in both.err  # it does not mean another column
    ran = cli("normalize", "t.csv", "--columns", "R=ch3,G=ch1", "-o", "x.tsv")
    assert ran.code == 3 and "ch3" in ran.err


def test_a_grouping_of_one_group_is_said_and_tips_that_are_named_are_never_made_up(cli: Cli) -> None:
    """Print-tips without blocks were the whole array in silence."""
    lines = ["gene\tpin\tred\tgreen", *(f"g{k}\t{1 + k // 30}\t{900 + 7 * k}\t{800 + k % 11 * 9}" for k in range(60))]
    Path("t.tsv").write_text("\n".join(lines) + "\n")
    read = ["t.tsv", "--columns", "R=red,G=green,ID=gene", "--background", "none", "--method", "median", "--force"]
    for command in ("normalize", "inspect"):
        args = read if command == "normalize" else read[:3]
        ran = cli(command, *args, "--by", "print-tip")
        assert ran.code == 3 and "t.tsv: --by print-tip needs the block of every spot" in ran.err + ran.out
        assert "it among gene, pin, red, green" in ran.err + ran.out
    said = cli("normalize", *read)
    assert said.code == 0 and said.err.count("t.tsv: no column Block: all spots are one group (--by=array)") == 1
    assert "one group" not in cli("normalize", *read, "--by", "array").err
    assert "one group" not in cli("normalize", *read, "--by", "pin").err
    block = [*read[:2], read[2] + ",Block=pin", *read[3:]]
    assert "one group" not in cli("normalize", *block, "--by", "print-tip").err
    Path("t.tsv").write_text("\n".join(line.replace("\t2\t", "\t1\t") for line in lines) + "\n")
    assert (
        "t.tsv: --by=pin makes one group of all spots, which is --by=array"
        in cli("normalize", *read, "--by", "pin").err
    )
