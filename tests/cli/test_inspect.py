"""``gridnorm inspect``: what a file is, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import damage
import pytest
from damage import Cli, sheet

import gridnorm as gn

KEYS = {
    "file",
    "status",
    "format",
    "version",
    "channels",
    "spots",
    "blocks",
    "layout",
    "flags",
    "groups",
    "quality",
    "explained",
    "warnings",
}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    sheet(bad=0.1).write(tmp_path / "a.gpr")
    return Cli(capsys, tmp_path)


def inspected(cli: Cli, *args: object, code: int = 0) -> list[dict[str, Any]]:
    ran = cli("inspect", *args, "--json")
    assert ran.code == code, ran.err
    found = json.loads(ran.out)
    assert set(found) == {"schema", "inputs"} and found["schema"] == 1
    return found["inputs"]


def test_json_has_every_key_and_the_facts(cli: Cli) -> None:
    (record,) = inspected(cli, "a.gpr")
    assert set(record) == KEYS
    assert (record["file"], record["status"], record["format"], record["version"]) == (
        "a.gpr",
        "ok",
        "GPR",
        "GenePix Results 3",
    )
    assert (record["spots"], record["blocks"]) == (224, 4)
    assert [(c["channel"], c["wavelength"], c["foreground"], c["background"]) for c in record["channels"]] == [
        ("R", "635", "F635 Mean", "B635 Median"),
        ("G", "532", "F532 Mean", "B532 Median"),
    ]
    assert record["layout"]["source"] == "positions" and record["layout"]["evidence"]
    flags = sheet(bad=0.1).cells("Flags")
    assert record["flags"] == {code: flags.count(code) for code in sorted(set(flags), key=int)}
    assert [(g["group"], g["spots"]) for g in record["groups"]] == [(b, 56) for b in (1, 2, 3, 4)]
    assert sum(g["usable"] for g in record["groups"]) <= 224 - sum(f != "0" for f in flags)
    assert record["quality"]["flagged"] == round(sum(f != "0" for f in flags) / 224, 6)
    assert all(0 <= row["share"] <= 1 for row in record["explained"])
    assert all(0 < row["null"] < 1 and row["adjusted"] < row["share"] for row in record["explained"])
    assert record["explained"] == sorted(record["explained"], key=lambda row: -row["adjusted"])
    assert [set(row) - {"by", "groups", "share", "adjusted", "null"} for row in record["explained"]] == [
        {"after_surface", "p"} if row["by"] == "print-tip" else set() for row in record["explained"]
    ]


def test_python_says_the_same(cli: Cli) -> None:
    assert gn.inspect("a.gpr")["inputs"] == inspected(cli, "a.gpr")


def test_words_for_people_name_the_evidence(cli: Cli) -> None:
    out = cli("inspect", "a.gpr").out
    for words in ("a.gpr", "GPR GenePix Results 3", "R (635 nm): foreground F635 Mean, background B635 Median", "224",
                  "2 x 2 blocks of 8 x 7 spots (from X/Y positions)", "because X/Y positions", "groups     4 of", "% flagged", "expected by chance); not tested against shifted lattices"):  # fmt: skip
        assert words in out


def test_blocks_of_one_channel_flags_and_a_dark_channel_are_doubts(cli: Cli) -> None:
    sheet(channels=1, same_probes=True).write(Path("one.gpr"))
    (one,) = inspected(cli, "one.gpr")
    assert [text.partition(": sub-arrays?")[0] for text in one["warnings"]] == ["one.gpr: 4 blocks hold the same IDs"]
    sheet(channels=1, blocks=(4, 2)).write(Path("more.gpr"))
    assert "expected by chance); after surface " in cli("inspect", "more.gpr").out  # there is no curve
    sheet(blocks=(4, 2)).write(Path("two.gpr"))
    sheet(same_probes=True).write(Path("same.gpr"))
    assert [text.partition(" of several")[0] for text in inspected(cli, "same.gpr")[0]["warnings"]] == [
        "same.gpr: 4 blocks hold the same IDs: sub-arrays"
    ]
    assert "expected by chance); after curve and surface " in cli("inspect", "two.gpr").out
    flagged = damage.with_cells(sheet(), "Flags", sheet().where(Block=2), "-50")
    damage.with_cells(flagged, "F532 Mean", range(224), lambda cell: str(600 + int(cell) % 50)).write(Path("two.gpr"))
    (two,) = inspected(cli, "two.gpr")
    assert len(two["warnings"]) == 2 and "--channels=635 reads" in two["warnings"][0]
    assert two["warnings"][1].startswith("two.gpr: 100% of group 2 are flagged, 0% of group 1;")
    assert [group["usable"] for group in two["groups"]] == [56, 56, 56, 56]  # not found, but in every fit


def test_a_gal_a_targets_table_a_folder_and_a_glob_are_inputs_too(cli: Cli) -> None:
    damage.gal_of(sheet(), Path("print.gal"))
    (record,) = inspected(cli, "print.gal")
    assert set(record) == KEYS
    assert (record["format"], record["spots"], record["channels"], record["blocks"]) == ("GAL", 224, [], 4)
    Path("t.txt").write_text("FileName\tName\na.gpr\tfirst\n")
    assert [r["file"] for r in inspected(cli, "t.txt")] == ["a.gpr"]
    assert [r["file"] for r in inspected(cli, "*.gpr")] == ["a.gpr"]
    assert {r["file"] for r in inspected(cli, ".")} >= {"./a.gpr", "./print.gal"}


def test_by_layout_channels_and_gal_are_those_of_normalize(cli: Cli) -> None:
    (record,) = inspected(cli, "a.gpr", "--by", "Dia.")
    assert [g["spots"] for g in record["groups"]] == [224]
    assert inspected(cli, "a.gpr", "--layout", "1x4x8x7")[0]["layout"]["grid_columns"] == 4
    assert [c["channel"] for c in inspected(cli, "a.gpr", "--channels", "532")[0]["channels"]] == ["E"]
    assert inspected(cli, "a.gpr", "--foreground", "median")[0]["channels"][0]["foreground"] == "F635 Median"
    damage.gal_of(sheet(), Path("print.gal"), ids={3: "other"})
    assert "differs from print.gal" in " ".join(inspected(cli, "a.gpr", "--gal", "print.gal")[0]["warnings"])
    assert cli("inspect", "a.gpr", "--by", "Dai.").code == 2
    assert cli("inspect", "a.gpr", "--layout", "x").code == 2


def test_what_cannot_be_read_is_an_error_record_and_exit_3_or_1(cli: Cli) -> None:
    Path("bad.gpr").write_text("nothing")
    (record,) = inspected(cli, "bad.gpr", code=3)
    assert (record["status"], record["exit_code"]) == ("error", 3)
    assert record["error"].startswith("bad.gpr: ")
    assert [r["status"] for r in inspected(cli, "a.gpr", "bad.gpr", code=1)] == ["ok", "error"]
    ran = cli("inspect", "a.gpr", "bad.gpr")
    assert "cannot be read: bad.gpr: not an array file" in ran.out
    assert cli("inspect", "none.gpr").code in (2, 3)


def test_what_is_found_and_no_array_is_listed_as_skipped(cli: Cli) -> None:
    Path("in").mkdir()
    Path("in/notes.txt").write_text("hello")
    Path("in/t.txt").write_text("FileName\na.gpr\n")
    assert cli("inspect", "in").code == 3
    sheet().write(Path("in/a.gpr"))
    assert {r["file"]: r["status"] for r in inspected(cli, "in")} == {
        "in/a.gpr": "ok",
        "in/notes.txt": "skipped",
        "in/t.txt": "skipped",
    }
    told = cli("inspect", "in", "-v").out
    assert "in/notes.txt\n  skipped: not an array file" in told
    assert "in/t.txt\n  skipped: a targets table (name it to use it)" in told
    assert "\nskipped in/notes.txt: not an array file" in cli("inspect", "in").out
    Path("in/cut.gpr").write_text(sheet().text()[:-300], newline="")
    assert {r["file"]: r["status"] for r in inspected(cli, "in", code=1)}["in/cut.gpr"] == "error"


def test_an_option_that_fits_one_file_only_costs_the_others_nothing(cli: Cli) -> None:
    other = sheet()
    damage.with_columns(other, [t for t in other.titles if t != "Dia."]).write(Path("b.gpr"))
    assert [r["status"] for r in inspected(cli, "a.gpr", "b.gpr", "--by", "Dia.", code=1)] == ["ok", "error"]
    assert cli("inspect", "b.gpr", "--by", "Dia.").code == 2


def test_several_files_are_a_line_each_and_a_single_one_or_verbose_shows_all(cli: Cli) -> None:
    sheet(1, blocks=(4, 2)).write(Path("芯片.gpr"))
    sheet(channels=1, same_probes=True).write(Path("one.gpr"))
    Path("bad.gpr").write_text("nothing")
    damage.gal_of(sheet(), Path("print.gal"))
    ran = cli("inspect", "a.gpr", "芯片.gpr", "one.gpr", "bad.gpr", "print.gal")
    assert ran.code == 1
    titles, a, wide, one, bad, gal, *said = ran.out.splitlines()
    at = titles.index("format")
    assert [line[at - shift :].split()[0] for line, shift in ((a, 0), (wide, 2), (one, 0), (gal, 0))] == ["GPR"] * 3 + [
        "GAL"
    ]
    assert "R 635, G 532    224  2 x 2, 8 x 7 spots" in a and a.endswith("  not tested           ok")
    assert gal.split()[-5:] == ["–", "none", "–", "–", "ok"]
    assert "differ, p = " in wide or "no effect, p = " in wide
    assert one.endswith("ok, 1 warning") and " E 635 " in one and bad.endswith("cannot be read")
    assert [line.partition(": ")[0] for line in said] == ["cannot be read", "warning"]
    for args in (["a.gpr"], ["-v", "a.gpr", "one.gpr"]):
        assert "\n  layout     2 x 2 blocks of 8 x 7 spots (from X/Y positions)\n" in cli("inspect", *args).out


def test_forty_files_that_say_the_same_say_it_once(cli: Cli) -> None:
    for k in range(12):
        sheet(channels=1, same_probes=True).write(Path(f"s{k}.gpr"))
    lines = cli("inspect", "s*.gpr").out.splitlines()
    assert len(lines) == 14 and "s2.gpr" in lines[3] and "s10.gpr" in lines[11]
    assert lines[-1].startswith("warning: s0.gpr, s1.gpr, s2.gpr and 9 more: 4 blocks hold the same IDs")


def test_check_fails_with_7_and_names_the_rule(cli: Cli) -> None:
    assert cli("inspect", "a.gpr", "--check").code == 0
    for name, title, rows, cell, rule in (
        ("f", "Flags", range(0, 224, 3), "-100", "flagged"),
        ("s", "F532 Mean", range(0, 224, 10), "65535", "saturated"),
        ("b", "F635 Mean", range(0, 224, 1), "1", "not above background"),
        ("m", "F635 Mean", range(0, 224, 5), "Error", "missing"),
    ):
        damage.with_cells(sheet(), title, rows, cell).write(Path(f"{name}.gpr"))
        ran = cli("inspect", f"{name}.gpr", "--check")
        assert ran.code == 7, name
        assert f"check failed: {name}.gpr: " in ran.err and rule in ran.err
        assert ran.out.startswith(f"{name}.gpr")
        assert cli("inspect", f"{name}.gpr").code == 0


def test_an_array_without_a_value_is_shown_and_not_a_fault_of_ours(cli: Cli) -> None:
    damage.with_cells(sheet(), "F635 Mean", range(224), "Error").write(Path("dead.gpr"))
    (record,) = inspected(cli, "dead.gpr")
    assert record["quality"]["missing"] == 1
    assert all(g["usable"] == 0 for g in record["groups"])
    assert cli("inspect", "dead.gpr").code == 0


def test_every_real_file_is_inspected_or_refused_in_one_sentence(shared: Path, cli: Cli) -> None:
    files = sorted(p for p in (shared / "data" / "arrays").rglob("*") if p.is_file() and p.stat().st_size < 60_000)
    assert len(files) > 10
    for record in gn.inspect(files)["inputs"]:
        if record["status"] == "ok":
            assert set(record) == KEYS
            assert record["spots"] > 0
        else:
            assert record["error"].startswith(record["file"]) and "\n" not in record["error"]
