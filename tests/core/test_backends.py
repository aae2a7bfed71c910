"""Every statistic, application, rule and method, on every kind of array: NumPy's results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import EVERY, ON_HOST, Backend, others
from covariates import over

from gridnorm.core import apply as applied
from gridnorm.core.fit import Fit, fit
from gridnorm.core.groups import normalize_groups
from gridnorm.core.methods import METHODS
from gridnorm.core.segments import Segments
from gridnorm.core.small import replace_small
from gridnorm.core.spread import share_explained
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import FitError, OptionError

ITEMS = 150


def data(small: bool = False) -> dict[str, Any]:
    """Values, covariate, weights, use and segments; with ``small``, a group of four."""
    rng = np.random.default_rng(1)
    codes = rng.permutation(np.repeat([0, 1, 2, 3], [60, 50, 36, 4] if small else [60, 50, 21, 19]))
    covariate = rng.uniform(6, 15, (2, ITEMS))
    values = np.sin(covariate) + rng.normal(0, 0.3, covariate.shape)
    values[:, ::19] = np.nan
    return {
        "values": values,
        "covariate": covariate,
        "weights": rng.uniform(0.1, 1, covariate.shape),
        "use": rng.random(covariate.shape) > 0.1,
        "segments": Segments.from_codes(codes, "abcd"),
        "position": rng.uniform(0, 9, (ITEMS, 2)),
    }


def assert_same(backend: Backend, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    # Values are of about 1.
    np.testing.assert_allclose(found, expected, rtol=0, atol=backend.tolerance(np.float64))


def assert_same_fit(backend: Backend, found: Fit, expected: Fit) -> None:
    for name in ("n", "location", "scale", "points", "source"):
        if getattr(expected, name) is None:
            assert getattr(found, name) is None
        else:
            assert_same(backend, getattr(found, name), getattr(expected, name))
    if expected.curve is not None:
        for name in ("x", "y", "offsets"):
            assert_same(backend, getattr(found.curve, name), getattr(expected.curve, name))


def both(backend: Backend, function: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
    """The result of the backend, and NumPy's."""
    return backend.run(function, *args, **options), backend.on_numpy(function, *args, **options)


def given(d: dict[str, Any], statistic: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: d[name] for name in names} | over(STATISTICS[statistic], d["covariate"])


@others
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_statistic_is_fitted(backend: Backend, statistic: str, weighted: bool) -> None:
    names = ("use", "weights") if weighted and STATISTICS[statistic].takes_weights else ("use",)
    d = data()
    assert_same_fit(backend, *both(backend, fit, d["values"], d["segments"], statistic, **given(d, statistic, names)))


@others
@pytest.mark.parametrize("how", applied.APPLICATIONS)
def test_every_application(backend: Backend, how: str) -> None:
    d = data()
    statistic = "lowess" if how == "subtract" else "mad"
    values, x, segments = d["values"], d["covariate"], d["segments"]
    fitted = backend.on_numpy(fit, values, segments, statistic, **given(d, statistic, ()))
    if how != "subtract":
        relative = both(backend, applied.relative_scale, fitted)
        assert_same_fit(backend, *relative)
        fitted = relative[1]
    assert_same(backend, *both(backend, applied.apply, values, segments, fitted, how, covariate=x))
    assert_same(backend, *both(backend, applied.evaluate, fitted, x, segments))


@others
@pytest.mark.parametrize("rule", ["whole", "shrink", "merge"])
@pytest.mark.parametrize("statistic", ["median", "mad", "moments", "lowess"])
def test_small_groups_get_another_fit(backend: Backend, statistic: str, rule: str) -> None:
    d = data(small=True)
    values, segments, arguments = d["values"], d["segments"], given(d, statistic, ("use", "weights"))
    own = backend.on_numpy(fit, values, segments, statistic, **arguments)
    limit = 5 if statistic != "lowess" else 20
    assert (own.n < limit).any()
    more = {"statistic": STATISTICS[statistic], "position": d["position"], "arguments": arguments}
    assert_same_fit(backend, *both(backend, replace_small, own, values, segments, limit, rule, **more))


@others
def test_small_groups_are_refused_by_name(backend: Backend) -> None:
    d = data(small=True)
    arguments = given(d, "median", ("use", "weights"))
    own = backend.on_numpy(fit, d["values"], d["segments"], "median", **arguments)
    more = {"statistic": STATISTICS["median"], "arguments": arguments}
    with pytest.raises(FitError, match=r"fewer than 5 usable values; found d \("):
        backend.run(replace_small, own, d["values"], d["segments"], 5, "error", **more)


@others
@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.statistic])
@pytest.mark.parametrize("axis", [0, 1])
def test_normalize_groups(backend: Backend, method: str, axis: int) -> None:
    d = data()
    labels = [d["segments"].labels[code] for code in d["segments"].codes]
    several = len(METHODS[method].covariates) > 1  # which belong to the items, not to an axis of the values
    # All are marked where only marked items enter: groups with fewer than 14 in the fit are told.
    marked = {"marked": 1.0} if METHODS[method].marks else {}
    covariate = over(METHODS[method], d["covariate"][0] if several else d["covariate"], **marked)
    options = {"weights": d["weights"], "use": d["use"]} | ({} if several else covariate)
    if axis == 0:
        d["values"], options = d["values"].T, {name: value.T for name, value in options.items()}
    options |= covariate if several else {}
    options |= {"axis": axis} | ({} if METHODS[method].pools_itself else {"min_group": 20, "small_groups": "shrink"})
    assert_same(backend, *both(backend, normalize_groups, d["values"], labels, method, **options))


@pytest.mark.parametrize("backend", EVERY[2:3], indirect=True)
@pytest.mark.parametrize("name", [*ON_HOST, "lowess"])
def test_other_arrays_are_told_that_only_numpys_engine_has_direct_local_regression(backend: Backend, name: str) -> None:
    d, row = data(), STATISTICS[name]
    assert row.name in ON_HOST or "surface" in {option.name for option in row.options}
    options = {"surface": "direct"} if name == "lowess" else {}
    with pytest.raises(OptionError, match="no engine for these arrays has the verb loess") as caught:
        backend.run(fit, d["values"], d["segments"], name, **over(row, d["covariate"]), **options)
    assert "Convert the arrays to NumPy first, whose engine has every verb" in str(caught.value)


@others
def test_share_explained(backend: Backend) -> None:
    d = data()
    assert_same(backend, *both(backend, share_explained, d["values"], d["segments"], use=d["use"]))


# ---------------------------------------------------------------------------------------------- the fixture itself


def test_what_writes_to_its_arguments_is_caught(backend: Backend) -> None:
    def spoils(x: Any) -> Any:
        x[...] = 0
        return x

    with pytest.raises((AssertionError, ValueError), match="written to|read-only"):
        backend.run(spoils, np.ones(3))
    out = np.ones(3)
    assert backend.run(lambda x, out: spoils(out), np.ones(3), out=out) is out
    np.testing.assert_array_equal(out, 0)


def test_numbers_that_leave_their_kind_of_array_are_caught(backend: Backend) -> None:
    if backend.kind is np.ndarray:
        np.testing.assert_array_equal(backend.to_numpy(backend.asarray([1.0, 2.0])), [1, 2])
        return
    with pytest.raises(AssertionError, match="an array of NumPy among the results"):
        backend.run(lambda x: (x, np.ones(3)), np.ones(3))
    with pytest.raises(TypeError, match="Implicit conversion"):
        backend.run(np.asarray, np.ones(3))
