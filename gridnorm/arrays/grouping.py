"""From the words of ``--by`` to groups of spots."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column
from gridnorm.core.segments import Segments
from gridnorm.errors import LayoutError, OptionError

WELLS = 384  # a microtitre plate of 16 × 24 wells
SHOWN_TITLES = 12  # of a file, in a message
WINDOW_SPOTS = 150  # spots a print-order window holds at least


def group_spots(by: str, spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str = "") -> Segments:
    """Groups of spots for ``by``; ``a,b`` crosses two groupings.

    Parameters
    ----------
    by
        ``print-tip``, ``array``, ``plate``, ``print-order``, ``pad``, ``slide-row``, ``slide-column``, or a column of
        the spot table (exact title first, then ignoring case); several joined by commas.
    spots
        Spot columns of the file.
    layout
        Needed by all but ``print-tip``, ``array`` and plain columns.

    Raises
    ------
    OptionError
        No such column; the message lists what there is and the nearest name.
    LayoutError
        The grouping needs positions that the file does not have.

    Examples
    --------
    >>> spots = {"Block": np.array([1, 1, 2]), "ID": np.array([b"x", b"y", b"x"])}
    >>> group_spots("print-tip", spots, None, 3).labels
    (1, 2)
    >>> group_spots("id,Block", spots, None, 3).labels
    (('x', 1), ('x', 2), ('y', 1))
    """
    words = [word.strip() for word in by.split(",")]
    if not all(words):
        raise OptionError("an empty name in --by", found=repr(by), expected="a grouping, or several joined by commas")
    return Segments.from_labels(*(_labels(word, spots, layout, n_spots, file) for word in words))


def needed_columns(by: str) -> tuple[str, ...]:
    """The words of ``by`` that are spot columns, for the reader."""
    return tuple(word for word in (w.strip() for w in by.split(",")) if word and word not in GROUPINGS)


def _labels(word: str, spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    known = GROUPINGS.get(word)
    if known is None:
        return spots[find_column(word, spots, file)]
    return known(spots, layout, n_spots, file)


def find_column(word: str, spots: Iterable[str], file: str, option: str = "--by") -> str:
    """The title that ``word`` means: exact, else the only one that agrees ignoring case.

    Raises
    ------
    OptionError
        None or several agree; the message lists the columns or the nearest name.
    """
    titles = list(spots)
    if word in titles:
        return word
    same = [name for name in titles if name.lower() == word.lower()]
    if len(same) == 1:
        return same[0]
    if same:
        raise OptionError(
            f"{option} is ambiguous", file=file or None, found=repr(word), expected="one of " + ", ".join(same)
        )
    import difflib

    groupings = list(GROUPINGS) if option == "--by" else []
    near = difflib.get_close_matches(word, [*groupings, *titles], n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}?" if near else "Spot columns here: " + (_listed(titles) or "none")
    expected = ", ".join([*groupings, "or a spot column"]) if groupings else "a spot column"
    raise OptionError(f"{option} names no column", file=file or None, found=repr(word), expected=expected, hint=hint)


def _listed(titles: list[str]) -> str:
    more = len(titles) - SHOWN_TITLES
    return ", ".join(titles[:SHOWN_TITLES]) + (f" and {more} more" if more > 0 else "")


def _print_tip(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    if "Block" in spots:
        return spots["Block"]
    return np.ones(n_spots, np.int64)


def _array(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    return np.ones(n_spots, np.int64)


def _dips(spots: dict[str, Column], layout: Layout | None, file: str, word: str) -> tuple[NDArray[np.int64], int]:
    """0-based position of each spot inside its block, in printing order, and the number of tips."""
    known = _need(layout, file, word)
    return (spots["Row"] - 1) * known.spot_columns + spots["Column"] - 1, int(known.blocks.size)


def _plate(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    dip, tips = _dips(spots, layout, file, "plate")
    return 1 + dip * tips // WELLS


def _print_order(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    dip, tips = _dips(spots, layout, file, "print-order")
    per_window = -(-WINDOW_SPOTS // tips)
    windows = max(1, (int(dip.max(initial=0)) + 1) // per_window)
    # What is left over at the end is too small for a window of its own and joins the last one.
    return 1 + np.minimum(dip // per_window, windows - 1)


def _pad(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    known = _need(layout, file, "pad")
    return known.pad_of_block[np.searchsorted(known.blocks, spots["Block"])]


def _slide_row(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    return 1 + slide_position(spots, _need(layout, file, "slide-row"))[0]


def _slide_column(spots: dict[str, Column], layout: Layout | None, n_spots: int, file: str) -> NDArray[Any]:
    return 1 + slide_position(spots, _need(layout, file, "slide-column"))[1]


def slide_position(spots: dict[str, Column], layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every spot on the grid of the whole slide, 0-based."""
    return layout.slide_position(spots["Block"], spots["Row"], spots["Column"])


def _need(layout: Layout | None, file: str, word: str) -> Layout:
    if layout is None:
        raise LayoutError(
            f"--by {word} needs the layout of the slide",
            file=file or None,
            found="no Block, Row and Column columns",
            hint="Name them with --columns Block=…,Row=…,Column=…, or group by a spot column",
        )
    return layout


GROUPINGS: dict[str, Callable[[dict[str, Column], Layout | None, int, str], NDArray[Any]]] = {
    "print-tip": _print_tip,
    "array": _array,
    "plate": _plate,
    "print-order": _print_order,
    "pad": _pad,
    "slide-row": _slide_row,
    "slide-column": _slide_column,
}
