"""From a file on disk to UTF-8 bytes with LF or CR LF lines.

Compression and encoding are recognised by content, never by the file's name. Nothing is repaired silently:
whatever changes the meaning of the bytes is named in ``Text.warnings``.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from typing import NamedTuple

import numpy as np

from gridnorm.errors import FormatError

_GZIP = b"\x1f\x8b"
_PLAIN = bytes([9, 10, 12, 13, *range(32, 127)])  # what nearly all text files begin with
_BEGINNING = 512  # bytes in which what is no text shows itself
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_FIRST_STEP = 512  # bytes of a gzip member that are unpacked first
_NOT_FILES = {
    stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
_CRS = re.compile(rb"(?<!\r)\r{2,}\n")  # begins where a run does: one pass, whatever its length
_BLOCK = 1 << 17  # bytes per vectorized step: temporaries stay in the cache


class Text(NamedTuple):
    """The text of one file.

    ``data`` is UTF-8 and its lines end in LF or CR LF; ``encoding`` is what stood on disk. ``size`` (bytes) and
    ``sha256`` (hex) belong to the file as it lies on disk, compressed or not, ``content`` is the SHA-256 of what it
    unpacks to; both are empty for a head.
    """

    name: str
    data: bytes
    encoding: str
    warnings: tuple[str, ...]
    size: int
    sha256: str
    content: str = ""


def name_of(path: str | os.PathLike[str]) -> str:
    r"""Name of a file, without its folder, as text that can be written anywhere; what is no UTF-8 is escaped.

    Examples
    --------
    >>> name_of("arrays/caf\udce9.gpr")
    'caf\\xe9.gpr'
    """
    return path_text(os.path.basename(path))


def path_text(path: str | os.PathLike[str]) -> str:
    r"""A path as it was given, as text that can be written anywhere; what is no UTF-8 is escaped.

    Examples
    --------
    >>> path_text("../arrays/caf\udce9.gpr")
    '../arrays/caf\\xe9.gpr'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def stamp(path: str | os.PathLike[str], name: str) -> tuple[str, int, int]:
    """What tells a file from what it was when it was read before: where it really lies, its time and size.

    Raises
    ------
    FormatError
        There is no such file; ``name`` is what the message calls it.
    """
    try:
        seen = os.stat(path)
    except OSError as error:
        raise FormatError("the file cannot be read", name, found=error.strerror or str(error)) from None
    return os.path.realpath(path), seen.st_mtime_ns, seen.st_size


def load(path: str | os.PathLike[str], name: str = "") -> Text:
    r"""Read a whole file, plain or gzip, in any usual encoding.

    Parameters
    ----------
    path
        The file.
    name
        What messages call it; by default its name without folder.

    Returns
    -------
    The text, with the size and the SHA-256 of the file on disk.

    Raises
    ------
    FormatError
        The file cannot be opened, is empty, is damaged, or is no text.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.txt")
    ...     _ = path.write_bytes(b"Rgn R\xb2\n")
    ...     load(path).data.decode()
    'Rgn R²\n'
    """
    from hashlib import sha256

    name = name or name_of(path)
    raw = _read(path, name, -1)
    digest = sha256(raw).hexdigest()
    warnings: list[str] = []
    data, content = raw, ""
    if raw.startswith(_GZIP):
        data = _gunzip(raw, name, warnings)
        content = sha256(data).hexdigest()
    text, encoding = _to_utf8(data, name, warnings, whole=True)
    return Text(name, text, encoding, tuple(warnings), len(raw), digest, content or digest)


