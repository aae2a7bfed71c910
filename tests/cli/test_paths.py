"""Files by the path that was given, wherever people are told of one; in records by what tells the files apart."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import damage
import pytest
from damage import Cli, Sheet, sheet

import gridnorm as gn
from gridnorm.errors import GridnormError
from gridnorm.plain import recorded, shown

INPUTS = ["in/sA/000.gpr", "in/sB/000.gpr", "in/sB/030.gpr"]
NAMES = ["sA/000", "sB/000", "sB/030"]
OPTIONS = ["--background", "none", "--method", "none"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    for k, path in enumerate(INPUTS):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sheet(k).write(Path(path))
    return Cli(capsys, tmp_path)


def other_run(given: Sheet) -> Sheet:
    return damage.with_cells(given, "ID", range(len(given.rows)), lambda cell: "Q" + cell)


def cut(given: Sheet) -> Sheet:
    return damage.without(given, range(200, 224))


# How a file of the run is damaged, and what is said of it: {0} the first file, {1} itself.
DAMAGES: list[tuple[Callable[[Sheet], Sheet], str, bool]] = [
    (other_run, "{1}: the spots are not those of {0}: another print run", True),
    (cut, "{1}: 24 of the 224 spots of {0} are missing", True),
    (damage.shuffled, "{1}: the spots stand in another order than in {0}", True),
    (lambda given: damage.with_cells(given, "F635 Mean", [3], lambda _: "x"), "{1}:", False),
]


def said_in_python(paths: list[str], **options: str) -> str:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            gn.normalize(paths, background="none", method="none", **options)
        except GridnormError as error:
            return str(error)
    return "\n".join(str(one.message) for one in seen)


@pytest.mark.parametrize("route", ["table", "-j 2", "folder", "python"])
@pytest.mark.parametrize(("harm", "says", "compared"), DAMAGES)
@pytest.mark.parametrize("from_folder", [False, True])
def test_people_are_told_the_path_they_gave_and_records_the_part_that_tells_files_apart(
    cli: Cli, route: str, harm: Callable[[Sheet], Sheet], says: str, compared: bool, from_folder: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if route == "folder" and compared:
        pytest.skip("a folder compares nothing")
    harm(sheet(1)).write(Path(INPUTS[1]))
    paths = INPUTS
    if from_folder:
        monkeypatch.chdir("in/sB")
        paths = ["../sA/000.gpr", "000.gpr", str(Path("030.gpr").absolute())]
    if route == "python":
        assert says.format(*paths) in said_in_python(paths)
        return
    out = "out/" if route == "folder" else "o.tsv"
    ran = cli("normalize", *paths, *OPTIONS, "-v", "-o", out, *(["-j", "2"] if route == "-j 2" else []))
    assert says.format(*paths) in ran.err
    record = Path("out/gridnorm.json" if route == "folder" else "o.tsv.gridnorm.json").read_text()
    assert says.format("sA/000.gpr", "sB/000.gpr") in record
    assert not any(sign in record for sign in ("in/sA", "../", str(Path.cwd()), "\\ufdd0", "\ufdd0"))


@pytest.mark.filterwarnings("ignore::gridnorm.GridnormWarning")
def test_the_bytes_are_those_of_a_run_from_anywhere(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(sheet(1)).write(Path(INPUTS[1]))
    Path("in/sA/print.gal").write_bytes(damage.gal_of(sheet(0), Path("print.gal"), ids={3: "other"}).read_bytes())
    made = []
    for folder, paths in [
        (".", INPUTS),
        ("in", ["sA/000.gpr", "sB/000.gpr", "./sB/030.gpr"]),
        ("in/sB", ["../sA/000.gpr", "000.gpr", str(Path(INPUTS[2]).absolute())]),
    ]:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            gal = Path(os.path.relpath(tmp_path / "in/sA/print.gal"))
            assert cli("normalize", *paths, *OPTIONS, "--gal", gal, "-o", "o.tsv").code == 0
            arrays = gn.read(paths, gal=gal)
            assert [one.file for one in arrays.records] == [f"{name}.gpr" for name in NAMES]
            assert not any(
                "\ufdd0" in text for text in (*arrays.warnings, *(w for r in arrays.records for w in r.warnings))
            )
            gn.write(gn.normalize(paths, gal=gal, background="none", method="none"), "p.tsv")
            one, two = Path("o.tsv.gridnorm.json").read_bytes(), Path("p.tsv.gridnorm.json").read_bytes()
            assert one == two.replace(b'"p.tsv"', b'"o.tsv"')
            made.append((Path("o.tsv").read_bytes(), one))
    assert made[0] == made[1] == made[2]
    assert [one["name"] for one in json.loads(made[0][1])["inputs"]] == [f"{name}.gpr" for name in NAMES] + [
        "print.gal"
    ]


@pytest.mark.parametrize("given", [INPUTS, ["in/sA", "in/sB/"], ["in/*/*.gpr"], ["t.txt"], ["in/t.txt"]])
def test_if_two_names_are_equal_every_array_has_its_folder_on_every_way_in(cli: Cli, given: list[str]) -> None:
    Path("t.txt").write_text("FileName Cy3\n" + "".join(f"{path} ref\n" for path in INPUTS))
    Path("in/t.txt").write_text("file\n" + "".join(f"{path[3:]}\n" for path in INPUTS))
    assert gn.read(given).names == tuple(NAMES)
    assert cli("normalize", *given, *OPTIONS, "-o", "out/").code == 0
    assert sorted(path.name for path in Path("out").glob("*.tsv")) == [
        name.replace("/", "_") + ".tsv" for name in NAMES
    ]


def test_equal_names_of_a_targets_table_get_folders_or_are_refused(cli: Cli) -> None:
    rows = list(zip(INPUTS, ("x", "x", "y"), strict=True))
    Path("t.txt").write_text("FileName\tName\n" + "".join(f"{path}\t{name}\n" for path, name in rows))
    assert gn.read("t.txt").names == ("sA/x", "sB/x", "sB/y")
    Path("t.txt").write_text("FileName\tName\n" + "".join(f"{path}\tx\n" for path in INPUTS))
    ran = cli("normalize", "t.txt", "-o", "o.tsv")
    assert ran.code == 2 and not Path("o.tsv").exists()
    assert "two arrays would be called 'sB/x'; found in/sB/000.gpr and in/sB/030.gpr, expected names that" in ran.err


def test_a_packed_copy_beside_its_file_is_refused_by_its_name(cli: Cli) -> None:
    import gzip

    Path("in/sA/000.gpr.gz").write_bytes(gzip.compress(Path(INPUTS[0]).read_bytes()))
    ran = cli("normalize", "in/sA", "-o", "o.tsv")
    assert ran.code == 2 and "'sA/000'; found in/sA/000.gpr and in/sA/000.gpr.gz, expected" in ran.err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("/nonexistent/dir/", "failed: /nonexistent/dir/: the file cannot be read"),
        ("in/none.gpr", "failed: in/none.gpr: the file cannot be read"),
        (
            "in/t.txt",
            "failed: in/sub/none.gpr: there is no such file. Named in in/t.txt:2; looked for beside the table",
        ),
        ("in/two.txt", "gridnorm: in/two.txt:1: arrays in two files (FileNameCy3, FileNameCy5) cannot be read yet"),
        ("in/foreign.txt", "failed: in/secret.txt: not an array file that can be read here; expected GPR or SPOT or"),
        ("in", "skipped in/foreign.txt, in/t.txt, in/two.txt: a targets table (name it to use it)"),
    ],
)
def test_what_is_missing_or_foreign_is_named_as_it_was_given(cli: Cli, given: str, says: str) -> None:
    Path("in/t.txt").write_text("FileName\nsub/none.gpr\nsB/030.gpr\n")
    Path("in/two.txt").write_text("FileNameCy3\tFileNameCy5\na\tb\n")
    Path("in/secret.txt").write_text("root:x:0:0:root:/root:/bin/bash\n")
    Path("in/foreign.txt").write_text("FileName\nsecret.txt\n")
    ran = cli("normalize", given, INPUTS[0], "-o", "o.tsv")
    assert says in ran.err and ("--columns" in ran.err) == (given == "in/foreign.txt")
    if given == "in/foreign.txt":
        assert "root:" not in ran.err + Path("o.tsv.gridnorm.json").read_text()


@pytest.mark.parametrize(("title", "shows"), [("s" * 13, "s" * 13), ("s" * 14, "s" * 13 + "…")])
def test_of_a_text_that_a_targets_table_names_20_signs_are_shown(cli: Cli, title: str, shows: str) -> None:
    """With ``columns`` any text is taken for a table."""
    Path("in/secret.txt").write_text(f"{title}\n1\n")
    Path("t.txt").write_text("FileName\nin/secret.txt\n")
    ran = cli("normalize", "t.txt", "--columns", "E=x", "-o", "o.tsv")
    assert f"found titles {shows}, expected" in ran.err, ran.err


def test_inspect_and_a_dry_run_name_files_as_they_were_given(cli: Cli) -> None:
    assert [one["file"] for one in gn.inspect(["in/sA", INPUTS[2]])["inputs"]] == [INPUTS[0], INPUTS[2]]
    found = json.loads(cli("normalize", *INPUTS, "in/none.gpr", "--dry-run").out)
    assert [one["file"] for one in found["arrays"]] == INPUTS
    assert found["failed"][0]["file"] == "in/none.gpr" and found["failed"][0]["error"].startswith("in/none.gpr: ")


def test_an_error_is_for_people_and_its_record_for_records() -> None:
    import pickle

    from gridnorm.plain import named

    one = GridnormError(f"not as {named('b', 'x/b')}", named("a", "x/a"), 3)
    for error in (one, pickle.loads(pickle.dumps(one)), one.completed(hint=None)):
        assert (str(error), error.recorded()) == ("x/a:3: not as x/b", "a:3: not as b")
        assert (error.file, error.what) == ("x/a", "not as x/b") and "\ufdd0" not in repr(error)
    assert (shown("a"), recorded("a"), named("a", "a")) == ("a", "a", "a")
