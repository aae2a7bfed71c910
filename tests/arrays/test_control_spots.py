"""Which spots are control spots, and what is said where nothing tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.control_spots import CONTROL_TYPE, beyond_controls, control_doubts, control_spots, controls_of
from gridnorm.arrays.raw import RawArray
from gridnorm.errors import FitError, OptionError

TYPES = [b"gene", b"Control+", b"", b"controls of print", b"spike", b"a control"]


def array(types: list[bytes] | None) -> RawArray:
    raw = gn.simulate(1, blocks=(1, 1), spots=(2, 3), seed=1).arrays.raw(0)
    raw = replace(raw, name="a.gpr")
    return raw if types is None else replace(raw, spots={**raw.spots, "SpotType": np.array(types)})


def controls(types: list[bytes] | None, *named: str) -> list[int]:
    return np.flatnonzero(control_spots(array(types), {"control_type": named})).tolist()


def test_types_that_begin_with_control_are_those_of_control_spots() -> None:
    assert controls(TYPES) == [1, 3]
    assert controls([b"CONTROL"] * 6) == list(range(6))


def test_types_that_are_named_are_taken_instead() -> None:
    assert controls(TYPES, "spike") == [4]
    assert controls(TYPES, "SPIKE", "a control") == [4, 5], "case does not count"
    assert controls([b"Spike", b"spike", *TYPES[2:]], "spike") == [1, 4], "but an exact name is taken alone"
    assert CONTROL_TYPE.read("spike, gene") == ("spike", "gene")


def test_a_type_that_is_not_there_is_refused_or_told() -> None:
    with pytest.raises(OptionError) as caught:
        controls(TYPES, "spikes")
    assert str(caught.value) == (
        "a.gpr: control_type names a type that no spot has; found 'spikes', expected gene, Control+, (none), "
        "controls of print, spike, a control. Did you mean spike?"
    )
    options = {"control_type": ("spike", "dark")}
    assert control_spots(array(TYPES), options).sum() == 1
    assert control_doubts(array(TYPES), options) == ["a.gpr: no spot is of the type dark (--control-type)"]
    assert control_doubts(replace(array(TYPES), part_of="a.gpr"), options) == [], "of a part nothing is said"


def test_without_types_nothing_is_a_control_spot() -> None:
    with pytest.raises(OptionError) as named:
        controls(None, "spike")
    assert str(named.value) == (
        "a.gpr: control_type needs the types of the spots; found no column SpotType. Give a table of them with controls"
    )
    with pytest.raises(FitError) as caught:
        controls(None)
    assert str(caught.value) == (
        "a.gpr: no spot is a control spot; found no column SpotType, expected a type whose name begins with control. "
        "Give a table of spot types with controls"
    )
    with pytest.raises(FitError) as none:
        controls([b"gene"] * 3 + [b"spike"] * 3)
    assert str(none.value) == (
        "a.gpr: no spot is a control spot; found types gene, spike, expected a type whose name begins with control. "
        "Name the types with control_type"
    )
    for types in (None, [b"gene"] * 6):
        raw = array(types)
        assert controls_of(raw.spots, raw.n_spots, {}, raw.name) is None


@pytest.mark.parametrize(("outside", "said"), [(5, False), (6, True)])
def test_more_than_a_twentieth_beyond_all_controls_are_said(outside: int, said: bool) -> None:
    level = np.concatenate([np.linspace(8, 12, 100 - outside), np.full(outside, 13.0), [np.nan]])
    controls = (level <= 12) & (np.arange(101) % 9 == 0)
    controls[100 - outside - 1] = True
    notes = beyond_controls("a.gpr", "control", level, controls, np.ones(101, bool))
    told = (
        f"a.gpr: {outside} of 100 spots lie beyond the control spots (A 8.00 to 12.00); what control takes for them is "
    )
    assert notes == ([told + "extended from the nearest"] if said else [])
    assert beyond_controls("a.gpr", "control", level, controls, np.zeros(101, bool)) == []
