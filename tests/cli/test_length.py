"""No line of talk is longer than 300 characters, paths and quoted text not counted, unless -v asks for all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import damage
import pytest
from damage import Cli, Sheet, sheet

LONGEST = 300
LONG = "xyz " * 200
_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""")
_PATH = re.compile(r"\S*(?:/|\.(?:gpr|gz|csv|tsv|txt|spot|gal|json|md)\b)\S*(?: block \d+)?", re.IGNORECASE)


def counted(line: str) -> int:
    """Characters of a line without paths, names of files and what stands in quotes."""
    return len(_PATH.sub("", _QUOTED.sub("", line)))


def lines(cli: Cli, *args: object) -> list[str]:
    ran = cli(*args)
    assert ran.code != 70, ran.err
    talk = ran.err.splitlines()
    return talk + (ran.out.splitlines() if args[0] == "inspect" else [])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys, tmp_path)


OPTIONS = (
    (), ("--by", "nothing"), ("--by", "Name"), ("--by", "ID,Name"), ("--split", "block"), ("--split", "Name"),
    ("--keep", "nope"), ("--weights", "nope"), ("--weights", "area:1"), ("--method", "x" * 400), ("--span", "9"),
    ("--columns", "R=a,G=b"), ("--channels", "1,2"), ("--layout", "3x3x3x3"), ("--small-groups", "error"),
    ("--flags", "exclude:" + ",".join(map(str, range(1, 90)))), ("--align", "id"), ("--background", "none"),
    ("--preset", "limma", "--min-group", "9"), ("--nonsense",), ("--gal", "a.gpr"), ("-o", "x.nonsense"),
)  # fmt: skip


def faulty() -> Iterator[tuple[str, Sheet]]:
    """Sheets with much to say, and with long text wherever a file may hold text."""
    good = sheet(bad=0.1)
    n = len(good.rows)
    yield "good", good
    yield "titles", replace(good, titles=[t if t in KNOWN else f"{t} {LONG}" for t in good.titles])
    yield "records", damage.with_records(good, Barcode=LONG, Type=f"GenePix Results 3 {LONG}", NormalizationMethod=LONG)
    yield (
        "ids",
        damage.with_cells(damage.with_cells(good, "ID", range(n), lambda cell: cell + LONG), "Name", range(n), LONG),
    )
    names = iter(range(n))
    yield "names", damage.with_cells(good, "Name", range(n), lambda _: f"{LONG}{next(names)}")
    yield "cells", damage.with_cells(good, "F635 Mean", range(0, n, 3), LONG)
    yield "flags", damage.with_cells(good, "Flags", range(n), lambda _: str(-next(codes)))
    yield "bad", damage.with_cells(good, "Flags", good.where(Block=2), "-100")
    yield "rows", damage.with_rows(good, [*range(n - 9), *range(30)])


KNOWN = (
    "Block",
    "Row",
    "Column",
    "ID",
    "Name",
    "F635 Mean",
    "F532 Mean",
    "B635 Median",
    "B532 Median",
    "Flags",
    "X",
    "Y",
)
codes = iter(range(10**6))


@pytest.mark.slow
def test_faulty_files_and_wrong_options(cli: Cli) -> None:
    seen = 0
    sheet(1).write(Path("a.gpr"))
    for name, given in faulty():
        given.write(Path(f"{name}.gpr"))
        for options in OPTIONS if name in ("good", "titles", "names") else OPTIONS[:6]:
            for inputs in ([f"{name}.gpr"], ["a.gpr", f"{name}.gpr"]):
                for line in lines(cli, "normalize", *inputs, "-o", "o.tsv", "--force", *options):
                    seen += 1
                    assert counted(line) <= LONGEST, line
        for line in lines(cli, "inspect", f"{name}.gpr"):
            assert counted(line) <= LONGEST, line
    assert seen > 400


def test_many_files_of_every_kind_at_once(cli: Cli) -> None:
    for name, given in faulty():
        for k in range(3):
            given.write(Path(f"{name}{k}.gpr"))
    for k in range(30):
        Path(f"notes{k}.txt").write_text(LONG)
    talk = lines(cli, "normalize", ".", *(f"none{k}.gpr" for k in range(30)), "-o", "o.tsv", "--force")
    talk += lines(cli, "inspect", ".")
    assert [line for line in talk if counted(line) > LONGEST] == []
    assert len(talk) < 150


@pytest.mark.slow
def test_small_inputs_of_the_world(shared: Path, cli: Cli) -> None:
    files = sorted(p for p in (shared / "data" / "cases").rglob("*") if p.is_file() and "hugewl" not in p.name)
    assert len(files) > 15
    for path in files:
        for options in OPTIONS[:10]:
            for line in lines(cli, "normalize", path, "-o", "o.tsv", "--force", *options):
                assert counted(line) <= LONGEST, line
    assert [line for line in lines(cli, "normalize", *files, "-o", "o.tsv") if counted(line) > LONGEST] == []


def test_what_is_not_counted() -> None:
    assert counted("a/b c.gpr: 'some text' is the GAL's") == len("  is the GAL's") + 1
