"""The failure catalogue: every known way in which array files go wrong, made on purpose.

The numbers are those of the catalogue. Left out here: (18) zero-median array under ``scale`` and (30) a single array
for methods between arrays, which concern methods between arrays.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import damage
import numpy as np
import pytest
from damage import Cli, Sheet, places, sheet, sidecar, table

import gridnorm as gn

SPOTS = 224  # of a sound sheet: 2 x 2 blocks of 8 x 7
# Keeps damage to single spots local, and blocks of 56 spots to themselves; nothing gets lost.
OFFSET = ("--background", "subtract", "--offset", "50", "--min-group", "30")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, tmp_path)


def normalized(
    cli: Cli, *inputs: Path | str, options: Sequence[str] = (), code: int = 0
) -> tuple[dict[str, list[str]], str]:
    """Columns of the table, and what was said."""
    out = Path("made.tsv")
    ran = cli("normalize", *inputs, *options, "-v", "--force", "-o", out)
    assert ran.code == code, ran.err
    assert ran.out == ""
    found = table(out)
    assert sidecar(out)["output"]["rows"] == len(found["ID"])
    return found, ran.err


def plain(cli: Cli, given: Sheet, name: str = "a.gpr", options: Sequence[str] = ()) -> bytes:
    """The table of a sheet, from a sound file of that name in a folder of its own."""
    folder = Path("sound")
    folder.mkdir(exist_ok=True)
    ran = cli("normalize", given.write(folder / name), *options, "--force", "-o", folder / "made.tsv")
    assert ran.code == 0, ran.err
    return (folder / "made.tsv").read_bytes()


def refused(cli: Cli, *args: object, code: int, says: Sequence[str]) -> str:
    """A run that ends with this code, says these words, and writes nothing."""
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()}
    ran = cli("normalize", *args)
    assert ran.code == code, ran.err
    for words in says:
        assert words in ran.err
    assert {p: p.read_bytes() for p in Path().rglob("*") if p.is_file()} == before
    return ran.err


def same_numbers(one: dict[str, list[str]], two: dict[str, list[str]], rows: Sequence[int], *titles: str) -> None:
    for title in titles:
        assert [one[title][k] for k in rows] == [two[title][k] for k in rows], title


# ---- rows ----------------------------------------------------------------------------------------------------------


def test_01_shuffled_rows_of_a_later_file_are_put_in_order_and_said(cli: Cli) -> None:
    first, second = sheet(0), sheet(1)
    good, _ = normalized(cli, first.write(Path("a.gpr")), second.write(Path("b.gpr")))
    damage.shuffled(second).write(Path("b.gpr"))
    found, said = normalized(cli, "a.gpr", "b.gpr")
    assert found == good
    assert "b.gpr: the spots stand in another order than in a.gpr; they were re-ordered" in said


def test_01_shuffled_rows_of_the_first_file_come_out_in_layout_order(cli: Cli) -> None:
    sound = plain(cli, sheet())
    damage.shuffled(sheet()).write(Path("a.gpr"))
    assert cli("normalize", "a.gpr", "-o", "made.tsv").code == 0
    assert Path("made.tsv").read_bytes() == sound
    damage.shuffled(sheet(1)).write(Path("b.gpr"))
    found, _ = normalized(cli, "a.gpr", "b.gpr")
    assert places(found) == sorted(places(found))
    assert found["M.a"] == table(sound)["M.a"]
    assert found["M.b"] == table(plain(cli, sheet(1), "b.gpr"))["M.b"]


def test_01_reading_in_python_puts_shuffled_rows_in_order_too(cli: Cli, tmp_path: Path) -> None:
    paths = [sheet(0).write(tmp_path / "a.gpr"), damage.shuffled(sheet(1)).write(tmp_path / "b.gpr")]
    with pytest.warns(gn.GridnormWarning, match="re-ordered"):
        arrays = gn.read(paths)
    sound = gn.read([paths[0], sheet(1).write(tmp_path / "c.gpr")])
    np.testing.assert_array_equal(arrays.R, sound.R)
    np.testing.assert_array_equal(arrays.Gb, sound.Gb)
    assert arrays.spots.equals(sound.spots)


def test_02_missing_rows_are_empty_cells_with_a_count(cli: Cli) -> None:
    gone = [0, 17, 18, 100, 223]
    first, second = sheet(0), sheet(1)
    alone, _ = normalized(cli, damage.without(second, gone).write(Path("b.gpr")))
    good, _ = normalized(cli, first.write(Path("a.gpr")), options=["--force"])
    found, said = normalized(cli, "a.gpr", "b.gpr")
    assert len(found["ID"]) == SPOTS
    assert found["M.a"] == good["M.a"]
    assert [k for k in range(SPOTS) if found["M.b"][k] == ""] == gone
    assert [k for k in range(SPOTS) if found["A.b"][k] == ""] == gone
    assert [cell for cell in found["M.b"] if cell] == alone["M.b"]
    assert "b.gpr: 5 of" in said


def test_02_extra_rows_get_rows_of_their_own(cli: Cli) -> None:
    short = damage.without(sheet(0), [3, 4])
    found, said = normalized(cli, short.write(Path("a.gpr")), sheet(1).write(Path("b.gpr")))
    assert [k for k in range(SPOTS) if found["M.a"][k] == ""] == [3, 4]
    assert found["ID"] == sheet(0).cells("ID")
    assert found["Name"] == sheet(0).cells("Name")
    assert "" not in found["M.b"]
    assert "2 spots are not in a.gpr" in said
    assert places(found) == sorted(places(found))


def test_02_a_file_cut_in_a_row_is_an_error_with_its_line_and_the_others_are_written(cli: Cli) -> None:
    text = sheet(1).text()
    Path("cut.gpr").write_text(text[: text.rindex("\t", 0, len(text) - 60)], newline="")
    line = text.count("\r\n")
    refused(cli, "cut.gpr", code=3, says=[f"cut.gpr:{line}"])
    found, said = normalized(cli, sheet(0).write(Path("a.gpr")), "cut.gpr", code=1)
    assert f"failed: cut.gpr:{line}" in said
    assert found == table(plain(cli, sheet(0)))
    assert [f["file"] for f in sidecar(Path("made.tsv"))["failed"]] == ["cut.gpr"]


def test_02_a_file_without_rows_is_an_error(cli: Cli) -> None:
    damage.with_rows(sheet(), []).write(Path("none.gpr"))
    refused(cli, "none.gpr", code=3, says=["none.gpr:", "no rows"])


# ---- channels ------------------------------------------------------------------------------------------------------


def test_03_a_single_channel_of_700_nm_is_one_channel(cli: Cli) -> None:
    infrared = damage.renamed(sheet(channels=1), _635="700")
    assert "F700 Mean" in infrared.titles
    found, _ = normalized(cli, infrared.write(Path("a.gpr")))
    assert list(found) == ["Block", "Row", "Column", "ID", "Name", "E.a"]
    assert "" not in found["E.a"]
    record = sidecar(Path("made.tsv"))["arrays"][0]
    assert (record["channels"], record["wavelengths"], record["parameters"]["method"]) == (["E"], ["700"], "none")


def test_04_the_direction_of_genepix_ratios_and_of_its_columns_change_nothing(cli: Cli) -> None:
    good = plain(cli, sheet())
    turned = damage.with_records(sheet(), RatioFormulations="W2/W1 (532/635)", Wavelengths="532\t635")
    green = [t for t in turned.titles if "532" in t and "635" not in t]
    order = [t for t in turned.titles if t not in green]
    damage.with_columns(turned, order[:8] + green + order[8:]).write(Path("a.gpr"))
    assert cli("normalize", "a.gpr", "-o", "made.tsv").code == 0
    assert Path("made.tsv").read_bytes() == good


def test_24_four_wavelengths_are_four_columns_and_two_on_request(cli: Cli) -> None:
    damage.four_wavelengths(sheet()).write(Path("a.gpr"))
    found, _ = normalized(cli, "a.gpr")
    assert list(found)[5:] == ["E.a.635", "E.a.532", "E.a.594", "E.a.488"]
    assert all("" not in found[title] for title in list(found)[5:])
    pair, _ = normalized(cli, "a.gpr", options=["--channels", "635,532"])
    assert pair == table(plain(cli, sheet()))
    refused(cli, "a.gpr", "--channels", "635,700", code=3, says=["no wavelength 700", "635, 532, 594, 488"])


def test_one_and_two_channel_files_in_one_run_are_a_usage_error(cli: Cli) -> None:
    sheet(0).write(Path("a.gpr"))
    sheet(1, channels=1).write(Path("b.gpr"))
    refused(cli, "a.gpr", "b.gpr", code=2, says=["a.gpr with 2", "b.gpr with 1", "--channels"])


# ---- text ----------------------------------------------------------------------------------------------------------


def test_05_windows_text_with_a_raised_two_is_read_as_such(cli: Cli) -> None:
    odd = damage.with_cells(sheet(), "Name", [2], "R² µ")
    odd.titles.append("Rgn R² (635/532)")
    for row in odd.rows:
        row.append("0.9")
    good = plain(cli, odd)
    odd.write(Path("a.gpr"), encoding="cp1252")
    found, said = normalized(cli, "a.gpr", options=["--keep", "Rgn R² (635/532)"])
    assert found["Name"][2] == "R² µ"
    assert set(found["Rgn R² (635/532)"]) == {"0.9"}
    assert found["M.a"] == table(good)["M.a"]
    assert [line for line in said.splitlines() if line.startswith("warning:") and "normexp" not in line] == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "ascii"])
def test_06_every_usual_encoding_gives_the_same_table(cli: Cli, encoding: str) -> None:
    good = plain(cli, sheet())
    sheet().write(Path("a.gpr"), encoding=encoding)
    assert cli("normalize", "a.gpr", "-o", "made.tsv").code == 0
    assert Path("made.tsv").read_bytes() == good


@pytest.mark.parametrize("end", ["\n", "\r", "\r\r\n"])
def test_06_every_line_end_gives_the_same_table(cli: Cli, end: str) -> None:
    good = plain(cli, sheet())
    sheet().write(Path("a.gpr"), end=end)
    ran = cli("normalize", "a.gpr", "-v", "-o", "made.tsv")
    assert Path("made.tsv").read_bytes() == good
    assert (" CR" in ran.err) == (end != "\n")


def test_06_mixed_line_ends_and_a_byte_order_mark(cli: Cli) -> None:
    good = plain(cli, sheet())
    Path("a.gpr").write_bytes(b"\xef\xbb\xbf" + damage.mixed_line_ends(sheet()))
    assert cli("normalize", "a.gpr", "-o", "made.tsv").code == 0
    assert Path("made.tsv").read_bytes() == good


def test_06_damaged_utf_16_is_refused(cli: Cli) -> None:
    data = sheet().text().encode("utf-16")
    Path("a.gpr").write_bytes(data[:-5])
    refused(cli, "a.gpr", code=3, says=["a.gpr", "damaged or cut off"])


def test_07_decimal_commas_are_read_and_said(cli: Cli) -> None:
    good = table(plain(cli, damage.fractions(sheet(), ".")))
    damage.fractions(sheet(), ",").write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr")
    assert found == good
    assert "warning: a.gpr:" in said
    assert "comma" in said


def test_07_commas_and_points_together_are_refused(cli: Cli) -> None:
    both = damage.with_cells(damage.fractions(sheet(), ","), "F635 Mean", [9], "1234.5")
    both.write(Path("a.gpr"))
    refused(cli, "a.gpr", code=3, says=["a.gpr:", "comma"])


@pytest.mark.parametrize("name", ['5" oligo', '"', 'a "quoted" word', '"open', 'shut"'])
def test_08_quotes_in_names_cost_no_row(cli: Cli, name: str) -> None:
    good = table(plain(cli, sheet()))
    text = sheet().text().replace('"probe 5"', name).replace('"probe 60"', name)
    Path("a.gpr").write_text(text, newline="")
    found, _ = normalized(cli, "a.gpr")
    assert found["ID"] == good["ID"]
    assert found["M.a"] == good["M.a"]
    same_numbers(found, good, [k for k in range(SPOTS) if k not in (4, 59)], "Name")
    assert found["Name"][4] == found["Name"][59]
    assert found["Name"][4].strip('"') == name.strip('"')


def test_09_error_cells_are_missing_values_and_counted(cli: Cli) -> None:
    good, _ = normalized(cli, sheet().write(Path("a.gpr")), options=OFFSET)
    gone = sheet().where(Block=2)[3:6]
    damage.with_cells(sheet(), "F635 Mean", gone, "Error").write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr", options=OFFSET)
    assert [k for k in range(SPOTS) if found["M.a"][k] == ""] == gone
    others = [k for b in (1, 3, 4) for k in sheet().where(Block=b)]
    same_numbers(found, good, others, "M.a", "A.a")
    assert sidecar(Path("made.tsv"))["arrays"][0]["missing"] == 3
    assert "       3" in said.splitlines()[1]


def test_09_text_where_a_number_belongs_is_an_error_with_its_line(cli: Cli) -> None:
    damage.with_cells(sheet(), "F532 Mean", [7], "bright").write(Path("a.gpr"))
    line = (
        sheet().text().split("\r\n").index(next(t for t in sheet().text().split("\r\n") if t.startswith('"Block"'))) + 9
    )
    refused(cli, "a.gpr", code=3, says=[f"a.gpr:{line}", "'bright'", "F532 Mean"])


def test_09_infinite_intensities_are_missing_and_counted(cli: Cli) -> None:
    damage.with_cells(sheet(), "F532 Mean", [7, 9], "Inf").write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr")
    assert [k for k in range(SPOTS) if found["M.a"][k] == ""] == [7, 9]
    assert "a.gpr: 2 infinite intensities are missing in the result" in said


def test_10_a_file_saved_again_by_a_spreadsheet_gives_the_same_table(cli: Cli) -> None:
    good = plain(cli, sheet())
    data = damage.excel_resaved(sheet())
    assert b'""' in data
    assert b"\t\t\t\t" in data
    Path("a.gpr").write_bytes(data)
    assert cli("normalize", "a.gpr", "-o", "made.tsv").code == 0
    assert Path("made.tsv").read_bytes() == good


# ---- blocks --------------------------------------------------------------------------------------------------------


def test_11_two_blocks_side_by_side_are_seen_as_such(cli: Cli) -> None:
    sheet(blocks=(1, 2)).write(Path("wide.gpr"))
    sheet(blocks=(2, 1)).write(Path("tall.gpr"))
    assert "layout     1 x 2 blocks of 8 x 7 spots (from X/Y positions)" in cli("inspect", "wide.gpr").out
    assert "layout     2 x 1 blocks of 8 x 7 spots (from X/Y positions)" in cli("inspect", "tall.gpr").out


def test_12_forty_two_blocks_of_few_spots_are_pooled_and_it_is_said(cli: Cli) -> None:
    many = sheet(blocks=(21, 2), spots=(4, 4))
    found, said = normalized(cli, many.write(Path("a.gpr")))
    assert len(found["ID"]) == 42 * 16
    assert "loess (42 shrunk)" in said
    groups = sidecar(Path("made.tsv"))["arrays"][0]["groups"]
    assert [g["group"] for g in groups] == list(range(1, 43))
    assert {(g["spots"], g["fit"]) for g in groups} == {(16, "shrunk")}
    assert all(0 <= share <= 1 for g in groups for share in g["shares"].values())
    found, said = normalized(cli, "a.gpr", options=["--small-groups", "array"])
    whole, _ = normalized(cli, "a.gpr", options=["--by", "array"])
    assert found["M.a"] == whole["M.a"] and "loess (42 as the array)" in said


def test_13_a_missing_block_leaves_the_others_as_they_are(cli: Cli) -> None:
    full, _ = normalized(cli, sheet().write(Path("a.gpr")), options=OFFSET)
    kept = [k for b in (1, 2, 4) for k in sheet().where(Block=b)]
    damage.with_rows(sheet(), kept).write(Path("b.gpr"))
    found, _ = normalized(cli, "b.gpr", options=OFFSET)
    assert found["M.b"] == [full["M.a"][k] for k in kept]
    layout = sidecar(Path("made.tsv"))["layout"]
    assert (layout["blocks"], layout["grid_rows"], layout["grid_columns"], layout["complete"]) == (
        [1, 2, 4],
        2,
        2,
        False,
    )
    both, said = normalized(cli, "a.gpr", "b.gpr", options=OFFSET)
    assert [k for k in range(SPOTS) if both["M.b"][k] == ""] == sheet().where(Block=3)
    assert both["M.a"] == full["M.a"]
    assert "b.gpr: 56 of" in said


def test_14_blocks_of_unequal_size_are_kept_and_said(cli: Cli) -> None:
    full, _ = normalized(cli, sheet().write(Path("a.gpr")), options=OFFSET)
    gone = [k for row in (7, 8) for k in sheet().where(Block=4, Row=row)]
    short = damage.without(sheet(), gone)
    found, _ = normalized(cli, short.write(Path("a.gpr")), options=OFFSET)
    assert len(found["ID"]) == SPOTS - 14
    others = [k for b in (1, 2, 3) for k in sheet().where(Block=b)]
    same_numbers(found, full, others, "M.a", "A.a")
    assert "up to 8 x 7" in cli("inspect", "a.gpr").out


# ---- groups --------------------------------------------------------------------------------------------------------


def test_15_a_tip_with_every_spot_flagged_takes_the_fit_of_the_array_and_it_is_said(cli: Cli) -> None:
    full, _ = normalized(cli, sheet().write(Path("a.gpr")), options=OFFSET)
    tip = sheet().where(Block=2)
    damage.with_cells(sheet(), "Flags", tip, "-100").write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr", options=OFFSET)
    assert "loess (1 as the array)" in said
    groups = sidecar(Path("made.tsv"))["arrays"][0]["groups"]
    assert [g["fit"] for g in groups] == ["own", "array", "own", "own"]
    assert groups[1]["shift_before"] is None
    assert "" not in found["M.a"]
    assert [k for k in range(SPOTS) if float(found["W.a"][k]) == 0] == tip
    same_numbers(found, full, [k for k in range(SPOTS) if k not in tip], "M.a", "A.a")
    dropped, _ = normalized(cli, "a.gpr", options=[*OFFSET, "--flags", "drop"])
    assert [k for k in range(SPOTS) if dropped["M.a"][k] == ""] == tip
    Path("made.tsv").unlink()
    Path("made.tsv.gridnorm.json").unlink()
    refused(cli, "a.gpr", "--small-groups", "error", code=4, says=["a.gpr: 1 group", "2 (0)"])


@pytest.mark.parametrize("usable", [0, 1, 13])
@pytest.mark.parametrize("rule", ["array", "merge", "shrink"])
def test_16_a_tip_with_few_usable_spots_costs_nobody_else_anything(cli: Cli, usable: int, rule: str) -> None:
    options = [*OFFSET, "--small-groups", rule]
    full, _ = normalized(cli, sheet().write(Path("a.gpr")), options=options)
    tip = sheet().where(Block=1)
    damage.with_cells(sheet(), "F635 Mean", tip[usable:], "Error").write(Path("a.gpr"))
    found, _ = normalized(cli, "a.gpr", options=options)
    assert [k for k in range(SPOTS) if found["M.a"][k] == ""] == tip[usable:]
    fits = [g["fit"] for g in sidecar(Path("made.tsv"))["arrays"][0]["groups"]]
    assert fits[0] == {"array": "array", "merge": "merged", "shrink": "shrunk" if usable else "array"}[rule]
    untouched = [b for b, fit in enumerate(fits, 1) if fit == "own"]
    assert len(untouched) == (2 if rule == "merge" else 3)
    same_numbers(found, full, [k for b in untouched for k in sheet().where(Block=b)], "M.a")


def test_17_intensities_of_zero_or_less_are_missing_and_counted(cli: Cli) -> None:
    dark = list(range(0, SPOTS, 2))
    damage.with_cells(sheet(), "F635 Mean", dark, "3").write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr", options=["--background", "subtract"])
    assert {k for k in range(SPOTS) if found["M.a"][k] == ""} >= set(dark)
    count = sum(cell == "" for cell in found["M.a"])
    assert count < SPOTS
    assert "intensities are not positive after background correction (subtract)" in said
    assert sidecar(Path("made.tsv"))["arrays"][0]["missing"] == count
    repaired, _ = normalized(cli, "a.gpr", options=["--background", "half"])
    assert "" not in repaired["M.a"]


# ---- identity ------------------------------------------------------------------------------------------------------


def test_19_two_rows_of_one_position_are_both_kept_with_a_warning(cli: Cli) -> None:
    doubled = damage.with_rows(sheet(), [*range(SPOTS), 5, 6])
    doubled.write(Path("a.gpr"))
    found, said = normalized(cli, "a.gpr")
    assert len(found["ID"]) == SPOTS + 2
    assert found["ID"].count(sheet().cells("ID")[5]) == 2
    assert "2 rows repeat the position of an earlier row; all were kept" in said
    both, _ = normalized(cli, "a.gpr", sheet(1).write(Path("b.gpr")))
    assert len(both["ID"]) == SPOTS + 2
    assert both["M.b"].count("") == 2
    assert "" not in both["M.a"]


def test_20_equal_file_names_get_their_folders_in_front(cli: Cli) -> None:
    for k, folder in enumerate(("x", "y")):
        Path(folder).mkdir()
        sheet(k).write(Path(folder, "a.gpr"))
    found, _ = normalized(cli, "x/a.gpr", "y/a.gpr")
    assert list(found)[5:] == ["M.x/a", "A.x/a", "M.y/a", "A.y/a"]
    assert found["M.x/a"] == table(plain(cli, sheet(0)))["M.a"]
    assert found["M.y/a"] == table(plain(cli, sheet(1)))["M.a"]
    assert cli("normalize", "x/a.gpr", "y/a.gpr", "-o", "each/").code == 0
    assert sorted(p.name for p in Path("each").glob("*.tsv")) == ["x_a.tsv", "y_a.tsv"]


def test_20_one_file_given_twice_is_refused(cli: Cli) -> None:
    """Its two columns would be one measurement under two names."""
    sheet().write(Path("a.gpr"))
    ran = cli("normalize", "a.gpr", "./a.gpr", "-o", "x.tsv")
    assert (ran.code, ran.err) == (2, "gridnorm: a file was given twice; found a.gpr and ./a.gpr. Give it once\n")


def test_20_26_equal_barcodes_are_a_doubt_worth_a_warning(cli: Cli) -> None:
    for k in range(2):
        damage.with_records(sheet(k), Barcode="X17", ScanPower="1").write(Path(f"pmt{k}.gpr"))
    found, said = normalized(cli, "pmt0.gpr", "pmt1.gpr")
    assert "pmt1.gpr: same barcode X17 as pmt0.gpr" in said
    assert {"M.pmt0", "M.pmt1"} < set(found)


def test_21_versions_may_be_mixed(cli: Cli) -> None:
    damage.version_12(sheet(1)).write(Path("old.gpr"))
    found, _ = normalized(cli, sheet(0).write(Path("a.gpr")), "old.gpr")
    assert found["M.old"] == table(plain(cli, sheet(1)))["M.a"]
    assert [a["version"] for a in sidecar(Path("made.tsv"))["arrays"]] == ["GenePix Results 3", "GenePix Results 1.2"]


@pytest.mark.parametrize(("name", "parts"), [("a.gpr.gz", 1), ("a.gpr", 2), ("a.txt", 5)])
def test_22_gzip_is_known_by_its_content_and_may_have_several_members(cli: Cli, name: str, parts: int) -> None:
    good = table(plain(cli, sheet()))
    Path(name).write_bytes(damage.gzip_members(sheet().text().encode(), parts))
    found, _ = normalized(cli, name)
    assert found == good


def test_22_a_cut_gzip_file_is_an_error(cli: Cli) -> None:
    data = gzip.compress(sheet().text().encode())
    Path("a.gpr.gz").write_bytes(data[: len(data) // 2])
    refused(cli, "a.gpr.gz", code=3, says=["a.gpr.gz", "gzip"])
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0xFF
    Path("a.gpr.gz").write_bytes(bytes(broken))
    refused(cli, "a.gpr.gz", code=3, says=["a.gpr.gz"])


def test_23_a_genepix_export_gives_the_same_table(cli: Cli) -> None:
    exported = damage.export(sheet()).write(Path("a.gpr"))
    found, _ = normalized(cli, exported)
    assert found == table(plain(cli, sheet()))
    assert sidecar(Path("made.tsv"))["arrays"][0]["version"] == "GenePix Export 3"


def test_25_where_a_gal_names_other_spots_the_gal_counts_and_it_is_said(cli: Cli) -> None:
    sheet().write(Path("a.gpr"))
    damage.gal_of(sheet(), Path("print.gal"), ids={0: "other", 9: "another"})
    found, said = normalized(cli, "a.gpr", options=["--gal", "print.gal"])
    good = table(plain(cli, sheet()))
    assert (found["ID"][0], found["ID"][9]) == ("other", "another")
    same_numbers(found, good, [k for k in range(SPOTS) if k not in (0, 9)], "ID")
    assert found["M.a"] == good["M.a"]
    assert "a.gpr: ID differs from print.gal in 2 spots" in said
    record = sidecar(Path("made.tsv"))
    assert record["parameters"]["gal"] == "print.gal"
    assert "print.gal" in [given["name"] for given in record["inputs"]]


def test_25_a_gal_of_another_print_is_refused(cli: Cli) -> None:
    sheet().write(Path("a.gpr"))
    other = damage.with_cells(sheet(), "Block", range(SPOTS), lambda cell: str(int(cell) + 40))
    damage.gal_of(other, Path("print.gal"))
    refused(cli, "a.gpr", "--gal", "print.gal", code=3, says=["a.gpr: print.gal lists none of the spots"])


def test_25_block_records_that_contradict_the_rows_are_said(cli: Cli) -> None:
    sheet().write(Path("a.gpr"))
    records = "\n".join(f'"Block{b}= {1000 * b}, 1000, 100, 9, 200, 9, 200"' for b in range(1, 5))
    damage.gal_of(sheet(), Path("print.gal"), blocks='"BlockCount=4"\n"BlockType=0"\n' + records)
    ran = cli("inspect", "print.gal")
    assert ran.code == 0
    assert "the rows disagree with the block records in 4 of 4 blocks" in ran.out


def test_27_saturated_spots_are_reported_and_may_be_left_out(cli: Cli) -> None:
    bright = list(range(0, SPOTS, 10))
    damage.with_cells(sheet(), "F635 Mean", bright, "65535").write(Path("a.gpr"))
    ran = cli("inspect", "a.gpr", "--check")
    assert ran.code == 7
    assert "check failed: a.gpr: 10% of the spots are saturated, more than 5%" in ran.err
    found, _ = normalized(cli, "a.gpr", options=["--weights", "saturation"])
    assert [k for k in range(SPOTS) if float(found["W.a"][k]) == 0] == bright
    assert "" not in found["M.a"]


def test_28_data_that_genepix_normalized_already_are_a_doubt_worth_a_warning(cli: Cli) -> None:
    changed = damage.with_records(sheet(), NormalizationMethod="Ratio of Medians", NormalizationFactors="1.1\t0.9")
    found, said = normalized(cli, changed.write(Path("a.gpr")))
    assert "a.gpr: GenePix normalised these data (method Ratio of Medians, factors 1.1, 0.9)" in said
    assert found == table(plain(cli, sheet()))


@pytest.mark.parametrize(
    "background", ["auto", "none", "subtract", "half", "minimum", "movingmin", "edwards", "normexp"]
)
def test_29_an_array_without_a_single_value_fails_and_the_others_are_written(cli: Cli, background: str) -> None:
    nothing = damage.with_cells(sheet(1), "F635 Mean", range(SPOTS), "Error")
    nothing.write(Path("dead.gpr"))
    options = ["--background", background, "--offset", "20"]
    refused(cli, "dead.gpr", *options, code=4, says=["failed: dead.gpr: "])
    found, said = normalized(cli, sheet(0).write(Path("a.gpr")), "dead.gpr", options=options, code=1)
    assert not [title for title in found if "dead" in title]
    assert "failed: dead.gpr" in said
    first, _ = normalized(cli, "dead.gpr", "a.gpr", options=options, code=1)
    assert first["M.a"] == found["M.a"]


@pytest.mark.parametrize("method", ["none", "median", "mean", "mad", "zscore", "loess"])
def test_29_every_method_says_that_an_array_has_no_value(cli: Cli, method: str) -> None:
    damage.with_cells(sheet(), "F635 Mean", range(SPOTS), "Error").write(Path("dead.gpr"))
    ran = cli("normalize", "dead.gpr", "--method", method, "--background", "subtract", "-o", "made.tsv")
    if method == "none":  # nothing is fitted, so nothing can fail; every cell is empty and counted
        assert ran.code == 0
        assert set(table(Path("made.tsv"))["M.dead"]) == {""}
        assert sidecar(Path("made.tsv"))["arrays"][0]["missing"] == SPOTS
    else:
        assert (ran.code, list(Path().glob("made*"))) == (4, [])
        assert "no usable value" in ran.err


def test_29_an_array_with_every_spot_flagged_fails_only_where_flags_count(cli: Cli) -> None:
    damage.with_cells(sheet(), "Flags", range(SPOTS), "-100").write(Path("a.gpr"))
    refused(cli, "a.gpr", code=4, says=["a.gpr: no usable value", "Check flags"])
    found, _ = normalized(cli, "a.gpr", options=["--flags", "ignore"])
    assert found == table(plain(cli, sheet()))


# ---- what is no array file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b" \r\n\r\n", "empty"),
        (b"PK\x03\x04rest", "zip"),
        (b"\xd0\xcf\x11\xe0rest", "Excel"),
        (b"II*\x00rest", "TIFF"),
        (b"a\tb\n1\t2\n", "not an array file"),
        (b"ATF\t1.0\n", "not an array file"),
        (b"ATF\t1.0\n1\t5\n\"Type=GenePix Results 3\"\n", "no line holds the column titles"),
        (b"ATF\t1.0\n1\t3\n\"Type=GenePix ArrayList V1.0\"\nBlock\tRow\tColumn\tID\n1\t1\t1\tx\n", "this is a GAL"),
        (b"\x00" * 100, "NUL"),
    ],
)  # fmt: skip
def test_what_is_no_array_file_is_named_in_plain_words(cli: Cli, data: bytes, says: str) -> None:
    Path("x.gpr").write_bytes(data)
    refused(cli, "x.gpr", code=3, says=["x.gpr", says])
    sheet().write(Path("a.gpr"))
    found, said = normalized(cli, "x.gpr", "a.gpr", code=1)
    assert found == table(plain(cli, sheet()))
    assert "failed: x.gpr" in said
    ran = cli("inspect", "x.gpr", "a.gpr")
    assert ran.code == (0 if "GAL" in says else 1)
