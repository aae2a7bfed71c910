"""What the methods across batch entries are given beside values and groups, and how they name an entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gridnorm.core.engines import Backend
from gridnorm.core.segments import Segments
from gridnorm.plain import WHOLE, few


class Given(NamedTuple):
    """Weights and use, (batch, item) or None; the backend; and what each batch entry is called in messages.

    ``covariate``: float64 (item,), where the method takes one.
    """

    backend: Backend
    names: Sequence[str]
    weights: Any = None
    use: Any = None
    covariate: Any = None

    def of(self, entry: int) -> Given:
        """What is given of one entry."""
        part = slice(entry, entry + 1)
        return self._replace(
            names=self.names[part],
            weights=None if self.weights is None else self.weights[part],
            use=None if self.use is None else self.use[part],
        )

    def observed(self, values: Any) -> Any:
        """Which values count: finite and used, bool (batch, item)."""
        finite = self.backend.xp.isfinite(values)
        return finite if self.use is None else finite & self.use


def listed(which: Any, segments: Segments, given: Given) -> str:
    """Names of marked (batch, segment) entries: ``a, b and 3 more``, with their group where there are several."""
    found = zip(*(part.tolist() for part in which.nonzero()), strict=True)
    several = segments.n_segments > 1
    # Two channels of one array are two entries of one name.
    said = dict.fromkeys(given.names[b] + f" (group {segments.labels[g]})" * several for b, g in found)
    return few(said, widest=WHOLE)
