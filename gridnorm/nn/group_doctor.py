"""``doctor``: finds groups in which loud channels squash quiet ones, and proposes groups by variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.core.engines import backend_for
from gridnorm.core.fit import fit
from gridnorm.core.segments import IntArray, Segments, distinct
from gridnorm.core.spread import f_test, permutation_test, share_explained, tightest, whole_number
from gridnorm.errors import OptionError
from gridnorm.nn.labels import checked_labels, contiguous
from gridnorm.nn.plain import plain

SHOWN_GROUPS = 20
SHOWN_CHANNELS = 6
# Bounds the memory that reading activations takes; results do not depend on it.
_CHUNK = 1 << 22

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GroupFinding:
    """What the doctor found in one group; tuples go along ``channels``.

    Attributes
    ----------
    label
        Label of the group.
    channels
        Its channels.
    deviations
        Standard deviation of each channel over samples and positions; 0 for one without spread.
    after
        What is left of each deviation: divided by that of the group (pooled over samples, with eps), 1 where all
        channels are alike; 0 in a group that has one value a sample.
    ratio
        Largest over smallest deviation of the channels with spread; NaN where there is none.
    squashed, dominant
        Channels with spread whose ``after`` is below 1/limit, and the channels that do it: those of such a group
        whose ``after`` is above 1.
    levels
        Share of the group's variance that lies between the levels (means over all samples) of its channels. No
        grouping by variance removes it.
    """

    label: int
    channels: tuple[int, ...]
    deviations: tuple[float, ...]
    after: tuple[float, ...]
    ratio: float
    squashed: tuple[int, ...]
    dominant: tuple[int, ...]
    levels: float


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What ``doctor`` found; ``str()`` gives a table and a verdict.

    Attributes
    ----------
    groups
        One finding a group, in the order of the labels.
    limit
        Channels below 1/limit after normalization count as squashed.
    passed, constant
        Channels outside all groups (label −1), and grouped channels without spread.
    share, F, df1, df2, p, permutation_p
        Share of the variance of log-variances that lies between the groups, its F test and permutation test; NaN
        where there is nothing to test. High: the groups follow the variances. Both tests take channels for
        exchangeable: channels that resemble their neighbours make contiguous groups look as if they were meant.
    proposal
        int64 (C,): labels by variance; −1 where the groups have −1.
    proposal_share
        The share for the proposal. It was chosen to be largest, so there is no test of it.
    proposal_squashed
        Channels that are still squashed with the proposal.
    """

    groups: tuple[GroupFinding, ...]
    limit: float
    passed: tuple[int, ...]
    constant: tuple[int, ...]
    share: float
    F: float
    df1: float
    df2: float
    p: float
    permutation_p: float
    proposal: IntArray
    proposal_share: float
    proposal_squashed: tuple[int, ...]

    @property
    def squashed(self) -> tuple[int, ...]:
        """Squashed channels of all groups, ascending."""
        return tuple(sorted(channel for group in self.groups for channel in group.squashed))

    def __str__(self) -> str:
        return "\n".join([*_table(self), "", *_verdict(self)])


