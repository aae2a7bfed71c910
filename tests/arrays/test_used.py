"""Spots that may teach after an array was normalized: as flags let them into its fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.used import in_fits, type_levels, types_for, used
from gridnorm.errors import FitError, OptionError

RAW = gn.simulate(2, blocks=(2, 2), spots=(12, 12), bad=0.1, not_found=0.2, seed=3).arrays


@pytest.mark.parametrize(
    ("flags", "out"),
    [("exclude", [-100]), ("drop", [-100]), ("exclude:-50,-100", [-50, -100]), ("downweight", [-50, -100])],
)
def test_spots_that_were_not_found_are_good_as_far_as_flags_let_them_in(flags: str, out: list[int]) -> None:
    done = gn.normalize(RAW, flags=flags)
    for index in range(2):
        codes = done.flags[:, index]
        assert {-50, -100} <= set(codes.tolist())
        np.testing.assert_array_equal(used(done, index), ~np.isin(codes, out))


def test_without_weights_all_are_good_and_weights_of_zero_are_none() -> None:
    assert used(gn.normalize(RAW, flags="ignore"), 0).all()
    weights = np.where(np.arange(RAW.n_spots) % 3 == 0, 0.0, 0.5)
    np.testing.assert_array_equal(used(gn.normalize(RAW, flags="ignore", weights=weights), 1), weights > 0)


def test_types_are_those_that_were_named_and_else_those_of_the_fits() -> None:
    typed = replace(RAW, columns={**RAW.columns, "SpotType": np.resize(np.array([b"gene", b"spike"]), RAW.n_spots)})
    done = gn.normalize(typed, exclude_types="spike", flags="ignore")
    assert types_for(done, None, None) == (("spike",), ())
    assert types_for(done, (), "gene") == ((), ("gene",))
    np.testing.assert_array_equal(in_fits(done, 0, *types_for(done, None, None)), np.arange(RAW.n_spots) % 2 == 0)
    assert in_fits(done, 0).all()
    with pytest.raises(FitError, match="no spot is left"):
        in_fits(done, 0, ("spike", "gene"))
    with pytest.raises(OptionError, match="needs the types of the spots"):
        in_fits(gn.normalize(RAW), 0, ("spike",))


def test_types_are_reported_by_what_they_came_to() -> None:
    types = np.resize(np.array([b"gene", b"gene", b"spike", b""]), RAW.n_spots)
    raw = replace(RAW, columns={**RAW.columns, "SpotType": types})
    assert type_levels(raw, 0) == {} == type_levels(gn.normalize(RAW), 0), "intensities, and spots without types"
    done = gn.normalize(raw)
    found = type_levels(done, 1)
    assert sorted(found) == ["(none)", "gene", "spike"]
    for name in ("gene", "spike"):
        m = done.M[(types == name.encode()) & used(done, 1), 1]
        middle = np.nanmedian(m)
        expected = {
            "n": np.isfinite(m).sum(),
            "median": middle,
            "mad": 1.4826 * np.nanmedian(np.abs(m - middle)),
        }
        assert found[name] == {"M": pytest.approx(expected, rel=1e-8)}
