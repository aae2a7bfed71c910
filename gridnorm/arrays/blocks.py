"""What the blocks of an array look like: the same content again and again, or contents of their own.

Identical content is seen in the file. Whether identical blocks are samples or were printed by tips is not: whoever
reads the sentence decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, FloatArray, IntArray
from gridnorm.errors import recorded_option

IDENTITY = ("ID", "Name")  # the first of these that tells spots apart
_LEVELLED = f"{recorded_option('by', 'print-tip')} levels"
SHOWN_LEAST = 0.005  # of a distance of medians: what is not 0.00 in two decimals


class Contents(NamedTuple):
    """Blocks by what they hold.

    Attributes
    ----------
    of_block
        int64 (block,): number of its class; blocks of one class hold the same IDs at the same places.
    repeats
        How many blocks each class has, the largest first.
    pads
        Number of pads if there are several and all hold the same classes; else 0.
    """

    of_block: IntArray
    repeats: tuple[int, ...]
    pads: int

    @property
    def repeated(self) -> bool:
        """Whether most blocks hold what another one holds, too."""
        return 2 * sum(n for n in self.repeats if n > 1) > len(self.of_block)


def contents_of(spots: Mapping[str, Column], layout: Layout | None) -> Contents | None:
    """The classes of blocks; None where there are no blocks, or nothing that tells their spots apart.

    Examples
    --------
    >>> spots = {name: np.array(column) for name, column in {
    ...     "Block": [1, 1, 2, 2, 3, 3], "Row": [1, 1] * 3, "Column": [1, 2] * 3, "ID": list("abbaab")}.items()}
    >>> contents_of(spots, None)
    Contents(of_block=array([0, 1, 0]), repeats=(2, 1), pads=0)
    """
    names = [name for name in IDENTITY if name in spots and bool((spots[name] != spots[name][:1]).any())]
    if not names or not all(key in spots for key in ("Block", "Row", "Column")):
        return None
    block, row, column, identity = (spots[key] for key in ("Block", "Row", "Column", names[0]))
    order = np.lexsort((column, row, block))
    starts = np.flatnonzero(np.diff(block[order], prepend=block[order[:1]] - 1))
    classes: dict[bytes, int] = {}
    found = []
    for part in np.split(order, starts[1:]):
        key = b"".join(np.ascontiguousarray(each[part]).tobytes() for each in (row, column, identity))
        found.append(classes.setdefault(key, len(classes)))
    repeats = sorted(Counter(found).values(), reverse=True)
    return Contents(np.array(found, np.int64), tuple(repeats), _same_pads(found, layout))


def same_content(spots: Mapping[str, Column], layout: Layout | None) -> str:
    """That all blocks hold the same IDs, in a sentence; empty where they do not, as on nearly every array.

    Of two channels nobody would look for samples in blocks otherwise: print-tips are levelled there anyway.
    """
    names = [name for name in IDENTITY if name in spots]
    if layout is None or layout.blocks.size < 2 or not names:
        return ""
    # Most arrays are told apart by their first spot alone.
    if not any(np.count_nonzero(spots[name] == spots[name][0]) >= layout.blocks.size for name in names):
        return ""
    contents = contents_of(spots, layout)
    if contents is None or len(contents.repeats) > 1:
        return ""
    return (
        f"{_repeats(contents)}: sub-arrays of several samples? {recorded_option('split', 'block')} makes each an array"
    )


def _same_pads(found: list[int], layout: Layout | None) -> int:
    """The number of pads if all hold the same classes, each as often."""
    if layout is None or layout.n_pads < 2 or layout.blocks.size != len(found):
        return 0
    pads: list[Counter[int]] = [Counter() for _ in range(layout.n_pads)]
    for pad, kind in zip(layout.pad_of_block.tolist(), found, strict=True):
        pads[pad - 1][kind] += 1
    return len(pads) if all(pad == pads[0] for pad in pads) else 0


def blocks_in_words(spots: Mapping[str, Column], layout: Layout | None, shifts: FloatArray) -> str:
    """What the blocks look like, and which options follow from it; empty where there is nothing to tell.

    That is so of one block, and of blocks of unequal contents whose medians are equal, or unknown.

    Parameters
    ----------
    spots, layout
        Of the array.
    shifts
        float64 (block,): medians of the blocks' levels, in log2; NaN where there is none.
    """
    if shifts.size < 2:
        return ""
    contents = contents_of(spots, layout)
    if contents is not None and contents.repeated:
        of_block = contents.of_block
        apart = max(_range(shifts[of_block == kind]) for kind in range(len(contents.repeats)))
        whose = "" if len(contents.repeats) == 1 else " within a content"
        split = recorded_option("split", "pad" if contents.pads else "block")
        text = f"{_repeats(contents)}: sub-arrays? {split} makes each an array"
        if apart < SHOWN_LEAST:
            return text
        return f"{text}; {_LEVELLED} the blocks' medians, which lie up to {apart:.2f} apart{whose}"
    apart = _range(shifts)
    if apart < SHOWN_LEAST:
        return ""
    return (
        f"the medians of its {shifts.size} blocks lie up to {apart:.2f} apart; where blocks are print-tips, "
        f"{_LEVELLED} them"
    )


def _range(values: FloatArray) -> float:
    """How far the known ones lie apart; 0 where that is not known, or nothing."""
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if known.size else 0.0


def _repeats(contents: Contents) -> str:
    blocks, kinds = len(contents.of_block), len(contents.repeats)
    most, least = contents.repeats[0], contents.repeats[-1]
    if kinds == 1:
        text = f"{blocks} blocks hold the same IDs"
    else:
        text = f"{blocks} blocks have {kinds} contents, {'' if most == least else 'up to '}{most} times each"
    return text + (f", alike in each of {contents.pads} pads" if contents.pads else "")
