"""What a simulation can be told: one row an option, with defaults that look like real arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gridnorm.core.option import FLAG, NUMBER, WHOLE, ExplainedError, Kind, Option, Range

FINITE = Range(-1e308, 1e308)
SIZE = Range(0, 1e308)  # finite, not negative
SHARE = Range(0, 1)


def _gains(given: Any) -> tuple[float, ...]:
    parts: Iterable[Any] = given.split(",") if isinstance(given, str) else given
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        found = (float("nan"),)
    if not all(0 < gain < float("inf") for gain in found):
        raise ExplainedError("numbers above 0, such as 0.5,1,2")
    return found


GAINS = Kind("a list of gains", _gains, {"type": "array", "items": {"type": "number"}}, list)


def _number(name: str, default: float, help_: str, check: Range = SIZE) -> Option:
    expected = "a finite number" if check is FINITE else "a finite number, 0 or more"
    return Option(name, NUMBER, default, help_, check, expected, metavar="X")


def _share(name: str, default: float, help_: str) -> Option:
    return Option(name, NUMBER, default, help_, SHARE, "a share, 0 to 1", metavar="SHARE")


OPTIONS: tuple[Option, ...] = (
    Option("channels", WHOLE, 2, "Number of channels, 2 or 1.", Range(1, 2), metavar="N"),
    _number("tip_offset_sd", 0.3, "Spread over print-tips of their shift of M."),
    _number("tip_slope_sd", 0.05, "Spread over print-tips of their slope of M over A, per log2 unit."),
    _number("tip_curve_sd", 0.1, "Spread over print-tips of how far their bias of M bends over A."),
    _number("tip_scale_sd", 0.1, "Spread over print-tips of the logarithm of their noise."),
    _number("noise_sd", 0.2, "Noise of M that grows with the signal (multiplicative)."),
    _number("additive_sd", 28.0, "Noise in counts of foreground less background, at any signal (additive)."),
    _share("empty", 0.05, "Share of spots that hold no probe, as buffer spots do; they are never changed."),
    _share("controls", 0.0, "Share of spots that are controls, over all levels; they are never changed."),
    _share("changed", 0.10, "Share of truly changed spots."),
    _share("up", 0.6, "Share of the changed spots that go up; 1: all of them."),
    _number("effect", 1.0, "True M of the changed spots, up or down.", FINITE),
    _share("outliers", 0.01, "Share of spots pushed off by 2 to 4 without a flag."),
    _share("bad", 0.02, "Share of damaged spots, which are flagged -100 and really are bad."),
    _share("not_found", 0.08, "Share of spots that the software does not find: dim ones, flagged -50."),
    _number("not_found_sd", 0.5, "Spread over print-tips of that share, in log odds."),
    _number("dye_bias", 0.5, "Height of the curve of M over A that all print-tips share (two channels).", FINITE),
    _number("spatial", 0.2, "Amplitude of a smooth trend of M over the slide.", FINITE),
    _number("blob", 0.0, "Height of M in a blob somewhere on every slide.", FINITE),
    _number("background", 120.0, "Mean background, in counts."),
    Option("small_tips", WHOLE, 0, "How many print-tips printed few spots.", Range(0), metavar="N"),
    Option("small_tip_spots", WHOLE, 15, "How many spots those printed.", Range(1), metavar="N"),
    _share("uneven", 0.0, "Largest share of its spots that a print-tip may lack."),
    _number("content_sd", 0.0, "Spread over blocks of the true level of their probes or samples."),
    Option(
        "same_probes", FLAG, False, "Every block holds the same probes, as sub-arrays for several samples do.",
    ),
    Option(
        "gains", GAINS, (), "Arrays are scans of one slide at these gains of the scanner.", metavar="GAIN,…",
    ),
    Option("seed", WHOLE, 1, "Same seed, same arrays.", Range(0), metavar="N"),
)  # fmt: skip