def doctor(
    x: Any,
    groups: Any,
    *,
    channel_axis: int = 1,
    batch_axes: Sequence[int] = (0,),
    limit: float = 4.0,
    num_groups: int | None = None,
    min_channels: int | None = None,
    eps: float = 1e-5,
    permutations: int = 999,
    seed: int = 0,
) -> Diagnosis:
    """Find groups in which a channel of high variance squashes its neighbours, and propose groups by variance.

    Group normalization divides all channels of a group by one standard deviation. A channel far below it leaves with
    almost no signal: its own standard deviation over the group's is what remains, and the rest that it shows is the
    group's mean, which the other channels make.

    Parameters
    ----------
    x
        Activations before group normalization, any number of axes, on NumPy or CuPy; NaN is left out.
    groups
        Integer labels (C,), −1 for channels that pass through; or a number of contiguous groups.
    channel_axis, batch_axes
        The axis of the channels; the axes of the samples, which are normalized one by one. All others are positions.
    limit
        A channel is squashed if its standard deviation is below 1/limit of its group's.
    num_groups
        Groups of the proposal; those of ``groups`` where not given.
    min_channels
        Fewest channels in a proposed group. Default: 1, or 2 where a sample has one position, since a group of one
        value is always normalized to 0.
    eps
        As in ``group_norm``.
    permutations, seed
        Of the permutation test.

    Returns
    -------
    Diagnosis

    Raises
    ------
    OptionError
        For labels or axes that do not fit ``x``, no channel with spread, or more groups than channels allow.

    Notes
    -----
    The proposal cuts the sorted log-variances where the spread within groups is smallest (exact k-means on a line):
    a cut into equal numbers would leave the few loud channels with quiet ones. Channels without spread join the
    quietest group. Such groups do not commute with rotations: keep ``orbits`` in an equivariant network.

    Examples
    --------
    >>> import numpy as np
    >>> loud = np.array([10, 10, 10, 0.1, 10, 10, 10, 0.1])
    >>> x = np.random.default_rng(0).normal(size=(4, 8, 16, 16)) * loud[:, None, None]
    >>> found = doctor(x, 2)
    >>> found.squashed, found.proposal.tolist()
    ((3, 7), [0, 0, 0, 1, 0, 0, 0, 1])
    """
    if not limit > 1:
        raise OptionError("limit must be above 1", found=str(limit))
    n, mean, deviation, positions = _channel_moments(x, channel_axis, batch_axes)
    channels = n.shape[1]
    labels = contiguous(channels, groups) if np.ndim(groups) == 0 else checked_labels(groups, channels)
    _, pooled = _pooled(n, mean, deviation)
    live = (labels >= 0) & (pooled > 0)
    if not live.any():
        raise OptionError("no channel in a group has any spread", expected="activations of a real batch")
    logs = 2 * np.log(np.where(live, pooled, 1.0))
    wanted = distinct(labels[labels >= 0])[0].size if num_groups is None else num_groups
    proposal = _proposal(logs, live, labels >= 0, wanted, _fewest(min_channels, positions, wanted, labels))

    after, levels = _after(n, mean, deviation, labels, eps)
    proposed, _ = _after(n, mean, deviation, proposal, eps)
    own, new = Segments.from_labels(labels[live]), Segments.from_labels(proposal[live])
    test = f_test(logs[live], own)
    return Diagnosis(
        groups=_findings(labels, pooled, after, levels, live, limit),
        limit=float(limit),
        passed=_numbers(labels < 0),
        constant=_numbers((labels >= 0) & ~live),
        share=float(share_explained(logs[live], own)[0]),
        F=float(test.F[0]),
        df1=float(test.df1[0]),
        df2=float(test.df2[0]),
        p=float(test.p[0]),
        permutation_p=float(permutation_test(logs[live], own, permutations=permutations, seed=seed)[0]),
        proposal=proposal,
        proposal_share=float(share_explained(logs[live], new)[0]),
        proposal_squashed=_numbers(live & (proposed < 1 / limit)),
    )


