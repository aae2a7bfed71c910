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
        (lambda plain: {**plain, "schema": 99}, "another version; found 99, expected 2"),
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


def _of(method: str) -> dict[str, Any]:
    arrays = RESULT
    if method == "vsn":
        arrays = gn.background_correct(gn.simulate(3, blocks=(1, 2), spots=(8, 8), seed=4).arrays, "subtract")
    plain: dict[str, Any] = json.loads(json.dumps(normalize_between(arrays, method).between.to_plain()))
    return plain


DAMAGE: dict[str, list[tuple[Any, str]]] = {
    "quantile": [
        (lambda part: part["payload"].update(points=[None] * 128), "points that are missing"),
        (lambda part: part["payload"]["points"].__setitem__(5, None), "points that are missing"),
        (lambda part: part["payload"].update(points=part["payload"]["points"][:10]), r"points of shape \(10,\)"),
        (lambda part: part["payload"]["points"].reverse(), "points that do not rise"),
        (lambda part: part["payload"].update(points=["1.5"] * 128), "no lists of numbers"),
        (lambda part: part["payload"].update(points=[True] * 128), "no lists of numbers"),
        (lambda part: part["payload"].update(points=[[1.0], [2.0, 3.0]]), "no lists of numbers"),
        (lambda part: part["payload"].update(points=None), "no lists of numbers"),
        (lambda part: part["payload"].update(points=[10**400] * 128), "too large"),
        (lambda part: part["payload"].update(points=[float("inf")] * 128), "infinite"),
        (lambda part: part.update(payload=None), "data of another kind"),
        (lambda part: part.update(sizes=[float("inf")]), "labels and sizes that do not fit"),
        (lambda part: part.update(sizes=[64, 64]), "labels and sizes that do not fit"),
        (lambda part: part.update(sizes=[127]), "of 127 spots, expected quantile of 128"),
        (lambda part: part.update(method="cyclic"), "no 'means'"),
    ],
    "scale": [
        (lambda part: part["payload"].update(mean_log=[None]), "scales that are missing"),
        (lambda part: part["payload"].update(mean_log=[0.1, 0.2]), r"scales of shape \(2,\)"),
        (lambda part: part["payload"].update(mean_log=[]), r"scales of shape \(0,\)"),
    ],
    "cyclic-loess": [
        (lambda part: part["payload"].update(means=[]), r"means of shape \(0,\), expected \(3, 128\)"),
        (lambda part: part["payload"]["means"].pop(), r"means of shape \(2, 128\)"),
        (lambda part: part["payload"]["means"].__setitem__(1, [None] * 128), "means without a number"),
    ],
    "vsn": [
        (lambda part: part["payload"].update(level=[]), r"levels of shape \(0,\)"),
        (lambda part: part["payload"].update(variance=0), "a variance of 0"),
        (lambda part: part["payload"].update(variance=None), "a variance of nan"),
        (lambda part: part["payload"].update(shift=[None]), "shifts that are missing"),
    ],
}


@pytest.mark.parametrize(
    ("method", "damage", "says"), [(method, *one) for method, several in DAMAGE.items() for one in several]
)
def test_a_damaged_payload_is_refused(method: str, damage: Any, says: str) -> None:
    plain = _of(method)
    BetweenTarget.from_plain(plain)
    damage(next(iter(plain["parts"].values())))
    with pytest.raises(OptionError, match=says):
        BetweenTarget.from_plain(plain)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("channels", "RG", "channels: \"RG\", expected a list"),
        ("channels", [1], r"found \[1\], expected a list of words"),
        ("spots", 128.9, "spots: 128.9, expected a whole number"),
        ("spots", True, "spots: true, expected a whole number"),
        ("schema", True, "another version"),
        ("options", {"magic": 1}, "magic has no meaning for scale"),
        ("types", {}, "no 'exclude_types'"),
        ("steps", [], "steps: .., expected an object"),
    ],
)  # fmt: skip
def test_entries_of_another_kind_are_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        BetweenTarget.from_plain({**_of("scale"), name: value})
