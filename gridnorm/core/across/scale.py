"""One scale for all batch entries: each is divided by its own over their geometric mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from gridnorm.core.across.entries import Given, listed
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

    def check(self, sizes: Sequence[int], options: Mapping[str, Any]) -> str | None:
        """What is wrong with it as the scale of so many groups; None: nothing."""
        if self.mean_log.shape != (len(sizes),):
            return f"scales of shape {self.mean_log.shape}, expected ({len(sizes)},)"
        return "scales that are missing" if np.isnan(self.mean_log).any() else None


def _absolute(values: Any, segments: Segments, given: Given) -> Any:
    return fit(given.backend.xp.abs(values), segments, "median", use=given.use).location


def _spread(values: Any, segments: Segments, given: Given) -> Any:
    return fit(values, segments, "mad", use=given.use).scale


class Scaling(NamedTuple):
    """What the scale of a group is: ``measure(values, segments, given)``, (batch, segment), and its name."""

    name: str
    measure: Callable[[Any, Segments, Given], Any]

    def _logs(self, values: Any, segments: Segments, given: Given) -> Any:
        """Logarithm of the scale of each group, (batch, segment).

        Raises
        ------
        FitError
            A scale of 0: it would make a batch entry, or all others, vanish.
        """
        xp = given.backend.xp
        found = self.measure(values, segments, given)
        zero = found == 0
        if bool(zero.any()):
            raise FitError(
                f"the {self.name} is 0 in {listed(zero, segments, given)}, so there is no scale",
                hint="Leave it out, or choose another method",
            )
        # A group without items has no scale, and nothing that could be scaled.
        return xp.log(xp.where(found != found, 1.0, found))

    def learn(self, values: Any, segments: Segments, given: Given, options: dict[str, Any]) -> Scales:
        """The geometric mean of the scales of all entries."""
        total = given.backend.xp.zeros(segments.n_segments)
        for entry in range(values.shape[0]):
            total += self._logs(values[entry : entry + 1], segments, given.of(entry))[0]
        return Scales(total / values.shape[0])

    def toward(self, values: Any, segments: Segments, target: Scales, given: Given, options: dict[str, Any]) -> Any:
        """Values on the scale of the target."""
        xp = given.backend.xp
        codes = xp.asarray(segments.codes)
        for entry in range(values.shape[0]):
            logs = self._logs(values[entry : entry + 1], segments, given.of(entry))[0]
            values[entry] /= xp.exp(logs - xp.asarray(target.mean_log))[codes]
        return values


ABSOLUTE, SPREAD = Scaling("median absolute value", _absolute), Scaling("MAD", _spread)
