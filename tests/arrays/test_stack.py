"""Sets beside one another: every array as it was."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.stack import same_kind, stack
from gridnorm.errors import OptionError


@pytest.fixture(scope="module")
def arrays() -> gn.ArraySet:
    return gn.simulate(3, (2, 2), (8, 7), seed=3).arrays


def test_the_parts_of_a_set_make_the_set(arrays: gn.ArraySet) -> None:
    done = stack([arrays.part(k) for k in range(3)])
    assert done.names == arrays.names
    for name, matrix in arrays.values.items():
        np.testing.assert_array_equal(done.values[name], matrix)
    np.testing.assert_array_equal(done.flags, arrays.flags)


def test_fits_see_the_values_of_the_set_which_are_kept_once(arrays: gn.ArraySet) -> None:
    parts = [gn.normalize(arrays.part(k), background="half") for k in range(2)]
    done = stack(parts)
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(done.fits[k].values[0], part.M[:, 0])
        assert np.shares_memory(done.fits[k].values, done.values["M"])


def test_what_one_array_lacks_is_nan_zero_or_one(arrays: gn.ArraySet) -> None:
    one, two = arrays.part(0), arrays.part(1)
    bare = replace(two, values={k: v for k, v in two.values.items() if k in "RG"}, flag_codes=None)
    weighted = replace(one, spot_weights=np.full((1, one.n_spots), 0.5))
    done = stack([weighted, bare])
    assert np.isnan(done.values["Rb"][1]).all() and not np.isnan(done.values["Rb"][0]).any()
    assert not done.flag_codes[1].any()
    np.testing.assert_array_equal(done.spot_weights[:, 0], [0.5, 1.0])


def test_sets_that_do_not_go_together_are_named(arrays: gn.ArraySet) -> None:
    one = gn.simulate(1, (2, 2), (8, 7), channels=1, seed=3).arrays
    with pytest.raises(OptionError, match="arrays of different channels cannot be in one set; found E, expected R G"):
        stack([arrays.part(0), one])
    with pytest.raises(OptionError, match="no arrays"):
        stack([])


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
