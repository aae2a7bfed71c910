"""What to do with groups that hold too few values for a fit of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gridnorm.core.engines import Backend, backend_for
from gridnorm.core.fit import MERGED, WHOLE_FIT, Fit, fit, pick
from gridnorm.core.pooling import Asked, pooled
from gridnorm.core.segments import Segments, label_text
from gridnorm.core.statistic import Statistic
from gridnorm.errors import FitError, OptionError, option_word
from gridnorm.plain import few

RULES = ("own", "whole", "merge", "shrink", "error")


def replace_small(
    own: Fit,
    values: Any,
    segments: Segments,
    minimum: int,
    rule: str,
    *,
    statistic: Statistic,
    position: Any = None,
    arguments: dict[str, Any],
    least: int | None = None,
) -> Fit:
    """Replace the fits of groups with fewer than ``minimum`` values.

    Parameters
    ----------
    own
        Fits of the groups themselves.
    values
        (batch, item), as they were fitted.
    minimum
        Smallest number of values a group needs.
    rule
        ``own``: no rule. ``whole``: the fit of all items of that batch entry. ``merge``: the group is pooled with the
        nearest group that is large enough, and both take the pooled fit. ``shrink``: the fit of the whole, moved toward
        the group's own level and shape as far as its size supports them (``pooling``). ``error``: refuse.
    statistic
        What was fitted.
    position
        (item, 2) coordinates; ``merge`` measures between the groups' centres.
    arguments
        What ``fit`` was called with: ``covariate``, ``weights``, ``use`` and its options.
    least
        Smallest number of values of a batch entry; None for ``minimum``.

    Raises
    ------
    FitError
        For ``error``, and where even the whole has fewer than ``least`` values.
    """
    if rule not in RULES:
        raise OptionError("unknown rule for small groups", found=repr(rule), expected=", ".join(RULES))
    if rule == "own":
        return own
    backend = backend_for(values)
    small = own.n < minimum
    refuse_tiny(own, minimum if least is None else least, small.any(axis=1), f" ({option_word('min_group')})")
    if rule == "error":
        _refuse(own, segments, small, minimum)
    if rule == "merge":
        return _merge(own, values, segments, small, statistic, position, arguments)
    if rule == "shrink":
        return pooled(own, values, segments, Asked(statistic, minimum, arguments), backend)
    whole = fit(values, Segments.single(segments.n_items), statistic, **arguments)
    return _with_whole(own, whole, small, backend)


def refuse_tiny(own: Fit, least: int, some: Any = True, limit: str = "") -> None:
    """Refuse batch entries, of ``some`` only, that have fewer than ``least`` values in all groups together.

    Raises
    ------
    FitError
    """
    total = own.n.sum(axis=1)
    if bool(((total < least) & some).any()):
        raise FitError(
            "too few usable values for this method",
            found=f"{int(total.min())} in all groups together",
            expected=f"at least {least}",
            hint="Choose a simpler method such as median" + (f", or lower the limit{limit}" if limit else ""),
        )


def _refuse(own: Fit, segments: Segments, small: Any, minimum: int) -> None:
    named = [
        f"{label_text(segments.labels[g])} ({int(own.n[b, g])})"
        for b, g in zip(*(i.tolist() for i in small.nonzero()), strict=True)
    ]
    groups = "1 group has" if len(named) == 1 else f"{len(named)} groups have"
    raise FitError(f"{groups} fewer than {minimum} usable values", found=few(named))


def _with_whole(own: Fit, whole: Fit, small: Any, backend: Backend) -> Fit:
    xp = backend.xp
    batch, groups = small.shape
    rows = xp.arange(batch * groups).reshape(batch, groups)
    index = xp.where(small, xp.arange(batch)[:, None], rows)
    source = xp.where(small, WHOLE_FIT, own.source).astype(own.source.dtype)
    # The number of values stays the group's own: a report must show why it was replaced.
    return replace(pick([own, whole], small.astype(int), index, source), n=own.n)


def _merge(
    own: Fit,
    values: Any,
    segments: Segments,
    small: Any,
    statistic: Statistic,
    position: Any,
    arguments: dict[str, Any],
) -> Fit:
    if position is None:
        raise OptionError(
            "groups can be merged only where their positions are known",
            hint=f"Choose another rule for small groups ({option_word('small_groups')})",
        )
    backend = backend_for(values)
    xp = backend.xp
    centre = fit(xp.asarray(position, dtype=xp.float64).T, segments, "moments").location
    rows: list[Fit] = []
    for b in range(small.shape[0]):
        if not bool(small[b].any()):
            rows.append(_row(own, b, backend))
            continue
        target = _nearest(centre, small[b], own, segments, xp)
        used = xp.unique(target)
        pool = xp.searchsorted(used, target)
        on_host = np.array(pool.tolist(), np.int64)  # segments are made on the host, wherever the values lie
        merged = Segments.from_codes(on_host[segments.codes], [segments.labels[g] for g in used.tolist()])
        one = {
            key: value[b : b + 1] if key in ("covariate", "weights", "use") and value is not None else value
            for key, value in arguments.items()
        }
        pooled = fit(values[b : b + 1], merged, statistic, **one)
        index = pool[None, :]
        joined = xp.bincount(target, minlength=segments.n_segments) > 1
        source = xp.where(joined[target], MERGED, 0)[None, :].astype(own.source.dtype)
        spread = pick([pooled], xp.zeros_like(index), index, source)
        rows.append(replace(spread, n=own.n[b : b + 1], labels=own.labels))
    return _stack(rows, backend)


def _nearest(centre: Any, small: Any, own: Fit, segments: Segments, xp: Any) -> Any:
    """For every group the group whose fit it takes: itself, or the nearest large one (lowest number at ties)."""
    large = (~small).nonzero()[0]
    if large.size == 0:
        raise FitError(
            "no group is large enough to merge the small ones with",
            found=f"largest group: {int(own.n.max())} usable values",
            hint=f"Choose another rule for small groups ({option_word('small_groups')}), or lower the limit "
            f"({option_word('min_group')})",
        )
    distance = xp.hypot(centre[0][:, None] - centre[0][large], centre[1][:, None] - centre[1][large])
    distance = xp.where(xp.isfinite(distance), distance, xp.inf)
    return xp.where(small, large[distance.argmin(axis=1)], xp.arange(segments.n_segments))


def _row(own: Fit, b: int, backend: Backend) -> Fit:
    groups = own.n.shape[1]
    index = backend.xp.arange(b * groups, (b + 1) * groups)[None, :]
    return pick([own], backend.xp.zeros_like(index), index, own.source[b : b + 1])


def _stack(rows: list[Fit], backend: Backend) -> Fit:
    if len(rows) == 1:
        return rows[0]
    xp = backend.xp
    groups = rows[0].n.shape[1]
    which = xp.repeat(xp.arange(len(rows))[:, None], groups, axis=1)
    index = xp.repeat(xp.arange(groups)[None, :], len(rows), axis=0)
    return pick(rows, which, index, xp.concatenate([row.source for row in rows]))
