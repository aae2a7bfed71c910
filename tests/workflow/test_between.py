"""Arrays of a run made alike: every route has the same numbers; targets in files; what is refused before work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from damage import Cli, sidecar, table

import gridnorm as gn
from gridnorm.errors import FormatError, OptionError

METHODS = ["scale", "quantile", "cyclic-loess", "vsn"]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    made = Cli(capsys, tmp_path)
    simulated(made, "in")
    return made


def simulated(cli: Cli, folder: str, spots: str = "7x8") -> None:
    args = ("--arrays", "3", "--blocks", "2x2", "--spots", spots, "--prefix", "array", "--seed", "2")
    assert cli("simulate", "-o", folder, *args).code == 0


FILES = ["in/array1.gpr", "in/array2.gpr", "in/array3.gpr"]


def normalized(cli: Cli, *args: str, code: int = 0) -> str:
    ran = cli("normalize", *args, "--force")
    assert ran.code == code, ran.err
    return ran.err


def test_rlm_of_one_channel_in_a_table_a_folder_and_from_a_target(cli: Cli) -> None:
    args = ("--arrays", "3", "--blocks", "2x2", "--spots", "7x8", "--prefix", "probe", "--seed", "3", "--channels", "1")
    assert cli("simulate", "-o", "one", *args).code == 0
    files = [f"one/probe{k}.gpr" for k in (1, 2, 3)]
    options = ("--method", "none", "--between", "rlm", "--precision", "full")
    normalized(cli, *files, *options, "-o", "all.tsv", "--save-target", "kept.json")
    normalized(cli, *files, *options, "-o", "folder/", "-j", "2")
    together = table(Path("all.tsv"))
    off = []
    for k in (1, 2, 3):
        assert table(Path(f"folder/probe{k}.tsv"))[f"E.probe{k}"] == together[f"E.probe{k}"]
        before = gn.normalize(files[k - 1], method="none").E[:, 0]
        after = np.array([float(cell or "nan") for cell in together[f"E.probe{k}"]])
        off.append(np.nanmean(before - after))
        assert np.nanmax(np.abs(before - after - off[-1])) < 1e-12
    assert abs(sum(off)) < 1e-9
    step = sidecar(Path("all.tsv"))["history"][-1]
    assert {name: step["parameters"][name] for name in ("method", "match", "control_type")} == {
        "method": "rlm", "match": "id", "control_type": [],
    }  # fmt: skip
    normalized(cli, files[1], "--method", "none", "--target", "kept.json", "--precision", "full", "-o", "later.tsv")
    later = np.array([float(cell or "nan") for cell in table(Path("later.tsv"))["E.probe2"]])
    again = np.array([float(cell or "nan") for cell in together["E.probe2"]])
    assert np.nanmax(np.abs(later - again)) < 0.05, "as near as the noise of the array lets it"
    refused = normalized(cli, *FILES, "--between", "rlm", "-o", "no.tsv", code=2)
    assert "rlm between arrays is for one channel; found R G" in refused
    assert "--between rlm needs two arrays or more" in normalized(cli, files[0], *options, "-o", "no.tsv", code=2)


@pytest.mark.parametrize("method", METHODS)
def test_table_folder_workers_and_python_agree(cli: Cli, method: str) -> None:
    normalized(cli, *FILES, "--between", method, "-o", "t.tsv", "--save-target", "t.json")
    normalized(cli, *FILES, "--between", method, "-o", "f/", "--save-target", "f.json")
    normalized(cli, *FILES, "--between", method, "-o", "j/", "-j", "2")
    assert Path("t.json").read_bytes() == Path("f.json").read_bytes()
    whole, result = table(Path("t.tsv")), gn.normalize(FILES, between=method)
    for k in (1, 2, 3):
        own = table(Path(f"f/array{k}.tsv"))
        assert Path(f"f/array{k}.tsv").read_bytes() == Path(f"j/array{k}.tsv").read_bytes()
        for name in "MA":
            assert own[f"{name}.array{k}"] == whole[f"{name}.array{k}"]
            shown = np.array(whole[f"{name}.array{k}"], float)
            np.testing.assert_allclose(getattr(result, name)[:, k - 1], shown, atol=6e-7)
        for record in (sidecar(Path("t.tsv")), sidecar(Path(f"f/array{k}.tsv"))):
            assert record["parameters"]["between"] == method and record["parameters"]["between_by"] == "array"
    first = gn.background_correct(gn.read(FILES), "subtract") if method == "vsn" else gn.normalize(gn.read(FILES))
    # A set of intensities has no weights: all of its spots teach.
    same = gn.normalize(FILES, between=method, flags="ignore") if method == "vsn" else result
    np.testing.assert_array_equal(gn.normalize_between(first, method).M, same.M)
    np.testing.assert_array_equal(gn.normalize(gn.read(FILES), between=method).A, result.A)
    assert json.loads(Path("f/gridnorm.json").read_text())["parameters"]["between"] == method
    assert not list(Path("f").glob(".*"))


@pytest.mark.parametrize("method", METHODS[:3])
def test_one_array_at_a_time_comes_to_the_same(cli: Cli, method: str) -> None:
    normalized(cli, *FILES, "--between", method, "-o", "t.tsv", "--save-target", "t.json")
    whole = table(Path("t.tsv"))
    for k in (1, 2, 3):
        normalized(cli, FILES[k - 1], "--target", "t.json", "-o", "one.tsv")
        assert table(Path("one.tsv"))[f"M.array{k}"] == whole[f"M.array{k}"]
        record = sidecar(Path("one.tsv"))
        assert record["parameters"]["between"] == method and len(record["parameters"]["target"]) == 64
        assert [one["name"] for one in record["inputs"]] == [f"array{k}.gpr", "t.json"]
    normalized(cli, *FILES, "--target", "t.json", "-o", "again/")
    assert table(Path("again/array2.tsv"))["A.array2"] == whole["A.array2"]
    kept = gn.read_target("t.json")
    np.testing.assert_array_equal(
        gn.normalize(FILES[0], target=kept).M[:, 0], gn.normalize(FILES, between=method).M[:, 0]
    )
    gn.write_target(kept, "u.json")
    assert Path("u.json").read_bytes() == Path("t.json").read_bytes()


def test_vsn_stands_in_the_place_of_levels(cli: Cli) -> None:
    said = normalized(cli, *FILES, "--between", "vsn", "-o", "t.tsv", "--save-target", "t.json")
    assert "background: subtract, offset 0; then between: vsn" in said and "not positive" not in said
    record = sidecar(Path("t.tsv"))
    assert (record["parameters"]["method"], record["parameters"]["vsn_keep"]) == ("none", 0.9)
    assert all(one["missing"] == 0 for one in record["arrays"])
    whole = table(Path("t.tsv"))
    normalized(cli, FILES[1], "--target", "t.json", "-o", "one.tsv")
    near = np.array(table(Path("one.tsv"))["M.array2"], float) - np.array(whole["M.array2"], float)
    assert np.median(np.abs(near)) < 0.05, "its own likelihood, with the levels of the others"
    says = "--between vsn takes the place of a method within arrays; found loess, expected no --method, or none"
    refused(cli, *FILES, "--between", "vsn", "--method", "loess", code=2, says=says)


def test_groups_apart_and_options_of_the_method(cli: Cli) -> None:
    result = gn.normalize(FILES, between="cyclic-loess", between_by="Block", cyclic_span=0.9, cyclic_rounds=1)
    assert result.history.parameters()["cyclic_span"] == 0.9
    assert result.between.by == "Block" and len(result.between.parts["G+R"].labels) == 4
    normalized(
        cli, *FILES, "--between", "cyclic-loess", "--between-by", "Block", "--cyclic-span", "0.9", "--cyclic-rounds",
        "1", "-o", "t.tsv",
    )  # fmt: skip
    np.testing.assert_allclose(result.M[:, 2], np.array(table(Path("t.tsv"))["M.array3"], float), atol=6e-7)


def refused(cli: Cli, *args: str, code: int, says: str) -> None:
    before = sorted(Path().rglob("*"))
    assert says in normalized(cli, *args, code=code)
    assert sorted(Path().rglob("*")) == before, "nothing is written"


def test_what_cannot_be_is_refused_and_nothing_is_written(cli: Cli) -> None:
    one, all_three = FILES[:1], FILES
    refused(cli, *one, "--between", "scale", "-o", "t.tsv", code=2, says="needs two arrays or more; found array1")
    refused(cli, *one, "--between", "scale", "-o", "f/", code=2, says="needs two arrays or more; found array1")
    refused(cli, *all_three, "--cyclic-span", "0.5", code=2, says="--cyclic-span has no meaning for --between none")
    refused(cli, *all_three, "--save-target", "t.json", code=2, says="--save-target has no meaning for --between none")
    refused(
        cli, *all_three, "--between", "cyclic-loess", "--cyclic-method", "pairs", "--save-target", "t.json", code=2,
        says="--cyclic-method pairs leaves no target; expected fast",
    )  # fmt: skip
    refused(cli, *all_three, "--between", "tquantile", code=2, says="expected columns Cy3 and Cy5 of a targets table")
    refused(cli, *all_three, "--between", "scale", "--between-by", "Nix", code=2, says="--between-by names no column")
    refused(cli, *all_three, "--target", "no.json", code=3, says="no.json: ")
    refused(cli, *all_three, "--target", FILES[0], code=3, says="this is no target of a method between arrays")


def test_a_figure_needs_fits_within_arrays(cli: Cli) -> None:
    says = (
        "--figure draws fits within arrays; found --between vsn, which takes the place of them. Leave one of them out"
    )
    for out in ("o.tsv", "o/"):
        refused(cli, *FILES, "--between", "vsn", "--figure", "f.png", "-o", out, code=2, says=says)


def test_a_target_of_other_spots_is_refused(cli: Cli) -> None:
    normalized(cli, *FILES, "--between", "quantile", "-o", "t.tsv", "--save-target", "t.json")
    simulated(cli, "other", "7x7")
    says = "the target is of another number of spots; found 196, expected 224"
    for out in ("o.tsv", "o/"):
        refused(cli, "other/array1.gpr", "--target", "t.json", "-o", out, code=3, says=says)
    refused(
        cli, *FILES, "--target", "t.json", "--between", "scale", "-o", "o.tsv", code=2,
        says="the target was made with another method; found scale, expected quantile",
    )  # fmt: skip
    refused(
        cli, *FILES, "--target", "t.json", "--between", "none", code=2, says="The target knows it: leave --between out"
    )


def test_existing_targets_are_kept_unless_forced(cli: Cli) -> None:
    Path("t.json").write_text("mine")
    ran = cli("normalize", *FILES, "--between", "scale", "-o", "t.tsv", "--save-target", "t.json")
    assert ran.code == 2 and "exists already" in ran.err and Path("t.json").read_text() == "mine"
    result = gn.normalize(FILES, between="scale")
    with pytest.raises(OptionError, match="exists already"):
        gn.write_target(result.between, "t.json")
    gn.write_target(result.between, "t.json", force=True)
    ran = cli("normalize", *FILES, "--target", "t.json", "--save-target", "t.json", "-o", "o.tsv", "--force")
    assert ran.code == 2 and "an input would be overwritten" in ran.err
    with pytest.raises(OptionError, match="no target to write"):
        gn.write_target(None, "v.json")
    Path("broken.json").write_bytes(Path("t.json").read_bytes()[:-40])
    with pytest.raises(FormatError, match="broken.json: this is no target"):
        gn.read_target("broken.json")


def test_samples_come_from_the_targets_table(cli: Cli) -> None:
    Path("targets.tsv").write_text(
        "FileName\tCy3\tCy5\n" + "".join(f"{f}\tref\t{'ab'[k % 2]}\n" for k, f in enumerate(FILES))
    )
    said = normalized(cli, "targets.tsv", "--between", "tquantile", "-o", "t.tsv", "--save-target", "t.json")
    assert "'b' is in one channel only, which stays as it is" in said
    assert set(json.loads(Path("t.json").read_text())["parts"]) == {"ref", "a"}
    normalized(cli, "targets.tsv", "--between", "tquantile", "-o", "f/")
    assert table(Path("f/array2.tsv"))["M.array2"] == table(Path("t.tsv"))["M.array2"]


def test_an_array_that_fails_does_not_cost_the_others(cli: Cli) -> None:
    Path("bad.gpr").write_bytes(Path(FILES[0]).read_bytes()[:2000])
    for out in ("t.tsv", "f/"):
        normalized(cli, FILES[0], "bad.gpr", *FILES[1:], "--between", "scale", "-o", out, code=1)
    expected = gn.normalize(FILES, between="scale")
    np.testing.assert_allclose(expected.M[:, 2], np.array(table(Path("t.tsv"))["M.array3"], float), atol=6e-7)
    assert table(Path("f/array3.tsv"))["M.array3"] == table(Path("t.tsv"))["M.array3"]


def test_a_dry_run_says_what_will_be_made_alike(cli: Cli) -> None:
    ran = cli("normalize", *FILES, "--between", "cyclic-loess", "--dry-run")
    settings = json.loads(ran.out)["settings"]
    assert [settings[name] for name in ("between", "between_by", "cyclic_span")] == ["cyclic-loess", "array", 0.7]
    normalized(cli, *FILES, "--between", "vsn", "-o", "t.tsv", "--save-target", "t.json")
    settings = json.loads(cli("normalize", FILES[0], "--target", "t.json", "--dry-run").out)["settings"]
    assert [settings[name] for name in ("between", "method", "background")] == ["vsn", "none", "subtract"]


def test_the_step_is_told(cli: Cli) -> None:
    assert "; then between: scale" in normalized(cli, *FILES, "--between", "scale", "-o", "t.tsv")
    assert "between" not in normalized(cli, *FILES, "-o", "t.tsv")


def plain_tables(folder: Path) -> list[str]:
    """Three tables without places, the rows of the second and third in an order of their own."""
    rng = np.random.default_rng(5)
    level, names = rng.normal(9, 1.5, 300), [f"g{k}" for k in range(300)]
    out = []
    for n in range(3):
        order = np.arange(300) if n == 0 else rng.permutation(300)
        red, green = 2 ** (level + rng.normal(0, 0.3 * (n + 1), (2, 300)))
        rows = "".join(f"{names[k]}\t{red[k]:.3f}\t{green[k]:.3f}\n" for k in order)
        out.append(str(folder / f"t{n}.tsv"))
        Path(out[-1]).write_text("ID\tR\tG\n" + rows)
    return out


@pytest.mark.parametrize("method", METHODS)
def test_files_in_an_order_of_their_own_keep_it_and_get_their_own_levels(cli: Cli, method: str) -> None:
    files = plain_tables(Path())
    common = ("--by", "array") if method != "vsn" else ()
    normalized(cli, *files, *common, "--between", method, "-o", "whole.tsv")
    normalized(cli, *files, *common, "--between", method, "-o", "own/")
    whole = table(Path("whole.tsv"))
    for n in range(3):
        own = table(Path(f"own/t{n}.tsv"))
        assert own["ID"] == [line.split("\t")[0] for line in Path(files[n]).read_text().splitlines()[1:]]
        for name in "MA":
            mine = dict(zip(own["ID"], own[f"{name}.t{n}"], strict=True))
            assert mine == dict(zip(whole["ID"], whole[f"{name}.t{n}"], strict=True))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_tables_of_a_folder_have_all_their_columns(cli: Cli, jobs: str) -> None:
    normalized(cli, *FILES, "--keep", "F635 SD", "-o", "plain/", "-j", jobs)
    normalized(cli, *FILES, "--keep", "F635 SD", "--between", "scale", "-o", "alike/", "-j", jobs)
    for k in (1, 2, 3):
        plain, alike = (table(Path(f"{folder}/array{k}.tsv")) for folder in ("plain", "alike"))
        assert list(plain) == list(alike) and {"Name", "F635 SD"} <= set(plain)
        assert plain["F635 SD"] == alike["F635 SD"]


@pytest.mark.parametrize("method", ["scale", "quantile"])
def test_parts_of_files_in_a_folder_are_made_alike_too(cli: Cli, method: str) -> None:
    for folder, arrays in (("one", 1), ("two", 2)):
        args = ("--arrays", str(arrays), "--blocks", "1x2", "--spots", "8x9", "--seed", "4", "--same-probes")
        assert cli("simulate", "-o", folder, *args, "--channels", "1").code == 0
    files = sorted(map(str, Path("two").glob("*.gpr")))
    common = ("--split", "block", "--between", method, "--background", "none")
    normalized(cli, *files, *common, "-o", "t.tsv", "--save-target", "t.json")
    normalized(cli, *files, *common, "-o", "f/", "--save-target", "f.json")
    normalized(cli, *files, *common, "-o", "j/", "-j", "2")
    whole = table(Path("t.tsv"))
    assert Path("t.json").read_bytes() == Path("f.json").read_bytes()
    names = [title for title in whole if title.startswith("E.")]
    assert len(names) == 4
    for title in names:
        own = table(Path("f") / f"{title.removeprefix('E.')}.tsv")
        assert own[title] == whole[title] and Path("f").joinpath(f"{title[2:]}.tsv").read_bytes() == (
            Path("j").joinpath(f"{title[2:]}.tsv").read_bytes()
        )


def test_why_arrays_are_too_few_is_said(cli: Cli) -> None:
    Path("bad.gpr").write_bytes(Path(FILES[1]).read_bytes()[:3000])
    for output in ("t.tsv", "f/"):
        says = "needs two arrays or more; found array1. bad.gpr failed: "
        refused(cli, FILES[0], "bad.gpr", "--between", "scale", "-o", output, code=2, says=says)


def test_options_that_would_do_nothing_are_refused(cli: Cli) -> None:
    says = "--between-by has no meaning for --between none"
    refused(cli, *FILES, "--between-by", "print-tip", "-o", "t.tsv", code=2, says=says)
    says = "found --by print-tip, expected no --by. Its own groups are named by --between-by"
    refused(cli, *FILES, "--between", "vsn", "--by", "print-tip", "-o", "t.tsv", code=2, says=says)
    Path("x.txt").write_text("FileName\tCy3\tCy5\n" + "".join(f"{f}\t{k}a\t{k}b\n" for k, f in enumerate(FILES)))
    says = "--save-target has nothing to keep: no two channels were made alike"
    refused(
        cli, "x.txt", "--between", "tquantile", "--save-target", "t.json", "-o", "t.tsv", "--replicates", "keep",
        code=2, says=says,
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--save-target", "--sidecar", "--log-file"])
def test_nothing_takes_the_place_of_an_arrays_table(cli: Cli, option: str) -> None:
    for place in ("f/array1.tsv", "f/array2.tsv.gridnorm.json", "f/../f/array1.tsv"):
        says = "two outputs are one file; found the table of an array, or its record"
        refused(cli, *FILES, "--between", "scale", "-o", "f/", option, place, code=2, says=says)
    says = f"{option} needs the name of a file; found -, expected a path"
    refused(cli, *FILES, "--between", "scale", "-o", "f/", option, "-", code=2, says=says)


def test_what_a_target_was_made_of_is_known_to_it(cli: Cli) -> None:
    normalized(
        cli, *FILES, "--between", "cyclic-loess", "--cyclic-span", "0.6", "-o", "t.tsv", "--save-target", "c.json"
    )
    said = normalized(cli, FILES[0], "--target", "c.json", "--cyclic-span", "0.6", "-o", "one.tsv")
    assert "c.json is of arrays" not in said
    says = "c.json: the target was made with another --cyclic-span; found 0.5, expected 0.6"
    refused(cli, FILES[0], "--target", "c.json", "--cyclic-span", "0.5", "-o", "new.tsv", code=2, says=says)
    says = "c.json: the target was made with another method; found scale, expected cyclic-loess"
    refused(cli, *FILES, "--target", "c.json", "--between", "scale", "-o", "new.tsv", code=2, says=says)
    said = normalized(cli, FILES[0], "--target", "c.json", "--background", "subtract", "--by", "array", "-o", "one.tsv")
    assert (
        "c.json is of arrays with --background normexp (here subtract)" in said
        and "--by print-tip (here array)" in said
    )
    normalized(cli, *FILES, "--channels", "635", "--between", "quantile", "-o", "t.tsv", "--save-target", "r.json")
    says = "r.json: the target was made of arrays of other channels; found 532, expected 635"
    refused(cli, FILES[0], "--channels", "532", "--target", "r.json", "-o", "new.tsv", code=2, says=says)
