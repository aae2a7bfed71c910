"""What the methods across batch entries are given beside values and groups, and how they name an entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gridnorm.core.engines import Backend
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError

SHOWN_ENTRIES = 3  # in a message


class Given(NamedTuple):
    """Weights and use, (batch, item) or None; the backend; and what each batch entry is called in messages."""

    backend: Backend
    names: Sequence[str]
    weights: Any = None
    use: Any = None

    def observed(self, values: Any) -> Any:
        """Which values count: finite and used, bool (batch, item)."""
        finite = self.backend.xp.isfinite(values)
        return finite if self.use is None else finite & self.use


def listed(which: Any, segments: Segments, given: Given) -> str:
    """Names of marked (batch, segment) entries: ``a, b and 3 more``, with their group where there are several."""
    found = [(int(b), int(g)) for b, g in zip(*(part.tolist() for part in which.nonzero()), strict=True)]
    names = [
        given.names[b] + (f" (group {segments.labels[g]})" if segments.n_segments > 1 else "")
        for b, g in found[:SHOWN_ENTRIES]
    ]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def lacking(found: Any, segments: Segments, given: Given) -> None:
    """Refuse entries (batch, segment) that are NaN.

    Raises
    ------
    FitError
        Naming them.
    """
    missing = found != found
    if bool(missing.any()):
        raise FitError(
            f"no usable value in {listed(missing, segments, given)}",
            hint="Leave it out; check flags, weights and the background method",
        )
