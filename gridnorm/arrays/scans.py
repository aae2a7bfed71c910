"""Several scans of one slide, at several gains of the scanner, into one array.

In every channel the K scans measure one quantity: x_k = a_k + b_k z. Offsets and gains are found by `core.affine` from
the spots that are saturated in no scan, the offsets as the point of the line nearest to the diagonal: what a scanner
adds is much the same at every gain. A spot then has the z nearest to what its scans say, those left out in which it is
saturated: the mean of (x_k − a_k) / b_k weighted by b_k². Source: Bengtsson, Jönsson and Vallon-Christersson, BMC
Bioinformatics 5:177 (2004); peers: aroma.light's ``calibrateMultiscan``, limma's ``mergeScansRG``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.align import compare, keys_of
from gridnorm.arrays.raw import FULL_SCALE, Column, FloatArray, RawArray, Scan, reordered
from gridnorm.core.affine import DIAGONAL, ZERO, Affine, fit_affine
from gridnorm.errors import FitError, LayoutError, recorded_option
from gridnorm.plain import few, some
from gridnorm.provenance import InputDigest

Mask = NDArray[np.bool_]


class Channel(NamedTuple):
    """One channel of the scans of a slide.

    ``foreground`` and ``background`` (scan, spot), ``full`` bool (scan, spot) where a scan is saturated.
    """

    name: str
    foreground: FloatArray
    background: FloatArray | None
    full: Mask


class Merged(NamedTuple):
    """One channel of the merged array: its intensities, the scans used, bool (scan, spot), numbers and sentences."""

    foreground: FloatArray
    background: FloatArray | None
    used: Mask
    offsets: FloatArray
    gains: FloatArray
    notes: tuple[str, ...]


def merge_raws(raws: Sequence[RawArray], name: str, digests: Sequence[InputDigest | None] = ()) -> RawArray:
    """One array from scans of one slide, in the unit of the scan with the lowest gain of each channel.

    Parameters
    ----------
    raws
        Two scans or more, of the same spots; those of the later ones are brought to the order of the first.
    name
        What the slide is called.
    digests
        Of the files of the scans, where they are known.

    Returns
    -------
    RawArray
        Foreground and background have lost the same offset, so that their difference means what it did. A spot that is
        saturated in all scans has what the scan of the lowest gain says. Its flag is the lowest one of the scans that
        its values come from; not found only where none of these found it.

    Raises
    ------
    LayoutError
        Scans of other spots or channels, or of which only some have a background.
    FitError
        Signals of the scans that do not rise together.

    Notes
    -----
    A scan is saturated at a spot whose foreground is at full scale (65535), or of whose pixels some are, where a column
    ``F<nm> % Sat.`` says so.
    """
    called = slide_name(name, len(raws))
    aligned = [raws[0], *(_aligned(raws[0], other) for other in raws[1:])]
    first = aligned[0]
    merged = []
    for k, channel in enumerate(first.channels):
        backs = None if first.background is None else np.stack([_background(raw)[k] for raw in aligned])
        given = Channel(channel, np.stack([raw.foreground[k] for raw in aligned]), backs, _full(aligned, k))
        try:
            merged.append((given, merge_channel(given, [raw.name for raw in aligned])))
        except FitError as error:
            what = f"the scans cannot be merged: {channel}: {error.what}"
            raise FitError(what, called, None, error.found, error.expected, error.hint) from None
    foreground = np.stack([done.foreground for _, done in merged])
    background = np.stack([b for _, done in merged if (b := done.background) is not None]) if _has(first) else None
    flags, told = _flags(aligned, np.asarray(np.stack([done.used for _, done in merged]).any(axis=0)))
    texts = [
        _told(aligned, merged),
        *_unseen(aligned),
        *(f"{given.name}: {text}" for given, done in merged for text in done.notes),
        *told,
    ]
    scans = [
        Scan(
            raw.name, digests[i] if digests else None, {given.name: _numbers(given, done, i) for given, done in merged}
        )
        for i, raw in enumerate(aligned)
    ]
    warnings = (*(text for raw in aligned for text in raw.warnings), *(f"{called}: {text}" for text in texts))
    return replace(
        first, name=called, foreground=foreground, background=background, flags=flags, warnings=warnings,
        spots=_spots(aligned, merged), scans=tuple(scans), header={}, measures=(),
        missing=int(np.isnan(foreground).sum()) + (0 if background is None else int(np.isnan(background).sum())),
        infinite=sum(raw.infinite for raw in aligned),
    )  # fmt: skip


def slide_name(label: str, scans: int) -> str:
    """What messages and records call the array that scans of a slide became.

    Examples
    --------
    >>> slide_name("slide1", 3)
    'slide1 (3 scans)'
    """
    return f"{label} ({scans} scans)"


def merge_channel(given: Channel, names: Sequence[str]) -> Merged:
    """One channel of the scans of a slide as one, in the unit of the lowest gain.

    Raises
    ------
    FitError
        The signals do not rise together, or too few spots are saturated in no scan.
    """
    use = np.asarray(~given.full.any(axis=0))
    found, notes = _fitted(given, use, names)
    low = int(found.slope.argmin())
    offsets, gains = found.offset, found.slope / found.slope[low]
    known = ~np.isnan(given.foreground)
    if given.background is not None:
        known &= ~np.isnan(given.background)
    sound = known & ~given.full
    lost = known.any(axis=0) & ~sound.any(axis=0)
    if lost.any():
        # Saturated wherever it was measured: the scan of the lowest gain is nearest to the truth.
        order = np.argsort(gains, kind="stable")
        least = order[known[order].argmax(axis=0)]
        sound[least[lost], np.flatnonzero(lost)] = True
        spots = "spot is" if lost.sum() == 1 else "spots are"
        notes.append(f"{int(lost.sum())} {spots} saturated in every scan, and too dim in the scan of the lowest gain")
    fore = _mean(given.foreground, sound, offsets, gains)
    back = None if given.background is None else _mean(given.background, sound, offsets, gains)
    if back is not None:
        # A foreground without any background keeps its value, as it has in a single scan.
        alone = ~known.any(axis=0)
        fore[alone] = _mean(given.foreground[:, alone], ~np.isnan(given.foreground[:, alone]), offsets, gains)
        back[alone] = np.nan
    return Merged(fore, back, sound, offsets, gains, tuple(notes))


def _fitted(given: Channel, use: Mask, names: Sequence[str]) -> tuple[Affine, list[str]]:
    """Offsets and gains of the scans, and what there is to say of them."""
    try:
        found = fit_affine(given.foreground.T, ZERO, use=use, names=names)
    except FitError as error:
        counts = given.full.sum(axis=1)
        worst = int(counts.argmax())
        hint = "Are these scans of one slide?"
        if counts[worst] > use.size / 2:
            hint = f"Leave out {names[worst]}, in which {int(counts[worst])} of {use.size} spots are saturated"
        raise FitError(error.what, found=error.found, expected=error.expected, hint=hint) from None
    notes = []
    if found.alike:
        ratio = found.slope.max() / found.slope.min()
        notes.append(
            f"the gains of the scans are alike (1 to {ratio:.3g}), which does not tell what the scanner adds to all of "
            "them: it stays in"
        )
    else:
        found = fit_affine(given.foreground.T, DIAGONAL, use=use, names=names)
    if not found.line.converged:
        notes.append(f"the fit was stopped after {found.line.rounds} rounds and may not be the optimum")
    return found, notes


def _mean(x: FloatArray, used: Mask, offsets: FloatArray, gains: FloatArray) -> FloatArray:
    """The mean of (x − offset) / gain over the scans used at each spot, weighted by the gain squared; else NaN."""
    weight = np.where(used, (gains**2)[:, None], 0.0)
    calibrated = np.where(used, (x - offsets[:, None]) / gains[:, None], 0.0)
    total = weight.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray((weight * calibrated).sum(axis=0) / np.where(total > 0, total, np.nan))


def _has(raw: RawArray) -> bool:
    return raw.background is not None


def _background(raw: RawArray) -> FloatArray:
    assert raw.background is not None
    return raw.background


def _aligned(first: RawArray, other: RawArray) -> RawArray:
    """The scan with its spots in the order of the first one."""
    if other.channels != first.channels:
        raise LayoutError(
            "scans of one slide have other channels", file=other.name, found=" ".join(other.channels),
            expected=f"{' '.join(first.channels)} as in {first.name}",
        )  # fmt: skip
    if _has(other) != _has(first):
        found, expected = ("a measured background" if _has(raw) else "no background" for raw in (other, first))
        what = "of scans of one slide only some have a background"
        raise LayoutError(what, file=other.name, found=found, expected=f"{expected} as in {first.name}")
    mine, its = (np.zeros(raw.n_spots, bool) if raw.absent is None else raw.absent for raw in (first, other))
    if mine.size == its.size and not np.array_equal(mine, its):
        raise _other_spots(first, other, int((its & ~mine).sum()), int((mine & ~its).sum()))
    one, two = (keys_of(raw.spots, raw.n_spots) for raw in (first, other))
    try:
        how = compare(one, two, other.name, "strict", first.name)
    except LayoutError as error:
        raise LayoutError(*error.made[:5], "Are these scans of one slide?") from None
    if how.identical:
        return other
    if how.order is None:
        raise _other_spots(first, other, how.missing, how.extra)
    return reordered(other, how.order).with_warnings(*how.notes)


def _other_spots(first: RawArray, other: RawArray, missing: int, extra: int) -> LayoutError:
    return LayoutError(
        f"its spots are not those of {first.name}, a scan of the same slide", file=other.name,
        found=f"{missing} spots missing, {extra} more", expected="the same spots",
        hint="Read all scans of a slide with one grid",
    )  # fmt: skip


def saturation_columns(titles: Iterable[str]) -> list[str]:
    """Columns that tell which share of a spot's pixels is saturated."""
    return [title for title in titles if title.startswith("F") and title.endswith(" % Sat.")]


