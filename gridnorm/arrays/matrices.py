"""The matrices of a set, each declared once: what its numbers are, and which channel they belong to."""

from __future__ import annotations

from typing import NamedTuple

INTENSITIES, LEVELS = "intensities", "levels"
FOREGROUND, BACKGROUND, LEVEL, MEAN_LEVEL = "foreground", "background", "level", "mean level"


class Matrix(NamedTuple):
    """One matrix of a set.

    ``role`` is ``foreground`` or ``background`` (intensities), ``level`` (what is normalized: M, or log2 E) or
    ``mean level`` (A). ``prefix`` and ``suffix`` stand before and after the array's name in the title of a column.
    """

    name: str
    role: str
    prefix: str
    suffix: str = ""

    def title(self, array: str) -> str:
        """Title of the column of one array: ``M.slide1``, ``E.slide1.635``."""
        return f"{self.prefix}.{array}{self.suffix}"


def declared(channels: tuple[str, ...], stage: str) -> dict[str, Matrix]:
    """Every matrix that a set of these channels may have at a stage, by name, in the order of a table.

    Parameters
    ----------
    channels
        ``("R", "G")``, ``("E",)``, or the wavelengths of three and more.
    stage
        ``intensities`` (corrected for background or not) or ``levels`` (M and A, or log2 intensities).

    Examples
    --------
    >>> list(declared(("R", "G"), "levels")), list(declared(("635", "532", "594"), "levels"))
    (['M', 'A'], ['E.635', 'E.532', 'E.594'])
    """
    if stage == INTENSITIES:
        fore = [Matrix(channel, FOREGROUND, channel) for channel in channels]
        return {m.name: m for m in (*fore, *(Matrix(f"{c}b", BACKGROUND, f"{c}b") for c in channels))}
    if channels == ("R", "G"):
        return {"M": Matrix("M", LEVEL, "M"), "A": Matrix("A", MEAN_LEVEL, "A")}
    if len(channels) == 1:
        return {"E": Matrix("E", LEVEL, "E")}
    return {f"E.{channel}": Matrix(f"E.{channel}", LEVEL, "E", f".{channel}") for channel in channels}
