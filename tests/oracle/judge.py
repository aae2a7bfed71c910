"""What gridnorm makes of a damaged file, held against the independent reader: complaints, none where all is well."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import gridnorm as gn
from gridnorm.cli import run

from .mutations import Case
from .reader import FOREGROUND, PLACES, QUOTES, Reading, RefusedError, joined_rows, number, read, whole, word

SECONDS, SECONDS_PER_MB = 2.0, 2.0
Values = tuple[float | None, ...]


class Spot(NamedTuple):
    """A spot by its place and ID, and its intensities and flag."""

    place: tuple[int, ...]
    id: str | None
    values: Values


class Answer(NamedTuple):
    """What gridnorm said: a set or an error, and the warnings."""

    arrays: Any
    error: Exception | None
    said: list[str]


class Judge:
    """Judges cases in a folder; ``complaints`` are those of the present case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.complaints: list[str] = []
        self.block_columns: dict[Path, int | None] = {}  # of files that number the rows and columns of blocks

    def __call__(self, case: Case) -> list[str]:
        self.complaints = []
        self.options = {"columns": case.sheet.roles} if case.sheet.kind == "table" else {}
        sound, mutant = self.folder / "sound.txt", self.folder / "mutant.txt"
        sound.write_bytes(case.sound)
        mutant.write_bytes(case.mutant)
        alone = {path: self.ask(path) for path in (sound, mutant)}
        spots = {path: self.alone(case, path, answer) for path, answer in alone.items()}
        if alone[sound].error is not None:
            self.complain(f"the sound file is refused: {alone[sound].error}")
        for align in ("strict", "id", "union"):
            for order in ([sound, mutant], [mutant, sound]):
                self.together(order, align, alone, spots)
        if case.seed % 8 == 0:
            self.command_line(mutant, alone[mutant], spots[mutant])
        return self.complaints

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def ask(self, *paths: Path, **options: Any) -> Answer:
        """Read files; what must never happen is a complaint."""
        size = sum(path.stat().st_size for path in paths) / 1e6
        begin = time.process_time()
        arrays, error = None, None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                arrays = gn.read([str(path) for path in paths], **self.options, **options)
            except gn.GridnormError as found:
                error = found
            except Exception as found:  # noqa: BLE001  the one thing that is looked for
                error = found
                self.complain("traceback: " + "".join(traceback.format_exception(found)[-3:]))
        if time.process_time() - begin > SECONDS + SECONDS_PER_MB * size:
            self.complain(f"{time.process_time() - begin:.1f} s for {size:.2f} MB")
        said = [str(one.message) for one in caught]
        for one in caught:
            if not issubclass(one.category, gn.GridnormWarning):
                self.complain(f"a warning of others: {one.category.__name__}: {one.message}")
            elif not str(one.message).startswith(tuple(map(str, paths))):
                self.complain(f"a warning without a file: {one.message}")
        if error is not None and not any(path.name in str(error) for path in paths):
            self.complain(f"an error without a file: {error}")
        return Answer(arrays, error, said)

    # ---- one file ----------------------------------------------------------------------------------------------------

    def alone(self, case: Case, path: Path, answer: Answer) -> list[Spot] | None:
        """The spots of a file as the independent reader has them; None where gridnorm refuses it."""
        taken = None if answer.arrays is None else dict(answer.arrays.records[0].taken)
        try:
            reading = read(path.read_bytes(), case.sheet.kind, case.sheet.roles)
            usual = usual_columns(reading, case.sheet.kind, case.sheet.roles)
            spots = spots_of(reading, case.sheet.kind, case.sheet.roles, taken or case.sheet.roles)
        except RefusedError as reason:
            # Of rows that all go on in the next line the independent reader sees none; gridnorm may, and says so.
            continued = str(reason) == "no rows" and any("holds a line break" in said for said in answer.said)
            if continued and answer.arrays is not None:
                return spots_in(answer.arrays, 0)
            if answer.error is None:
                self.complain(f"{path.name} is read, though: {reason}; said: {answer.said}")
            return None
        self.block_columns[path] = block_columns(reading, case.sheet.roles)
        if answer.error is not None:
            if not reading.doubts and usual:
                self.complain(f"{path.name} is refused without need: {answer.error}")
            return None
        if usual and taken != {
            role: t for role, t in case.sheet.roles.items() if role in ("R", "Rb", "G", "Gb", "E", "Eb")
        }:
            self.complain(f"{path.name}: other columns were taken: {taken}")
        if not usual and not answer.said:
            self.complain(f"{path.name}: other columns {taken}, without a word")
        self.words(path, reading, spots, answer)
        also: dict[Spot, set[int]] = {}
        for row, span in joined_rows(reading):
            more = reading._replace(rows=[*reading.rows, row])
            with contextlib.suppress(RefusedError):
                spot = spots_of(more, case.sheet.kind, case.sheet.roles, taken)[-1]
                also[spot] = set(range(row.line, row.line + span))
        lines = {spot: row.line for spot, row in zip(spots, reading.rows, strict=True)}
        self.same_spots(path, lines, reading.doubts, spots, answer, also)
        return spots_in(answer.arrays, 0)

    def words(self, path: Path, reading: Reading, spots: Sequence[Spot], answer: Answer) -> None:
        """Whatever was repaired has been said."""
        said = " ".join(answer.said)
        wanted = {"blank lines": "blank line", "odd lines": "one row|fewer than", "a decimal comma": "decimal comma"}
        for doubt in reading.doubts:
            if doubt in wanted and not any(w in said for w in wanted[doubt].split("|")):
                self.complain(f"{path.name}: {doubt}, without a word")
        places = [spot.place for spot in spots if len(spot.place) == 3]
        if len(set(places)) < len(places) and "position" not in said:
            self.complain(f"{path.name}: repeated places, without a word")
        record = answer.arrays.records[0]
        lacking = sum(value is None for spot in spots for value in spot.values[: len(record.taken)])
        if not reading.odd and record.missing + record.infinite != lacking:
            self.complain(f"{path.name}: {record.missing} missing and {record.infinite} infinite of {lacking}")

    def same_spots(
        self,
        path: Path,
        lines: Mapping[Spot, int],
        doubts: Sequence[str],
        spots: Sequence[Spot],
        answer: Answer,
        also: Mapping[Spot, set[int]],
    ) -> None:
        """The spots of the file; those of ``also`` may stand for the spots of their lines."""
        found = spots_in(answer.arrays, 0)
        if QUOTES in doubts:
            found, spots = map(without_quotes, (found, spots))
            lines = {spot._replace(id=(spot.id or "").replace('"', "")): line for spot, line in lines.items()}
        have, wanted = Counter(found), Counter(spots)
        new = have - wanted
        swallowed = set().union(*(also.get(spot, set()) for spot in new))
        for lost in wanted - have:
            if lines[lost] not in swallowed:
                self.complain(f"{path.name}: lost or wrong: {lost}")
        for spot in new:
            if spot not in also or new[spot] > 1:
                self.complain(f"{path.name}: invented: {spot}")

    # ---- two files ---------------------------------------------------------------------------------------------------

    def together(
        self, order: Sequence[Path], align: str, alone: Mapping[Path, Answer], spots: Mapping[Path, list[Spot] | None]
    ) -> None:
        answer = self.ask(*order, align=align)
        case = f"{order[0].name} + {order[1].name} ({align})"
        bad = [path for path in order if spots[path] is None]
        if bad:
            if answer.error is None:
                self.complain(f"{case}: {bad[0].name} is read in company only")
            elif bad[0].name not in str(answer.error):
                self.complain(f"{case}: the error is of another file: {answer.error}")
            return
        one, two = (spots[path] or [] for path in order)
        expected = joined(one, two, align)
        sets = [alone[path].arrays for path in order]
        if sets[0].channels != sets[1].channels:
            expected = None
        columns = [self.block_columns.get(path) for path in order]
        if None not in columns and columns[0] != columns[1]:  # the number of a block means another place
            expected = None
        if answer.error is not None:
            if expected is not None:
                self.complain(f"{case}: refused without need: {answer.error}")
            return
        if expected is None:
            self.complain(f"{case}: read, though they cannot be joined")
            return
        have: dict[Any, Counter[Any]] = defaultdict(Counter)
        named = one[0].id is not None and two[0].id is not None
        pairs = zip(spots_in(answer.arrays, 0), spots_in(answer.arrays, 1), strict=True)
        absent = answer.arrays.absent
        for k, (first, second) in enumerate(pairs):
            values = [None if absent is not None and absent[j, k] else s.values for j, s in enumerate((first, second))]
            have[key_of(first, align if named else "strict", named)][tuple(values)] += 1
        for key in [*expected, *have]:
            if have.get(key) != expected.get(key):
                self.complain(f"{case}: {key}: {dict(have.get(key) or {})} instead of {dict(expected.get(key) or {})}")
                break

    # ---- the command line --------------------------------------------------------------------------------------------

    def command_line(self, path: Path, answer: Answer, spots: list[Spot] | None) -> None:
        out = self.folder / "out.tsv"
        columns = (
            ["--columns", ",".join(f"{r}={t}" for r, t in self.options["columns"].items())] if self.options else []
        )
        plain = ["--background", "none", "--method", "none", "--force", "-o", str(out)]
        for args in (["normalize", str(path), *columns, *plain], ["inspect", str(path), *columns, "--json"]):
            code, said = called(args)
            if code == 70 or "Traceback" in said or "internal error" in said:
                self.complain(f"{args[0]}: exit {code}: {said}")
            if code not in ((2, 3) if spots is None else (0,)):
                self.complain(f"{args[0]}: exit {code}: {said}")
            if spots is None and path.name not in said:
                self.complain(f"{args[0]}: no word of the file: {said}")
        if spots is None:
            return
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        name = path.stem
        have = Counter(tuple(row[f"{t}.{name}"] for t in ("M", "A", "E") if f"{t}.{name}" in row) for row in rows)
        wanted = Counter(levels(spot, answer.arrays.channels) for spot in spots)
        if len(answer.arrays.channels) < 3 and not alike(have, wanted):
            self.complain(f"normalize: {list(have - wanted)[:3]} instead of {list(wanted - have)[:3]}")