def _share(raw: RawArray, k: int) -> Column | None:
    """Shares of saturated pixels in a channel, where a column has them."""
    column = raw.spots.get(f"F{raw.wavelengths[k]} % Sat.") if raw.wavelengths[k] else None
    return None if column is None or column.dtype.kind not in "fiu" else column


def _full(raws: Sequence[RawArray], k: int) -> Mask:
    """Where each scan is saturated, bool (scan, spot)."""
    out = np.zeros((len(raws), raws[0].n_spots), bool)
    for row, raw in zip(out, raws, strict=True):
        share = _share(raw, k)
        row |= raw.foreground[k] >= FULL_SCALE
        if share is not None:
            row |= share > 0
    return out


def _unseen(raws: Sequence[RawArray]) -> list[str]:
    """That only a foreground at full scale tells saturation, where it is so."""
    if all(_share(raw, k) is not None for raw in raws for k in range(len(raw.channels))):
        return []
    looked = f"{recorded_option('merge_scans')} looks for F<nm> % Sat. in every file"
    return [f"no column tells saturated pixels ({looked}); a scan is left out only at spots that are at full scale"]


def _flags(raws: Sequence[RawArray], used: Mask) -> tuple[NDArray[np.int64] | None, list[str]]:
    """The flags of the merged spots, and a sentence where scans differ about them."""
    if all(raw.flags is None for raw in raws):
        return None, []
    codes = np.stack([np.zeros(raw.n_spots, np.int64) if raw.flags is None else raw.flags for raw in raws])
    dim = np.isin(codes, raws[0].not_found)
    # A scan that did not find a spot says less than one that did.
    counts = used & ~(dim & (used & ~dim).any(axis=0))
    high = np.iinfo(np.int64).max
    lowest = np.where(counts, codes, high).min(axis=0)
    flags = np.where(counts.any(axis=0), lowest, codes.min(axis=0))
    differ = (used & (codes < 0)).any(axis=0) & (used & (codes >= 0)).any(axis=0)
    marked, clear = int((differ & (flags < 0)).sum()), int((differ & (flags >= 0)).sum())
    out = []
    if marked:
        out.append(f"{marked} spots are flagged in some of the scans that they come from, and so are in the result")
    if clear:
        out.append(f"{clear} spots were not found in some of the scans that they come from, and count as found")
    return flags, out


