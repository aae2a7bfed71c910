"""The sidecar: JSON of one array a line, plain numbers, and the line that people are told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.arrayset import Origin
from gridnorm.provenance import History, InputDigest
from gridnorm.workflow.sidecar import entry_of, set_sidecar, sidecar


@pytest.fixture(scope="module")
def done() -> gn.ArraySet:
    few = gn.simulate(2, (2, 2), (8, 7), seed=1).arrays
    with pytest.warns(gn.GridnormWarning, match="no group of by=.print-tip. has a fit of its own"):
        return gn.normalize(few, background="half", small_groups="array", min_group=60)


def test_pieces_are_json_with_one_array_a_line(done: gn.ArraySet) -> None:
    found, lines = set_sidecar(done, {"file": "x.tsv"})
    text = b"".join(found.pieces()).decode()
    plain = json.loads(text)
    assert list(plain) == list(found.head) and len(plain["arrays"]) == len(lines) == 2
    assert sum(line.startswith('  {"name": "array') for line in text.splitlines()) == 2
    assert json.loads(b"".join(sidecar(History(), [], None, [], Origin(), [], None).pieces()))["arrays"] == []


def test_groups_have_their_fit_and_shifts_of_nine_digits(done: gn.ArraySet) -> None:
    entry = json.loads(entry_of(done, 0).text)
    assert [group["group"] for group in entry["groups"]] == [1, 2, 3, 4]
    assert {group["fit"] for group in entry["groups"]} == {"array"}  # 56 spots, fewer than 60
    before = done.fits[0].before[0]
    assert [group["shift_before"] for group in entry["groups"]] == [float(f"{value:.9g}") for value in before]
    assert entry_of(done, 0).summary.replaced == (("array", 4),)


def test_real_differences_are_recorded_with_their_bounds(done: gn.ArraySet) -> None:
    entry, line, within = json.loads(entry_of(done, 0).text), entry_of(done, 0).summary, done.fits[0]
    for name, found, told in (
        ("before", within.real_before, line.real_before),
        ("after", within.real_after, line.real_after),
    ):
        recorded = entry["real_difference"][name]
        assert list(recorded) == ["sd", "low", "high", "share"]
        assert recorded["share"] == float(f"{found.share[0]:.9g}")
        assert told == (found.sd[0], found.low[0], found.high[0])
        assert [recorded[key] for key in ("sd", "low", "high")] == [float(f"{value:.9g}") for value in told]


def test_what_could_not_be_measured_is_null() -> None:
    arrays = gn.simulate(1, (2, 2), (8, 7), seed=1).arrays
    one = gn.normalize(arrays, background="half", by="array")
    assert json.loads(entry_of(one, 0).text)["real_difference"] == {"before": None, "after": None}
    raw = gn.background_correct(arrays, "half")
    assert json.loads(entry_of(raw, 0).text)["real_difference"] is None


def test_the_line_for_people_is_of_the_same_numbers(done: gn.ArraySet) -> None:
    line = entry_of(done, 1).summary
    before = done.fits[1].before[0]
    assert line.before == (pytest.approx(np.median(before)), pytest.approx(before.std(ddof=1)))
    assert (line.name, line.groups, line.method) == (done.names[1], 4, "loess")


def test_what_failed_and_what_was_skipped_is_told() -> None:
    origin = Origin((InputDigest("p.gal", 1, "0"),), (("notes.txt", "not an array file"),), (("b.gpr", "broken"),))
    head = sidecar(History(), [InputDigest("a.gpr", 2, "1")], None, [], origin, ["careful"], None).head
    assert [given["name"] for given in head["inputs"]] == ["a.gpr", "p.gal"]
    assert head["failed"] == [{"file": "b.gpr", "error": "broken"}]
    assert head["skipped"] == [{"file": "notes.txt", "reason": "not an array file"}]
    assert head["warnings"] == ["careful"] and head["output"] is None
