"""GenePix results (GPR) of every version, and GenePix exports.

Foreground is ``F<wavelength> Mean`` (or ``Median``), background ``B<wavelength> Median``, as in limma's "genepix".
Ratio columns are never read: their direction depends on ``RatioFormulations`` and their values on GenePix's own
normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.raw import Column, RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError
from gridnorm.io import atf, cells
from gridnorm.io import table as tables
from gridnorm.io.text import Text

_MEASURES = ("Mean", "Median")
_EXPECTED = "a line with Block, Column, Row and F<wavelength> Mean or Median"


class GprHead(NamedTuple):
    """What the header of a GPR file says.

    ``version`` is the ``Type`` record. ``wavelengths`` are those with a foreground column, in file order, without
    the place holders of unscanned channels as far as the header tells.
    """

    version: str
    wavelengths: tuple[str, ...]
    columns: tuple[str, ...]
    header: dict[str, str]
    start: int
    line: int
    separator: bytes
    suspects: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels when nothing else is asked for."""
        return _channels(self.wavelengths)


class _Plan(NamedTuple):
    """Which columns to read for one role, or for a place holder to be checked."""

    channels: tuple[str, ...]
    wavelengths: tuple[str, ...]
    foreground: tuple[int, ...]
    background: tuple[int, ...]
    warnings: tuple[str, ...]


def sniff(head: bytes) -> bool:
    r"""Whether the beginning of a file looks like a GPR file.

    Examples
    --------
    >>> sniff(b'ATF\t1.0\r\n1\t5\r\n"Type=GenePix Results 3"\r\n')
    True
    """
    folded = head.lower()
    if atf.is_atf(head) and (b"type=genepix results" in folded or b"type=genepix export" in folded):
        return True
    if b"block" not in folded:
        return False
    return any(
        _is_titles(tables.split(line, separator))
        for _, _, line in atf.lines(head, 200)
        for separator in (b"\t", b",", b";")
        if line.count(separator) > 3
    )


