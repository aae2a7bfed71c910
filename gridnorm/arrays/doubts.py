"""What a person should know of an array before believing its numbers: flags, empty groups, a channel without signal.

Sentences name options in one way on every route (`recorded_option`), since they go into the sidecar, which is the same
on all; where they are shown, `spoken` puts them in the words of the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.grouping import By, by_text
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.arrays.weights import flag_rule, flagged
from gridnorm.arrays.within import WithinResult
from gridnorm.core.fit import fit
from gridnorm.core.methods import Method
from gridnorm.core.segments import Segments, label_text
from gridnorm.errors import recorded_option
from gridnorm.plain import few

APART = 0.2  # difference of flag rates between two groups that is told,
BEYOND_CHANCE = 4.0  # where it is also this many standard errors of a difference that chance makes
MOST_FLAGGED = 0.5  # share of flagged spots of an array that is told
# Natural log of the ratio of the quartiles of a channel's foreground. Protein arrays whose second wavelength shows
# background only: 0.10 to 0.25, beside 0.84 to 1.14 in the first; real two-colour arrays: 0.73 and more in both.
DARK, LIT = 0.4, 0.6
TOGETHER = 0.6  # rank correlation of the two channels: at most 0.43 of the former, at least 0.84 of the latter
NOTHING = 0.01  # share of a group's own level that is as good as none
LOOKED_AT = 4096  # spots, about: enough for quartiles
_FITS = {"array": "the array's fit", "merged": "one fit with a neighbour", "shrunk": "the array's fit"}
USUAL = (-100, -75, -50)  # GenePix flags, which a clean array need not have
FEW = 20  # spots of a group whose rate of flags tells nothing


def flag_doubts(raw: RawArray, segments: Segments, flags: str, told: NDArray[np.bool_] | None = None) -> list[str]:
    """Flag rates that differ much between groups, and arrays that are mostly flagged.

    Groups that are ``told`` of otherwise, bool (group,), are not compared.
    """
    rule = flag_rule(flags)
    marked = flagged(raw.flags, raw.n_spots, rule.codes)
    total = int(np.count_nonzero(marked))
    if rule.policy == "ignore" or not total:
        return _no_such_code(raw, rule.codes)
    out = []
    share = total / raw.n_spots
    not_found = marked & flagged(raw.flags, raw.n_spots, raw.not_found)
    if share > MOST_FLAGGED:
        lost = int(np.count_nonzero(not_found))
        which = f" ({lost / raw.n_spots:.0%} not found)" if lost else ""
        out.append(
            f"{raw.name}: {share:.0%} of the spots are flagged{which}; does the grid lie on them? "
            f"{recorded_option('flags')} says which codes count"
        )
    n = segments.sizes
    rates = segments.count(marked) / np.maximum(n, 1)
    # One spot that is flagged makes a rate of 1: a group counts as far as its size says that it is extreme.
    error = np.sqrt(share * (1 - share) / np.maximum(n, 1))
    error = np.where(n < FEW if told is None else (n < FEW) | told, np.inf, error)
    low, high = int(np.argmin(rates + 2 * error)), int(np.argmax(rates - 2 * error))
    if rates[high] - rates[low] > max(APART, BEYOND_CHANCE * np.hypot(error[low], error[high])):
        least, most = (few([label_text(segments.labels[k])]) for k in (low, high))
        # Where no flagged spot is left out of the fit, ignoring flags would change nothing.
        all_count = rule.codes is None and rule.policy != "downweight" and bool((not_found == marked).all())
        further = (
            "; those not found count in the fit"
            if all_count
            else f", and compare with {recorded_option('flags', 'ignore')}"
        )
        out.append(
            f"{raw.name}: {rates[high]:.0%} of group {most} are flagged, {rates[low]:.0%} of group "
            f"{least}; look at the slide there{further}"
        )
    return out


def _no_such_code(raw: RawArray, codes: tuple[int, ...] | None) -> list[str]:
    """That none of the codes that were named is there, where the array has others: a slip of the pen."""
    if codes is None or set(codes) <= set(USUAL) or raw.flags is None or not raw.flags.any():
        return []
    there = few(np.unique(raw.flags[raw.flags != 0]).tolist())
    return [
        f"{raw.name}: no spot has a flag that {recorded_option('flags')} names ({few(codes)}); the flags here: {there}"
    ]


def one_group(raw: RawArray, segments: Segments, by: By, named: bool) -> list[str]:
    """That a grouping is the whole array: one was named that tells no spots apart, or there are no blocks to go by."""
    if segments.n_segments != 1 or raw.part_of or by_text(by) == "array":
        return []
    array = recorded_option("by", "array")
    if named:
        return [f"{raw.whole}: {recorded_option('by', by_text(by))} makes one group of all spots, which is {array}"]
    return [] if "Block" in raw.spots else [f"{raw.whole}: no column Block: all spots are one group ({array})"]


def group_doubts(
    name: str, done: WithinResult, row: Method, options: Mapping[str, Any], by: str, types: tuple[str, ...] = ()
) -> list[str]:
    """Groups without a usable spot, and a grouping of which nothing comes into the fit.

    ``types``: the options that let spots of some types only into the fit.
    """
    n = done.n.min(axis=0)
    out = []
    empty = np.flatnonzero(n == 0)
    if row.statistic is None and empty.size == n.size:
        return [f"{name}: no spot can be used: every one is missing, flagged or of weight 0"]
    if empty.size and empty.size < n.size:
        named = few(label_text(done.labels[g]) for g in empty.tolist())
        source = done.sources()[int(empty[0])]
        got = (
            "it has no fit, and its spots are missing in the result"
            if source == "own"
            else f"it got {_FITS.get(source, source)}"
        )
        instead = "" if row.statistic is None else f"; {got}"
        picks = row.use is not None or row.marks
        chosen = f", or no spot that {row.name} chooses" if picks else ""
        if types:
            why = f"none is of the types that {' and '.join(map(recorded_option, types))} leaves, or all of them are"
            out.append(
                f"{name}: no spot of group {named} can be used ({why} flagged, missing or of weight 0{chosen}){instead}"
            )
        else:
            out.append(
                f"{name}: no spot of group {named} can be used (flagged, missing or of weight 0{chosen}){instead}; "
                f"leave it out later, or say with {recorded_option('flags')} which codes count"
            )
    if row.statistic is None or n.size < 2:
        return out
    if row.pools_itself:
        return out + _none_of_its_own(name, done, row, by)
    shares = [pair[0] for pair in done.shares() if pair is not None]
    least = row.minimum if shares else options.get("min_group", row.minimum)
    # Groups that are pooled have something of their own, unless all are so small that nothing tells it from noise.
    if not {"own", "merged"} & set(done.sources()) and max(shares, default=0.0) < NOTHING:
        most = "1 usable spot" if n.max() == 1 else f"{int(n.max())} usable spots"
        out.append(
            f"{name}: no group of {recorded_option('by', by)} has a fit of its own: the largest of {n.size} has "
            f"{most}, {row.name} wants {least}; name larger groups, or {recorded_option('by', 'array')}"
        )
    return out


def _none_of_its_own(name: str, done: WithinResult, row: Method, by: str) -> list[str]:
    """That groups which are pooled by the method itself all came out alike."""
    if {"own", "shrunk"} & set(done.sources()):
        return []
    return [
        f"{name}: the groups of {recorded_option('by', by)} differ by no more than chance, and {row.name} gives all of "
        "them the array's fit"
    ]


def channel_doubts(raw: RawArray) -> list[str]:
    """A second channel without signal of probes, as two-wavelength scans of protein arrays have it.

    Its foreground hardly differs between spots while the other channel's does, and has nothing in common with that:
    the two channels of a real pair share the amount of probe in a spot.
    """
    if raw.channels != ("R", "G"):
        return []
    step = max(1, raw.n_spots // LOOKED_AT)
    spread = [_spread(row[::step]) for row in raw.foreground]
    dark, lit = (0, 1) if spread[0] < spread[1] else (1, 0)
    if not (spread[dark] < DARK and spread[lit] > LIT):
        return []
    net = raw.foreground if raw.background is None else raw.foreground - raw.background
    if _rank_correlation(net) > TOGETHER:
        return []
    wavelength = raw.wavelengths[lit]
    how = recorded_option("channels", wavelength or raw.channels[lit])
    how += "" if wavelength else f" (of tables {recorded_option('columns')} E=TITLE)"
    which = raw.wavelengths[dark] or raw.channels[dark]
    return [
        f"{raw.whole}: channel {which} shows no signal of probes; this looks like an experiment of one channel, which "
        f"{how} reads"
    ]


def _spread(values: FloatArray) -> float:
    """Log of the ratio of the quartiles."""
    known = values[values > 0]
    if known.size < 4:
        return np.nan
    low, _, high = fit(known, Segments.single(known.size), "quantiles").points[0, 0]
    return float(np.log(high / low))


def _rank_correlation(rows: FloatArray) -> float:
    """Spearman's; equal values share their rank. 0 where a channel has only one value, or no spot has both."""
    known = rows[:, np.isfinite(rows).all(axis=0)]
    if not known.size:
        return 0.0
    ranks = np.stack([_ranks(row) for row in known])
    first, second = ranks - ranks.mean(axis=1, keepdims=True)
    size = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / size if size > 0 else 0.0


def _ranks(values: FloatArray) -> FloatArray:
    _, which, n = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(n) - (n - 1) / 2)[which])