def _told(raws: Sequence[RawArray], merged: Sequence[tuple[Channel, Merged]]) -> str:
    """What was merged into what, in a sentence."""
    parts = []
    for given, done in merged:
        some_full = int(given.full.any(axis=0).sum())
        parts.append(
            f"{given.name} gains {few([f'{gain:.3g}' for gain in done.gains], 8)}, {some_full} spots saturated in some"
        )
    return f"{some([raw.name for raw in raws])} are merged, in the unit of the lowest gain; {'; '.join(parts)}"


def _numbers(given: Channel, done: Merged, scan: int) -> dict[str, float]:
    """What the sidecar has of a channel of a scan, to nine digits."""
    return {
        "offset": float(f"{done.offsets[scan]:.9g}"),
        "gain": float(f"{done.gains[scan]:.9g}"),
        "saturated": int(given.full[scan].sum()),
    }


def _spots(raws: Sequence[RawArray], merged: Sequence[tuple[Channel, Merged]]) -> dict[str, Column]:
    """Spot columns of the first scan; a share of saturated pixels is the least of the scans that were used."""
    spots = dict(raws[0].spots)
    for k, (_, done) in enumerate(merged):
        shares = [_share(raw, k) for raw in raws]
        known = [share.astype(np.float64) for share in shares if share is not None]
        if len(known) == len(raws):
            least = np.where(done.used, np.stack(known), np.inf).min(axis=0)
            spots[f"F{raws[0].wavelengths[k]} % Sat."] = np.where(np.isinf(least), 0.0, least)
    return spots
