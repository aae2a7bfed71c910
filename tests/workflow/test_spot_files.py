"""Tables of spot types and of flags beside the arrays of a run: the same on every route, and refused whole."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pandas as pd
import pytest
from damage import Cli, sheet

import gridnorm as gn
from gridnorm.errors import FormatError, OptionError

TYPES = "SpotType\tID\tName\tColor\n#all\ngene\t*\t*\tblack\nspike\tP0000*\t*\tred\nnone\tzz*\t*\tblue\n"
FLAGS = "Array,Block,Row,Column,Flag,Weight\na,1,1,1,-100,0\n,2,1,1,-75,0.5\nb.gpr,1,1,2,0,1\n"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate("ab"):
        sheet(k, bad=0.1).write(tmp_path / f"{name}.gpr")
    Path("types.txt").write_text(TYPES)
    Path("flags.csv").write_text(FLAGS)
    return Cli(capsys, tmp_path)


def quiet(call: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gn.GridnormWarning)
        return call(*args, **options)


OPTIONS = {
    "controls": "types.txt", "flag_table": "flags.csv", "weights": "Weight", "exclude_types": "spike",
    "keep": "SpotType", "by": "print-tip", "replicates": "best2of3", "replicates_cv": "0.3",
}  # fmt: skip


def same(one: str, two: str) -> None:
    assert Path(one).read_bytes() == Path(two).read_bytes()
    first, second = (Path(f"{name}.gridnorm.json").read_text() for name in (one, two))
    assert first.replace(Path(one).name, Path(two).name) == second


def test_every_route_writes_the_same(cli: Cli) -> None:
    for name, k in (("a", 0), ("b", 1)):  # every ID three times, one without
        base = sheet(k, bad=0.1)
        ids = iter([f"P{60 + j // 3:06d}" if j else "" for j in range(len(base.rows))])
        damage.with_cells(base, "ID", range(len(base.rows)), lambda _, ids=ids: next(ids)).write(Path(f"{name}.gpr"))
    words = [part for key, value in OPTIONS.items() for part in ("--" + key.replace("_", "-"), value)]
    ran = cli("normalize", "a.gpr", "b.gpr", *words, "-o", "cli.tsv")
    assert ran.code == 0 and "wrote cli.tsv (76 rows of 224 spots, 2 arrays)" in ran.err, ran.err
    gn.write(quiet(gn.normalize, ["a.gpr", "b.gpr"], **OPTIONS), "python.tsv")
    same("cli.tsv", "python.tsv")
    assert cli("normalize", "a.gpr", "b.gpr", *words, "-o", "two.tsv", "-j", "2", "-q").code == 0
    same("cli.tsv", "two.tsv")
    reading = {name: OPTIONS[name] for name in ("controls", "flag_table")}
    arrays = quiet(gn.read, ["a.gpr", "b.gpr"], **reading, keep="SpotType")
    rest = {name: value for name, value in OPTIONS.items() if name not in (*reading, "keep")}
    arrays = gn.ArraySet(**{**vars(arrays), "columns": {**arrays.columns, "Weight": np.ones(arrays.n_spots)}})
    done = quiet(gn.normalize, arrays, **{**rest, "weights": "none"})
    assert done.n_spots == len(Path("cli.tsv").read_text().splitlines()) - 1
    assert cli("normalize", "a.gpr", "b.gpr", *words, "-o", "each/", "-q").code == 0
    gn.write(quiet(gn.normalize, "b.gpr", **OPTIONS), "b.tsv")
    assert Path("each/b.tsv").read_bytes() == Path("b.tsv").read_bytes()
    each, alone = (damage.sidecar(Path(name)) for name in ("each/b.tsv", "b.tsv"))
    assert each["arrays"] == alone["arrays"]
    # Alone the array is not told from those that the run lacks; the folder has them.
    assert set(alone["warnings"]) - set(each["warnings"]) == {"flags.csv:2: 1 row is about arrays that are not here: a"}
    table = pd.read_csv("cli.tsv", sep="\t")
    assert list(table.columns[5:10]) == ["SpotType", "M.a", "A.a", "N.a", "SD.a"]
    assert table["ID"].isna().sum() == 1 and table["ID"].dropna().is_unique
    record = damage.sidecar(Path("cli.tsv"))
    assert [one["name"] for one in record["inputs"]] == ["a.gpr", "b.gpr", "types.txt", "flags.csv"]
    assert record["parameters"]["controls"] == "types.txt" and record["parameters"]["flag_table"] == "flags.csv"
    assert record["parameters"]["exclude_types"] == ["spike"] and record["parameters"]["replicates_cv"] == 0.3
    one = record["arrays"][0]
    assert set(one["types"]) == {"gene", "spike"} and one["replicates"]["rows"] == table.shape[0] < one["spots"]
    assert record["warnings"].count("types.txt:5: of 3 spot types the row of line 5 matches no spot") == 1


@pytest.mark.parametrize("split", ["none", "block"])
def test_reading_and_then_normalizing_writes_the_same(cli: Cli, split: str) -> None:
    Path("types.txt").write_text("SpotType\tID\ngene\t*\nspike\tP00000*\n")  # some parts have none
    chosen = {"exclude_types": "spike", "replicates": "mean", "split": split, "by": "array"}
    words = [part for key, value in chosen.items() for part in ("--" + key.replace("_", "-"), value)]
    ran = cli("normalize", "a.gpr", "b.gpr", "--controls", "types.txt", *words, "-o", "cli.tsv", "-q")
    assert ran.code == 0, ran.err
    arrays = quiet(gn.read, ["a.gpr", "b.gpr"], controls="types.txt")
    gn.write(quiet(gn.normalize, arrays, **chosen), "python.tsv")
    same("cli.tsv", "python.tsv")


def test_types_can_group_and_split(cli: Cli) -> None:
    by = quiet(gn.normalize, "a.gpr", controls="types.txt", by="spottype", method="median")
    assert by.fits[0].labels == ("gene", "spike")
    parts = quiet(gn.normalize, "a.gpr", controls="types.txt", split="SpotType")
    assert parts.names == ("a.gene", "a.spike")
    ran = cli("inspect", "a.gpr", "--controls", "types.txt")
    assert ran.code == 0 and "  types      99 spike, 125 gene" in ran.out


def test_flags_of_the_table_stand_in_the_place_of_the_files(cli: Cli) -> None:
    plain = quiet(gn.read, ["a.gpr", "b.gpr"])
    with pytest.warns(gn.GridnormWarning, match='flags.csv: its weights do nothing without weights="Weight"'):
        arrays = gn.read(["a.gpr", "b.gpr"], flag_table="flags.csv")
    assert plain.flags is not None and arrays.flags is not None
    changed = np.argwhere(plain.flags != arrays.flags)
    place = [tuple(int(arrays.columns[t][row]) for t in ("Block", "Row", "Column")) for row, _ in changed]
    assert {(p, int(a)) for p, a in zip(place, changed[:, 1], strict=True)} <= {
        ((1, 1, 1), 0), ((2, 1, 1), 0), ((2, 1, 1), 1), ((1, 1, 2), 1),
    }  # fmt: skip
    assert arrays.flags[0].tolist() == [-100, int(plain.flags[0, 1])] and arrays.flags[1, 1] == 0
    result = quiet(gn.normalize, "a.gpr", flag_table="flags.csv", weights="weight", flags="ignore")
    assert result.weights is not None and sorted(set(result.weights[:, 0])) == [0, 0.5, 1]
    said = cli("normalize", "b.gpr", "--flag-table", "flags.csv", "-o", "b.tsv").err
    assert "warning: flags.csv:2: 1 row is about arrays that are not here: a" in said


@pytest.mark.parametrize("command", ["normalize", "inspect"])
@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--controls", None, "x.txt: the file cannot be read"),
        ("--controls", "ID\tName\nx\ty\n", "x.txt:1: a table of spot types needs one column SpotType"),
        ("--controls", "SpotType\tID\n# none\n", "x.txt: the table has no rows"),
        ("--controls", "SpotType\tID\nspike\tzz*\n", "x.txt:2: no spot of a.gpr is of any of these types"),
        ("--flag-table", "ID\tFlag\nno\t-1\n", "x.txt:2: no such spot in a.gpr; found ID 'no'"),
        ("--flag-table", "ID\tFlag\nP000001\tbad\n", "x.txt:2: column Flag holds no whole number; found 'bad'"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_once_and_nothing_is_written(
    cli: Cli, command: str, option: str, text: str | None, message: str
) -> None:
    if text is not None:
        Path("x.txt").write_text(text)
    ran = cli(command, "a.gpr", option, "x.txt", *(["-o", "o.tsv"] if command == "normalize" else []))
    assert ran.code == 3 and (ran.err + ran.out).count(message) == 1
    assert not Path("o.tsv").exists()


def test_tables_are_no_outputs_and_belong_to_reading(cli: Cli) -> None:
    Path("types.tsv").write_text(TYPES)
    ran = cli("normalize", "a.gpr", "--controls", "types.tsv", "-o", "types.tsv", "--force")
    assert ran.code == 2 and "an input would be overwritten" in ran.err and Path("types.tsv").read_text() == TYPES
    with pytest.raises(gn.OptionError, match=r"Give it to gn.read: controls=…"):
        gn.normalize(quiet(gn.read, "a.gpr"), controls="types.txt")


def test_a_column_of_the_file_says_types_too_and_slips_of_the_pen_are_refused(cli: Cli) -> None:
    base = sheet(0)
    titles = ["SpotType" if title == "Name" else title for title in base.titles]
    named = iter(["spike" if k < 9 else "gene" for k in range(len(base.rows))])
    rows = [
        [next(named) if t == "SpotType" else cell for t, cell in zip(titles, row, strict=True)] for row in base.rows
    ]
    damage.Sheet(base.records, titles, rows).write(Path("typed.gpr"))
    done = quiet(gn.normalize, "typed.gpr", exclude_types="spike")
    assert done.record(0).types == {"spike": 9, "gene": 215}
    with pytest.warns(gn.GridnormWarning, match=r"typed.gpr: no spot is of the type spice \(exclude_types\)"):
        gn.normalize("typed.gpr", exclude_types="spice")
    for ran in (
        cli("normalize", "a.gpr", "--controls", "types.txt", "--exclude-types", "spice", "-o", "o.tsv"),
        cli("normalize", "a.gpr", "--exclude-types", "spike", "-o", "o.tsv"),
    ):
        assert ran.code == 2 and not Path("o.tsv").exists()
        assert "types.txt: --exclude-types names a type" in ran.err or "needs the types of the spots" in ran.err
    arrays = quiet(gn.read, "a.gpr", controls="types.txt")
    for call in (gn.normalize, gn.normalize_within):
        with pytest.raises(gn.OptionError, match="exclude_types names a type that no spot has.*Did you mean spike"):
            call(arrays, exclude_types="spice")


def test_spot_types_of_a_set(cli: Cli) -> None:
    arrays = quiet(gn.read, ["a.gpr", "b.gpr"])
    with pytest.warns(gn.GridnormWarning, match="types.txt:5: of 3 spot types"):
        typed = gn.spot_types(arrays, "types.txt")
    by_path = quiet(gn.read, ["a.gpr", "b.gpr"], controls="types.txt")
    np.testing.assert_array_equal(typed.columns["SpotType"], by_path.columns["SpotType"])
    assert typed.record(1).types == by_path.record(1).types == {"spike": 99, "gene": 125}
    frame = pd.DataFrame({"SpotType": ["gene"], "ID": ["*"], "Color": [None]})
    assert set(gn.spot_types(arrays, frame).columns["SpotType"]) == {b"gene"}
    with pytest.raises(gn.FormatError, match="the table:1: no spot of a is of any of these types"):
        gn.spot_types(arrays, {"SpotType": ["x"], "ID": ["zz"]})


def test_comments_may_stand_anywhere(cli: Cli) -> None:
    Path("x.txt").write_text('# who wrote it, "when\n\n#\nSpotType,ID\n# all\ngene,*\ncontrol,P0*\n')
    Path("y.txt").write_text("SpotType,ID\ngene,*\ncontrol,P0*\n")
    arrays = gn.read("a.gpr")
    np.testing.assert_array_equal(gn.spot_types(arrays, "x.txt").columns["SpotType"], gn.spot_types(arrays, "y.txt").columns["SpotType"])  # fmt: skip
    Path("z.txt").write_text("# a\nSpotType,ID\ngene,(\n")
    with pytest.raises(FormatError, match=r"z.txt:3: the pattern of column ID"):
        gn.spot_types(arrays, "z.txt")


@pytest.mark.parametrize("given", [None, 5, ["gene"], {"SpotType": ["gene", "control"], "ID": ["*"]}])
def test_what_is_no_table_of_types_is_refused(cli: Cli, given: Any) -> None:
    with pytest.raises(
        OptionError, match="no table of spot types; found|of unequal length; found SpotType of 2, ID of 1"
    ):
        gn.spot_types(gn.read("a.gpr"), given)


def test_a_flag_table_that_does_nothing_is_said(cli: Cli) -> None:
    Path("f.txt").write_text("ID,Flag,Remork\nP000003,-100,x\n")
    said = cli("normalize", "a.gpr", "--flag-table", "f.txt", "--flags", "ignore", "-o", "t.tsv").err
    assert "f.txt: its flags do nothing with --flags=ignore" in said and "f.txt:1: column Remork says nothing" in said


def test_which_spots_were_out_of_the_fits_is_told(cli: Cli) -> None:
    Path("y.txt").write_text("SpotType,ID\ngene,*\ncontrol,P00000*\n")
    common = ("normalize", "a.gpr", "b.gpr", "--controls", "y.txt", "-o", "t.tsv", "--force")
    said = cli(*common, "--exclude-types", "Control").err
    record = json.loads(Path("t.tsv.gridnorm.json").read_text())["arrays"][0]
    shown = record["type_levels"]["control"]["M"]
    assert f"; in no fit: 9 control (median M {shown['median']:.2f}, MAD ".replace("-", "−") in said
    assert "in no fit" not in cli(*common).err
