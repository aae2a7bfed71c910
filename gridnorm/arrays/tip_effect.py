"""Whether print-tips differ beyond what intensity and place on the slide explain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.grouping import slide_position
from gridnorm.arrays.layout import Layout
from gridnorm.arrays.raw import Column, FloatArray, IntArray
from gridnorm.core.apply import apply
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.core.spread.ranking import Rank, rank_among

DEGREE = 3  # of the surface, in row and column together
MOST_SHIFTS = 600  # lattices to compare with; of more, evenly chosen ones
FEWEST_SHIFTS = 19  # with fewer, no p could be 0.05
LEAST_SPOTS = 50  # five for each term of the surface
# Rows and columns of blocks of which one must be as many, or both: of fewer a surface takes more than of the shifted
# lattices, which cut further blocks at the edges (2 × 2 blocks were named on 10 to 20 of 100 slides without tips).
LONG, BOTH = 4, 3
_CLIP = 3.0  # robust standard deviations, beyond which a spot counts as if it lay there
_PASSES = 3
_ROUNDING = 1e-12  # of the largest value: what curve and surface leave where they explain everything


def tip_effect(
    values: FloatArray,
    level: FloatArray | None,
    spots: Mapping[str, Column],
    layout: Layout,
    use: NDArray[np.bool_],
) -> Rank | None:
    """What blocks explain after an intensity curve and a smooth surface, ranked among the same lattice elsewhere.

    The lattice of blocks is shifted over the slide by every number of rows and columns below the size of a block, and
    cut at the edges of the slide. Each shift gives groups of the same shape that meet the same trends, neighbours and
    outliers, but no print-tips.

    Parameters
    ----------
    values
        float64 (spot,): M, or log2 intensities of one channel.
    level
        float64 (spot,): A, for two channels.
    spots, layout
        Where the spots lie.
    use
        bool (spot,): spots that count.

    Returns
    -------
    Rank or None
        None for fewer than 3 × 3 blocks that are not four or more in a row or column, for blocks too small for 19
        shifts, and for fewer than 50 usable spots. NaN where curve and surface
        leave nothing.

    Examples
    --------
    >>> import gridnorm as gn
    >>> made = gn.simulate(1, blocks=(4, 2), spots=(8, 8), tip_offset_sd=2.0, seed=1)
    >>> everything = made.flags[0] == 0
    >>> found = tip_effect(made.bias[0], None, made.arrays.raw(0).spots, made.arrays.layout, everything)
    >>> found.alternatives
    63
    """
    use = use & np.isfinite(values)
    if level is not None:
        use = use & np.isfinite(level)
    shifts = list(lattice_shifts(layout))
    if not _enough(layout) or len(shifts) < FEWEST_SHIFTS or np.count_nonzero(use) < LEAST_SPOTS:
        return None
    rounding = _ROUNDING * float(np.abs(values[use]).max())
    if level is not None:
        whole = Segments.single(values.size)
        curve = fit(values, whole, "lowess", covariate=level, use=use)
        values = apply(values, whole, curve, "subtract", covariate=level)
    row, column = slide_position(spots, layout)
    left = without_surface(values, row, column, use)
    left[np.abs(left) <= rounding] = 0.0
    lattices = (shifted_lattice(row, column, layout, *shift) for shift in shifts)
    return rank_among(left, Segments.from_labels(spots["Block"]), lattices, use=use)


def _enough(layout: Layout) -> bool:
    """Whether there are blocks enough for shifted lattices to be like the true one."""
    lines = layout.grid_rows, layout.grid_columns
    return layout.blocks.size > 1 and (max(lines) >= LONG or min(lines) >= BOTH)


def lattice_shifts(layout: Layout) -> Iterator[tuple[int, int]]:
    """Rows and columns to shift the lattice of blocks by, none of them (0, 0); at most 600."""
    rows = layout.spot_rows if layout.grid_rows > 1 else 1
    columns = layout.spot_columns if layout.grid_columns > 1 else 1
    step = max(1, -(-(rows * columns - 1) // MOST_SHIFTS))
    for number in range(1, rows * columns, step):
        yield divmod(number, columns)


def shifted_lattice(row: IntArray, column: IntArray, layout: Layout, down: int, right: int) -> IntArray:
    """Block that each spot would belong to, int64 (spot,), if the lattice lay further down and to the right."""
    down_to = (row + layout.spot_rows - down) // layout.spot_rows
    right_to = (column + layout.spot_columns - right) // layout.spot_columns
    return down_to * (layout.grid_columns + 1) + right_to


def without_surface(values: FloatArray, row: IntArray, column: IntArray, use: NDArray[np.bool_]) -> FloatArray:
    """Values without a surface of the third degree over the slide, outliers drawn in; missing where not used."""
    out = np.full(values.size, np.nan)
    y, x = _unit(row), _unit(column)
    powers = [y**i * x**j for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    # One row or column: powers of a constant; an orthonormal basis of what is left.
    basis, sizes, _ = np.linalg.svd(np.stack(powers, axis=1)[use], full_matrices=False)
    basis = basis[:, sizes > sizes[0] * 1e-10]
    drawn = _drawn_in(values[use])
    for _ in range(_PASSES):
        surface = basis @ (basis.T @ drawn)
        drawn = surface + _drawn_in(values[use] - surface)
    out[use] = drawn - basis @ (basis.T @ drawn)
    return out


def _unit(place: IntArray) -> FloatArray:
    """Places as −1…1."""
    low, high = int(place.min(initial=0)), int(place.max(initial=0))
    return (2.0 * place - low - high) / max(high - low, 1)


def _drawn_in(values: FloatArray) -> FloatArray:
    """Values with those beyond three robust standard deviations drawn in to there."""
    spread = fit(values, Segments.single(values.size), "mad")
    middle, reach = float(spread.location[0, 0]), _CLIP * float(spread.scale[0, 0])
    return np.clip(values, middle - reach, middle + reach) if reach > 0 else values
