"""From the words of ``--by`` to groups of spots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column
from gridnorm.core.option import TEXT, Kind, Option, Table, effective, nearest
from gridnorm.core.segments import Segments
from gridnorm.errors import LayoutError, OptionError, option_word
from gridnorm.plain import SHOWN_TITLES, few

WELLS = 384  # a microtitre plate of 16 × 24 wells
WINDOW_SPOTS = 150  # spots a print-order window holds at least
WHOLE = "none"
SPLITS = (WHOLE, "block", "pad")  # words of ``split`` that are no columns
SPLIT = Option(
    "split", TEXT, WHOLE, "none, block, pad or a spot column: every group of spots an array of its own.",
    metavar="GROUPS", check=bool, expected="none, block, pad, or a spot column",
)  # fmt: skip


class Spots(NamedTuple):
    """What a grouping may look at: spot columns, the layout (or None), the number of spots, the file for messages.

    ``option`` names the groupings, such as ``by``.
    """

    columns: Mapping[str, Column]
    layout: Layout | None
    n_spots: int
    file: str = ""
    options: Mapping[str, Any] = {}
    option: str = "by"

    def need_layout(self, word: str) -> Layout:
        """The layout.

        Raises
        ------
        LayoutError
            The file has no positions.
        """
        if self.layout is None:
            raise LayoutError(
                f"{option_word(self.option)} {word} needs the layout of the slide",
                file=self.file or None,
                found="no Block, Row and Column columns",
                hint=f"Name them with {option_word('columns')} Block=…,Row=…,Column=…, or group by a spot column",
            )
        return self.layout


class Grouping(NamedTuple):
    """One row of ``GROUPINGS``: ``labels`` gives one label a spot, from the spot columns that ``columns`` names too."""

    name: str
    labels: Callable[[Spots], NDArray[Any]]
    summary: str
    options: tuple[Option, ...] = ()
    columns: tuple[str, ...] = ()
    source: str = ""


By = str | Grouping | tuple[str | Grouping, ...]


def groups_kind(option: str) -> Kind:
    """How values of an option are read that names groups of spots as ``by`` does."""
    return Kind("a grouping", partial(_read_by, option), {"type": "string"}, _plain_by)


def _read_by(option: str, given: Any) -> Any:
    if given is None:
        raise ValueError
    words_of(given, option)
    return given


def _plain_by(by: Any) -> str:
    return by_text(by)


def group_spots(
    by: By,
    spots: Mapping[str, Column],
    layout: Layout | None,
    n_spots: int,
    file: str = "",
    options: Mapping[str, Any] | None = None,
    option: str = "by",
) -> Segments:
    """Groups of spots for ``by``; ``a,b`` crosses two groupings.

    Parameters
    ----------
    by
        ``print-tip``, ``array``, ``plate``, ``print-order``, ``pad``, ``slide-row``, ``slide-column``, or a column of
        the spot table (exact title first, then ignoring case); several joined by commas. Or a row of your own.
    spots
        Spot columns of the file.
    layout
        Needed by all but ``print-tip``, ``array`` and plain columns.
    options
        Of the groupings, as far as they are given.
    option
        The option that names the groupings, for messages.

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
    labels = []
    for word in words_of(by):
        row = grouping_of(word)
        if row is None:
            labels.append(spots[find_column(str(word), spots, file, option, groupings=True)])
        else:
            for column in row.columns:
                find_column(column, spots, file, option, groupings=True)
            taken = effective(row.options, options or {})
            labels.append(row.labels(Spots(spots, layout, n_spots, file, taken, option)))
    return Segments.from_labels(*labels)


def words_of(by: By, option: str = "by") -> tuple[str | Grouping, ...]:
    """The parts of ``by``.

    Raises
    ------
    OptionError
        A part is empty, or is neither a name nor a row.
    """
    parts = by if isinstance(by, tuple) and not isinstance(by, Grouping) else (by,)
    words: list[str | Grouping] = []
    for part in parts:
        words += [word.strip() for word in part.split(",")] if isinstance(part, str) else [GROUPINGS.check(part)]
    if not words or not all(words):
        raise OptionError(
            f"an empty name in {option_word(option)}",
            found=repr(by),
            expected="a grouping, or several joined by commas",
        )
    return tuple(words)


def by_text(by: By) -> str:
    """``by`` as the command line has it."""
    if isinstance(by, str):
        return by
    return ",".join(word if isinstance(word, str) else word.name for word in words_of(by))


def grouping_of(word: str | Grouping) -> Grouping | None:
    """The row that a part of ``by`` means; None for a column."""
    return GROUPINGS.get(word) if isinstance(word, str) else word


def grouping_options(by: By) -> tuple[Option, ...]:
    """The options that the groupings of ``by`` take."""
    rows = [grouping_of(word) for word in words_of(by)]
    return tuple({option.name: option for row in rows if row is not None for option in row.options}.values())


def needed_columns(by: By) -> tuple[str, ...]:
    """The spot columns that ``by`` looks at, for the reader."""
    needed: list[str] = []
    for word in words_of(by):
        row = grouping_of(word)
        needed += [str(word)] if row is None else row.columns
    return tuple(needed)


