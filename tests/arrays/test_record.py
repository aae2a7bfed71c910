"""Records of arrays: what the sidecar has of each."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.record import record_of
from gridnorm.provenance import InputDigest


def test_a_record_is_plain_data_of_what_was_read() -> None:
    arrays = gn.simulate(1, (2, 2), (6, 5), seed=3, bad=0.1).arrays
    raw = arrays.raw(0)
    record = record_of(raw, arrays.layout, InputDigest("a.gpr", 1, "00"))
    plain = json.loads(json.dumps(record.to_dict()))
    assert (plain["spots"], plain["channels"], plain["missing"]) == (120, ["R", "G"], 0)
    assert plain["flagged"] == int((arrays.flags < 0).sum()) > 0
    assert plain["layout"]["grid_rows"] == 2 and plain["parameters"] == {} and plain["normexp"] is None
    assert record_of(raw, None).to_dict()["layout"] is None


@pytest.mark.parametrize(
    ("flags", "counted"), [("exclude", 3), ("drop:-75", 1), ("downweight:1,-75", 2), ("ignore", 0)]
)
def test_flagged_are_the_spots_that_the_option_means(flags: str, counted: int) -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    codes = np.zeros((1, arrays.n_spots), np.int64)
    codes[0, :4] = -100, -75, -50, 1
    done = gn.normalize(replace(arrays, flag_codes=codes), flags=flags, background="half")
    assert done.records[0].flagged == counted
    assert (
        gn.normalize_within(gn.background_correct(replace(arrays, flag_codes=codes), "half"), flags=flags)
        .records[0]
        .flagged
        == counted
    )
