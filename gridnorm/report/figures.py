"""MA plot by group, before and after: does normalization remove what the groups brought in?

Groups keep one colour throughout, ordered by their shift before normalization: a fan of colours that closes into one
line has been normalized; colours that stay apart have not.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.raw import FloatArray
from gridnorm.arrays.within import spread_of
from gridnorm.core.apply import evaluate
from gridnorm.core.fit import fit, median_of
from gridnorm.errors import OptionError, OutputError
from gridnorm.report.panels import Panel, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMS = ("png", "svg", "pdf")
# No date and no version of a library goes into the file: same result, same picture.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
MOST_CURVES = 64
MOST_ARRAYS = 16
FEWEST_SPOTS = 30  # a curve through fewer shows noise
SPOT, PALE, INK, SOFT = "#c3c7cd", "#e6e8eb", "#22262b", "#6b7280"
BACK = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
STYLE: dict[str, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.hashsalt": "gridnorm",
}


def check_figure(path: str) -> str:
    """The format of a figure, by its suffix; asked before anything is computed.

    Raises
    ------
    OptionError
        Another suffix than ``.png``, ``.svg`` or ``.pdf``.
    OutputError
        matplotlib is not installed.
    """
    name = Path(path).name
    form = Path(path).suffix.lower().lstrip(".")
    if form not in FORMS:
        raise OptionError("unknown format of a figure", file=name, expected=", ".join(f".{known}" for known in FORMS))
    if find_spec("matplotlib") is None:
        what = "figures need matplotlib, which is not installed"
        raise OutputError(what, file=name, hint='pip install "gridnorm[report]"')
    return form


def figure_bytes(figure: Figure, form: str) -> bytes:
    """A figure as the bytes of a ``png``, ``svg`` or ``pdf`` file; the same figure gives the same bytes."""
    handle = io.BytesIO()
    with _style():
        figure.savefig(handle, format=form, dpi=144, metadata=_METADATA[form])
    return handle.getvalue()


def ma_by_group(results: ArraySet | Sequence[ArraySet], *, by: str | None = None, total: int | None = None) -> Figure:
    """MA plot by group, before and after normalization.

    Two channels: the first array as M over A, a curve (lowess, span 0.3) through each group and each group's median at
    the right edge. Several arrays, or one channel: below it the group medians of every array, before and after.

    Parameters
    ----------
    results
        A normalized set, or several that share no spots.
    by
        What the groups are called in titles; None: as the history tells.
    total
        Number of arrays of which ``results`` are the first, where they are not all.

    Returns
    -------
    matplotlib.figure.Figure
        Drawn with the Agg canvas; no window is opened and no global state of pyplot is touched.

    Raises
    ------
    OptionError
        The set has not been normalized within arrays.
    OutputError
        matplotlib is not installed.

    Examples
    --------
    >>> import gridnorm as gn
    >>> result = gn.normalize(gn.simulate(2, blocks=(2, 2), spots=(15, 15), seed=1).arrays)
    >>> figure = ma_by_group(result)  # doctest: +SKIP
    >>> figure.savefig("ma.png")  # doctest: +SKIP
    """
    check_figure("figure.png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = panels_of(results, by)
    first = panels[0]
    total = len(panels) if total is None else total
    strip = first.covariate is None or total > 1
    with _style():
        ma = first.covariate is not None
        engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        figure = Figure(figsize=(11.0, 4.6 * ma + 2.7 * strip + 0.3), layout=engine)
        FigureCanvasAgg(figure)
        parts = figure.subfigures(ma + strip, 1, height_ratios=[4.6] * ma + [2.7] * strip, squeeze=False)[:, 0]
        if first.covariate is not None:
            _ma(parts[0], first, first.covariate)
        if strip:
            _strip(parts[-1], panels[:MOST_ARRAYS], total)
    return figure


def _style() -> Any:
    """Matplotlib's own defaults and ours: a style of the user's must not change the picture."""
    import matplotlib as mpl

    # Reading the default backend would import pyplot.
    style: Any = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name != "backend"}
    return mpl.rc_context(style | STYLE)


def _ma(part: Any, panel: Panel, a: FloatArray) -> None:
    """M over A of one array, before and after, on one M axis."""
    part.suptitle(_heading(panel), x=0.012, ha="left", fontsize=12.5, fontweight="bold")
    part.text(0.988, 0.985, _legend(panel), ha="right", va="top", fontsize=9, color=SOFT)
    axes = part.subplots(1, 4, sharey=True, width_ratios=[1, 0.1, 1, 0.1])
    colours = group_colours(panel.before)
    low, high = _limits(panel)
    sides = [("Before", panel.start, panel.before), ("After", panel.values, panel.after)]
    for (title, values, medians), axis, edge in zip(sides, axes[::2], axes[1::2], strict=True):
        _points(axis, panel, a, values, low, high)
        _curves(axis, panel, a, values, colours)
        _edge(edge, medians, colours)
        axis.set_title(f"{title}: {_named(medians, panel.noun)}")
        # A before a method between arrays is not kept.
        axis.set_xlabel("A, mean log₂ intensity" + ("" if panel.between == "none" else f", after {panel.between}"))
        axis.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=4)
    axes[0].set_ylim(low, high)
    axes[0].set_ylabel("M, log₂ R/G")
    axes[1].set_xlabel("medians", color=SOFT, fontsize=8.5)
    axes[3].set_xlabel("medians", color=SOFT, fontsize=8.5)


def _points(axis: Axes, panel: Panel, a: FloatArray, m: FloatArray, low: float, high: float) -> None:
    """The spots: grey those that the fit saw, paler those that it did not."""
    for which, colour in ((~panel.use, PALE), (panel.use, SPOT)):
        axis.plot(
            a[which], m[which], linestyle="none", marker="o", markersize=1.8, markeredgewidth=0, color=colour,
            rasterized=True, zorder=1,
        )  # fmt: skip
    notes = []
    if not panel.use.all():
        out = int((~panel.use).sum())
        notes.append(f"{out} spots outside the fit are paler" if out > 1 else "1 spot outside the fit is paler")
    beyond = int(np.count_nonzero((m < low) | (m > high)))
    if beyond:
        notes.append(f"{beyond} spots lie beyond the frame")
    place: dict[str, Any] = {"transform": axis.transAxes, "ha": "right", "va": "bottom"}
    axis.text(0.995, 0.01, ", ".join(notes), fontsize=8, color=SOFT, bbox=BACK, **place)


def _curves(axis: Axes, panel: Panel, a: FloatArray, values: FloatArray, colours: NDArray[np.float64]) -> None:
    """A lowess curve through each group, in the group's colour."""
    segments = panel.segments
    fitted = fit(values, segments, "lowess", covariate=a, use=panel.use)
    height = evaluate(fitted, a, segments)[0]
    used = np.isfinite(values) & np.isfinite(a) & panel.use
    for g in drawn_groups(panel):
        items = segments.order[segments.offsets[g] : segments.offsets[g + 1]]
        items = items[used[items]]
        x, first = np.unique(a[items], return_index=True)
        axis.plot(x, height[items][first], color=colours[g], linewidth=1.5, solid_capstyle="round", zorder=3)


