"""The matrices of a set, each declared once: what its numbers are, and which channel they belong to."""

from __future__ import annotations

from typing import NamedTuple

INTENSITIES, LEVELS = "intensities", "levels"
FOREGROUND, BACKGROUND, LEVEL, MEAN_LEVEL = "foreground", "background", "level", "mean level"
REPLICATES = "replicates"


class Matrix(NamedTuple):
    """One matrix of a set.

    ``role`` is ``foreground`` or ``background`` (intensities), ``level`` (what is normalized: M, or log2 E),
    ``mean level`` (A), or ``replicates`` (of rows made of several spots: how many, and how they agree). ``prefix`` and
    ``suffix`` stand before and after the array's name in the title of a column.
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
    >>> list(declared(("R", "G"), "levels")), list(declared(("635", "532", "594"), "levels"))  # doctest: +ELLIPSIS
    (['M', 'A', 'N', 'SD'], ['E.635', 'E.532', 'E.594', 'N.635', 'SD.635', ...])
    """
    if stage == INTENSITIES:
        fore = [Matrix(channel, FOREGROUND, channel) for channel in channels]
        return {m.name: m for m in (*fore, *(Matrix(f"{c}b", BACKGROUND, f"{c}b") for c in channels))}
    if channels == ("R", "G"):
        found = [Matrix("M", LEVEL, "M"), Matrix("A", MEAN_LEVEL, "A")]
    elif len(channels) == 1:
        found = [Matrix("E", LEVEL, "E")]
    else:
        found = [Matrix(f"E.{channel}", LEVEL, "E", f".{channel}") for channel in channels]
    more = [extra for m in found if m.role == LEVEL for extra in replicates_of(m, channels)]
    return {m.name: m for m in (*found, *more)}


def replicates_of(matrix: Matrix, channels: tuple[str, ...]) -> tuple[Matrix, ...]:
    """What a matrix of levels has beside it where rows are made of several spots; a ratio has no CV."""
    words = ("N", "SD") if channels == ("R", "G") else ("N", "SD", "CV")
    return tuple(Matrix(f"{word}{matrix.suffix}", REPLICATES, word, matrix.suffix) for word in words)