def called(args: list[str]) -> tuple[int, str]:
    """Exit code of a command, and all it said."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        warnings.simplefilter("error")
        code = run(args)
    for stream in streams:
        stream.flush()
    return code, "".join(stream.buffer.getvalue().decode() for stream in streams[::-1])  # type: ignore[attr-defined]


def usual_columns(reading: Reading, kind: str, roles: Mapping[str, str]) -> bool:
    """Whether there is no question which columns are meant: each is there once, and no other channel is."""
    if any(reading.titles.count(title) != 1 for title in roles.values()):
        return False
    waves = {f"F{m[1]} Mean" for t in reading.titles if (m := FOREGROUND.fullmatch(t))}
    keys = [
        t.casefold()
        for t in reading.titles
        if t.casefold() in ("block", "row", "column", "id", "name", "x", "y", "flags")
    ]
    strange = not reading.lines[0].startswith("ATF") or any("=" in title for title in reading.titles)
    if kind == "GPR" and "block" not in keys and strange:
        return False  # nothing says that it comes from GenePix
    return len(set(keys)) == len(keys) and (kind != "GPR" or waves <= set(roles.values()))


def block_columns(reading: Reading, roles: Mapping[str, str]) -> int | None:
    """How many columns of blocks a file numbers."""
    if "grid column" not in roles or roles["grid column"] not in reading.titles:
        return None
    return max(whole(reading.column(roles["grid column"]), []), default=None)


def spots_of(reading: Reading, kind: str, roles: Mapping[str, str], taken: Mapping[str, str]) -> list[Spot]:
    """The spots of a file; ``taken`` are the columns of its intensities."""
    doubts = reading.doubts
    channels = [role for role in taken if role in ("R", "G", "E") or role.isdigit()]
    levels = [taken.get(role, "") for role in (*channels, *(f"{channel}b" for channel in channels))]
    if any(title not in reading.titles for title in levels if title):
        raise RefusedError("no such columns")
    n = len(reading.rows)
    values = [[number(c, doubts) for c in reading.column(title)] if title else [math.nan] * n for title in levels]
    titles = {role: roles[role] for role in (*PLACES, "ID", "Flags", "grid row", "grid column") if role in roles}
    folded = {title.casefold() for title in reading.titles}
    if kind == "GPR":
        titles = {role: role for role in (*PLACES, "ID", "Flags") if role.casefold() in folded}
    elif kind == "table":
        titles = {r: r for r in (*PLACES, "ID", "Flags") if r in reading.titles} | titles
    keys = {role: whole(reading.column(title), doubts) for role, title in titles.items() if role not in ("ID", "Flags")}
    if "grid row" in keys:
        row, column = keys.pop("grid row"), keys.pop("grid column")
        if min(*row, *column) < 1 or max(*row, *column) >= 1_000_000:
            raise RefusedError("rows and columns of blocks are numbered from 1")
        keys = {"Block": [(r - 1) * max(column) + c for r, c in zip(row, column, strict=True)], **keys}
    if all(place in keys for place in PLACES) and min(min(keys[place]) for place in PLACES) < 1:
        raise RefusedError("blocks, rows and columns are numbered from 1")
    flags = whole(reading.column(titles["Flags"]), doubts, 0) if "Flags" in titles else [0] * n
    ids = [word(cell) for cell in reading.column(titles["ID"])] if "ID" in titles else [None] * n
    places = list(zip(*(keys[p] for p in PLACES if p in keys), strict=True)) or [()] * n
    alone = "Block" not in keys and "Row" in keys and "Column" in keys
    if alone and len(set(places)) == n and min(map(min, places)) >= 1:
        places = [(1, *place) for place in places]  # rows and columns alone are those of one block, where they can be
    return [
        Spot(place, name, tuple(None if v != v else v for v in (*row, float(flag))))
        for place, name, flag, *row in zip(places, ids, flags, *values, strict=True)
    ]


def spots_in(arrays: Any, index: int) -> list[Spot]:
    """The spots of an array of a set of gridnorm's."""
    n = arrays.n_spots
    names = [*arrays.channels, *(f"{c}b" for c in arrays.channels)]
    matrices = [arrays.values[name][index].tolist() if name in arrays.values else [math.nan] * n for name in names]
    flags = [0] * n if arrays.flag_codes is None else arrays.flag_codes[index].tolist()
    ids = (
        [None] * n
        if "ID" not in arrays.columns
        else [c.decode().replace("\r\n", "\n") for c in arrays.columns["ID"].tolist()]
    )
    places = list(zip(*(arrays.columns[p].tolist() for p in PLACES if p in arrays.columns), strict=True)) or [()] * n
    return [
        Spot(place, name, tuple(None if v != v else v for v in (*row, float(flag))))
        for place, name, flag, *row in zip(places, ids, flags, *matrices, strict=True)
    ]