def find_column(
    word: str, spots: Iterable[str], file: str, option: str = "by", *, groupings: bool | None = None
) -> str:
    """The title that ``word`` means: exact, else the only one that agrees ignoring case.

    ``groupings``: whether ``option`` takes the names of groupings, too; None: as ``by`` does.

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
            f"{option_word(option)} is ambiguous",
            file=file or None,
            found=repr(word),
            expected="one of " + few(same),
        )
    grouped = option in ("by", "between_by") if groupings is None else groupings
    words = list(GROUPINGS) if grouped else list(SPLITS) if option == "split" else []
    near = nearest(word, [*words, *titles])
    hint = f"Did you mean {near!r}?" if near else "Spot columns here: " + (few(titles, SHOWN_TITLES) or "none")
    expected = ", ".join([*words, "or a spot column"]) if words else "a spot column"
    raise OptionError(
        f"{option_word(option)} names no column", file=file or None, found=repr(word), expected=expected, hint=hint
    )


def refuse_without_tips(by: By, spots: Iterable[str], titles: Iterable[str], file: str, option: str = "by") -> None:
    """Print-tips that somebody named need blocks: all spots as one group is not what was asked for.

    Parameters
    ----------
    by
        As it was given; whoever names nothing gets one group where there are no blocks.
    spots, titles
        Spot columns that were read, and every column of the file.

    Raises
    ------
    LayoutError
        The message lists the columns.
    """
    if any(grouping_of(word) == TIPS for word in words_of(by)) and "Block" not in spots:
        there = few(list(titles) or list(spots), SHOWN_TITLES)
        raise LayoutError(
            f"{option_word(option)} {TIPS.name} needs the block of every spot", file=file or None,
            found="no column Block",
            expected=f"it among {there}" if there else "one",
            hint=f"Name it with {option_word('columns')} Block=…, or group by a column or the whole array",
        )  # fmt: skip


def _print_tip(spots: Spots) -> NDArray[Any]:
    return spots.columns["Block"] if "Block" in spots.columns else np.ones(spots.n_spots, np.int64)


def _array(spots: Spots) -> NDArray[Any]:
    return np.ones(spots.n_spots, np.int64)


def _dips(spots: Spots, word: str) -> tuple[NDArray[np.int64], int]:
    """0-based position of each spot inside its block, in printing order, and the number of tips."""
    known = spots.need_layout(word)
    return print_index(spots.columns, known) - 1, int(known.blocks.size)


def print_index(spots: Mapping[str, Column], layout: Layout, *, from_right: bool = False) -> NDArray[np.int64]:
    """Place of each spot in the printing order of its block, from 1: row by row, from the left or the right.

    It is the number of the dip with which every tip printed its spot, the same for all tips.
    """
    column = np.asarray(spots["Column"], np.int64)
    across: NDArray[np.int64] = layout.spot_columns - column if from_right else column - 1
    return 1 + (np.asarray(spots["Row"], np.int64) - 1) * layout.spot_columns + across


def _plate(spots: Spots) -> NDArray[Any]:
    dip, tips = _dips(spots, "plate")
    return 1 + dip * tips // WELLS


def _print_order(spots: Spots) -> NDArray[Any]:
    dip, tips = _dips(spots, "print-order")
    per_window = -(-WINDOW_SPOTS // tips)
    windows = max(1, (int(dip.max(initial=0)) + 1) // per_window)
    # What is left over at the end is too small for a window of its own and joins the last one.
    return 1 + np.minimum(dip // per_window, windows - 1)


def _pad(spots: Spots) -> NDArray[Any]:
    known = spots.need_layout("pad")
    return known.pad_of_block[np.searchsorted(known.blocks, spots.columns["Block"])]


def _slide_row(spots: Spots) -> NDArray[Any]:
    return 1 + slide_position(spots.columns, spots.need_layout("slide-row"))[0]


def _slide_column(spots: Spots) -> NDArray[Any]:
    return 1 + slide_position(spots.columns, spots.need_layout("slide-column"))[1]


def slide_position(spots: Mapping[str, Column], layout: Layout) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every spot on the grid of the whole slide, 0-based."""
    return layout.slide_position(spots["Block"], spots["Row"], spots["Column"])


TIPS = Grouping(
    "print-tip",
    _print_tip,
    "the block that a spot was printed in; one group where there are no blocks and none named it",
)
GROUPINGS: Table[Grouping] = Table(
    "grouping",
    [
        TIPS,
        Grouping("array", _array, "all spots of the array"),
        Grouping("plate", _plate, "the microtitre plate of 384 wells that a spot came from"),
        Grouping("print-order", _print_order, "windows of dips that hold 150 spots or more"),
        Grouping("pad", _pad, "sub-arrays that wide gaps set apart"),
        Grouping("slide-row", _slide_row, "rows of the whole slide"),
        Grouping("slide-column", _slide_column, "columns of the whole slide"),
    ],
    functions=("labels",),
)
