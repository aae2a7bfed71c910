"""Identifiers from a GAL: matched by place, whatever the order of its rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import gridnorm as gn
from gridnorm.arrays.annotate import annotate
from gridnorm.arrays.raw import RawArray
from gridnorm.errors import LayoutError


@pytest.fixture(scope="module")
def raw() -> RawArray:
    return gn.simulate(1, (2, 2), (4, 5), seed=3).arrays.raw(0)


def gal_of(raw: RawArray, order: np.ndarray, **more: np.ndarray) -> SimpleNamespace:
    spots = {title: raw.spots[title][order] for title in ("Block", "Row", "Column", "ID")}
    return SimpleNamespace(name="p.gal", spots=spots | {title: column[order] for title, column in more.items()})


def test_columns_of_the_gal_go_to_their_places(raw: RawArray) -> None:
    order = np.random.default_rng(0).permutation(raw.n_spots)
    gene = np.array([f"gene{k}".encode() for k in range(raw.n_spots)])
    found = annotate(raw, gal_of(raw, order, Gene=gene))
    np.testing.assert_array_equal(found.spots["Gene"], gene)
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    assert found.warnings == raw.warnings and "Gene" not in raw.spots


def test_the_gal_is_the_authority_and_says_so(raw: RawArray) -> None:
    other = raw.spots["ID"].astype("S20")
    other[3] = b"other"
    found = annotate(raw, gal_of(raw, np.arange(raw.n_spots), ID=other))
    assert found.spots["ID"][3] == b"other"
    assert "ID differs from p.gal in 1 spot " in found.warnings[-1] and "the GAL's is used" in found.warnings[-1]


def test_spots_that_the_gal_lacks_keep_what_they_have(raw: RawArray) -> None:
    found = annotate(raw, gal_of(raw, np.arange(raw.n_spots - 7), Gene=np.full(raw.n_spots, b"g")))
    np.testing.assert_array_equal(found.spots["ID"], raw.spots["ID"])
    assert (found.spots["Gene"] == b"").sum() == 7
    assert found.warnings[-1].endswith("7 spots are not in p.gal; they keep the ID of the file")


def test_a_gal_of_another_print_is_refused(raw: RawArray) -> None:
    gal = gal_of(raw, np.arange(raw.n_spots))
    gal.spots["Block"] = gal.spots["Block"] + 100
    with pytest.raises(LayoutError, match="p.gal lists none of the spots"):
        annotate(raw, gal)