def read_head(text: Text) -> GprHead:
    """Read the header of a GPR file from its text or from a head of it.

    Raises
    ------
    FormatError
        There are no column titles of a GPR file.
    """
    found = atf.parse(text, _is_titles, _EXPECTED)
    titled = _wavelengths(found.titles)
    recorded = _recorded(found.records)
    suspects = [w for w in titled if int(w) < 100 or (recorded and w not in recorded)]
    if len(suspects) == len(titled):  # the record is wrong, not every column
        suspects = []
    return GprHead(
        found.records.get("Type", ""),
        tuple(w for w in titled if w not in suspects),
        found.titles,
        found.records,
        found.start,
        found.line,
        found.separator,
        tuple(suspects),
        found.warnings,
    )


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""Read a GPR file.

    Parameters
    ----------
    text
        The whole file.
    options
        ``foreground`` ``"mean"`` (default) or ``"median"``; ``channels`` the wavelengths to take, R first; ``extra``
        further columns by title; ``keys_only`` leaves out Name, X and Y.

    Returns
    -------
    Foreground and background (channel, spot); spots in file order.

    Raises
    ------
    FormatError
        The table is damaged, lacks a needed column, or lacks a wavelength that was asked for.
    OptionError
        ``foreground`` is neither mean nor median, or a wavelength is named twice.

    Examples
    --------
    >>> rows = b"Block\tColumn\tRow\tID\tF635 Mean\tB635 Median\n1\t1\t1\tx\t500\t40\n"
    >>> raw = read(Text("a.gpr", b"ATF\t1.0\n0\t6\n" + rows, "ascii", (), 0, ""), ReadOptions())
    >>> raw.channels, raw.foreground[0, 0], raw.background[0, 0]
    (('E',), np.float64(500.0), np.float64(40.0))
    """
    head = read_head(text)
    titles = head.columns
    suspects = [s for s in head.suspects if s not in _asked(options)]
    checks = [i for s in suspects for i in _pair(titles, s)]
    base = [title for title in ("Block", "Row", "Column", "Flags") if atf.position(titles, title) is not None]
    places = [] if options.keys_only else [t for t in ("X", "Y") if atf.position(titles, t) is not None]
    named = [t for t in (("ID",) if options.keys_only else ("ID", "Name")) if atf.position(titles, t) is not None]
    extra = _extra(titles, options.extra, text.name)
    # The place holders are needed to know the channels, the channels to know the columns: most files have none.
    dead = _dead(text, head, suspects, checks) if checks else []
    plan = _plan(text.name, head, [w for w in _wavelengths(titles) if w not in dead], options)
    numeric = [*plan.foreground, *plan.background, *_positions(titles, base + places)]
    table = tables.read(
        text, head.start, head.line, titles, numeric, _positions(titles, named) + extra, separator=head.separator
    )
    k = len(plan.channels)
    n_background = len(plan.background)
    values = dict(zip(base + places, table.numbers[k + n_background :], strict=True))
    spots: dict[str, Column] = {}
    for title in ("Block", "Row", "Column"):
        if title in values:
            spots[title] = atf.whole(values[title], title, table, text.name)
    spots.update(zip(named, table.texts, strict=False))
    spots.update((title, np.array(values[title])) for title in places)
    for title, column in zip(options.extra, table.texts[len(named) :], strict=True):
        if title not in spots:
            number = cells.as_numbers(column)
            spots[title] = column if number is None else number
    warnings = [*text.warnings, *head.warnings, *plan.warnings, *table.warnings, *_normalised(text.name, head)]
    flags = None
    if "Flags" in values:
        flags, doubt = _flags(values["Flags"], table, text.name)
        warnings += doubt
    if {"Block", "Row", "Column"} <= spots.keys():
        repeat = atf.repeated(spots["Block"], spots["Row"], spots["Column"], table, text.name)
        warnings += [repeat] if repeat else []
    measured = k + n_background
    return RawArray(
        name=text.name,
        format="GPR",
        version=head.version,
        channels=plan.channels,
        wavelengths=plan.wavelengths,
        foreground=np.ascontiguousarray(table.numbers[:k]),
        background=np.ascontiguousarray(table.numbers[k:measured]) if n_background else None,
        spots=spots,
        flags=flags,
        header=head.header,
        columns=titles,
        taken=_taken(titles, plan),
        warnings=tuple(warnings),
        missing=sum(table.missing[:measured]),
        infinite=sum(table.infinite[:measured]),
    )


def _is_titles(found: list[str]) -> bool:
    """Block, Column, Row and something per wavelength, or in an export with chosen columns a foreground column."""
    if _wavelengths(found):
        return len(found) > 1
    return atf.has_keys(found) and any(title[:1] in ("F", "B") and title[1:2].isdigit() for title in found)


def _wavelengths(titles: Sequence[str]) -> list[str]:
    """Wavelengths of the columns ``F<wavelength> Mean|Median``, in file order."""
    found: dict[str, None] = {}
    for title in titles:
        name, _, measure = title.partition(" ")
        if measure in _MEASURES and name[:1] == "F" and name[1:].isascii() and name[1:].isdigit():
            found[name[1:]] = None
    return list(found)


def _nm(value: str) -> str:
    return value.strip().removesuffix("nm").strip()


def _recorded(records: dict[str, str]) -> list[str]:
    """Wavelengths of the header record, whichever the version writes."""
    value = records.get("Wavelengths") or records.get("ImageName") or ""
    return [name for name in map(_nm, value.split("\t")) if name.isdigit()]


def _asked(options: ReadOptions) -> tuple[str, ...]:
    return tuple(_nm(name) for name in options.channels)


def _pair(titles: Sequence[str], wavelength: str) -> list[int]:
    return [titles.index(t) for t in (f"F{wavelength} {m}" for m in _MEASURES) if t in titles]


def _positions(titles: Sequence[str], names: Sequence[str]) -> list[int]:
    return [at for at in (atf.position(titles, name) for name in names) if at is not None]


def _extra(titles: Sequence[str], names: Sequence[str], file: str) -> list[int]:
    for name in names:
        if name not in titles:
            raise FormatError(
                f"there is no column {name!r}", file, found="columns " + ", ".join(titles), expected=repr(name)
            )
    return [titles.index(name) for name in names]


def _dead(text: Text, head: GprHead, suspects: list[str], checks: list[int]) -> list[str]:
    """The suspects whose foreground is zero or missing throughout: channels that were never scanned."""
    table = tables.read(text, head.start, head.line, head.columns, checks, separator=head.separator)
    lit = {checks[k]: bool(np.any(np.nan_to_num(row) != 0)) for k, row in enumerate(table.numbers)}
    return [s for s in suspects if not any(lit[i] for i in _pair(head.columns, s))]


def _plan(file: str, head: GprHead, wavelengths: list[str], options: ReadOptions) -> _Plan:
    """Channels, their roles and their columns."""
    wanted = (options.foreground or "mean").capitalize()
    if wanted not in _MEASURES:
        raise OptionError(f"foreground cannot be {options.foreground!r}", expected="mean or median")
    asked = _asked(options)
    listed = ", ".join(wavelengths) or "no foreground column (F<wavelength> Mean or Median)"
    if len(set(asked)) < len(asked):
        raise OptionError(f"a wavelength is named twice: {', '.join(options.channels)}")
    absent = [name for name in asked if name not in wavelengths]
    if absent or not wavelengths:
        raise FormatError(
            f"there is no wavelength {', '.join(absent)}" if absent else "there is no intensity to read",
            file,
            head.line - 1,
            found=listed,
            expected=", ".join(asked) or "at least one wavelength",
        )
    chosen = list(asked) or wavelengths
    if not asked and len(chosen) == 2:
        chosen.sort(key=int, reverse=True)
    warnings: list[str] = []
    low = [w for w in chosen if int(w) < 300]
    if len(chosen) == 2 and low and not asked:
        warnings.append(
            f"{file}:{head.line - 1}: {low[0]} is no wavelength of a scanner; R is {chosen[0]} as the larger number "
            "(the channels option says it otherwise)"
        )
    foreground = _foreground(file, head, chosen, wanted, warnings)
    background = _background(file, head, chosen, warnings)
    titles = dict.fromkeys(head.columns[at] for at in foreground + background)
    warnings += [
        f"{file}:{head.line - 1}: column {title!r} comes twice; the first one was taken"
        for title in titles
        if head.columns.count(title) > 1
    ]
    return _Plan(_channels(chosen), tuple(chosen), tuple(foreground), tuple(background), tuple(warnings))


def _channels(wavelengths: Sequence[str]) -> tuple[str, ...]:
    return {1: ("E",), 2: ("R", "G")}.get(len(wavelengths), tuple(wavelengths))


def _foreground(file: str, head: GprHead, chosen: list[str], wanted: str, warnings: list[str]) -> list[int]:
    other = _MEASURES[wanted == "Mean"]
    have = {m: all(f"F{w} {m}" in head.columns for w in chosen) for m in (wanted, other)}
    if have[wanted]:
        return [head.columns.index(f"F{w} {wanted}") for w in chosen]
    lacking = [f"F{w} {wanted}" for w in chosen if f"F{w} {wanted}" not in head.columns]
    # One measure for all channels if there is one; a mixture only where nothing else is left.
    taken = [f"F{w} {other if have[other] or f'F{w} {wanted}' in lacking else wanted}" for w in chosen]
    warnings.append(f"{file}:{head.line - 1}: there is no column {', '.join(lacking)}; {', '.join(taken)} was taken")
    return [head.columns.index(title) for title in taken]


def _background(file: str, head: GprHead, chosen: list[str], warnings: list[str]) -> list[int]:
    """``B<w> Median`` of every channel, else what stands in for it, else nothing at all."""
    taken: list[int] = []
    for w in chosen:
        choices = [t for t in (f"B{w} Median", f"B{w}", f"B{w} Mean") if t in head.columns]
        if not choices:
            warnings.append(f"{file}:{head.line - 1}: there is no column B{w} Median; the array has no background")
            return []
        if choices[0] != f"B{w} Median":
            warnings.append(f"{file}:{head.line - 1}: there is no column B{w} Median; {choices[0]} was taken")
        taken.append(head.columns.index(choices[0]))
    return taken


def _taken(titles: Sequence[str], plan: _Plan) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for i, channel in enumerate(plan.channels):
        pairs.append((channel, titles[plan.foreground[i]]))
        if plan.background:
            pairs.append((f"{channel}b", titles[plan.background[i]]))
    return tuple(pairs)


def _flags(values: NDArray[np.float64], table: tables.Table, file: str) -> tuple[NDArray[np.int64], list[str]]:
    """Flag codes; an empty cell is an unflagged spot."""
    empty = np.isnan(values)
    warnings = []
    if empty.any():
        line = table.line(int(np.argmax(empty)))
        warnings.append(f"{file}:{line}: {int(empty.sum())} empty cells of column 'Flags' were taken as 0 (unflagged)")
        values = np.where(empty, 0.0, values)
    return atf.whole(values, "Flags", table, file), warnings


def _normalised(file: str, head: GprHead) -> list[str]:
    """Was the file normalised by GenePix already? The factors per measure of version 1 are only reports."""
    method = head.header.get("NormalizationMethod", "")
    factors = [cells.number(factor.encode()) for factor in head.header.get("NormalizationFactors", "").split("\t")]
    changed = [factor for factor in factors if factor is not None and factor == factor and factor != 1]
    if method.strip().casefold() in ("", "none") and not changed:
        return []
    named = ", ".join(f"{factor:g}" for factor in factors if factor is not None)
    said = f"method {method or 'not named'}, factors {named or 'not named'}"
    return [f"{file}: GenePix normalised these data ({said}); export them without normalisation if you can"]
