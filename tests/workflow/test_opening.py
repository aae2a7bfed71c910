"""Where an input is opened: what it is, and which columns are read of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
from damage import sheet

import gridnorm as gn
from gridnorm.core.methods import METHODS, Method
from gridnorm.errors import FormatError, LayoutError, OptionError
from gridnorm.workflow.opening import ArrayTask, layout_of, read_array, read_options, recognise_file
from gridnorm.workflow.settings import Settings, make_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sheet().write(Path("a.gpr"))
    damage.gal_of(sheet(), Path("print.gal"))


def task_of(settings: Settings, keys_only: bool = False) -> ArrayTask:
    found = recognise_file("a.gpr", settings)
    assert found.format is not None
    options = read_options(settings, found.head().columns, "a.gpr", keys_only=keys_only)
    return ArrayTask("a.gpr", "a", "a.gpr", found.format, options)


def test_a_gal_is_no_array_but_welcome_where_it_is() -> None:
    settings = make_settings({})
    assert recognise_file("print.gal", settings, gal=True).format is None
    with pytest.raises(FormatError, match=r"print\.gal"):
        recognise_file("print.gal", settings)
    Path("x.txt").write_text("hello")
    with pytest.raises(FormatError):
        recognise_file("x.txt", settings, gal=True)


def test_an_array_has_the_codes_of_its_format_on_every_route() -> None:
    """A plain table does not say what −50 means; a GenePix file does."""
    settings = make_settings({})
    assert read_array(task_of(settings), settings)[0].not_found == (-50,)
    titles = "Block,Row,Column,ID,R,G,Flags\n"
    Path("t.csv").write_text(titles + "".join(f"1,1,{k},x{k},{90 + k},80,{-50 * (k % 2)}\n" for k in range(1, 9)))
    sets = [gn.read("a.gpr"), gn.read("t.csv")]
    assert [one.record(0).not_found for one in sets] == [one.raw(0).not_found for one in sets] == [(-50,), ()]
    done = gn.normalize("t.csv", method="median", by="array", min_group=0)
    assert done.fits[0].n.tolist() == gn.normalize(sets[1], method="median", by="array", min_group=0).fits[0].n.tolist()
    assert done.fits[0].n.tolist() == [[4]]


def test_an_array_comes_with_the_digest_of_its_file() -> None:
    import hashlib

    settings = make_settings({})
    raw, digest = read_array(task_of(settings), settings)
    data = Path("a.gpr").read_bytes()
    assert (digest.name, digest.size, digest.sha256) == ("a.gpr", len(data), hashlib.sha256(data).hexdigest())
    assert raw.n_spots == 224 and layout_of(raw, settings)[0].describe().startswith("2 x 2 blocks")


def test_only_the_columns_that_something_looks_at_are_read() -> None:
    plain = task_of(make_settings({}), keys_only=True)
    assert plain.options.keys_only and plain.options.extra == ()
    assert task_of(make_settings({"by": "Dia."})).options.extra == ("Dia.",)
    assert task_of(make_settings({"weights": "area:20,30"})).options.extra == ("F Pixels",)
    assert not task_of(make_settings({"by": "Name"}), keys_only=True).options.keys_only, "Name is needed after all"
    kept = make_settings({"keep": "Dia."})
    assert task_of(kept).options.extra == ("Dia.",) and task_of(kept, keys_only=True).options.extra == ()


def test_columns_that_are_not_there_are_missed_by_name_unless_a_gal_may_bring_them() -> None:
    with pytest.raises(OptionError, match=r"a\.gpr: by names no column; found 'Gene'"):
        task_of(make_settings({"by": "Gene"}))
    assert task_of(make_settings({"by": "Gene", "gal": "print.gal"})).options.extra == ()
    with pytest.raises(OptionError, match="keep names no column"):
        task_of(make_settings({"keep": "Gene"}))


def wide(columns: Any, options: Any) -> Any:
    return np.asarray(columns["Dia."]) > 0


def test_a_column_that_only_the_method_looks_at_is_read_from_every_file(tmp_path: Path) -> None:
    files = []
    for k, name in enumerate("ab"):
        sheet(k).write(tmp_path / f"{name}.gpr")
        files.append(tmp_path / f"{name}.gpr")
    known = METHODS["median"]
    method = Method(
        name="wide", statistic=known.statistic, application=known.application, minimum=known.minimum,
        summary="median of the wide spots", columns=("Dia.",), use=wide, source="made up",
    )  # fmt: skip
    done = gn.normalize(files, method=method)
    np.testing.assert_array_equal(done.M, gn.normalize(files, method="median").M)
    with pytest.raises(gn.OptionError, match="method names no column; found 'Dia.'"):
        gn.normalize(gn.read(files), method=method)


@pytest.mark.parametrize("route", ["table", "-j 2", "folder", "inspect", "read", "normalize"])
def test_a_gal_of_another_print_run_is_refused_on_every_route(
    route: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took the place of the file's IDs, with a warning at most."""
    for k, name in enumerate(("a.gpr", "b.gpr")):
        sheet(k).write(Path(name))
    Path("gals").mkdir()
    damage.gal_of(sheet(), Path("gals/p.gal"), ids={k: f"other{k}" for k in range(12)})  # 5.4 %
    says = ": the spots are not those of gals/p.gal: another print run; found another ID in 12 spots (Block 1 Row 1 "
    if route in ("read", "normalize"):
        with pytest.raises(LayoutError, match=re.escape(f"a.gpr{says}")):
            getattr(gn, route)(["a.gpr", "b.gpr"], gal="gals/p.gal")
        return
    if route == "inspect":
        assert f"a.gpr{says}" in gn.inspect("a.gpr", gal="gals/p.gal")["inputs"][0]["error"]
        return
    cli = damage.Cli(capsys, tmp_path)
    out = "out/" if route == "folder" else "o.tsv"
    jobs = ["-j", "2"] if route == "-j 2" else []
    ran = cli("normalize", "a.gpr", "b.gpr", "--gal", "gals/p.gal", "-o", out, "-q", *jobs)
    assert ran.code == 3 and not Path(out).exists()
    assert f"failed: a.gpr, b.gpr{says}" in ran.err  # what is the same of both is said once


def test_doubts_about_a_gal_are_said_once_a_run() -> None:
    for k, name in enumerate(("a.gpr", "b.gpr")):
        sheet(k).write(Path(name))
    blocks = "\n".join(f'"Block{k + 1}= {2000 * (k % 2)}, {2000 * (k // 2)}, 100, 7, 180, 9, 180"' for k in range(4))
    damage.gal_of(sheet(), Path("p.gal"), blocks=blocks)
    with pytest.warns(gn.GridnormWarning, match="p.gal: the rows disagree with the block records in 4 of 4 blocks"):
        found = gn.read(["a.gpr", "b.gpr"], gal="p.gal").warnings
    assert len([text for text in found if text.startswith("p.gal: the rows disagree")]) == 1
