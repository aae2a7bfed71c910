"""GenePix results (GPR) of every version, and GenePix exports.

Foreground is ``F<wavelength> Mean`` (or ``Median``), background ``B<wavelength> Median``, as in limma's "genepix".
Ratio columns are never read: their direction depends on ``RatioFormulations`` and their values on GenePix's own
normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gridnorm.arrays.raw import NOT_FOUND, RawArray, ReadOptions
from gridnorm.errors import FormatError, OptionError, option_word
from gridnorm.io import atf, cells, columns
from gridnorm.io import table as tables
from gridnorm.io.formats.row import Format, Head
from gridnorm.io.roles import COLUMNS, all_named, channels_named, named_doubts, with_named
from gridnorm.io.text import Text
from gridnorm.plain import few

_MEASURES = ("Mean", "Median")
SHORTEST = 100  # nm: smaller numbers in titles count the images of a scan
_EXPECTED = "a line with Block, Column, Row and F<wavelength> Mean or Median"


class _Header(NamedTuple):
    """What the header of a GPR file says.

    ``version`` is the ``Type`` record. ``wavelengths`` are those with a foreground column, in file order, without
    the place holders of unscanned channels as far as the header tells; those are ``suspects``.
    """

    version: str
    wavelengths: tuple[str, ...]
    suspects: tuple[str, ...]
    records: dict[str, str]
    frame: columns.Frame
    warnings: tuple[str, ...]


def sniff(text: Text, settings: Mapping[str, Any]) -> bool:
    r"""Whether the beginning of a file looks like a GPR file.

    Examples
    --------
    >>> sniff(Text("a.gpr", b'ATF\t1.0\r\n1\t5\r\n"Type=GenePix Results 3"\r\n', "ascii", (), 0, ""), {})
    True
    """
    folded = text.data.lower()
    if atf.is_atf(text.data) and (b"type=genepix results" in folded or b"type=genepix export" in folded):
        return True
    if b"block" not in folded:
        return False
    return atf.has_titles(text.data, _is_titles, 4)


def head(text: Text, settings: Mapping[str, Any]) -> Head:
    """Version, channels (when nothing else is asked for), columns and header records of a GPR file.

    Raises
    ------
    FormatError
        There are no column titles of a GPR file.
    """
    found = _header(text)
    named = dict(columns.settings_of((COLUMNS,), settings)["columns"])
    channels = channels_named(named) or _channels(found.wavelengths)
    return Head("GPR", found.version, channels, found.frame.titles, found.records, not found.suspects)


def read(text: Text, options: ReadOptions) -> RawArray:
    r"""Read a GPR file.

    Parameters
    ----------
    text
        The whole file.
    options
        Settings are ``foreground``, ``"mean"`` (default) or ``"median"``, ``channels``, the wavelengths to take,
        R first, and ``columns``, titles that are taken in the place of those of the roles.

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
    settings = columns.settings_of(FORMAT.options, options.settings)
    found = _header(text)
    warnings = list(found.warnings)
    channels, wavelengths, roles = _measured(text, found, settings, warnings)
    warnings += _normalised(text.name, found)
    source = columns.Source(
        "GPR", found.version, found.frame, channels, wavelengths, roles, settings, found.records, warnings
    )
    return columns.read_array(text, source, options)


def _measured(
    text: Text, found: _Header, settings: Mapping[str, Any], warnings: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, int]]:
    """Channels, wavelengths, and the column of every role."""
    named = dict(settings["columns"])
    channels = channels_named(named)
    if all_named(channels, named, settings["channels"], text.name):
        chosen = [_wavelength(named[channel]) for channel in channels]
    else:
        asked = tuple(_nm(name) for name in settings["channels"])
        # Place holders are needed to know the channels, the channels to know the columns: most files have none.
        dead = _dead(text, found.frame, [s for s in found.suspects if s not in asked])
        lit = [w for w in _wavelengths(found.frame.titles) if w not in dead]
        chosen = _chosen(text.name, found.frame, lit, asked, warnings)
        _refuse_others(channels, chosen, named, text.name)
        channels = _channels(chosen)
    own = {channel: w for channel, w in zip(channels, chosen, strict=True) if channel not in named}
    foreground = _foreground(text.name, found.frame, [*own.values()], settings["foreground"].capitalize(), warnings)
    below = [channel for channel in own if f"{channel}b" not in named]
    background = _background(text.name, found.frame, [own[channel] for channel in below], warnings)
    warnings += named_doubts(named, settings, found.frame, text.name)
    roles = {
        **dict(zip(own, foreground, strict=True)),
        **{f"{channel}b": at for channel, at in zip(below, background, strict=False)},
        **columns.positions(found.frame.titles, (*columns.KEYS, *columns.NAMES, *columns.PLACES, columns.FLAGS)),
    }
    nm = tuple(w if (cells.count(w) or 0) >= SHORTEST else "" for w in chosen)
    return channels, nm, with_named(roles, named, found.frame, text.name)