def without_quotes(spots: Sequence[Spot]) -> list[Spot]:
    return [spot._replace(id=(spot.id or "").replace('"', "")) for spot in spots]


def key_of(spot: Spot, align: str, named: bool) -> Any:
    if align != "strict":
        return spot.id
    return (spot.place, spot.id) if named else spot.place


def joined(one: list[Spot], two: list[Spot], align: str) -> dict[Any, Counter[Any]] | None:
    """Which values belong beside which, by key; None where the files are not to be joined."""
    named = one[0].id is not None and two[0].id is not None
    if align == "strict":
        if len(one[0].place) != len(two[0].place) or not (one[0].place or named):
            return None
        if named and other_share(one, two) > 0.05:
            return None
    elif not named:
        if Counter(s.place for s in one) != Counter(s.place for s in two):
            return None
        align = "strict"
    beside: dict[Any, tuple[list[Values], list[Values]]] = defaultdict(lambda: ([], []))
    for k, spots in enumerate((one, two)):
        for spot in spots if align == "strict" else sorted(spots, key=lambda s: s.place):
            beside[key_of(spot, align, named)][k].append(spot.values)
    pair = zip if align == "id" else zip_longest
    found = {key: Counter(pair(*both)) for key, both in beside.items()}
    return {key: counted for key, counted in found.items() if counted}