def load_head(path: str | os.PathLike[str], n: int = 65536, name: str = "") -> Text:
    """Read the first ``n`` bytes of the text of a file, and only those, cut after the last whole line.

    ``name`` is what messages call it; by default its name without folder.
    A gzip file is decompressed only as far as needed. Damage behind the head goes unnoticed.

    Raises
    ------
    FormatError
        The file cannot be opened, is empty, or its beginning is no text.
    """
    name = name or name_of(path)
    raw = _read(path, name, n)
    size = os.stat(path).st_size
    whole = size <= n
    data = raw
    if raw.startswith(_GZIP):
        data, unpacked = _gunzip_head(raw, name, n)
        whole = whole and unpacked
    warnings: list[str] = []
    text, encoding = _to_utf8(data, name, warnings, whole)
    if not whole:
        text = text[: text.rfind(b"\n") + 1] or text
    return Text(name, text, encoding, tuple(warnings), size, "")


def _read(path: str | os.PathLike[str], name: str, n: int) -> bytes:
    try:
        # Before it is opened: the other end of a pipe may never come.
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind in _NOT_FILES:
            raise FormatError(
                "this is no file that can be read twice", name, found=_NOT_FILES[kind], expected="a file",
                hint="Write the data to a file first",
            )  # fmt: skip
        with open(path, "rb") as file:
            return file.read(n)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FormatError("the file cannot be read", name, found=getattr(error, "strerror", "") or str(error)) from None


def _gunzip(raw: bytes, name: str, warnings: list[str]) -> bytes:
    """All members of a gzip file; a cut or followed-by-something file is an error, never a shorter table."""
    parts: list[bytes] = []
    at = 0
    while at < len(raw):
        if not raw.startswith(_GZIP, at):
            rest = raw[at:]
            if not rest.strip(b"\0"):
                warnings.append(f"{name}: {len(rest)} zero bytes behind the gzip data were ignored")
                break
            raise FormatError(
                "something that is not gzip follows the gzip data",
                name,
                found=f"{len(rest)} bytes that begin with {rest[:8]!r}",
                hint="Copy the file again",
            )
        at, ended = _member(raw, at, name, parts)
        if not ended:
            raise FormatError("the gzip data end too early: the file is cut off", name, hint="Copy the file again")
    return b"".join(parts)


def _gunzip_head(raw: bytes, name: str, n: int) -> tuple[bytes, bool]:
    """The first ``n`` bytes of what the beginning of a gzip file holds, and whether that is all of it."""
    parts: list[bytes] = []
    at, have, ended = 0, 0, True
    while raw.startswith(_GZIP, at) and have < n and ended:
        known = len(parts)
        at, ended = _member(raw, at, name, parts, n - have)
        have += sum(map(len, parts[known:]))
    return b"".join(parts), ended and at == len(raw)


def _member(raw: bytes, at: int, name: str, parts: list[bytes], most: int = 0) -> tuple[int, bool]:
    """Unpack the member that begins at an offset, ``most`` bytes of it unless 0; where it ends, and whether it does.

    It is fed in pieces that grow: what a decoder does not use it copies, and there may be many members.
    """
    decoder = zlib.decompressobj(31)
    step, left = _FIRST_STEP, most
    try:
        while at < len(raw) and not decoder.eof and (left or not most):
            piece = raw[at : at + step]
            parts.append(decoder.decompress(piece, left))
            left -= len(parts[-1]) if most else 0
            at += len(piece) - len(decoder.unused_data) - len(decoder.unconsumed_tail)
            step *= 2
    except zlib.error as error:
        raise FormatError("the gzip data are damaged", name, found=str(error), hint="Copy the file again") from None
    return at, decoder.eof


def _to_utf8(data: bytes, name: str, warnings: list[str], whole: bool) -> tuple[bytes, str]:
    """UTF-8 bytes with LF or CR LF lines, and the encoding found."""
    if data[:_BEGINNING].translate(None, _PLAIN):
        from gridnorm.io.formats.foreign import refuse_binary  # rarely needed

        refuse_binary(data, name)
    data, encoding = _decode(data, name, warnings, whole)
    if data.endswith(b"\x1a"):  # the end-of-file mark of DOS
        data = data.rstrip(b"\x1a")
        warnings.append(f"{name}: the end-of-file mark (Ctrl-Z) at the end was removed")
    if b"\0" in data:
        at = data.index(b"\0")
        raise FormatError(
            "the file holds NUL bytes: it is damaged or no text file",
            name,
            data.count(b"\n", 0, at) + 1,
            found=f"{data.count(bytes(1))} NUL bytes",
            expected="text",
            hint="Copy the file again, or give the results of the image analysis as text",
        )
    if not data or data.isspace():
        found = f"{len(data)} blank bytes" if data else "0 bytes"
        raise FormatError("the file is empty", name, found=found, hint="Copy the file again")
    return _line_ends(data, name, warnings), encoding