def _edge(axis: Axes, medians: FloatArray, colours: NDArray[np.float64]) -> None:
    """The groups' medians as ticks at the right edge, on the M axis of the picture beside them."""
    known = np.flatnonzero(np.isfinite(medians))
    axis.hlines(medians[known], 0.15, 0.85, colors=colours[known].tolist(), linewidth=1.6)
    axis.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=4)
    axis.set_xlim(0, 1)
    axis.set_xticks([])
    axis.tick_params(left=False)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)


def _strip(part: Any, panels: Sequence[Panel], total: int) -> None:
    """Group medians of every array, before and after, as one point a group."""
    noun = panels[0].noun
    shown = f" (the first {len(panels)} of {total})" if len(panels) < total else ""
    level = "" if panels[0].covariate is not None else ", relative to the array's"
    title = f"{noun.capitalize()} medians of every array{shown}{level}, before (left) and after (right)"
    part.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
    axis = part.subplots()
    for k, panel in enumerate(panels):
        colours = group_colours(panel.before)
        rank = _rank(panel.before)
        place = 0.26 * (rank / max(rank.size - 1, 1) - 0.5)
        for x, medians in ((k - 0.2, panel.before), (k + 0.2, panel.after)):
            axis.scatter(x + place, medians, s=16, c=colours, linewidths=0, zorder=3)
            top = np.nanmax(medians) if np.isfinite(medians).any() else 0.0
            above: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center"}
            axis.annotate(f"sd {_spread(medians)}", (x, top), fontsize=8, color=SOFT, **above)
        if k:
            axis.axvline(k - 0.5, color=SPOT, linewidth=0.8)
    axis.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=2)
    axis.set_xlim(-0.5, len(panels) - 0.5)
    axis.margins(y=0.2)
    axis.set_xticks(range(len(panels)), [_short(panel.name) for panel in panels])
    if len(panels) > 6:
        axis.tick_params(axis="x", labelrotation=30)
    axis.set_ylabel("median of M" if panels[0].covariate is not None else "median of log₂ E")


