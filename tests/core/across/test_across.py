"""Batch entries made alike: every row on every backend, toward targets that were kept, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from backends import Backend

from gridnorm.core.across import ACROSS, Target, normalize_across
from gridnorm.core.segments import Segments
from gridnorm.errors import FitError, OptionError

RNG = np.random.default_rng(3)
N = 240
VALUES = np.sort(RNG.normal(8, 2, N))[None, :] * RNG.uniform(0.5, 2, (4, 1)) + RNG.normal(0, 0.3, (4, N))
VALUES[1, 5] = VALUES[2, 17] = np.nan
WHOLE = Segments.single(N)
THREE = Segments.from_labels(np.arange(N) % 3)
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("scale", {}),
    ("quantile", {}),
    *(("cyclic", {"cyclic_method": form}) for form in ("fast", "affy", "pairs")),
]
BY_ROW = pytest.mark.parametrize(("method", "options"), METHODS, ids=lambda x: x if isinstance(x, str) else "".join(x))


def alike(values: np.ndarray, segments: Segments, method: str, **options: Any) -> np.ndarray:
    return np.asarray(normalize_across(values, segments, method, **options).values)


@BY_ROW
def test_every_backend_gives_numpy_s_numbers(backend: Backend, method: str, options: dict[str, Any]) -> None:
    expected = backend.on_numpy(alike, VALUES, THREE, method, **options)
    found = backend.run(lambda values: normalize_across(values, THREE, method, **options).values, VALUES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=backend.tolerance(np.float64) * 10)


@BY_ROW
def test_missing_stays_missing_and_nothing_else_is(method: str, options: dict[str, Any]) -> None:
    for segments in (WHOLE, THREE):
        assert np.array_equal(np.isnan(alike(VALUES, segments, method, **options)), np.isnan(VALUES))


@BY_ROW
def test_groups_are_treated_apart(method: str, options: dict[str, Any]) -> None:
    """A group has the numbers that it has alone, whatever the others are."""
    if method == "cyclic":
        pytest.skip("small groups of curves lean on the whole")
    together = alike(VALUES, THREE, method, **options)
    for group in range(3):
        items = np.arange(N) % 3 == group
        alone = alike(VALUES[:, items], Segments.single(int(items.sum())), method, **options)
        np.testing.assert_array_equal(together[:, items], alone)


@BY_ROW
def test_the_order_of_items_and_the_names_of_groups_do_not_matter(method: str, options: dict[str, Any]) -> None:
    order = RNG.permutation(N)
    plain = alike(VALUES, THREE, method, **options)
    moved = alike(VALUES[:, order], Segments.from_labels((np.arange(N) % 3)[order]), method, **options)
    np.testing.assert_allclose(moved, plain[:, order], rtol=0, atol=1e-11)
    named = alike(VALUES, Segments.from_labels(np.array(["c", "a", "b"])[np.arange(N) % 3]), method, **options)
    np.testing.assert_allclose(named, plain, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("method", "options"), METHODS[:4], ids=["scale", "quantile", "fast", "affy"])
def test_the_order_of_entries_does_not_matter(method: str, options: dict[str, Any]) -> None:
    order = [2, 0, 3, 1]
    plain = alike(VALUES, WHOLE, method, **options)
    np.testing.assert_allclose(alike(VALUES[order], WHOLE, method, **options), plain[order], rtol=0, atol=1e-11)


@BY_ROW
def test_what_is_alike_already_stays(method: str, options: dict[str, Any]) -> None:
    same = np.tile(VALUES[:1], (3, 1))
    np.testing.assert_allclose(alike(same, WHOLE, method, **options), same, rtol=0, atol=1e-12)


@BY_ROW
def test_items_that_are_not_used_teach_nothing_and_are_treated(method: str, options: dict[str, Any]) -> None:
    use = np.ones((4, N), bool)
    use[:, ::7] = False
    broken = np.where(use, VALUES, 1e6)
    found, expected = (alike(v, WHOLE, method, use=use, **options) for v in (broken, VALUES))
    np.testing.assert_array_equal(found[use], expected[use])
    assert np.isfinite(found[~use & ~np.isnan(broken)]).all()
    np.testing.assert_array_equal(alike(VALUES, WHOLE, method, weights=use * 1.0, **options), expected)


@pytest.mark.parametrize(("method", "options"), METHODS[:3], ids=["scale", "quantile", "fast"])
def test_an_entry_alone_is_brought_to_a_kept_target_bit_for_bit(
    backend: Backend, method: str, options: dict[str, Any]
) -> None:
    made = normalize_across(VALUES, THREE, method, **options)
    kept = Target.from_plain(json.loads(json.dumps(made.target.to_plain())))
    for entry in range(4):
        one = backend.run(
            lambda v: normalize_across(v, THREE, method, target=kept, **options).values, VALUES[entry : entry + 1]
        )
        np.testing.assert_allclose(one, made.values[entry : entry + 1], rtol=0, atol=backend.tolerance(np.float64) * 10)


@pytest.mark.parametrize("form", ["affy", "pairs"])
def test_forms_without_a_reference_leave_no_target(form: str) -> None:
    assert normalize_across(VALUES, WHOLE, "cyclic", cyclic_method=form).target is None


def test_what_is_given_is_not_written_to_unless_it_may_be() -> None:
    before = VALUES.copy()
    for method, options in METHODS:
        alike(VALUES, WHOLE, method, **options)
        np.testing.assert_array_equal(VALUES, before)
        mine = VALUES.copy()
        expected = alike(VALUES, WHOLE, method, **options)
        assert normalize_across(mine, WHOLE, method, in_place=True, **options).values is not None
        np.testing.assert_array_equal(mine, expected)


@BY_ROW
def test_one_entry_is_not_enough(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"{method} makes several alike; found 1, expected 2 or more, or a target"):
        normalize_across(VALUES[:1], WHOLE, method, **options)


@BY_ROW
def test_an_entry_without_a_value_in_a_group_is_named(method: str, options: dict[str, Any]) -> None:
    gone = VALUES.copy()
    gone[2, THREE.codes == 1] = np.nan
    with pytest.raises(FitError, match=r"no usable value in slide c \(group 1\)\. Leave it out"):
        normalize_across(gone, THREE, method, names=["slide a", "slide b", "slide c", "slide d"], **options)
    gone[:3] = np.nan
    with pytest.raises(FitError, match="no usable value in entry 0, entry 1, entry 2"):
        normalize_across(gone, WHOLE, method, **options)


def test_targets_are_for_the_groups_they_were_made_of() -> None:
    quantile, scale = (normalize_across(VALUES, THREE, m).target for m in ("quantile", "scale"))
    with pytest.raises(OptionError, match="the target is of other groups; found all, expected 0, 1, 2"):
        normalize_across(VALUES, WHOLE, "quantile", target=quantile)
    with pytest.raises(OptionError, match="the target is of another method; found quantile, expected scale"):
        normalize_across(VALUES, THREE, "scale", target=quantile)
    fewer = Segments.from_labels(np.arange(N - 1) % 3)
    with pytest.raises(OptionError, match="groups of another size; found 80, 80, 79, expected 80, 80, 80"):
        normalize_across(VALUES[:, :-1], fewer, "quantile", target=quantile)
    assert normalize_across(VALUES[:, :-1], fewer, "scale", target=scale).values.shape == (4, N - 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "no 'method'"),
        ({"method": "magic"}, "unknown method between; found 'magic'"),
        ({"method": "scale", "labels": ["all"], "sizes": [3]}, "no 'payload'"),
        ({"method": "scale", "labels": ["all"], "sizes": "x", "payload": {}}, "these are no data of a target"),
        ({"method": "scale", "labels": ["all"], "sizes": [3], "payload": {"mean_log": "x"}}, "no data of a target"),
    ],
)
def test_data_that_are_no_target_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Target.from_plain(wrong)


def test_every_row_is_tested_here() -> None:
    assert {method for method, _ in METHODS} <= set(ACROSS)
