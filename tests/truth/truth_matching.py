"""Blocks brought together by spots that match (method ``rlm``): beside arrays left alone, judged by repeats.

The slides of RPPanalyzer print the same samples in all of eight blocks: repeats are spots of one ID. Those of PAA have
two blocks with contents of their own and nine names of control spots in both: repeats are spots of one name, and
controls are compared by their type, which is their name. The figure is 1 − ICC(1) over that of the array as it is: the
share of the variance that repeats disagree about. Between arrays, repeats are the same spots of ten PAA arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from judged import Judged
from truth_one_channel import REPEATS, SHARED, icc

import gridnorm as gn

TOPIC = "matching spots"
FIGURE = "1 − ICC of repeats, × none"
MORE = ("old_S3", "old_S10_2", "old_S8_2")
WAVELENGTHS = ("635", "532")


def rows() -> Iterator[Judged]:
    """Every figure beside its limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for slide in (*REPEATS, *MORE):
            arrays = gn.read(SHARED / "cran_RPPanalyzer" / f"{slide}.gpr.gz")
            label = arrays.columns["ID"]
            none, rlm = (
                icc(gn.normalize(arrays, by="print-tip", method=name).E[:, 0], label) for name in ("none", "rlm")
            )
            yield Judged(TOPIC, f"{slide}, rlm by print-tip", FIGURE, (1 - rlm) / (1 - none), "<=", 1.0)
        yield from _controls()
        yield from _between()


def _controls() -> Iterator[Judged]:
    for wavelength in WAVELENGTHS:
        lost: dict[str, list[float]] = {"none": [], "rlm": []}
        for path in sorted((SHARED / "bioc_PAA").glob("*.gpr.gz")):
            arrays = gn.read(path, channels=wavelength)
            name, block = (arrays.columns[title] for title in ("Name", "Block"))
            both = np.isin(name, np.intersect1d(name[block == 1], name[block == 2]))
            types = np.where(both, np.char.add(b"control ", name), b"protein")
            typed = replace(arrays, columns={**arrays.columns, "SpotType": types})
            for method, options in (("none", {}), ("rlm", {"match": "type"})):
                done = gn.normalize(typed, by="print-tip", method=method, **options)
                lost[method].append(1 - icc(done.E[:, 0], name))
        setting = f"{len(lost['rlm'])} protein arrays at {wavelength}, rlm on controls"
        yield Judged(TOPIC, setting, FIGURE, _ratio(lost["rlm"], lost["none"]), "<=", 1.0)


def _between() -> Iterator[Judged]:
    paths = sorted((SHARED / "bioc_PAA").glob("*.gpr.gz"))
    for wavelength in WAVELENGTHS:
        arrays = gn.read(paths, channels=wavelength)
        label = np.tile(np.arange(arrays.n_spots), len(arrays))
        none, rlm = (
            1 - icc(gn.normalize(arrays, method="none", between=name).E.T.ravel(), label) for name in ("none", "rlm")
        )
        setting = f"{len(arrays)} protein arrays at {wavelength}, rlm between arrays"
        yield Judged(TOPIC, setting, "1 − ICC of spots over arrays, × none", rlm / none, "<=", 1.0)


def _ratio(one: list[Any], other: list[Any]) -> float:
    return float(np.mean(one) / np.mean(other)) if one else np.nan
