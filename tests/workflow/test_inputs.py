"""INPUT: files, folders, globs and targets tables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridnorm.errors import FormatError, OptionError
from gridnorm.workflow.inputs import InputFile, expand, is_targets, read_targets, stem, unique_names


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


def test_files_keep_their_order_folders_and_globs_are_sorted() -> None:
    assert [f.path for f in expand(["b.gpr", "a.gpr"])] == ["b.gpr", "a.gpr"]
    assert [(f.file, f.named) for f in expand(["."])] == [("a.gpr", False), ("b.gpr", False)]
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


@given(
    st.lists(st.tuples(st.sampled_from(["p", "q"]), st.sampled_from(["a", "b", "p/a", "a (2)", "p/a (2)"])), max_size=8)
)
def test_names_are_never_equal_and_single_ones_never_changed(given_names: list[tuple[str, str]]) -> None:
    files = [InputFile(f"/{folder}/{k}.gpr", name) for k, (folder, name) in enumerate(given_names)]
    names = unique_names(files)
    assert len(set(names)) == len(names) == len(files)
    # An array whose own name nobody else bears keeps it, unless a folder's name in front makes another one equal to it.
    once = [n for _, n in given_names if [m for _, m in given_names].count(n) == 1 and "/" not in n]
    assert set(once) <= set(names)


def test_a_header_record_of_a_scanner_is_no_title_of_targets() -> None:
    assert not is_targets(b'"FileName=C:\\a.tif\tC:\\b.tif"\n"PixelSize=10"\n')
    assert is_targets(b"Name\tFileNameCy3\n")


def test_targets_know_their_files_names_and_columns() -> None:
    Path("deep/t.txt").write_text("FileName\tName\tCy3\tDose\nc.gpr\tfirst\twt\t1\na.gpr\t\tko\t2\n")
    one, two = read_targets("deep/t.txt")
    assert (one.path, one.name, one.origin) == (os.path.join("deep", "c.gpr"), "first", "t.txt:2")
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


def test_blank_lines_and_padding_mean_nothing() -> None:
    assert [f.name for f in targets("FileName \t Name\t\n\na.gpr \t x \t\n\t\t\n")] == ["x"]


def test_a_packed_file_is_found_under_its_plain_name() -> None:
    Path("z.gpr.gz").write_text("x")
    assert targets("FileName\nz.gpr\n")[0].path == "z.gpr.gz"


def test_a_file_that_is_not_there_fails_later_with_the_row_that_names_it() -> None:
    found = targets("FileName\na.gpr\nnone.gpr\n")
    assert [(f.file, f.origin) for f in found] == [("a.gpr", "t.txt:2"), ("none.gpr", "t.txt:3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [("FileName\n", "names no files"), ("FileName\tName\n\tx\n", "t.txt:2: no file name"), ("FileName\na\tb\n", "t.txt:2: more cells"),
     ("FileNameCy3\tFileNameCy5\na\tb\n", "FileNameCy3"), ('FileName\tName\na.gpr\t"' + "x" * 200_000 + "\n", "t.txt"),
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
    ],
)
def test_a_targets_table_is_known_by_its_titles(head: bytes) -> None:
    assert is_targets(head)


@pytest.mark.parametrize("head", [b"ATF\t1.0\n", b"", b"Block\tFile\n", b'"MyFileName=x"\n', b"Name\n\nFileName\n"])
def test_other_files_are_no_targets_tables(head: bytes) -> None:
    assert not is_targets(head)
