"""Files that are split: one file, several arrays, through plan, table and folder."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.errors import LostError
from gridnorm.workflow.folder import Errand, Folder
from gridnorm.workflow.plan import describe, make_plan
from gridnorm.workflow.settings import make_settings


def slide(k: int = 0) -> damage.Sheet:
    """Four blocks with the same IDs."""
    return sheet(k, same_probes=True)


def named(given: damage.Sheet, names: str) -> damage.Sheet:
    """The blocks are of these samples, a letter each, in the column Name."""
    block = iter(given.cells("Block"))
    return damage.with_cells(given, "Name", range(len(given.rows)), lambda _: names[int(next(block)) - 1].strip("_"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        slide(k).write(Path(f"{name}.gpr"))
    return Cli(capsys, tmp_path)


def titles(path: str) -> list[str]:
    return [title for title in damage.table(Path(path)) if title[:2] == "M."]


def record(path: str) -> dict[str, Any]:
    return damage.sidecar(Path(path))


def test_a_part_is_what_a_file_of_its_spots_would_be(cli: Cli) -> None:
    """Background model, fits, flags and counts are the part's own."""
    base = damage.with_cells(slide(), "Flags", range(0, 200, 9), "-50")
    base.write(Path("a.gpr"))
    assert cli("normalize", "a.gpr", "--split", "block", "-o", "parts.tsv").code == 0
    for block in "1234":
        alone = damage.with_rows(base, base.where(Block=int(block)))
        damage.with_cells(alone, "Block", range(56), "1").write(Path("alone.gpr"))
        assert cli("normalize", "alone.gpr", "-o", "alone.tsv", "--force").code == 0
        for kind in "MAW":
            mine, its = damage.table(Path("parts.tsv")), damage.table(Path("alone.tsv"))
            assert mine[f"{kind}.a.{block}"] == its[f"{kind}.alone"]
        part, (whole,) = record("parts.tsv")["arrays"][int(block) - 1], record("alone.tsv")["arrays"]
        assert (part["name"], part["file"], part["part"]) == (f"a.{block}", "a.gpr", block)
        for key in ("normexp", "groups", "spots", "flagged", "missing", "channels", "columns"):
            assert part[key] == whole[key], key
        assert part["parameters"] == {**whole["parameters"], "split": "block"} and "part" not in whole


def test_the_record_names_a_file_once_and_every_part_of_it(cli: Cli) -> None:
    damage.with_cells(slide(1), "Flags", [3], "").write(Path("b.gpr"))
    assert cli("normalize", "a.gpr", "b.gpr", "--split", "block", "-o", "x.tsv").code == 0
    found = record("x.tsv")
    assert [one["name"] for one in found["inputs"]] == ["a.gpr", "b.gpr"]
    assert [one["name"] for one in found["arrays"]] == [f"{file}.{k}" for file in "ab" for k in range(1, 5)]
    assert found["history"][1] == {"operation": "split", "parameters": {"split": "block"}}
    (said,) = found["warnings"]
    assert "empty cells of column 'Flags'" in said and all(said in one["warnings"] for one in found["arrays"][4:])
    assert found["layout"]["blocks"] == [1] and found["layout"]["evidence"][0].startswith(
        "one of 4 parts, by block, of 2 x 2"
    )


