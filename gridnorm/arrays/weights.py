"""Flags and weights: which spots enter a fit, and how much they count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridnorm.arrays.grouping import find_column
from gridnorm.arrays.raw import FULL_SCALE, Column, FloatArray, RawArray
from gridnorm.core.option import TEXT, Option, nearest
from gridnorm.core.weights import check_weights
from gridnorm.errors import FitError, FormatError, OptionError, option_value, option_word

AREA_COLUMNS = ("area", "F Pixels")
SHOWN = 40  # characters of a cell, in a message
POLICIES = ("exclude", "ignore", "drop", "downweight")


class FlagRule(NamedTuple):
    """What flags mean: a policy, and the codes that count; None: every negative code."""

    policy: str
    codes: tuple[int, ...] | None = None


def flag_rule(given: object) -> FlagRule:
    """The rule that ``POLICY`` or ``POLICY:CODES`` says.

    Raises
    ------
    OptionError
        Another policy, a code that is no whole number, or codes of ``ignore``.

    Examples
    --------
    >>> flag_rule("drop:-75,-100")
    FlagRule(policy='drop', codes=(-100, -75))
    """
    if given is None:
        raise ValueError
    policy, colon, listed = str(given).partition(":")
    word, expected = option_word("flags"), "for example exclude:-100,-75"
    if policy not in POLICIES:
        near = nearest(policy, POLICIES)
        raise OptionError(
            f"unknown value of {word}", found=repr(given), expected=f"{', '.join(POLICIES)}; {expected}",
            hint=f"Did you mean {near}?" if near else None,
        )  # fmt: skip
    if not colon:
        return FlagRule(policy)
    if policy == "ignore":
        raise OptionError(
            f"{word} ignore takes no codes", found=repr(given), expected="the codes that count",
            hint=f"Name those that are left out, {expected}",
        )  # fmt: skip
    try:
        codes = {int(part) for part in listed.split(",")}
    except ValueError:
        raise OptionError(
            f"a code of {word} is no whole number", found=repr(given), expected=f"POLICY:CODES, {expected}"
        ) from None
    return FlagRule(policy, tuple(sorted(codes)))


def _rule_text(given: object) -> str:
    policy, codes = flag_rule(given)
    return policy if codes is None else f"{policy}:{','.join(map(str, codes))}"


_PATTERN = f"^({'|'.join(POLICIES)})(:-?[0-9]+(,-?[0-9]+)*)?$"
FLAGS = Option(
    "flags", TEXT._replace(read=_rule_text, schema={"type": "string", "pattern": _PATTERN}), "exclude",
    "exclude (from the fit; spots that were not found stay in it), ignore, drop (from the result), downweight (limma's "
    "weight 0); exclude:-100,-75 says which codes count.",
    metavar="POLICY[:CODES]", source="limma's wtflags", begins=POLICIES,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SpotUse:
    """What flags and weights mean for the fits of one array.

    Attributes
    ----------
    use
        bool (spot,): spots that may enter a fit; one that is missing in the result may be among them.
    weights
        float64 (spot,) for the fit, or None where all count alike.
    dropped
        bool (spot,): spots that are missing in the result.
    reported
        float64 (spot,): the column ``W`` of the result.
    """

    use: NDArray[np.bool_]
    weights: FloatArray | None
    dropped: NDArray[np.bool_]
    reported: FloatArray

    def of(self, items: NDArray[np.int64], seen: NDArray[np.bool_]) -> SpotUse:
        """The same for some spots, of which only those that are ``seen`` may enter a fit."""
        weights = None if self.weights is None else self.weights[items]
        return SpotUse(self.use[items] & seen, weights, self.dropped[items], self.reported[items])


def flagged(flags: NDArray[np.int64] | None, n_spots: int, codes: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """Spots with one of these flags; None: a negative one (GenePix: −50 not found, −75 absent, −100 bad)."""
    if flags is None:
        return np.zeros(n_spots, bool)
    return flags < 0 if codes is None else np.isin(flags, codes)


def use_of(
    flags: NDArray[np.int64] | None,
    n_spots: int,
    policy: str,
    weights: FloatArray | None = None,
    not_found: tuple[int, ...] = (),
) -> SpotUse:
    """Turn the flags of an array and its spot weights into what a fit needs.

    Parameters
    ----------
    flags, n_spots
        Flag codes of the array (None: no flags) and its number of spots.
    policy
        ``exclude``: flagged spots are left out of the fit, get the curve like any spot, and have W = 0.
        ``ignore``: flags mean nothing. ``drop``: flagged spots are missing in the result.
        ``downweight``: flagged spots have weight 0 in limma's weighted path (limma's ``wtflags(0)``).
        ``POLICY:CODES``: only these codes are flags; else every negative one is.
    weights
        float64 (spot,), 0 to 1e30; NaN counts as 0.
    not_found
        Codes of spots that were not found. Those are dim, not wrong: with ``exclude`` and ``drop`` they stay in the
        fit, which their absence would bias, unless ``CODES`` names them.
    """
    rule = flag_rule(policy)
    if weights is not None:
        check_weights(weights)
    marked = flagged(flags, n_spots, rule.codes)
    nothing = np.zeros(n_spots, bool)
    given = None if weights is None else np.where(np.isnan(weights), 0.0, weights)
    reported = np.ones(n_spots) if given is None else given.copy()
    if rule.policy == "ignore" or not marked.any():
        return SpotUse(~nothing, given, nothing, reported)
    reported[marked] = 0.0
    if rule.policy == "downweight":
        return SpotUse(~nothing, reported, nothing, reported)
    left_out = marked
    if rule.codes is None and not_found:
        left_out = marked & ~flagged(flags, n_spots, not_found)
    return SpotUse(~left_out, given, marked if rule.policy == "drop" else nothing, reported)


def weight_columns(spec: str, raw_columns: tuple[str, ...], file: str = "") -> tuple[str, ...]:
    """Spot columns that ``--weights spec`` reads, among those of a file."""
    if spec == "none":
        return ()
    if spec == "saturation":
        return tuple(name for name in raw_columns if name.startswith("F") and name.endswith("% Sat."))
    if spec.startswith("area:"):
        return tuple(name for name in AREA_COLUMNS if name in raw_columns)[:1]
    return (find_column(spec, raw_columns, file, "weights"),) if raw_columns else (spec,)


def spot_weights(spec: str, raw: RawArray) -> FloatArray | None:
    """Weights of ``--weights``: ``none``, ``area:LOW,HIGH``, ``saturation`` or a column.

    ``area`` rises from 0 at no area to 1 at LOW, and falls at the same slope above HIGH (limma's ``wtarea``).
    ``saturation`` is one minus the largest share of saturated pixels of the channels in use, 0 where the foreground
    itself is at full scale (65535).

    Raises
    ------
    OptionError, FormatError
        A malformed ``area``; no column for it; a weight column that is text or has negative or infinite
        numbers.
    """
    if spec == "none":
        return None
    if spec == "saturation":
        return _saturation(raw)
    if spec.startswith("area:"):
        low, high = parse_area(spec)
        names = [name for name in AREA_COLUMNS if name in raw.spots]
        if not names:
            raise FormatError(
                f"no spot area for {option_word('weights')} area",
                file=raw.name,
                expected="a column " + " or ".join(AREA_COLUMNS),
                hint="Name another column, which then holds the weights themselves",
            )
        area = _numbers(raw, names[0])
        return np.clip(np.where(area <= high, np.minimum(area / low, 1.0), 1.0 - (area - high) / low), 0.0, None)
    name = find_column(spec, raw.spots, raw.name, "weights")
    weights = _numbers(raw, name)
    try:
        check_weights(weights, f"weights in column {name!r}")
    except OptionError as error:
        hint = "Correct these cells, or make them empty"
        raise FormatError(error.what, file=raw.name, found=error.found, expected=error.expected, hint=hint) from None
    return weights


def refuse_weightless(raw: RawArray, weights: FloatArray | None, spec: str) -> None:
    """Weights that leave no spot to fit; ``spec`` says where they come from.

    Raises
    ------
    FitError
        No weight is above 0; of ``area`` the message has the areas that there are.
    """
    if weights is None or not raw.n_spots or bool((weights > 0).any()):
        return
    found, expected = None, "one above 0 for some spots"
    if spec.startswith("area:"):
        area = next(_numbers(raw, name) for name in AREA_COLUMNS if name in raw.spots)
        known = area[area > 0]
        if known.size:
            found = f"areas of {known.min():g} to {known.max():g} pixels"
            expected = "area:LOW,HIGH with the usual areas between them"
    what = "no spot has a weight above 0" + (f" with {option_value('weights', spec)}" if spec != "given" else "")
    raise FitError(what, file=raw.name, found=found, expected=expected)


def weight_doubts(raw: RawArray, weights: FloatArray | None, spec: str) -> list[str]:
    """That spots have no weight and so are left out, or nothing gives any; ``spec`` says where weights come from."""
    if spec == "saturation" and not weight_columns(spec, tuple(raw.spots)):
        return [f"{raw.name}: no column tells saturated pixels; only spots at full scale have weight 0"]
    lacking = np.zeros(0, bool) if weights is None else np.isnan(weights)
    if weights is not None and raw.absent is not None:
        lacking = lacking & ~raw.absent
    count = int(np.count_nonzero(lacking))
    if not count:
        return []
    spots = "spot has" if count == 1 else "spots have"
    return [f"{raw.name}: {count} {spots} no weight ({spec}), which counts as 0"]


def weights_per_array(weights: FloatArray | None, n_spots: int, n_arrays: int) -> list[FloatArray | None]:
    """Weights given in Python, (spot,) or (spot, array), as one vector (or None) per array.

    Raises
    ------
    OptionError
        Another shape; text; negative or infinite weights.
    """
    if weights is None:
        return [None] * n_arrays
    try:
        given = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise OptionError("weights must be numbers", found=type(weights).__name__, expected="0 or more") from None
    if given.shape in ((n_spots,), (n_spots, n_arrays)):
        check_weights(given)
    if given.shape == (n_spots,):
        return [given] * n_arrays
    if given.shape == (n_spots, n_arrays):
        return [np.ascontiguousarray(column) for column in given.T]
    expected = f"({n_spots},) or ({n_spots}, {n_arrays})"
    raise OptionError("weights do not fit the arrays", found=f"shape {given.shape}", expected=expected)


def _numbers(raw: RawArray, name: str) -> FloatArray:
    column = raw.spots[name]
    if column.dtype.kind not in "fiu":
        raise FormatError(
            f"the weights column {name!r} holds text", raw.name, found=repr(_first_text(column)),
            expected="numbers of 0 or more", hint="Name a column of numbers, or correct these cells",
        )  # fmt: skip
    return column.astype(np.float64)


def _first_text(column: Column) -> str:
    """The first cell that is no number, as far as a message shows it."""
    for cell in column.tolist():
        try:
            float(cell or 0)
        except ValueError:
            return str(cell.decode("utf-8", "replace")[:SHOWN])
    return ""


def _checked_spec(given: object) -> str:
    """A specification of weights; a malformed area is refused at once."""
    if given is None:
        raise ValueError
    spec = str(given)
    if spec.startswith("area:"):
        parse_area(spec)
    return spec


def parse_area(spec: str) -> tuple[float, float]:
    """LOW and HIGH of ``area:LOW,HIGH``; one number serves as both."""
    parts = spec.removeprefix("area:").split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not 0 < numbers[0] <= numbers[-1] < float("inf"):
        raise OptionError(
            "malformed spot area", found=repr(spec), expected="area:LOW,HIGH in pixels with 0 < LOW ≤ HIGH"
        )
    return numbers[0], numbers[-1]


def saturated(raw: RawArray) -> NDArray[np.bool_]:
    """Spots whose foreground is at full scale in some channel, bool (spot,)."""
    return np.asarray((raw.foreground >= FULL_SCALE).any(axis=0))


def count_flagged(raw: RawArray, flags: str | None = None) -> int:
    """Number of spots that are flagged by what ``flags`` says; by itself a negative flag is one."""
    rule = flag_rule(flags or POLICIES[0])
    return 0 if rule.policy == "ignore" else int(np.count_nonzero(flagged(raw.flags, raw.n_spots, rule.codes)))


WEIGHTS = Option(
    "weights", TEXT._replace(read=_checked_spec), "none", "none, a column, area:LOW,HIGH, saturation.", metavar="SPEC",
    source="limma's wtarea",
)  # fmt: skip


def _saturation(raw: RawArray) -> FloatArray:
    weights = np.ones(raw.n_spots)
    read = weight_columns("saturation", tuple(raw.spots))
    # A channel that is not in use may be as full as it likes; where titles do not name wavelengths, all count.
    used = [f"F{nm} % Sat." for nm in raw.wavelengths]
    for name in [name for name in read if name in used] or read:
        share = raw.spots[name]
        if share.dtype.kind in "fiu":
            weights = np.minimum(weights, 1.0 - np.clip(np.nan_to_num(share.astype(np.float64)), 0, 100) / 100)
    weights[saturated(raw)] = 0.0
    return weights
