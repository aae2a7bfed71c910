"""Decompression, encodings and line ends."""

from __future__ import annotations

import gzip
import hashlib
import time
from pathlib import Path

import pytest

from gridnorm.errors import FormatError
from gridnorm.io.text import load, load_head

LINES = "ATF\t1.0\r\n1\t2\r\nRgn R² µm\t5\r\n"
PLAIN = b"a\tb\r\n1\t2\r\n"


def write(folder: Path, data: bytes, name: str = "a.gpr") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (LINES.encode("utf-8"), "utf-8"),
        (LINES.encode("utf-8-sig"), "utf-8"),
        (LINES.encode("cp1252"), "cp1252"),
        (b"\xff\xfe" + LINES.encode("utf-16-le"), "utf-16-le"),
        (b"\xfe\xff" + LINES.encode("utf-16-be"), "utf-16-be"),
        (LINES.encode("utf-16-le"), "utf-16-le"),
        (LINES.encode("utf-16-be"), "utf-16-be"),
        (b"\xff\xfe\x00\x00" + LINES.encode("utf-32-le"), "utf-32-le"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_gives_the_same_text(tmp_path: Path, raw: bytes, encoding: str, packed: bool) -> None:
    path = write(tmp_path, gzip.compress(raw) if packed else raw)
    text = load(path)
    assert text.data == LINES.encode("utf-8")
    assert (text.encoding, text.warnings) == (encoding, ())
    assert load_head(path).data == text.data


def test_latin_1_bytes_that_windows_does_not_know_are_read_with_a_warning(tmp_path: Path) -> None:
    text = load(write(tmp_path, b"R\xb2\x81\n"))
    assert text.data.decode() == "R²\x81\n"
    assert text.warnings[0].startswith("a.gpr: ")


def test_size_and_digest_are_those_of_the_file_on_disk(tmp_path: Path) -> None:
    raw = gzip.compress(PLAIN)
    text = load(write(tmp_path, raw, "a.gpr.gz"))
    assert (text.name, text.size, text.sha256) == ("a.gpr.gz", len(raw), hashlib.sha256(raw).hexdigest())
    assert text.data == PLAIN


def test_gzip_is_recognised_by_content_and_all_members_are_read(tmp_path: Path) -> None:
    assert load(write(tmp_path, gzip.compress(b"a\n") + gzip.compress(b"b\n"), "a.txt")).data == b"a\nb\n"


def test_zero_padding_behind_gzip_data_is_named(tmp_path: Path) -> None:
    text = load(write(tmp_path, gzip.compress(b"a\n") + bytes(10)))
    assert text.data == b"a\n"
    assert "10 zero bytes" in text.warnings[0]


@pytest.mark.parametrize("cut", [5, 12, -9, -4, -1])
def test_a_cut_gzip_file_is_an_error(tmp_path: Path, cut: int) -> None:
    with pytest.raises(FormatError, match=r"a\.gpr: .*(cut off|damaged)"):
        load(write(tmp_path, gzip.compress(PLAIN * 100)[:cut]))


def test_a_second_gzip_member_cut_short_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cut off"):
        load(write(tmp_path, gzip.compress(PLAIN) + gzip.compress(PLAIN)[:-3]))


def test_garbage_behind_gzip_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not gzip follows"):
        load(write(tmp_path, gzip.compress(PLAIN) + b"garbage"))


def test_a_flipped_bit_in_gzip_data_is_an_error(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(PLAIN * 100))
    raw[-6] ^= 1  # in the checksum
    with pytest.raises(FormatError, match="damaged"):
        load(write(tmp_path, bytes(raw)))


@pytest.mark.parametrize("raw", [b"", b"\n\n", b" \r\n\t\n", b"\xef\xbb\xbf", gzip.compress(b"")])
def test_an_empty_file_is_an_error(tmp_path: Path, raw: bytes) -> None:
    path = write(tmp_path, raw)
    for read in (load, load_head):
        with pytest.raises(FormatError, match="empty"):
            read(path)


def test_nul_bytes_are_an_error_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.gpr:3: .*NUL"):
        load(write(tmp_path, PLAIN + b"1\0\t2\r\n"))


def test_nul_bytes_late_in_a_file_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="NUL"):
        load(write(tmp_path, PLAIN * 2000 + bytes(100)))