def group_colours(before: FloatArray) -> NDArray[np.float64]:
    """RGBA (group, 4), ordered by the groups' shift before normalization: blue lowest, yellow highest.

    From matplotlib's plasma, whose lightness rises evenly, so that the order shows without colour vision too; its
    palest end is left out.
    """
    import matplotlib as mpl

    rank = _rank(before)
    share = rank / max(rank.size - 1, 1)
    return np.asarray(mpl.colormaps["plasma"](0.88 * share))


def _rank(before: FloatArray) -> NDArray[np.int64]:
    """Place of each group in the order of their shifts; groups without one come last."""
    order = np.argsort(np.where(np.isfinite(before), before, np.inf), kind="stable")
    return np.argsort(order, kind="stable")


def drawn_groups(panel: Panel) -> list[int]:
    """Groups whose curve is drawn: at most ``MOST_CURVES``, evenly over the order of their shifts, ends included."""
    n = panel.segments.count(np.isfinite(panel.start) & panel.use)
    good = np.flatnonzero(np.isfinite(panel.before) & (n >= FEWEST_SPOTS))
    good = good[np.argsort(panel.before[good], kind="stable")]
    if good.size > MOST_CURVES:
        good = good[np.round(np.linspace(0, good.size - 1, MOST_CURVES)).astype(int)]
    return [int(g) for g in good]


def _limits(panel: Panel) -> tuple[float, float]:
    """M axis that holds 99 % of the spots before and after; single outliers must not flatten the picture."""
    both = np.concatenate([panel.start, panel.values])
    both = both[np.isfinite(both)]
    if both.size == 0:
        return -1.0, 1.0
    low, high = np.quantile(both, [0.005, 0.995])
    pad = 0.06 * max(high - low, 0.1)
    return float(min(low - pad, -pad)), float(max(high + pad, pad))


def _heading(panel: Panel) -> str:
    groups = int(np.count_nonzero(np.isfinite(panel.before)))
    spots = f"{panel.values.size:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{_short(panel.name)}: {spots} spots, {groups} {panel.noun}{'s' if groups != 1 else ''}, {_done(panel)}"


def _done(panel: Panel) -> str:
    return panel.method if panel.between == "none" else f"{panel.method}, then {panel.between} between arrays"


def _legend(panel: Panel) -> str:
    drawn, groups = len(drawn_groups(panel)), int(np.count_nonzero(np.isfinite(panel.before)))
    if drawn == 0:
        return f"no {panel.noun} has the {FEWEST_SPOTS} spots that a curve needs"
    if drawn < groups:
        return f"lowess curves of {drawn} of the {groups} {panel.noun}s, coloured by their shift before"
    return f"one lowess curve a {panel.noun}, coloured by its shift before"


def _named(medians: FloatArray, noun: str) -> str:
    known = int(np.count_nonzero(np.isfinite(medians)))
    if known < 2:
        return f"median {_number(median_of(medians))}" if known else "no usable spot"
    return f"{noun} medians spread by {_spread(medians)} (sd)"


def _spread(medians: FloatArray) -> str:
    """Standard deviation between the groups' medians, as the table on stderr has it."""
    spread = spread_of(medians)[1]
    return "–" if np.isnan(spread) else _number(spread)


def _number(value: float) -> str:
    return f"{value + 0.0:.3f}".replace("-", "−")


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:18] + "…" + name[-21:]
