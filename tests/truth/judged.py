"""What a measurement of trust gives back: one figure beside the limit that it is held to."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Judged(NamedTuple):
    """One row of the table: ``topic`` and ``setting`` in words, the figure, its limit, and which side is good."""

    topic: str
    setting: str
    figure: str
    value: float
    sense: Literal["<=", ">="]
    limit: float

    @property
    def holds(self) -> bool:
        """NaN never holds."""
        return self.value <= self.limit if self.sense == "<=" else self.value >= self.limit
