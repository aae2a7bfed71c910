"""What a file is: format, channels, layout and its evidence, flags, groups, quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gridnorm.arrays.blocks import blocks_in_words, same_content
from gridnorm.arrays.chain import Levels, groups_of, levels_of
from gridnorm.arrays.corrected import correct_one
from gridnorm.arrays.doubts import channel_doubts, flag_doubts
from gridnorm.arrays.grouping import By, grouping_options, refuse_without_tips
from gridnorm.arrays.layout import Layout, infer_layout
from gridnorm.arrays.raw import FloatArray, RawArray
from gridnorm.arrays.recipe import Recipe
from gridnorm.arrays.spot_types import count_types
from gridnorm.arrays.weights import count_flagged, saturated, use_of
from gridnorm.arrays.within import group_shifts
from gridnorm.core.fit import median_of
from gridnorm.core.option.signature import shows
from gridnorm.core.segments import Segments
from gridnorm.errors import FormatError, GridnormError, OptionError
from gridnorm.plain import shown
from gridnorm.workflow.explained import explained_by
from gridnorm.workflow.given import Paths, is_frame, listed, open_frame, with_spot_data
from gridnorm.workflow.inputs import InputFile, array_files, with_origin
from gridnorm.workflow.opening import ArrayTask, layout_of, read_array, read_gal, read_options, recognise_file
from gridnorm.workflow.settings import Settings, default_in_words, make_settings, row_options, taken_by
from gridnorm.workflow.spot_files import FILES, check_files

if TYPE_CHECKING:
    import pandas as pd

INSPECT_SCHEMA = 1  # of the JSON that ``inspect`` prints
# Shares above which --check fails; measured on each array alone.
QUALITY_LIMITS = {"flagged": 0.3, "saturated": 0.05, "not_above_background": 0.5, "missing": 0.1}


def inspect_options(by: By = "print-tip") -> set[str]:
    """Names of the options that ``inspect`` takes; those of groupings that were given as rows are among them."""
    own = () if isinstance(by, str) else (option.name for option in grouping_options(by))
    return {"by", "layout", "gal", *FILES, *row_options("by"), *row_options("format"), *own}


@shows(taken_by(inspect_options()), default_in_words)
def inspect(paths: Paths | pd.DataFrame, **options: Any) -> dict[str, Any]:
    """Look at array files, GALs and targets tables without normalizing them.

    Parameters
    ----------
    paths
        A file, folder, glob or targets table, or several. Or a DataFrame.
    **options

    Returns
    -------
    dict
        ``{"schema": 1, "inputs": [...]}``; per file ``file status format version channels spots blocks layout flags
        groups quality explained warnings``, with ``controls`` also ``types``. A file that cannot be read has ``status``
        ``"error"`` and ``error``, one that was found in a folder or glob and is no array ``"skipped"`` and ``reason``.

    Raises
    ------
    OptionError
        A path that does not exist, or a wrong option.

    Examples
    --------
    >>> import gridnorm as gn
    >>> gn.inspect("example_data/slide1.gpr")["inputs"][0]["layout"]["source"]  # doctest: +SKIP
    'positions'
    """
    if is_frame(paths):
        made, more = with_spot_data(paths, options, None)
        settings = make_settings(made, inspect_options(made.get("by", "print-tip")), "inspect")
        opened = open_frame(paths, settings, more)
        return {"schema": INSPECT_SCHEMA, "inputs": [_record(opened.raw, opened.layout, settings)]}
    files = array_files(listed(paths))
    settings = make_settings(options, inspect_options(options.get("by", "print-tip")), "inspect")
    check_files(settings)
    records: list[dict[str, Any]] = []
    wrong: list[OptionError] = []
    for given in files:
        try:
            records.append(_inspected(given, settings))
        except GridnormError as error:
            wrong += [error] if isinstance(error, OptionError) else []
            records.append({"file": given.file, "status": "error", "error": str(error), "exit_code": error.exit_code})
    if wrong and len(wrong) == len(records):
        raise wrong[0]  # an option that fits no file at all is what is wrong
    return {"schema": INSPECT_SCHEMA, "inputs": [_for_people(record) for record in records]}


def _for_people(value: Any) -> Any:
    """What is told, with every file by the path that was given."""
    if isinstance(value, dict):
        return {key: _for_people(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_for_people(part) for part in value]
    return shown(value) if isinstance(value, str) else value


def _inspected(given: InputFile, settings: Settings) -> dict[str, Any]:
    try:
        recognised = recognise_file(given.path, settings, name=given.file, gal=True)
    except FormatError as error:
        if given.named:
            raise with_origin(error, given, None) from None
        return {"file": given.file, "status": "skipped", "reason": error.what}
    if recognised.format is None:
        return _gal_record(given, settings)
    head = recognised.head()
    options = read_options(settings, head.columns, given.file, keys_only=False)
    raw, _ = read_array(ArrayTask(given.path, given.name, given.file, recognised.format, options), settings)
    layout, warnings = layout_of(raw, settings)
    return _record(raw.with_warnings(*warnings), layout, settings)


def _record(raw: RawArray, layout: Layout | None, settings: Settings) -> dict[str, Any]:
    recipe = settings.recipe
    if "by" in recipe.given:
        refuse_without_tips(recipe.by, raw.spots, raw.columns, raw.name)
    segments = groups_of(recipe, raw.spots, layout, raw.n_spots, raw.name)
    levels = _levels(raw)
    level = levels.values[0]
    usable = np.isfinite(level) & use_of(raw.flags, raw.n_spots, recipe.flags, not_found=raw.not_found).use
    counted = segments.count(usable)
    return {
        "file": raw.name,
        "status": "ok",
        "format": raw.format,
        "version": raw.version,
        "channels": [_channel(raw, k) for k in range(len(raw.channels))],
        "spots": raw.n_spots,
        "blocks": int(layout.blocks.size) if layout else None,
        "layout": None if layout is None else {**layout.to_dict(), "summary": layout.describe()},
        "flags": _flag_counts(raw),
        **({"types": types} if (types := count_types(raw.spots)) else {}),
        "groups": [
            {"group": list(label) if isinstance(label, tuple) else label, "spots": int(n), "usable": int(m)}
            for label, n, m in zip(segments.labels, segments.sizes, counted, strict=True)
        ],
        "quality": quality_of(raw),
        "explained": explained_by(levels, raw, layout, recipe, usable),
        "warnings": [*raw.warnings, *_doubts(raw, layout, level, segments, recipe)],
    }


def _doubts(raw: RawArray, layout: Layout | None, level: FloatArray, segments: Segments, recipe: Recipe) -> list[str]:
    """Flags, a channel without signal, and what the blocks look like."""
    out = [*channel_doubts(raw), *flag_doubts(raw, segments, recipe.flags)]
    if recipe._replace(given=frozenset()).left_alone(raw.channels):
        blocks = groups_of(recipe._replace(by="print-tip"), raw.spots, layout, raw.n_spots, raw.name)
        use = use_of(raw.flags, raw.n_spots, recipe.flags, not_found=raw.not_found).use
        _, shifts = group_shifts(level[None, :], blocks, use, True)
        said = blocks_in_words(raw.spots, layout, shifts[0])
    else:
        said = same_content(raw.spots, layout)
    return [*out, *([f"{raw.name}: {said}"] if said else [])]


def _flag_counts(raw: RawArray) -> dict[str, int]:
    if raw.flags is None:
        return {}
    codes, counts = np.unique(raw.flags, return_counts=True)
    return {str(int(code)): int(n) for code, n in zip(codes, counts, strict=True)}


def _channel(raw: RawArray, k: int) -> dict[str, Any]:
    taken = dict(raw.taken)
    name = raw.channels[k]
    return {
        "channel": name,
        "wavelength": raw.wavelengths[k] or None,
        "foreground": taken.get(name),
        "background": taken.get(f"{name}b"),
    }


def _levels(raw: RawArray) -> Levels:
    """M and A (two channels) or log2 intensity (one), background subtracted where measured; for looking only."""
    recipe = Recipe(background="subtract" if raw.background is not None else "none")
    return levels_of(correct_one(raw, None, recipe).raw)[0]


def quality_of(raw: RawArray) -> dict[str, float]:
    """Shares of spots: flagged, saturated, not above background, missing; and the median levels of every channel."""
    n = max(raw.n_spots, 1)
    fore, back = raw.foreground, raw.background
    out = {
        "flagged": float(count_flagged(raw)) / n,
        "saturated": float(np.count_nonzero(saturated(raw))) / n,
        "missing": float(np.count_nonzero(np.isnan(fore).any(axis=0))) / n,
    }
    if back is not None:
        out["not_above_background"] = float(np.count_nonzero((fore <= back).any(axis=0))) / n
    for k, channel in enumerate(raw.channels):
        for title, rows in (("foreground", fore), ("background", back)):
            if rows is not None and np.isfinite(rows[k]).any():
                out[f"median_{title}_{channel}"] = median_of(rows[k])
    return {name: round(value, 6) for name, value in out.items()}


def failed_rules(record: dict[str, Any]) -> list[str]:
    """Quality rules that an inspected file breaks, as sentences."""
    out = []
    for name, limit in QUALITY_LIMITS.items():
        share = record.get("quality", {}).get(name, 0.0)
        if share > limit:
            out.append(
                f"{record['file']}: {share:.0%} of the spots are {name.replace('_', ' ')}, more than {limit:.0%}"
            )
    return out


def _gal_record(given: InputFile, settings: Settings) -> dict[str, Any]:
    gal = read_gal(given.path)
    spots = gal.spots
    layout = infer_layout(
        spots["Block"],
        spots["Row"],
        spots["Column"],
        gal_blocks=gal.blocks or None,
        override=settings.layout,
        file=gal.name,
    )
    blocks, counts = np.unique(spots["Block"], return_counts=True)
    return {
        "file": gal.name,
        "status": "ok",
        "format": "GAL",
        "version": gal.header.get("Type", ""),
        "channels": [],
        "spots": gal.n_spots,
        "blocks": int(layout.blocks.size),
        "layout": {**layout.to_dict(), "summary": layout.describe()},
        "flags": {},
        "groups": [{"group": int(b), "spots": int(n), "usable": int(n)} for b, n in zip(blocks, counts, strict=True)],
        "quality": {},
        "explained": [],
        "warnings": [*gal.warnings, *layout.warnings],
    }