def _header(text: Text) -> _Header:
    found = atf.parse(text, _is_titles, _EXPECTED)
    titled = _wavelengths(found.frame.titles)
    recorded = _recorded(found.records)
    suspects = [w for w in titled if int(w) < SHORTEST or (recorded and w not in recorded)]
    if len(suspects) == len(titled):  # the record is wrong, not every column
        suspects = []
    return _Header(
        found.records.get("Type", ""),
        tuple(w for w in titled if w not in suspects),
        tuple(suspects),
        found.records,
        found.frame,
        found.warnings,
    )


def _is_titles(found: list[str]) -> bool:
    """Block, Column, Row and something per wavelength, or in an export with chosen columns a foreground column."""
    if _wavelengths(found):
        return len(found) > 1
    return columns.has_keys(found) and any(title[:1] in ("F", "B") and title[1:2].isdigit() for title in found)


def _wavelengths(titles: Sequence[str]) -> list[str]:
    """Wavelengths of the columns ``F<wavelength> Mean|Median``, in file order."""
    found: dict[str, None] = {}
    for title in titles:
        name, _, measure = title.partition(" ")
        if measure in _MEASURES and name[:1] == "F" and cells.count(name[1:]) is not None:
            found[name[1:]] = None
    return list(found)


def _nm(value: str) -> str:
    return value.strip().removesuffix("nm").strip()


def _recorded(records: dict[str, str]) -> list[str]:
    """Wavelengths of the header record, whichever the version writes."""
    value = records.get("Wavelengths") or records.get("ImageName") or ""
    return [name for name in map(_nm, value.split("\t")) if cells.count(name) is not None]


def _dead(text: Text, frame: columns.Frame, suspects: list[str]) -> list[str]:
    """The suspects whose foreground is zero or missing throughout: channels that were never scanned."""
    pairs = {w: [frame.titles.index(t) for m in _MEASURES if (t := f"F{w} {m}") in frame.titles] for w in suspects}
    checks = [at for pair in pairs.values() for at in pair]
    if not checks:
        return []
    # Text in a column that may never be used is no reason to refuse the file; where it is used, it is said then.
    table = tables.read(
        text, frame.start, frame.line + 1, frame.titles, checks, separator=frame.separator, optional=checks
    )
    lit = {checks[k]: bool(np.any(np.nan_to_num(row) != 0)) for k, row in enumerate(table.numbers)}
    return [w for w, pair in pairs.items() if not any(lit[at] for at in pair)]


def _wavelength(title: str) -> str:
    """The wavelength in a title such as ``F635 Median - B635``; empty where there is none."""
    number = title.partition(" ")[0][1:]
    return number if title[:1] in ("F", "B") and cells.count(number) is not None else ""


def _refuse_others(channels: tuple[str, ...], chosen: list[str], named: Mapping[str, str], file: str) -> None:
    if channels and len(channels) != len(chosen):
        raise OptionError(
            f"{option_word('columns')} names columns of {' and '.join(channels)}", file,
            found=f"{', '.join(named)}, and wavelengths {', '.join(chosen)} in the file",
            expected=" and ".join(f"{channel}=…" for channel in channels),
        )  # fmt: skip