def _decode(data: bytes, name: str, warnings: list[str], whole: bool) -> tuple[bytes, str]:
    encoding = ""
    for bom, of in _BOMS:
        if data.startswith(bom):
            data, encoding = data[len(bom) :], of
            break
    if not encoding:
        if data.isascii() and b"\0" not in data[:4096]:
            return data, "ascii"
        encoding = _utf16_without_bom(data) or "utf-8"
    if encoding == "utf-8":
        if data.isascii():
            return data, encoding
        if not whole:  # a head may end inside a character
            end = len(data)
            while end and len(data) - end < 4 and data[end - 1] & 0xC0 == 0x80:
                end -= 1
            last = data[end - 1] if end else 0
            needs = 2 if last >> 5 == 6 else 3 if last >> 4 == 14 else 4 if last >> 3 == 30 else 0
            if needs > len(data) - end + 1:
                data = data[: end - 1]
        try:
            data.decode("utf-8")
            return data, encoding
        except UnicodeDecodeError:
            pass
        try:  # what GenePix writes on Windows: the 2 of "Rgn R2" as a raised digit, byte B2
            return data.decode("cp1252").encode("utf-8"), "cp1252"
        except UnicodeDecodeError:
            warnings.append(f"{name}: neither UTF-8 nor Windows-1252; read as Latin-1")
            return data.decode("latin-1").encode("utf-8"), "latin-1"
    width = 4 if encoding.startswith("utf-32") else 2
    if not whole:
        data = data[: len(data) // width * width]
    try:
        return data.decode(encoding).encode("utf-8"), encoding
    except UnicodeError as error:
        if not whole and isinstance(error, UnicodeDecodeError) and error.start >= len(data) - width:
            return data[: error.start].decode(encoding).encode("utf-8"), encoding  # half a surrogate pair at the cut
        raise FormatError(
            f"the text is no valid {encoding.upper()}: the file is damaged or cut off", name, found=str(error),
            hint="Copy the file again",
        ) from None  # fmt: skip


def _utf16_without_bom(data: bytes) -> str:
    """Latin text in UTF-16 has a zero in nearly every second byte, always on the same side."""
    head = data[: min(len(data), 4096) & ~1]
    if b"\0" not in head:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    if even > 0.7 * half and odd < 0.1 * half:
        return "utf-16-be"
    return ""


def _line_ends(data: bytes, name: str, warnings: list[str]) -> bytes:
    """CR CR LF becomes CR LF, and CR becomes LF where no LF stands at all; a lone CR elsewhere belongs to a cell."""
    if b"\r" not in data:
        return data
    if b"\n" not in data:
        warnings.append(f"{name}: every line ends in a lone CR (old Mac text); read as line ends")
        return data.replace(b"\r", b"\n")
    if not _has_lone_cr(data):
        return data
    doubled = data.count(b"\r\r\n")
    if doubled:
        line = data.count(b"\n", 0, data.index(b"\r\r\n")) + 1
        warnings.append(f"{name}:{line}: {doubled} lines end in CR CR LF; the doubled CR was removed")
        data = _CRS.sub(b"\r\n", data)
    return data


def _has_lone_cr(data: bytes) -> bool:
    """Whether some CR is not followed by LF (a CR that ends the data does not count)."""
    raw = np.frombuffer(data, np.uint8)
    for start in range(0, raw.size, _BLOCK):
        block = raw[start : start + _BLOCK + 1]
        if np.any((block[:-1] == 13) & (block[1:] != 10)):
            return True
    return False
