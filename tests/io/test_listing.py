"""Small tables of titles and text, with the lines on which rows stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridnorm.errors import FormatError
from gridnorm.io.listing import Listing, find_title, read_listing


def listing(folder: Path, text: str | bytes) -> Listing:
    path = folder / "types.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_listing(path)


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_rows_with_their_lines(tmp_path: Path, separator: str) -> None:
    text = 'SpotType|ID|Name\n\ngene| * |"a b"\nneg|x|\n||\nlast|y'.replace("|", separator)
    found = listing(tmp_path, text)
    assert found.titles == ("SpotType", "ID", "Name")
    assert found.rows == (("gene", "*", "a b"), ("neg", "x", ""), ("last", "y", ""))
    assert found.lines == (3, 4, 6)
    assert found.column("name") == ["a b", "", ""] and found.column("Block") is None


def test_other_encodings_and_line_ends(tmp_path: Path) -> None:
    assert listing(tmp_path, "\ufeffSpotType\tID\r\nµ\tx\r\n".encode()).rows == (("µ", "x"),)
    assert listing(tmp_path, "SpotType\tID\nµ\tx\n".encode("utf-16")).rows == (("µ", "x"),)


def test_titles_exact_first(tmp_path: Path) -> None:
    assert find_title(["id", "ID"], "ID") == 1 and find_title(["a", "Id"], "ID") == 1
    assert find_title(["id", "Id"], "ID") is None and find_title(["x"], "ID") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\t3\n", "types.txt:2: more cells than titles; found 3, expected 2"),
        ('a\tb\n1\t"2\n3\t4"\n', "types.txt:2: a cell goes on in the next line"),
        ('a\tb\n1\t"2\n', "types.txt:2: the table is damaged here"),
        ("a\ta\n1\t2\n", "types.txt:1: two columns have one title; found 'a'"),
        ("a\tb\n\n", "types.txt: the table has no rows"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        listing(tmp_path, text)
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_or_has_changed(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no.txt: the file cannot be read"):
        read_listing(tmp_path / "no.txt")
    assert listing(tmp_path, "a\tb\n1\t2\n").rows == (("1", "2"),)
    assert listing(tmp_path, "a\tb\n1\t2345\n").rows == (("1", "2345"),)
