"""INPUT: files, folders, globs and targets tables."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.errors import FormatError, OptionError
from gridnorm.plain import recorded, shown
from gridnorm.workflow.inputs import InputFile, expand, file_names, is_targets, read_targets, stem, unique_names


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.gpr", "a.gpr", ".hidden.gpr", "x.tsv.gridnorm.json"):
        Path(name).write_text("x")
    Path("deep").mkdir()
    Path("deep/c.gpr").write_text("x")


def targets(text: str, encoding: str = "utf-8") -> list[InputFile]:
    Path("t.txt").write_bytes(text.encode(encoding))
    return read_targets("t.txt")


def test_files_of_a_folder_and_a_glob_stand_in_natural_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many").mkdir()
    monkeypatch.chdir(tmp_path / "many")
    for name in ("slide10.gpr", "slide2.gpr", "slide1.gpr", "slide02b.gpr", "Slide3.gpr"):
        Path(name).write_text("x")
    order = ["Slide3.gpr", "slide1.gpr", "slide2.gpr", "slide02b.gpr", "slide10.gpr"]
    assert [os.path.basename(one.path) for one in expand(["."])] == order
    assert [one.path for one in expand(["*.gpr"])] == order
    assert [one.path for one in expand(["slide10.gpr", "slide2.gpr"])] == ["slide10.gpr", "slide2.gpr"]  # as given


def test_files_keep_their_order_folders_and_globs_are_sorted() -> None:
    assert [f.path for f in expand(["b.gpr", "a.gpr"])] == ["b.gpr", "a.gpr"]
    assert [(f.file, f.named) for f in expand(["."])] == [("./a.gpr", False), ("./b.gpr", False)]
    assert [f.file for f in expand(["deep/"])] == [f.file for f in expand(["deep"])] == ["deep/c.gpr"]
    assert [(f.path, f.named) for f in expand(["?.gpr"])] == [("a.gpr", False), ("b.gpr", False)]
    assert [f.path for f in expand(["*/*.gpr"])] == [os.path.join("deep", "c.gpr")]
    assert [f.named for f in expand(["a.gpr", "."])] == [True, False, False]


def test_a_file_whose_name_looks_like_a_glob_is_a_file() -> None:
    Path("a[1].gpr").write_text("x")
    assert [(f.path, f.named) for f in expand(["a[1].gpr"])] == [("a[1].gpr", True)]


@pytest.mark.parametrize("wrong", [[], ["none*.gpr"], ["empty"]])
def test_nothing_to_read_is_a_usage_error(wrong: list[str]) -> None:
    Path("empty").mkdir()
    Path("empty/.only-hidden").write_text("x")
    with pytest.raises(OptionError):
        expand(wrong)


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.gpr", "a"), ("a.gpr.gz", "a"), ("A.GPR.GZ", "A"), ("swirl.1.spot", "swirl.1"), ("swirl.1", "swirl.1"), ("a", "a"), (".gpr", ".gpr"),
     ("a.b c", "a.b c"), ("x.gz", "x"), ("slide 12.5 nM", "slide 12.5 nM"), ("a.", "a."), ("a.longsuffix", "a.longsuffix")],
)  # fmt: skip
def test_an_array_is_called_like_its_file_without_suffixes(file: str, name: str) -> None:
    assert stem(file) == name


@given(st.lists(st.tuples(st.sampled_from(["p", "q"]), st.sampled_from(["a", "b", "c", "p/a"])), max_size=6))
def test_names_are_never_equal_and_every_array_gets_its_folder_or_none(given_names: list[tuple[str, str]]) -> None:
    files = [InputFile(f"/{folder}/{k}.gpr", name) for k, (folder, name) in enumerate(given_names)]
    own = [name for _, name in given_names]
    with_folder = [f"{folder}/{name}" for folder, name in given_names]
    if len(set(own)) == len(own):
        assert unique_names(files) == own
    elif len(set(with_folder)) == len(with_folder):
        assert unique_names(files) == with_folder
    else:
        with pytest.raises(OptionError, match="two arrays would be called '.*'; found /./.* and /./"):
            unique_names(files)


def test_the_folder_in_a_name_is_the_one_that_was_given() -> None:
    Path("link").symlink_to("deep")
    Path("c.gpr").write_text("x")
    files = expand(["c.gpr", "link/c.gpr", "deep/../deep/c.gpr"])
    assert unique_names(files) == [f"{Path.cwd().name}/c", "link/c", "deep/c"]
    with pytest.raises(OptionError, match="a file was given twice; found a.gpr and ./a.gpr. Give it once"):
        unique_names(expand(["a.gpr", "./a.gpr"]))


def test_many_names_are_told_apart_at_once() -> None:
    files = [InputFile(f"{folder}/x{k}.gpr", f"x{k}") for k in range(10_000) for folder in ("one", "two")]
    start = time.perf_counter()
    assert len(set(unique_names(files))) == len(set(file_names([f.path for f in files]))) == 20_000
    assert time.perf_counter() - start < 2  # 0.2 s; a search among the names before would take minutes


@pytest.mark.parametrize(
    ("paths", "short"),
    [
        (["a.gpr", "deep/c.gpr"], ["a.gpr", "c.gpr"]),
        (["x/000.gpr", "y/000.gpr", "y/001.gpr"], ["x/000.gpr", "y/000.gpr", "y/001.gpr"]),
        (["/data/x/r/0.gpr", "/data/y/r/0.gpr"], ["x/r/0.gpr", "y/r/0.gpr"]),
        (["/0.gpr", "/a/0.gpr"], ["0.gpr", "a/0.gpr"]),
        (["a.gpr", "./a.gpr", "deep/../a.gpr"], ["a.gpr", "a.gpr", "a.gpr"]),
        (["nowhere/at/all/"], ["all"]),
        (["caf\udce9.gpr"], ["caf\\xe9.gpr"]),
    ],
)
def test_records_have_the_shortest_part_that_tells_files_apart_and_people_the_path(
    paths: list[str], short: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = file_names(paths)
    assert [recorded(name) for name in names] == short
    assert [shown(name) for name in names] == [path.replace("\udce9", "\\xe9") for path in paths]
    # The same files from elsewhere, by other paths.
    whole = [os.path.abspath(path) for path in paths]
    monkeypatch.chdir("deep")
    for again in (whole, [os.path.relpath(path) for path in whole]):
        assert [recorded(name) for name in file_names(again)] == short


def test_targets_know_their_files_names_and_columns() -> None:
    Path("deep/t.txt").write_text("FileName\tName\tCy3\tDose\nc.gpr\tfirst\twt\t1\na.gpr\t\tko\t2\n")
    one, two = read_targets("deep/t.txt")
    assert (one.path, one.name, shown(one.origin)) == (os.path.join("deep", "c.gpr"), "first", "deep/t.txt:2")
    assert recorded(one.origin) == "t.txt:2"
    assert (two.path, two.name, two.targets["Dose"]) == ("a.gpr", "a", "2")
    assert one.named


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_targets_of_every_separator_encoding_and_line_end(separator: str, encoding: str) -> None:
    for end in ("\n", "\r\n", "\r"):
        found = targets(
            end.join([separator.join(row) for row in (("FileName", "Name"), ("a.gpr", "Müller"), ("b.gpr", '"q, r"'))])
            + end,
            encoding,
        )
        assert [(f.path, f.name) for f in found] == [("a.gpr", "Müller"), ("b.gpr", "q, r")]


@pytest.mark.parametrize("title", ["FileName", "filename", "FILENAME", "File", "File Name", "file_name"])
@pytest.mark.parametrize("separator", ["\t", ";", "   "])
def test_targets_of_every_spelling_and_blanks_for_separators(title: str, separator: str) -> None:
    if separator.isspace() and separator != "\t":
        title = title.replace(" ", "")
    rows = [("Slide", title, "name"), ("1", "a.gpr", '"first one"'), ("2", "b.gpr", "second")]
    text = "".join(f"{separator.join(row)}  \n" for row in rows)
    assert is_targets(text.encode())
    assert [(f.path, f.name, f.targets["Slide"]) for f in targets(text)] == [
        ("a.gpr", "first one", "1"),
        ("b.gpr", "second", "2"),
    ]


def test_blank_lines_and_padding_mean_nothing() -> None:
    assert [f.name for f in targets("FileName \t Name\t\n\na.gpr \t x \t\n\t\t\n")] == ["x"]


def test_a_packed_file_is_found_under_its_plain_name() -> None:
    Path("z.gpr.gz").write_text("x")
    assert targets("FileName\nz.gpr\n")[0].path == "z.gpr.gz"
    assert targets("FileName\na.gpr.gz\n")[0].path == "a.gpr"  # and the other way round
    assert targets("FileName\ndeep\\c.gpr\n")[0].path == "deep/c.gpr"  # as Windows writes it


def test_a_file_that_is_not_there_fails_later_with_the_row_that_names_it() -> None:
    found = targets("FileName\na.gpr\nnone.gpr\n")
    assert [(f.file, f.origin) for f in found] == [("a.gpr", "t.txt:2"), ("none.gpr", "t.txt:3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [("FileName\n", "names no files"), ("FileName\tName\n\tx\n", "t.txt:2: no file name"), ("FileName\na\tb\n", "t.txt:2: more cells"),
     ("FileNameCy3\tFileNameCy5\na\tb\n", r"arrays in two files \(FileNameCy3, FileNameCy5\) cannot be read yet"),
     ("Slide\tCy3\tCy5\na\tref\tx\n", "t.txt:1: this targets table has no FileName column; found Slide, Cy3, Cy5, expected"),
     ("FileName\tfilename\na\tb\n", "t.txt:1: more than one column filename"),
     ("FileName Name\na.gpr my slide\n", "t.txt:2: more cells than titles; found 3, expected 2. Put cells that hold blanks"),
     ("FileName Name Dose\na.gpr 1\n", "t.txt:2: fewer cells than titles"), ('FileName\tName\na.gpr\t"' + "x" * 200_000 + "\n", "t.txt"),
     ("FileName\tName\na.gpr\ta\rb\n", "t.txt"), ('FileName\tName\na.gpr\t"x\nb.gpr\ty\n', "t.txt:2"),
     ('FileName\tName\na.gpr\t"x\nb.gpr\ty"\n', "t.txt:2: a cell goes on")],
)  # fmt: skip
def test_damaged_targets_are_format_errors(text: str, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        targets(text)


@pytest.mark.parametrize(
    "head",
    [
        b"FileName\tName\n",
        b'"FileName","Name"\n',
        b"\xef\xbb\xbfFileName\n",
        b"Slide;FileName\n",
        b"FileNameCy3\tFileNameCy5\n",
        b"filename\tcy3\n",
        b"FILENAME,Name\n",
        b"File Name\tCy3\n",
        b"SlideNumber   FileName  Cy3\n",
        b"File\tDose\na.gpr\t1\n",
        b"Slide\tCy3\tCy5\na\tref\tx\n",
    ],
)
def test_a_targets_table_is_known_by_its_titles(head: bytes) -> None:
    assert is_targets(head)


@pytest.mark.parametrize(
    "head",
    [b"ATF\t1.0\n", b"", b"Block\tFile\n", b'"MyFileName=x"\n', b"Name\n\nFileName\n",
     b"Block\tFile\n1\t2\n", b"ID\tCy3\tCy5\nx\t1\t2\n", b"ID,Cy3,Cy5\nx,NA,2\n",
     b"filename\tID\tR\na.gpr\tx\t1\na.gpr\ty\t2\n", b"File,ID\na.gpr,x\na.gpr,y\n"],
)  # fmt: skip
def test_other_files_are_no_targets_tables(head: bytes) -> None:
    assert not is_targets(head)