def _chosen(
    file: str, frame: columns.Frame, wavelengths: list[str], asked: tuple[str, ...], warnings: list[str]
) -> list[str]:
    """Wavelengths of the channels, R first."""
    if len(set(asked)) < len(asked):
        raise OptionError(f"a wavelength is named twice: {', '.join(asked)}")
    absent = [name for name in asked if name not in wavelengths]
    if absent or not wavelengths:
        raise FormatError(
            f"there is no wavelength {', '.join(absent)}" if absent else "there is no intensity to read",
            file,
            frame.line,
            found=", ".join(wavelengths) or "no foreground column (F<wavelength> Mean or Median)",
            expected=", ".join(asked) or "at least one wavelength",
            hint=None if wavelengths else _subtracted(frame.titles),
        )
    chosen = list(asked) or wavelengths
    if not asked and len(chosen) == 2:
        chosen.sort(key=int, reverse=True)
        low = [w for w in chosen if int(w) < 300]
        if low:
            warnings.append(
                f"{file}:{frame.line}: {low[0]} is no wavelength of a scanner; R is {chosen[0]} as the larger number "
                "(the channels option says it otherwise)"
            )
    return chosen


def _subtracted(titles: Sequence[str]) -> str | None:
    """How columns are taken whose background GenePix has subtracted, if the file has only those."""
    net = {_wavelength(title): title for title in reversed(titles) if title[:1] == "F" and " - B" in title}
    if not 1 <= len(net) <= 2:
        return None
    titled = [net[w] for w in sorted(net, key=lambda w: int(w or 0), reverse=True)]
    given = ",".join(f"{role}={title}" for role, title in zip("RG" if len(net) == 2 else "E", titled, strict=True))
    return f'Take what is left above the background with {option_word("columns")} "{given}"'


def _channels(wavelengths: Sequence[str]) -> tuple[str, ...]:
    return {1: ("E",), 2: ("R", "G")}.get(len(wavelengths), tuple(wavelengths))


def _foreground(file: str, frame: columns.Frame, chosen: list[str], wanted: str, warnings: list[str]) -> list[int]:
    other = _MEASURES[wanted == "Mean"]
    have = {m: all(f"F{w} {m}" in frame.titles for w in chosen) for m in (wanted, other)}
    if have[wanted]:
        return [frame.titles.index(f"F{w} {wanted}") for w in chosen]
    lacking = [f"F{w} {wanted}" for w in chosen if f"F{w} {wanted}" not in frame.titles]
    # One measure for all channels if there is one; a mixture only where nothing else is left.
    taken = [f"F{w} {other if have[other] or f'F{w} {wanted}' in lacking else wanted}" for w in chosen]
    warnings.append(columns.instead(frame, ", ".join(lacking), ", ".join(taken), file))
    return [frame.titles.index(title) for title in taken]


def _background(file: str, frame: columns.Frame, chosen: list[str], warnings: list[str]) -> list[int]:
    """``B<w> Median`` of every channel, else what stands in for it, else nothing at all."""
    taken: list[int] = []
    for w in chosen:
        choices = [t for t in (f"B{w} Median", f"B{w}", f"B{w} Mean") if t in frame.titles]
        if not choices:
            warnings.append(f"{file}:{frame.line}: there is no column B{w} Median; the array has no background")
            return []
        if choices[0] != f"B{w} Median":
            warnings.append(columns.instead(frame, f"B{w} Median", choices[0], file))
        taken.append(frame.titles.index(choices[0]))
    return taken


def _normalised(file: str, header: _Header) -> list[str]:
    """Was the file normalised by GenePix already? The factors per measure of version 1 are only reports."""
    method = header.records.get("NormalizationMethod", "")
    factors = [cells.number(factor.encode()) for factor in header.records.get("NormalizationFactors", "").split("\t")]
    changed = [factor for factor in factors if factor is not None and factor == factor and factor != 1]
    if method.strip().casefold() in ("", "none") and not changed:
        return []
    named = few(f"{factor:g}" for factor in factors if factor is not None)
    said = f"method {few([method]) or 'not named'}, factors {named or 'not named'}"
    return [f"{file}: GenePix normalised these data ({said}); export them without normalisation if you can"]


FORMAT = Format(
    "GPR",
    sniff,
    head,
    read,
    (columns.FOREGROUND, columns.CHANNELS, COLUMNS),
    "GenePix results of every version, and GenePix exports",
    'GenePix Pro file formats; the columns are those of limma\'s source "genepix"',
    not_found=NOT_FOUND,
)
