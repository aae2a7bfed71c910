"""Array files as they are written, and random damage to them: all of it follows from one seed."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

NUMBERS = """ |NaN|Error|abc|1,5|1,234|1e3|1E400|-17|1e308|-1.7e308|1.797e308| 12 |"12"|0x1F|1_000|12.5.6|١٢|1.#INF|-1.#IND|inf|
-Infinity|#N/A|99999999999999999999|.5|5.|+7|--|"|a"b|""|1 000|TRUE|0|65535|65536|1e-320|-|12-|1.5e|∞|1e5_0|-0|00012|3.0
|4.9e-324|123456789.123456789|0.1e1|1e+2|9007199254740993|é|"1,5"|'7'|1\r|\x01|\x0b5|5\x0c| 5""".replace(
    "\n", ""
).split("|")
WORDS = [
    "",
    "x",
    '"',
    '""',
    '"a""b"',
    '"a',
    'a"',
    "a,b",
    "é",
    "\x02",
    "  b ",
    "NA",
    "1",
    "g1",
    '"g1"',
    "a;b",
    "\u200e",
    "x" * 300,
    "\r",
]
BYTES = [*range(32), 34, 34, 34, 44, 59, 127, 128, 0xA0, 0xB2, 0xE9, 0xFF]


@dataclass(frozen=True)
class Sheet:
    """A file as cells, just as they stand there; ``roles`` are the titles by which the oracle finds its columns."""

    kind: str
    roles: dict[str, str]
    head: list[str]
    titles: list[str]
    rows: list[list[str]]
    separator: str = "\t"
    end: str = "\n"

    def raw(self) -> bytes:
        lines = [*self.head, self.separator.join(self.titles), *(self.separator.join(row) for row in self.rows)]
        return "".join(line + self.end for line in lines).encode("utf-8", "surrogateescape")


def gpr(rng: Random, channels: tuple[str, ...] = ("635", "532")) -> Sheet:
    """Two blocks by one, GenePix 3: quoted titles, IDs and names."""
    sides = rng.choice([(1, 4, 6), (2, 4, 4), (4, 3, 3)])
    titles = ["Block", "Column", "Row", "Name", "ID", "X", "Y", "Dia."]
    titles += [f"{m}{w} {s}" for w in channels for m, s in (("F", "Median"), ("F", "Mean"), ("B", "Median"))] + [
        "Flags"
    ]
    rows = [
        [str(b), str(c), str(r), f'"n{r % 3}"', f'"g{b * 100 + r * 10 + c}"', str(c * 200), str(b * 5000 + r * 200), "110"]
        + [str(rng.randint(40, 60000)) if k % 3 < 2 else str(rng.randint(20, 90)) for k in range(3 * len(channels))]
        + [rng.choice(["0"] * 8 + ["-50", "-100"])]
        for b in range(1, sides[0] + 1) for r in range(1, sides[1] + 1) for c in range(1, sides[2] + 1)
    ]  # fmt: skip
    head = ["ATF\t1.0", f"2\t{len(titles)}", '"Type=GenePix Results 3"', f'"Wavelengths={chr(9).join(channels)}"']
    wanted = [f"{m}{w} {s}" for w in channels for m, s in (("F", "Mean"), ("B", "Median"))]
    roles = dict(zip(("R", "Rb", "G", "Gb") if len(channels) == 2 else ("E", "Eb"), wanted, strict=True))
    return Sheet("GPR", roles, head, [f'"{t}"' for t in titles], rows, end=rng.choice(["\r\n", "\n"]))


def spot(rng: Random) -> Sheet:
    titles = ["indexs", "grid.r", "grid.c", "spot.r", "spot.c", "area", "Gmean", "Rmean", "morphG", "morphR", "badspot"]
    cells = [(a, b, r, c) for a in (1, 2) for b in (1, 2) for r in range(1, 4) for c in range(1, 4)]
    rows = [
        [str(k), *map(str, place), "80", *(f"{rng.uniform(50, 60000):.4f}" for _ in "GR"), *(f"{rng.uniform(20, 90):.2f}" for _ in "GR"), "0"]
        for k, place in enumerate(cells, 1)
    ]  # fmt: skip
    roles = {"R": "Rmean", "G": "Gmean", "Rb": "morphR", "Gb": "morphG"}
    roles |= {"grid row": "grid.r", "grid column": "grid.c", "Row": "spot.r", "Column": "spot.c"}
    return Sheet("SPOT", roles, [], titles, rows)


def plain(rng: Random) -> Sheet:
    """A table of somebody's: any separator, with or without places, one or two channels."""
    separator, placed, two = rng.choice("\t\t,;"), rng.random() < 0.7, rng.random() < 0.8
    intensities = {"R": "ch2", "G": "ch1", "Rb": "bg 2", "Gb": "bg 1"} if two else {"E": "signal", "Eb": "back"}
    roles = {"ID": "gene", **intensities, **({"Block": "grid", "Row": "r", "Column": "c"} if placed else {})}
    titles = [*roles.values(), "note"]
    places = [(b, r, c) for b in (1, 2) for r in range(1, 5) for c in range(1, 6)]
    comma = separator == ";" and rng.random() < 0.5

    def cell(k: int, place: tuple[int, int, int], role: str) -> str:
        if role == "ID":
            return rng.choice(['"g{}"', "g{}"]).format(k // 2 if rng.random() < 0.2 else k)
        if role in ("Block", "Row", "Column"):
            return str(place[("Block", "Row", "Column").index(role)])
        return f"{rng.uniform(20, 60000):.{rng.choice([0, 1, 3]) if not comma else 2}f}".replace(
            ".", "," if comma else "."
        )

    rows = [
        [cell(k, place, role) for role in roles] + [rng.choice(["", "ok", '"a, b"'])] for k, place in enumerate(places)
    ]
    head = rng.choice([[], ["made by hand"], ["# a", "# b,c", ""]])
    return Sheet("table", roles, head, titles, rows, separator, rng.choice(["\n", "\r\n"]))


def real(rng: Random, shared: Path) -> Sheet | None:
    """The beginning of a scanner's own file, where it lies at hand."""
    folder = shared / "data" / "arrays"
    names = (
        "HenrikBengtsson_aroma/gpr123.gpr.gz",
        "HenrikBengtsson_aroma/spot123.spot.gz",
        "geworkbench/Genepix_sample.gpr.gz",
    )
    path = folder / rng.choice(names)
    if not path.is_file():
        return None
    with gzip.open(path) as file:
        lines = file.read(200_000).decode("cp1252").replace("\r\n", "\n").split("\n")
    at = next(k for k, line in enumerate(lines) if "F635 Mean" in line or "Rmean" in line)
    titles, kind = lines[at].split("\t"), "SPOT" if "spot" in path.name else "GPR"
    roles = spot(rng).roles if kind == "SPOT" else gpr(rng).roles
    rows = [line.split("\t") for line in lines[at + 1 : at + 1 + rng.randint(30, 90)]]
    return Sheet(kind, roles, lines[:at], titles, rows, end="\r\n")


# ---- damage to cells -------------------------------------------------------------------------------------------------


def _cells(rng: Random, given: Sheet) -> Sheet:
    """A few cells, or a whole column of a few rows, hold something else."""
    rows = [list(row) for row in given.rows]
    column = rng.randrange(len(given.titles))
    pool = NUMBERS if rng.random() < 0.8 else WORDS
    value = rng.choice(pool)
    for row in rng.sample(rows, min(len(rows), rng.choice([1, 1, 1, 2, 5, len(rows)]))):
        at = column if rng.random() < 0.7 else rng.randrange(len(row))
        if at < len(row):
            row[at] = value if rng.random() < 0.6 else rng.choice(pool)
    return replace(given, rows=rows)


def _new_numbers(rng: Random, given: Sheet) -> Sheet:
    """Other numbers, each of them sound."""
    rows = [list(row) for row in given.rows]
    wanted = [
        k
        for k, t in enumerate(given.titles)
        if t.strip('"') in (given.roles.get(r) for r in ("R", "G", "E", "Rb", "Gb"))
    ]
    for row in rows:
        for at in wanted:
            if at < len(row):
                row[at] = (
                    f"{rng.choice([rng.uniform(0, 100), rng.uniform(0, 65535), rng.uniform(-50, 50)]):.{rng.randint(0, 9)}f}"
                )
    return replace(given, rows=rows)


def _rows(rng: Random, given: Sheet) -> Sheet:
    rows = list(given.rows)
    k = rng.randrange(len(rows))
    how = rng.randrange(9)
    if how == 0:
        del rows[k : k + rng.choice([1, 1, 2, 10])]
    elif how == 1:
        rows.insert(rng.randrange(len(rows)), rows[k])
    elif how == 2:
        rng.shuffle(rows)
    elif how == 3:
        rows.reverse()
    elif how == 4:
        rows = rows[: k + 1]
    elif how == 5:
        rows[k : k + 2] = [[*rows[k], *(rows[k + 1] if k + 1 < len(rows) else [])]]
    elif how == 6:
        cut = rng.randrange(1, len(rows[k])) if len(rows[k]) > 1 else 1
        rows[k : k + 1] = [rows[k][:cut], rows[k][cut:]]
    elif how == 7:
        rows.insert(
            k, rng.choice([[""], list(given.titles), ["end of data"], [" "], [""] * len(given.titles), ["x"] * 3])
        )
    else:
        rows[k] = rng.choice(
            [[*rows[k], ""], [*rows[k], "7"], rows[k][:-1], rows[k][1:], rows[k][:2] + rows[k][3:], rows[k][:1]]
        )
    return replace(given, rows=rows or list(given.rows))


def _breaks(rng: Random, given: Sheet) -> Sheet:
    """Line breaks and quotes where none belong, in a row or in neighbours."""
    rows = [list(row) for row in given.rows]
    k = rng.randrange(len(rows))
    mark = rng.choice(["\n", "\n", "\n", "\r\n", "\r", '"', '""', given.separator])
    quoted = [j for j, cell in enumerate(rows[k]) if '"' in cell]
    for row in rows[k : k + rng.choice([1, 1, 2, 3])]:
        at = rng.choice(quoted) if quoted and rng.random() < 0.7 else rng.randrange(len(row) or 1)
        for j in {at, at + rng.choice([0, 0, 1])}:
            if j < len(row):
                cut = rng.randint(0, len(row[j]))
                row[j] = row[j][:cut] + mark + row[j][cut + rng.choice([0, 0, 1]) :]
    return replace(given, rows=rows)


def _ids(rng: Random, given: Sheet) -> Sheet:
    """Some spots get another ID, or those of others."""
    title = given.roles.get("ID", "ID")
    at = next((k for k, t in enumerate(given.titles) if t.strip('"') == title), None)
    if at is None:
        return _rows(rng, given)
    rows = [list(row) for row in given.rows if len(row) > at]
    some = rng.sample(rows, min(len(rows), rng.choice([1, 1, 2, 3, 5, 10, len(rows)])))
    names = [row[at] for row in some]
    rng.shuffle(names)
    for row, name in zip(some, names, strict=True):
        row[at] = name if rng.random() < 0.5 else rng.choice(["other", '"x1"', "", row[at], '"q""q"'])
    return replace(given, rows=rows or given.rows)


def _columns(rng: Random, given: Sheet) -> Sheet:
    titles, rows = list(given.titles), [list(row) for row in given.rows]
    k = rng.randrange(len(titles))
    how = rng.randrange(5)
    if how == 0:
        order = list(range(len(titles)))
        rng.shuffle(order)
        titles = [titles[i] for i in order]
        rows = [[row[i] if i < len(row) else "" for i in order] for row in rows]
    elif how == 1:
        titles[k] = rng.choice(
            [titles[k].upper(), titles[k].lower(), f" {titles[k]} ", "", "other", f'"{titles[k]}', rng.choice(titles)]
        )
    elif how == 2:
        titles.append(titles[k])
        rows = [[*row, row[k] if rng.random() < 0.5 and k < len(row) else "5"] for row in rows]
    elif how == 3 and len(titles) > 1:
        del titles[k]
        rows = [row[:k] + row[k + 1 :] for row in rows]
    else:
        titles.insert(k, rng.choice(["", "new", '"n,t"']))
        rows = [[*row[:k], rng.choice(["", "1", "x"]), *row[k:]] for row in rows]
    return replace(given, titles=titles, rows=rows)


def _head(rng: Random, given: Sheet) -> Sheet:
    head = list(given.head)
    k = rng.randrange(len(head) + 1)
    how = rng.randrange(4)
    if how == 0 and head:
        del head[min(k, len(head) - 1)]
    elif how == 1:
        head.insert(
            k,
            rng.choice(
                ["", "x", '"A=b', '"Wavelengths=1\t2"', "9" * 400, "ATF\t1.0", "2\t3", '"Type=GenePix Results 3"']
            ),
        )
    elif how == 2:
        rng.shuffle(head)
    elif head:
        k = min(k, len(head) - 1)
        head[k] = rng.choice([head[k][:3], head[k] + "\t\t", head[k].replace("2", "9"), head[k].upper(), head[k] + '"'])
    return replace(given, head=head)


# ---- damage to bytes -------------------------------------------------------------------------------------------------


def _bytes(rng: Random, raw: bytes) -> bytes:
    k = rng.randrange(len(raw))
    how = rng.randrange(5)
    if how == 0:
        return raw[:k] + bytes([raw[k] ^ 1 << rng.randrange(8)]) + raw[k + 1 :]
    if how == 1:
        return raw[:k] + bytes([rng.choice(BYTES)]) * rng.choice([1, 1, 1, 3]) + raw[k:]
    if how == 2:
        return raw[:k] + raw[k + rng.choice([1, 1, 2, 40, 400]) :]
    if how == 3:
        return raw[: max(k, 1)]
    at = rng.randrange(len(raw))
    return raw[:k] + raw[at : at + rng.choice([10, 100, 1000])] + raw[k:]


def _line_ends(rng: Random, raw: bytes) -> bytes:
    lines = raw.replace(b"\r\n", b"\n").split(b"\n")
    ends = rng.choice(
        [[b"\r"], [b"\r\n"], [b"\n", b"\r\n"], [b"\r\r\n"], [b"\n", b"\r\r\r\r\n"], [b"\r", b"\n"], [b"\n\n"]]
    )
    return b"".join(line + rng.choice(ends) for line in lines[:-1]) + lines[-1]


def _encoding(rng: Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    how = rng.randrange(7)
    if how == 0:
        return b"\xef\xbb\xbf" + raw
    if how < 3:
        return (b"\xff\xfe" if how == 1 else b"\xfe\xff") + text.encode("utf-16-le" if how == 1 else "utf-16-be")
    if how == 3:
        return text.replace("n1", "né²").encode(rng.choice(["utf-8", "cp1252"]), "replace")
    if how == 4:
        return raw + b"\x1a"
    return raw.rstrip(b"\r\n") if how == 5 else raw + b"\n" * 3


def _packed(rng: Random, raw: bytes) -> bytes:
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.choice([0, 1, 3])))
    parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    out = b"".join(gzip.compress(part, mtime=0) for part in parts)
    how = rng.randrange(8)
    if how == 0:
        return out[: rng.randrange(len(out))]
    if how == 1:
        return out + b"\0" * rng.randint(1, 600)
    if how == 2:
        return out + b"more"
    return _bytes(rng, out) if how == 3 else out


