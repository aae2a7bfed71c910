"""Targets as plain data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.between import BetweenTarget, normalize_between
from gridnorm.arrays.between.target import digest_of
from gridnorm.errors import OptionError

RESULT = gn.normalize(gn.simulate(3, blocks=(1, 2), spots=(8, 8), seed=4).arrays)


@pytest.mark.parametrize("method", ["scale", "quantile", "aquantile", "cyclic-loess"])
def test_plain_data_and_back_are_the_same_bit_for_bit(method: str) -> None:
    made = normalize_between(RESULT, method)
    back = BetweenTarget.from_plain(json.loads(json.dumps(made.between.to_plain(), allow_nan=False)))
    assert back.to_plain() == made.between.to_plain()
    np.testing.assert_array_equal(normalize_between(RESULT, method, target=back).A, made.A)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda plain: [], "no target of a method between arrays"),
        (lambda plain: {**plain, "kind": "a fit"}, "no target of a method between arrays"),
        (lambda plain: {**plain, "schema": 99}, "another version; found 99, expected 1"),
        (lambda plain: {**plain, "method": "magic"}, "unknown method between arrays; found 'magic'"),
        (lambda plain: {name: part for name, part in plain.items() if name != "parts"}, "not whole; found no 'parts'"),
        (lambda plain: {**plain, "spots": "many"}, "the target is not whole"),
        (lambda plain: {**plain, "parts": 3}, "the target is not whole"),
    ],
)
def test_other_data_are_refused(change: Any, says: str) -> None:
    plain = json.loads(json.dumps(normalize_between(RESULT, "scale").between.to_plain()))
    with pytest.raises(OptionError, match=says):
        BetweenTarget.from_plain(change(plain))


def test_the_digest_tells_spots_and_their_order_apart() -> None:
    columns = {"Block": np.array([1, 1]), "ID": np.array([b"a", b"b"])}
    same = {"Block": np.array([1, 1], np.int16), "ID": np.array(["a", "b"], object), "Name": np.array(["x", "y"])}
    assert digest_of(columns, 2) == digest_of(same, 2)
    others = [
        {"Block": np.array([1, 2]), "ID": columns["ID"]},
        {"Block": columns["Block"], "ID": columns["ID"][::-1]},
        {"ID": columns["ID"]},
    ]
    assert len({digest_of(columns, 2), *(digest_of(other, 2) for other in others)}) == 4