def _channel_moments(
    x: Any, channel_axis: int, batch_axes: Sequence[int]
) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """Count, mean and deviation of every channel in every sample, each (N, C) on the host, and positions a sample."""
    xp = backend_for(x).xp
    x = plain("x", x, xp)
    axes = [*batch_axes, channel_axis]
    if any(axis not in range(-x.ndim, x.ndim) for axis in axes) or len({axis % x.ndim for axis in axes}) < len(axes):
        found = f"channel_axis={channel_axis}, batch_axes={tuple(batch_axes)} for shape {x.shape}"
        raise OptionError("axes must be different axes of x", found=found)
    front = xp.moveaxis(x, axes, range(len(axes)))
    channels = front.shape[len(axes) - 1]
    if 0 in x.shape:
        raise OptionError("there are no activations to look at", found=f"shape {x.shape}")
    samples = front.reshape(-1, channels, x.size // (channels * int(np.prod(front.shape[: len(axes) - 1]))))
    each = Segments.uniform(channels, channels)
    step = max(_CHUNK // (x.size // samples.shape[0]), 1)
    parts = [fit(samples[k : k + step], each, "moments") for k in range(0, samples.shape[0], step)]

    def host(name: str) -> FloatArray:
        return np.concatenate([np.asarray(getattr(part, name).tolist(), np.float64) for part in parts])

    return host("n"), host("location"), host("scale"), samples.shape[2]


def _pooled(n: FloatArray, mean: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of every channel over all samples, each (C,), from those of each sample."""
    together = Segments.single(n.shape[0])
    means = fit(mean.T, together, "moments", weights=n.T)
    inside = fit(deviation.T**2, together, "moments", weights=n.T)
    return means.location[:, 0], np.sqrt(inside.location[:, 0] + means.scale[:, 0] ** 2)


def _after(
    n: FloatArray, mean: FloatArray, deviation: FloatArray, labels: IntArray, eps: float
) -> tuple[FloatArray, FloatArray]:
    """Deviation (C,) of every channel over that of its group, and share (groups,) between the levels of channels.

    The moments of channels are enough: those of a group in a sample follow from them.
    """
    inside = labels >= 0
    own = Segments.from_labels(labels[inside])
    n, mean, deviation = n[:, inside], mean[:, inside], deviation[:, inside]
    variance = fit(deviation**2, own, "moments", weights=n).location + fit(mean, own, "moments", weights=n).scale ** 2
    counts = backend_for(n).sums(np.ascontiguousarray(n)[:, :, None], own)
    total = np.nansum(counts * variance, axis=0) / np.maximum(counts.sum(axis=0), 1)
    level, pooled = _pooled(n, mean, deviation)
    between = fit(level, own, "moments", weights=n.sum(axis=0)).scale[0] ** 2
    divisor = np.sqrt(total + eps)
    # One value is its own mean: nothing of it is left, however small the divisor.
    alive = (counts.max(axis=0) > 1) & (divisor > 0)
    out = np.full(labels.size, np.nan)
    out[inside] = np.where(alive, 1 / np.where(alive, divisor, 1.0), 0.0)[own.codes] * pooled
    return out, np.where(total > 0, between / np.where(total > 0, total, 1.0), np.nan)


def _fewest(given: int | None, positions: int, num_groups: int, labels: IntArray) -> int:
    if given is not None:
        return whole_number("min_channels", given, 1)
    # One value a group is normalized to 0 whatever it was; the groups that are there may allow no better.
    return min(2 if positions == 1 else 1, max(int((labels >= 0).sum()) // max(num_groups, 1), 1))


def _proposal(
    logs: FloatArray, live: NDArray[np.bool_], inside: NDArray[np.bool_], num_groups: int, fewest: int
) -> IntArray:
    """Labels by variance, numbered by their smallest channel."""
    # A channel without spread fits any group; with the quietest it takes no part in the cut.
    quietest = logs[live].min()
    codes = tightest(np.where(live, logs, quietest)[inside], num_groups, fewest)
    _, first = np.unique(codes, return_index=True)
    place = np.empty(first.size, np.int64)
    place[np.argsort(first)] = np.arange(first.size)
    out = np.full(inside.size, -1, np.int64)
    out[inside] = place[codes]
    return out


def _findings(
    labels: IntArray, pooled: FloatArray, after: FloatArray, levels: FloatArray, live: NDArray[np.bool_], limit: float
) -> tuple[GroupFinding, ...]:
    out = []
    for k, label in enumerate(distinct(labels[labels >= 0])[0].tolist()):
        member = labels == label
        spread = pooled[member & live]
        squashed = _numbers(member & live & (after < 1 / limit))
        out.append(
            GroupFinding(
                label=label,
                channels=_numbers(member),
                deviations=tuple(pooled[member].tolist()),
                after=tuple(after[member].tolist()),
                ratio=float(spread.max() / spread.min()) if spread.size else float("nan"),
                squashed=squashed,
                dominant=_numbers(member & (after > 1)) if squashed else (),
                levels=float(levels[k]),
            )
        )
    return tuple(out)


def _numbers(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _table(found: Diagnosis) -> list[str]:
    """One line a group, the groups with most squashed channels first where there are many."""
    titles = ("group", "channels", "deviation", "ratio", "after", "levels", "squashed", "by")
    groups = list(found.groups)
    if len(groups) > SHOWN_GROUPS:
        groups = sorted(groups, key=lambda group: -len(group.squashed))[:SHOWN_GROUPS]
    rows = [titles, *(_row(group) for group in groups)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(titles))]
    right = {0, 1, 3, 5}
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    rest = len(found.groups) - len(groups)
    return [*lines, f"and {rest} more groups"] if rest else lines


def _row(group: GroupFinding) -> tuple[str, ...]:
    return (
        str(group.label),
        str(len(group.channels)),
        _range(group.deviations),
        "" if np.isnan(group.ratio) else f"{group.ratio:.3g}",
        _range(group.after),
        "" if np.isnan(group.levels) else f"{group.levels:.0%}",
        _some(group.squashed) or "none",
        _some(group.dominant),
    )


def _verdict(found: Diagnosis) -> list[str]:
    total = sum(len(group.channels) for group in found.groups)
    left, now = len(found.proposal_squashed), len(found.squashed)
    threshold = f"{1 / found.limit:.3g}"
    lines = []
    if now:
        verb = "is" if now == 1 else "are"
        lines.append(f"{now} of {_count(total, 'channel')} {verb} squashed: below {threshold} after normalization.")
        if left < now:
            lines.append(f"With groups by variance (.proposal) {left or 'none'} would be.")
        else:
            lines.append(f"Groups by variance (.proposal) are no help: {left} would be.")
    else:
        lines.append(f"No channel is squashed (below {threshold} after normalization): keep the groups.")
    if now and left:
        lines.append(
            "Those that stay: too few groups, channels whose means differ more than they vary (levels), a variance\n"
            "near eps, or a group of one value, which is always normalized to 0."
        )
    for channels, text in ((found.constant, "without spread"), (found.passed, "passed through")):
        if channels:
            lines.append(f"{_count(len(channels), 'channel')} {text}: {_some(channels)}.")
    if not np.isnan(found.share):
        lines.append(f"The groups explain {found.share:.0%} of the spread of log-variances{_tests(found)};")
        lines.append(f"the proposal explains {found.proposal_share:.0%}.")
    return lines


def _tests(found: Diagnosis) -> str:
    parts = [] if np.isnan(found.p) else [f"F {found.F:.3g}, p {found.p:.2g}"]
    parts += [] if np.isnan(found.permutation_p) else [f"by permutation p {found.permutation_p:.2g}"]
    return f" ({'; '.join(parts)})" if parts else ""


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} … {high}"


def _some(channels: Sequence[int]) -> str:
    shown = ", ".join(map(str, channels[:SHOWN_CHANNELS]))
    rest = len(channels) - SHOWN_CHANNELS
    return f"{shown} and {rest} more" if rest > 0 else shown


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
