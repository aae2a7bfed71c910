"""One scale for all batch entries: each is divided by the median of its absolute values over their geometric mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from gridnorm.core.across.entries import Given, lacking, listed
from gridnorm.core.fit import fit
from gridnorm.core.payload import floats, plain
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError


@dataclass(frozen=True, eq=False)
class Scales:
    """Mean logarithm of the entries' scales in each group, float64 (segment,)."""

    mean_log: Any

    def to_plain(self) -> dict[str, Any]:
        return {"mean_log": plain(self.mean_log)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        return cls(floats(plain["mean_log"]))


def _logs(values: Any, segments: Segments, given: Given) -> Any:
    """Logarithm of the median absolute value of each group, (batch, segment).

    Raises
    ------
    FitError
        A group without a value, or with a median of 0: it would make a batch entry, or all others, vanish.
    """
    xp = given.backend.xp
    found = fit(xp.abs(values), segments, "median", use=given.use).location
    lacking(found, segments, given)
    zero = found == 0
    if bool(zero.any()):
        raise FitError(
            f"the median absolute value is 0 in {listed(zero, segments, given)}, so there is no scale",
            hint="Leave it out, or choose another method",
        )
    return xp.log(found)


def learn(values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> Scales:
    """The geometric mean of the scales of all entries."""
    return Scales(_logs(values, segments, given).mean(axis=0))


def toward(values: Any, segments: Segments, target: Scales, given: Given, options: dict[str, Any]) -> Any:
    """Values on the scale of the target."""
    factor = given.backend.xp.exp(_logs(values, segments, given) - target.mean_log[None, :])
    return values / factor[:, given.backend.xp.asarray(segments.codes)]
