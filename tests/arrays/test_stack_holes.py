"""Who is named when arrays cannot be in one set."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

import gridnorm as gn
from gridnorm.arrays.stack import same_kind, stack
from gridnorm.errors import OptionError


@pytest.mark.parametrize("recorded", [True, False])
def test_arrays_of_different_channels_are_named_by_file_or_else_by_name(recorded: bool) -> None:
    sets = [replace(gn.simulate(1, (1, 1), (4, 4), seed=k).arrays, names=(f"array {k}",)) for k in range(3)]
    records = [(SimpleNamespace(file=f"{k}.gpr"),) for k in range(3)]
    sets = [replace(one, records=record if recorded else ()) for one, record in zip(sets, records, strict=True)]
    called = [f"{k}.gpr" if recorded else f"array {k}" for k in range(3)]
    other = {f"Cy{name}": matrix for name, matrix in sets[2].values.items()}
    sets[2] = replace(sets[2], channels=("CyR", "CyG"), values=other)
    same_kind(sets[:2])
    with pytest.raises(OptionError) as error:
        stack(sets)
    assert error.value.file == called[2]
    assert error.value.found == "CyR CyG" and str(error.value.expected).endswith(f"as in {called[0]}")