def test_parts_of_files_are_compared_by_label(cli: Cli) -> None:
    other = damage.with_cells(slide(1), "ID", slide().where(Block=3), lambda cell: "Q" + cell[1:])
    other.write(Path("b.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "block", "-o", "x.tsv")
    assert ran.code == 1 and titles("x.tsv") == [f"M.a.{k}" for k in range(1, 5)] + [f"M.b.{k}" for k in (1, 2, 4)]
    assert (
        "failed: b.gpr block 3: the spots are not those of a.gpr block 3: another print run; found another ID at 56 of 56"
        in ran.err
    )
    (failed,) = record("x.tsv")["failed"]
    assert failed["file"] == "b.gpr" and failed["error"].startswith("b.gpr block 3: ")
    assert cli("normalize", "a.gpr", "b.gpr", "--split", "block", "--align", "union", "-o", "y.tsv").code == 0
    assert len(titles("y.tsv")) == 8 and len(damage.table(Path("y.tsv"))["ID"]) == 112


def test_labels_of_one_file_only_are_matched_by_what_they_hold(cli: Cli) -> None:
    named(slide(0), "stuv").write(Path("a.gpr"))
    named(slide(1), "wx_v").write(Path("b.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "name", "-o", "x.tsv")
    assert ran.code == 0 and titles("x.tsv") == [
        f"M.{t}" for t in ("a.s", "a.t", "a.u", "a.v", "b.v", "b.w", "b.x", "b.(none)")
    ]
    assert len(damage.table(Path("x.tsv"))["ID"]) == 56 and "56 spots have no Name; they are the part (none)" in ran.err
    strange = damage.with_cells(named(slide(1), "wxyv"), "ID", slide().where(Block=1), lambda cell: "Q" + cell[1:])
    strange.write(Path("b.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "name", "-o", "x.tsv", "--force")
    assert (
        ran.code == 1 and "failed: b.gpr Name w: the spots are not those of a.gpr Name s: another print run" in ran.err
    )


def test_a_label_of_one_file_only_is_compared_with_the_content_most_like_its_own(cli: Cli) -> None:
    rows = [int(cell) for cell in slide().cells("Row")]
    blocks = [int(cell) for cell in slide().cells("Block")]
    some = [k for k in range(224) if rows[k] <= {1: 7, 2: 4}.get(blocks[k], 0)]
    damage.with_rows(named(slide(0), "stuv"), some).write(Path("a.gpr"))
    damage.with_rows(named(slide(1), "wxyz"), slide().where(Block=1)).write(Path("b.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "name", "--method", "median", "-o", "x.tsv")
    assert ran.code == 0 and titles("x.tsv") == ["M.a.s", "M.a.t", "M.b.w"]
    assert "b.gpr Name w: 7 spots are not in a.gpr Name s; they have rows of their own" in ran.err


@pytest.mark.parametrize("more", [(), pytest.param(("-j", "2"), marks=pytest.mark.slow)])
def test_a_part_that_fails_costs_itself_alone(cli: Cli, more: tuple[str, ...]) -> None:
    dark = damage.with_cells(slide(), "Flags", slide().where(Block=2), "-100")
    dark.write(Path("a.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "block", "-o", "x.tsv", "--force", *more)
    assert ran.code == 1 and ran.err.count("failed: ") == 1 and "failed: a.gpr block 2: no usable value" in ran.err
    assert len(titles("x.tsv")) == 7 and "M.a.2" not in titles("x.tsv")
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "block", "-o", "each/", "--force", *more)
    assert ran.code == 1 and "wrote 7 arrays to each/" in ran.err
    assert not Path("each/a.2.tsv").exists() and Path("each/a.3.tsv").exists()
    found = json.loads(Path("each/gridnorm.json").read_text())
    assert [one["name"] for one in found["inputs"]] == ["a.gpr", "b.gpr"] and len(found["arrays"]) == 7
    with pytest.raises(gn.FitError, match="^a.gpr block 2: no usable value"):
        gn.normalize("a.gpr", split="block")


@pytest.mark.slow
def test_of_a_file_that_cannot_be_split_nothing_is_taken(cli: Cli) -> None:
    base = slide(1)
    damage.Sheet(base.records, ["Quality" if t == "Name" else t for t in base.titles], base.rows).write(Path("b.gpr"))
    named(slide(0), "stuv").write(Path("a.gpr"))
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "Name", "-o", "x.tsv")
    assert (
        ran.code == 1
        and len(titles("x.tsv")) == 4
        and "failed: b.gpr: --split names no column; found 'Name'" in ran.err
    )
    ran = cli("normalize", "a.gpr", "b.gpr", "--split", "Nam", "-o", "y.tsv")
    assert ran.code == 2 and "Did you mean 'Name'?" in ran.err and not Path("y.tsv").exists()
    assert cli("normalize", "a.gpr", "--split", "F635 Mean", "-o", "y.tsv").code == 2


def test_cells_of_a_targets_table_are_repeated_for_the_parts(cli: Cli) -> None:
    Path("t.txt").write_text("FileName\tName\tDose\na.gpr\tone.1\t1\nb.gpr\tone\t2\n")
    parts = gn.normalize("t.txt", split="block")
    assert parts.targets["Dose"] == ["1"] * 4 + ["2"] * 4
    assert parts.names == (*(f"one.1.{k}" for k in range(1, 5)), *(f"one.{k}" for k in range(1, 5)))


@pytest.mark.slow
def test_names_that_meet_are_numbered_in_a_table_and_apart_in_a_folder(cli: Cli) -> None:
    """Array ``s`` has a part ``1.x``, array ``s.1`` a part ``x``."""
    both = {"S": "1.x", "T": "x"}
    for name in "ab":
        given = named(slide(), "STST")
        damage.with_cells(given, "Name", range(224), lambda cell: both[cell]).write(Path(f"{name}.gpr"))
    Path("t.txt").write_text("FileName\tName\na.gpr\ts\nb.gpr\ts.1\n")
    assert cli("normalize", "t.txt", "--split", "Name", "-o", "x.tsv").code == 0
    assert titles("x.tsv") == ["M.s.1.x", "M.s.x", "M.s.1.1.x", "M.s.1.x (2)"]
    assert cli("normalize", "t.txt", "--split", "Name", "-o", "each/").code == 0
    assert sorted(p.name for p in Path("each").glob("*.tsv")) == ["s.1.1_x.tsv", "s.1.x.tsv", "s.1_x.tsv", "s.x.tsv"]


@pytest.mark.slow
def test_labels_become_names_of_files_that_every_system_takes(cli: Cli) -> None:
    names = {"s": "a/b", "t": "A:b", "u": "a_b", "v": ""}
    given = named(slide(), "stuv")
    damage.with_cells(given, "Name", range(224), lambda cell: names[cell]).write(Path("a.gpr"))
    assert cli("normalize", "a.gpr", "--split", "Name", "-o", "each/").code == 0
    found = {p.name: next(t for t in damage.table(p) if t[:2] == "M.") for p in Path("each").glob("*.tsv")}
    assert found == {
        "a.A_b.tsv": "M.a.A:b", "a.a_b (2).tsv": "M.a.a/b", "a.a_b (3).tsv": "M.a.a_b", "a.(none).tsv": "M.a.(none)",
    }  # fmt: skip


@pytest.mark.slow
def test_a_folder_keeps_what_is_there_and_its_inputs(cli: Cli) -> None:
    Path("out").mkdir()
    slide().write(Path("out/x.1.tsv"))
    for name in ("a.old.tsv", "b.2.tsv.gridnorm.json"):
        Path("out", name).write_text("of another run")
        ran = cli("normalize", "a.gpr", "b.gpr", "--split", "block", "-o", "out/")
        assert ran.code == 2 and f"{name}: the output exists already" in ran.err
        Path("out", name).unlink()
    Path("out/a.tsv").write_text("no part of an array")
    ran = cli("normalize", "a.gpr", "out/x.1.tsv", "--split", "block", "-o", "out/")
    assert ran.code == 0 and Path("out/x.1.1.tsv").exists()
    slide().write(Path("out/x.1.tsv"))
    Path("t.txt").write_text("FileName\tName\na.gpr\tx\nout/x.1.tsv\ty\n")
    ran = cli("normalize", "t.txt", "--split", "block", "-o", "out/", "--force")
    assert ran.code == 2 and "an input would be overwritten" in ran.err


def test_of_a_file_whose_worker_died_no_half_of_a_part_stays(cli: Cli) -> None:
    plan = make_plan(["a.gpr"], make_settings({"split": "block"}), compare=False)
    Path("out").mkdir()
    with Folder("out", ["a.tsv", "a.1.tsv"], True, "tsv") as folder:
        for file in ("a.1.tsv", "a.2.tsv", "a.2.tsv.gridnorm.json", "a.1.3.tsv", "a.tsv"):
            Path("out", file).write_text("x")
        (lost,) = folder.lost(Errand(plan.tasks[0], "a.tsv"), LostError("the worker died"))
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.1.3.tsv", "a.2.tsv", "a.2.tsv.gridnorm.json", "a.tsv"]
    assert str(lost.error) == "a.gpr: the worker died"


def test_the_plan_names_the_parts_that_are_known(cli: Cli) -> None:
    shown = describe(make_plan(["a.gpr", "b.gpr"], make_settings({"split": "block"})))
    assert [one["parts"] for one in shown["arrays"]] == [["a.1", "a.2", "a.3", "a.4"], "known when the file is read"]
    assert shown["settings"]["split"] == "block"
    shown = describe(make_plan(["a.gpr"], make_settings({"split": "block"}), compare=False))
    assert [one["parts"] for one in shown["arrays"]] == ["known when the file is read"]
    assert "parts" not in describe(make_plan(["a.gpr"], make_settings({})))["arrays"][0]


@pytest.mark.slow
def test_progress_counts_files_and_the_report_counts_arrays(cli: Cli) -> None:
    from gridnorm.workflow.output import normalize_to
    from gridnorm.workflow.target import Request

    told: list[tuple[int, int]] = []
    for out in ("x.tsv", "each/"):
        done = normalize_to(
            ["a.gpr", "b.gpr"], make_settings({"split": "block"}), Request(out, progress=lambda *n: told.append(n))
        )
        assert len(done.arrays) == 8 and "8 arrays" in done.written[0]
    assert told == [(1, 2), (2, 2)] * 2


@pytest.mark.slow
def test_a_label_may_come_from_the_gal(cli: Cli) -> None:
    given = named(slide(), "stst")
    damage.gal_of(given, Path("print.gal"))
    lines = Path("print.gal").read_text().splitlines()
    names = ["Name", *given.cells("Name")]
    Path("print.gal").write_text(
        "\n".join([*lines[:1], "1\t5", lines[2], *(f"{a}\t{b}" for a, b in zip(lines[3:], names, strict=True))]) + "\n"
    )
    with pytest.warns(gn.GridnormWarning, match=r"[ab]\.gpr: Name differs from print\.gal"):
        parts = gn.normalize(["a.gpr", "b.gpr"], split="Name", gal="print.gal")
    assert parts.names == ("a.s", "a.t", "b.s", "b.t") and parts.n_spots == 112


@pytest.mark.slow
def test_columns_that_are_kept_and_pools_go_with_parts(cli: Cli) -> None:
    arrays = gn.read(["a.gpr", "b.gpr"], keep="X")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pooled = gn.normalize(["a.gpr", "b.gpr"], split="block", keep="X", map=pool.map)
        of_set = gn.normalize(arrays, split="block", map=pool.map)
    here = gn.normalize(["a.gpr", "b.gpr"], split="block", keep="X")
    for other in (pooled, of_set):
        np.testing.assert_array_equal(other.M, here.M)
        assert list(other.shown) == ["Block", "Row", "Column", "ID", "Name", "X"]
        assert other.names == here.names and other.history == here.history


@pytest.mark.slow
def test_weights_given_as_numbers_follow_the_spots(cli: Cli) -> None:
    weights = np.random.default_rng(0).uniform(0.2, 1, (224, 2))
    arrays = gn.read(["a.gpr", "b.gpr"])
    parts = gn.normalize(arrays, split="block", weights=weights)
    assert parts.weights is not None
    np.testing.assert_array_equal(parts.weights, np.hstack([weights[:, k].reshape(4, 56).T for k in range(2)]))


def test_print_tips_of_parts_of_one_block_are_the_array_and_whoever_asks_is_told(cli: Cli) -> None:
    said = "a.gpr: every part is one block, so that by print-tip its spots are one group, the array"
    with pytest.warns(gn.GridnormWarning, match=said):
        asked = gn.normalize("a.gpr", split="block", by="print-tip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = gn.normalize("a.gpr", split="block")
    np.testing.assert_array_equal(asked.M, plain.M)
    with pytest.warns(gn.GridnormWarning, match=said):
        gn.normalize(gn.read("a.gpr"), split="block", by="print-tip")


def test_inspect_looks_at_files_and_takes_no_split(cli: Cli) -> None:
    with pytest.raises(gn.OptionError, match="^split has no meaning for inspect"):
        gn.inspect("a.gpr", split="block")
    assert cli("inspect", "a.gpr", "--split", "block").code == 2


@pytest.mark.slow
def test_a_layout_that_is_doubted_is_doubted_with_workers_too(cli: Cli) -> None:
    for jobs in "12":
        for more in ((), ("--split", "block")):
            cli("normalize", "a.gpr", "b.gpr", "--layout", "4x1x8x7", "-j", jobs, "-o", "x.tsv", "--force", *more)
            (said,) = (text for text in record("x.tsv")["warnings"] if "hold the same IDs" not in text)
            assert said.startswith("a.gpr: --layout says 4 x 1 blocks")