def other_share(one: list[Spot], two: list[Spot]) -> float:
    """Share of the common places that have another ID; without places, of spots that only one file has."""
    if not one[0].place:
        have, wanted = Counter(s.id for s in one), Counter(s.id for s in two)
        return min((have - wanted).total() / len(one), (wanted - have).total() / len(two))
    first, second = ({spot.place: spot.id for spot in reversed(spots)} for spots in (one, two))
    common = first.keys() & second.keys()
    return sum(first[p] != second[p] for p in common) / len(common) if common else 1.0


def levels(spot: Spot, channels: Sequence[str]) -> tuple[float | None, ...]:
    """M and A, or log2 E, of a spot without background correction."""
    logs = [math.log2(v) if v is not None and v > 0 else None for v in spot.values[: len(channels)]]
    if len(logs) == 1:
        return (logs[0],)
    if logs[0] is None or logs[1] is None:
        return (None, None)
    return (logs[0] - logs[1], (logs[0] + logs[1]) / 2)


def alike(have: Counter[tuple[str, ...]], wanted: Counter[tuple[float | None, ...]]) -> bool:
    """Whether written cells are these numbers, to six decimals."""
    cells = sorted(tuple(math.inf if cell == "" else float(cell) for cell in row) for row in have.elements())
    numbers = sorted(tuple(math.inf if v is None else v for v in row) for row in wanted.elements())
    return len(cells) == len(numbers) and all(
        a == b or abs(a - b) <= 1.1e-6
        for one, two in zip(cells, numbers, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def judge_all(seeds: range, shared: Path | None, folder: Path) -> int:
    """Judge the cases of some seeds and print what is wrong; the number of cases with complaints."""
    from .mutations import case

    judge, bad = Judge(folder), 0
    for seed in seeds:
        complaints = judge(case(seed, shared))
        if complaints:
            bad += 1
            made = case(seed, shared)
            print(f"seed {seed} ({made.sheet.kind}; {', '.join(made.how)})", *complaints[:4], sep="\n    ", flush=True)
    print(f"{len(seeds)} cases from seed {seeds.start}: {bad} with complaints", file=sys.stderr)
    return bad
