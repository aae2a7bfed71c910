"""Scans of one slide among files: one array on every route, into every output; what a scan lacks costs its slide."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from damage import Cli, Ran, four_wavelengths, sheet, sidecar, table, with_cells, with_records, without

import gridnorm as gn
from gridnorm.errors import FitError, FormatError, GridnormWarning, LayoutError, OptionError
from gridnorm.provenance import InputDigest
from gridnorm.workflow.plan import make_plan
from gridnorm.workflow.settings import make_settings

SCHEMA = Path(gn.__file__).parent / "schemas" / "sidecar-2.schema.json"
GAINS = (0.4, 1.5, 6.0)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        with_records(sheet(k, gains=GAINS), Barcode="17").write(tmp_path / f"a{k}.gpr")
    for k in range(2):
        sheet(k, seed=6, gains=(1.0, 4.0, 9.0)).write(tmp_path / f"b{k}.gpr")
    sheet(0, seed=7).write(tmp_path / "c.gpr")
    targets("a0 S1", "b0 S2", "a1 S1", "c alone", "a2 S1", "b1 S2")
    return Cli(capsys, tmp_path)


def targets(*rows: str, title: str = "Slide") -> None:
    lines = [f"{row.split()[0]}.gpr\t{row.partition(' ')[2]}" for row in rows]
    Path("t.txt").write_text("\n".join([f"FileName\t{title}", *lines]) + "\n")


def quietly(call: Any, *given: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GridnormWarning)
        return call(*given, **options)


def test_a_slide_is_one_array_of_the_table_and_the_record_has_all_its_files(cli: Cli) -> None:
    ran = cli("normalize", "t.txt", "--merge-scans", "slide", "--by", "array", "-o", "m.tsv")
    assert ran.code == 0, ran.err
    columns = table(Path("m.tsv"))
    assert [title for title in columns if title.startswith("M.")] == ["M.S1", "M.S2", "M.c"]
    found = sidecar(Path("m.tsv"))
    assert [one["name"] for one in found["inputs"]] == [f"{n}.gpr" for n in ("a0", "a1", "a2", "b0", "b1", "c")]
    one, two, three = found["arrays"]
    assert (one["file"], two["file"], three["file"]) == ("S1 (3 scans)", "S2 (2 scans)", "c.gpr")
    assert [scan["file"] for scan in one["scans"]] == ["a0.gpr", "a1.gpr", "a2.gpr"] and "scans" not in three
    gains = [scan["channels"]["R"]["gain"] for scan in one["scans"]]
    np.testing.assert_allclose(gains, np.array(GAINS) / GAINS[0], rtol=0.02)
    assert found["parameters"]["merge_scans"] == "Slide" == three["parameters"]["merge_scans"]
    assert [step["operation"] for step in found["history"]][:2] == ["read", "merge_scans"]
    assert any(
        text.startswith("S1 (3 scans): a0.gpr, a1.gpr and a2.gpr are merged, in the unit") for text in one["warnings"]
    )
    assert not any("barcode" in text for text in found["warnings"]), "known to be scans of one slide"
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(found, json.loads(SCHEMA.read_text()))


def test_every_route_and_output_has_the_same_numbers(cli: Cli) -> None:
    say = ["--merge-scans", "Slide", "--by", "array"]
    assert cli("normalize", "t.txt", *say, "-o", "m.tsv").code == 0
    whole = table(Path("m.tsv"))
    for name, more in (("folder/", []), ("workers/", ["-j", "2"])):
        assert cli("normalize", "t.txt", *say, "-o", name, *more).code == 0
        for array in ("S1", "S2", "c"):
            assert table(Path(f"{name}{array}.tsv"))[f"M.{array}"] == whole[f"M.{array}"]
    assert Path("folder/gridnorm.json").read_bytes() == Path("workers/gridnorm.json").read_bytes()
    assert (
        len(sidecar(Path("folder/S1.tsv"))["inputs"]) == 3
        and len(json.loads(Path("folder/gridnorm.json").read_text())["inputs"]) == 6
    )
    assert cli("normalize", "t.txt", *say, "-o", "more.tsv", "-j", "2").code == 0
    assert Path("more.tsv").read_bytes() == Path("m.tsv").read_bytes()
    # In Python: as files, as a set that was read merged, and as one that is merged afterwards.
    files = quietly(gn.normalize, "t.txt", merge_scans="Slide", by="array")
    read = quietly(gn.read, "t.txt", merge_scans="Slide")
    after = quietly(gn.merge_scans, quietly(gn.read, "t.txt"), "Slide")
    assert files.names == read.names == after.names == ("S1", "S2", "c")
    assert str(read.history) == str(after.history)
    assert read.targets == after.targets and read.targets["FileName"][1] == "b0.gpr | b1.gpr"
    np.testing.assert_array_equal(read.R, after.R)
    assert [r.to_dict() for r in read.records] == [r.to_dict() for r in after.records]
    np.testing.assert_array_equal(quietly(gn.normalize, read, by="array").M, files.M)
    quietly(gn.write, files, "python.tsv")
    assert Path("python.tsv").read_bytes() == Path("m.tsv").read_bytes()
    assert sidecar(Path("python.tsv"))["arrays"] == sidecar(Path("m.tsv"))["arrays"]
    quietly(gn.write, quietly(gn.normalize, after, by="array"), "after.tsv")
    assert sidecar(Path("after.tsv"))["inputs"] == sidecar(Path("m.tsv"))["inputs"]


def test_merged_arrays_are_split_and_made_alike_as_others_are(cli: Cli) -> None:
    say = ["--merge-scans", "Slide", "--by", "array", "--between", "scale"]
    assert cli("normalize", "t.txt", *say, "-o", "m.tsv").code == 0
    assert cli("normalize", "t.txt", *say, "-o", "folder/").code == 0
    assert table(Path("folder/S1.tsv"))["M.S1"] == table(Path("m.tsv"))["M.S1"]
    for k in range(2):
        sheet(k, channels=1, same_probes=True, gains=(1.0, 5.0, 9.0)).write(Path(f"d{k}.gpr"))
    targets("d0 S", "d1 S")
    assert cli("normalize", "t.txt", "--merge-scans", "Slide", "--split", "block", "-o", "parts.tsv").code == 0
    assert [title for title in table(Path("parts.tsv")) if title.startswith("E.")] == [f"E.S.{k}" for k in (1, 2, 3, 4)]
    assert [one["name"] for one in sidecar(Path("parts.tsv"))["inputs"]] == ["d0.gpr", "d1.gpr"]


def test_pixels_that_a_file_calls_saturated_leave_the_scan_out_and_the_column_does_not_stay(cli: Cli) -> None:
    bright = sheet(1, seed=6, gains=(1.0, 4.0, 9.0))
    with_cells(bright, "F635 % Sat.", range(40), "25").write(Path("b1.gpr"))
    targets("b0 S2", "b1 S2")
    read = quietly(gn.read, "t.txt", merge_scans="Slide")
    found = [scan.channels for scan in read.record(0).scans]
    assert [one["R"]["saturated"] for one in found][1] >= 40 > [one["G"]["saturated"] for one in found][1]
    assert "F635 % Sat." not in read.columns
    raw = quietly(gn.read, ["b0.gpr", "b1.gpr"])
    order = [
        list(map(tuple, zip(*(one.columns[t] for t in ("Block", "Row", "Column")), strict=True))) for one in (raw, read)
    ]
    assert order[0] == order[1]
    places = {tuple(int(bright.rows[k][bright.at(t)]) for t in ("Block", "Row", "Column")) for k in range(40)}
    only = [k for k, place in enumerate(order[0]) if tuple(map(int, place)) in places]
    np.testing.assert_allclose(read.R[only, 0], raw.R[only, 0] - found[0]["R"]["offset"], rtol=1e-7)
    kept = quietly(gn.read, "t.txt", merge_scans="Slide", keep="F635 % Sat.")
    assert (kept.columns["F635 % Sat."][only] == 0).all()


def test_flags_set_by_hand_are_those_of_a_scan(cli: Cli) -> None:
    Path("flags.txt").write_text("Array\tBlock\tRow\tColumn\tFlag\na1\t1\t1\t1\t-100\n")
    read = quietly(gn.read, "t.txt", merge_scans="Slide", flag_table="flags.txt")
    assert read.flags is not None and read.flags[0].tolist() == [-100, 0, 0]


def test_a_slide_whose_scan_cannot_be_read_fails_whole_and_the_others_are_written(cli: Cli) -> None:
    Path("a1.gpr").unlink()
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "--by", "array", "-o", "m.tsv")
    assert ran.code == 1
    assert "S1 (3 scans): the slide cannot be merged: not all of its scans can be read; found no " in ran.err
    assert "a1.gpr" in ran.err and "To do without it, take it out of Slide" in ran.err
    assert [one["name"] for one in sidecar(Path("m.tsv"))["arrays"]] == ["S2", "c"]
    # One that is damaged below its head is met later, with the same end.
    Path("a1.gpr").write_text(sheet(1).text()[:-200], newline="")
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "--by", "array", "-o", "n.tsv")
    assert ran.code == 1 and "a1.gpr" in ran.err
    assert [one["name"] for one in sidecar(Path("n.tsv"))["arrays"]] == ["S2", "c"]


def test_scans_of_other_spots_or_channels_are_refused_and_both_files_named(cli: Cli) -> None:
    without(sheet(1, gains=GAINS), range(5)).write(Path("a1.gpr"))
    four_wavelengths(sheet(1, seed=6)).write(Path("b1.gpr"))
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "--by", "array", "-o", "m.tsv", "--channels", "635,532")
    assert ran.code == 1
    assert (
        "a1.gpr: its spots are not those of a0.gpr, a scan of the same slide; found 5 spots missing, 0 more" in ran.err
    )
    with pytest.raises(LayoutError, match="a1.gpr: its spots are not those of a0.gpr"):
        quietly(gn.read, "t.txt", merge_scans="Slide")
    targets("b0 S2", "b1 S2")
    with pytest.raises(LayoutError, match="b1.gpr: scans of one slide have other channels.*as in b0.gpr"):
        quietly(gn.read, "t.txt", merge_scans="Slide")


def test_what_names_no_scans_is_refused(cli: Cli) -> None:
    def said(*words: str) -> Ran:
        return cli("normalize", *words, "-o", "x.tsv", "--force")

    ran = said("a0.gpr", "a1.gpr", "--merge-scans", "Slide")
    assert (
        ran.code == 2 and "--merge-scans needs a targets table; found a0.gpr, a1.gpr, expected a table with" in ran.err
    )
    ran = said("t.txt", "--merge-scans", "Scan")
    assert ran.code == 2
    assert "--merge-scans names no column of the targets table; found 'Scan'. Its columns: FileName, Slide" in ran.err
    targets("a0 S1", "b0 S2")
    ran = said("t.txt", "--merge-scans", "Slide")
    assert ran.code == 2 and "there are no scans to merge: no slide has two; found S1, S2 in Slide" in ran.err
    targets("a0 S1", "a1 S1", "b0 ")
    ran = said("t.txt", "--merge-scans", "Slide")
    assert ran.code == 2 and "an array has no entry in Slide; found " in ran.err and "b0.gpr" in ran.err
    frame = pd.DataFrame({"R": [5.0, 6, 7, 9], "G": [4.0, 6, 8, 9]})
    with pytest.raises(OptionError, match="merge_scans has no meaning for a DataFrame, which is one array"):
        gn.read(frame, merge_scans="Slide")
    with pytest.raises(OptionError, match="merge_scans has no meaning for arrays that have been read"):
        gn.normalize(quietly(gn.read, "a0.gpr"), merge_scans="Slide")


def test_the_same_file_twice_is_no_two_scans(cli: Cli) -> None:
    Path("a1.gpr").write_bytes(Path("a0.gpr").read_bytes())
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "--by", "array", "-o", "m.tsv", "-v")
    assert "a1.gpr: same content as a0.gpr" in ran.err
    targets("a0 S1", "a1 S1")
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "--by", "array", "-o", "n.tsv", "-v")
    assert "R: the gains of the scans are alike (1 to 1)" in ran.err


def test_other_barcodes_of_one_slide_are_a_doubt(cli: Cli) -> None:
    with_records(sheet(1, gains=GAINS), Barcode="18").write(Path("a1.gpr"))
    plan = make_plan(["t.txt"], make_settings({"merge_scans": "Slide"}))
    assert plan.warnings == ("S1 (3 scans): the scans have different barcodes, 17, 18: are they of one slide?",)
    assert plan.settings.merge_scans == "Slide" and [len(task.paths) for task in plan.tasks] == [3, 2, 1]


def test_no_scan_is_overwritten_and_a_dry_run_lists_them(cli: Cli) -> None:
    ran = cli("normalize", "t.txt", "--merge-scans", "Slide", "-o", "a2.gpr", "--format", "tsv", "--force")
    assert ran.code == 2 and "an input would be overwritten" in ran.err
    shown = json.loads(cli("normalize", "t.txt", "--merge-scans", "Slide", "--dry-run").out)
    assert shown["settings"]["merge_scans"] == "Slide"
    assert [Path(name).name for name in shown["arrays"][0]["scans"]] == ["a0.gpr", "a1.gpr", "a2.gpr"]


def test_scans_that_do_not_rise_together_fail_as_a_slide(cli: Cli) -> None:
    given = sheet(1, gains=GAINS)
    with_cells(given, "F635 Mean", range(len(given.rows)), lambda cell: str(max(0, 40000 - int(cell)))).write(
        Path("a1.gpr")
    )
    with pytest.raises(FitError) as caught:
        quietly(gn.read, "t.txt", merge_scans="Slide")
    assert str(caught.value).startswith("S1 (3 scans): the scans cannot be merged: R: ")
    assert str(caught.value).endswith("Are these scans of one slide?")
    with pytest.raises(FormatError, match="there is no such file"):
        targets("a0 S", "none S")
        gn.read("t.txt", merge_scans="Slide")


def test_nine_real_scans_with_saturated_pixels_are_told_by_them(shared: Path, cli: Cli) -> None:
    files = sorted((shared / "data" / "arrays" / "gainscan").glob("*array1*"))
    Path("t.txt").write_text("FileName\tSlide\n" + "".join(f"{file}\tS\n" for file in files))
    merged = quietly(gn.read, "t.txt", merge_scans="Slide")
    singles = quietly(gn.read, [str(file) for file in files])
    found = [scan.channels["E"] for scan in merged.record(0).scans]
    assert [one["saturated"] for one in found] == [0, 0, 0, 0, 0, 0, 0, 4, 6]
    signal, single = (merged.E - merged.Eb)[:, 0] * found[5]["gain"], (singles.E - singles.Eb)[:, 5]
    bright = single > 2000
    assert bright.sum() == 35
    # The four brightest are 30 to 65 % saturated at 600 and 650 V: without the column they came out 40 % too low.
    np.testing.assert_allclose(signal[bright], single[bright], rtol=0.12)
    # Dim spots, in log2: lost in rounding at 250 V.
    dim = (single > 15) & (single < 60)
    apart = [np.std(np.log2(np.maximum(x[dim], 1e-3) / single[dim])) for x in (signal, (singles.E - singles.Eb)[:, 0])]
    assert apart[0] < 0.1 < 2 < apart[1]
    assert (
        merged.record(0).digests == [InputDigest(*one) for one in merged.record(0).digests]
        and len(merged.record(0).digests) == 9
    )