CELLS: list[Callable[[Random, Sheet], Sheet]] = [
    *[_cells] * 3, _new_numbers, *[_rows] * 2, *[_breaks] * 2, _ids, _columns, _head
]  # fmt: skip
RAW: list[Callable[[Random, bytes], bytes]] = [_bytes, _bytes, _line_ends, _encoding, _packed]


@dataclass(frozen=True)
class Case:
    """A sound file, what became of it, and how."""

    seed: int
    sheet: Sheet
    sound: bytes
    mutant: bytes
    how: tuple[str, ...]


def case(seed: int, shared: Path | None = None) -> Case:
    """The case of a seed."""
    rng = Random(seed)
    kind = rng.random()
    given = real(rng, shared) if shared is not None and kind < 0.25 else None
    if given is None:
        given = (
            gpr(rng) if kind < 0.5 else gpr(rng, ("635",)) if kind < 0.55 else spot(rng) if kind < 0.7 else plain(rng)
        )
    made, how = given, []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if rng.random() < 0.75:
            step = rng.choice(CELLS)
            made = step(rng, made)
            how.append(step.__name__)
    raw = made.raw()
    if not how or rng.random() < 0.25:
        change = rng.choice(RAW)
        raw = change(rng, raw)
        how.append(change.__name__)
    return Case(seed, given, given.raw(), raw, tuple(how))