def test_half_a_character_of_utf_16_at_the_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="UTF-16"):
        load(write(tmp_path, b"\xff\xfe" + LINES.encode("utf-16-le")[:-1]))


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"BZh9", b"\xfd7zXZ\0", b"II*\0", b"%PDF-1.4"])
def test_what_is_no_text_is_named(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(FormatError, match=r"this is an? .*, no text file\. [A-Z]"):
        load(write(tmp_path, magic + bytes(100)))


def test_a_folder_or_absent_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.gpr"):
        for read in (load, load_head):
            with pytest.raises(FormatError, match="cannot be read"):
                read(path)


@pytest.mark.parametrize(
    ("raw", "data", "warnings"),
    [
        (b"a\tb\r1\t2\r", b"a\tb\n1\t2\n", 1),
        (b"a\tb\r\r\n1\t2\r\r\n", b"a\tb\r\n1\t2\r\n", 1),
        (b"a\tb\r\n1\t2\n", b"a\tb\r\n1\t2\n", 0),
        (b'a\tb\n1\t"x\ry"\n', b'a\tb\n1\t"x\ry"\n', 0),
        (b"a\tb\n1\t2\n\x1a", b"a\tb\n1\t2\n", 1),
    ],
)
def test_line_ends(tmp_path: Path, raw: bytes, data: bytes, warnings: int) -> None:
    text = load(write(tmp_path, raw))
    assert text.data == data
    assert len(text.warnings) == warnings
    assert all(w.startswith("a.gpr:") for w in text.warnings)


def test_a_doubled_cr_is_found_across_the_edge_of_a_block(tmp_path: Path) -> None:
    row = b"1\t2\r\n"
    raw = row * ((1 << 19) // len(row))
    raw += b"x" * ((1 << 19) - len(raw) - 1) + b"\r\r\n" + row
    assert raw[(1 << 19) - 1 : (1 << 19) + 2] == b"\r\r\n"
    assert b"\r\r\n" not in load(write(tmp_path, raw)).data


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("n", range(40, 60))
def test_a_head_cut_inside_a_character_is_whole_lines(tmp_path: Path, encoding: str, n: int) -> None:
    whole = "a\t²µ²😀²µ\n" * 40
    head = load_head(write(tmp_path, whole.encode(encoding)), n)
    assert whole.encode().startswith(head.data)
    assert head.data.endswith(b"\n")
    assert head.sha256 == ""


def test_a_head_of_gzip_data_is_short_and_does_not_look_behind(tmp_path: Path) -> None:
    raw = gzip.compress(PLAIN * 10000)
    head = load_head(write(tmp_path, raw[:-5]), 1000)
    assert 900 < len(head.data) <= 1000
    assert head.data == (PLAIN * 10000)[: len(head.data)]
    assert head.size == len(raw) - 5


def test_damage_in_the_head_of_gzip_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="damaged"):
        load_head(write(tmp_path, b"\x1f\x8b\x08\x00" + b"\xff" * 100))


@pytest.mark.parametrize(
    "raw",
    [
        b"a\tb\r\n1\t2" + b"\r" * 300_000 + b"\n",
        b"a\tb\r\n1\t2" + b"\r" * 300_000 + b"x\r\r\n",
        gzip.compress(b"") * 200_000 + gzip.compress(PLAIN),
    ],
    ids=["run of CR before LF", "run of CR inside a line", "empty gzip members"],
)
def test_time_grows_with_the_size_only(tmp_path: Path, raw: bytes) -> None:
    started = time.perf_counter()
    text = load(write(tmp_path, raw))
    assert time.perf_counter() - started < 5, "more than ten times what it takes; a pass for every piece takes minutes"
    assert text.data.startswith(b"a\tb\r\n1\t2") and b"\r\r\n" not in text.data


def test_the_head_of_a_gzip_file_may_lie_in_several_members(tmp_path: Path) -> None:
    lines = [b"%d\t%d\n" % (k, 7 * k) for k in range(5000)]
    packed = b"".join(gzip.compress(b"".join(lines[k : k + 700])) for k in range(0, 5000, 700))
    path = write(tmp_path, gzip.compress(b"") + packed)
    whole = load(path).data
    assert whole == b"".join(lines)
    assert load_head(path, 1 << 20).data == whole
    for n in (100, 1000, 9000):
        head = load_head(path, n).data
        assert whole.startswith(head) and head.endswith(b"\n") and len(head) <= n
    path.write_bytes(packed[:-9])
    with pytest.raises(FormatError, match="cut off"):
        load(path)
