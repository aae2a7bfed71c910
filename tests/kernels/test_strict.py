"""The device backend and the core above it run on arrays that refuse what CuPy refuses; results are NumPy's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import cudashim
import numpy as np
import pytest
import strict

from gridnorm.core import apply as applied
from gridnorm.core.engines.cuda.device import use_device
from gridnorm.core.fit import STATISTICS, fit
from gridnorm.core.groups import normalize_groups
from gridnorm.core.methods import METHODS
from gridnorm.core.segments import Segments
from gridnorm.core.small import replace_small
from gridnorm.core.spread import share_explained
from gridnorm.errors import FitError

TOLERANCE = 1e-12  # absolute, of values of about 1
ITEMS = 150


@pytest.fixture
def refusing(skip_without: Callable[[str, str], None]) -> Iterator[None]:
    if cudashim.MODE != "fast":
        pytest.skip("about arrays, not about memory or races")
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    with use_device(strict.StrictDevice()):
        yield


on_refusing_arrays = pytest.mark.usefixtures("refusing")


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


def moved(value: Any) -> Any:
    return strict.xp.asarray(value) if isinstance(value, np.ndarray) else value


def assert_same(found: Any, expected: Any) -> None:
    assert isinstance(found, strict.ndarray)
    assert isinstance(expected, np.ndarray)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.get(), expected, rtol=0, atol=TOLERANCE)


def assert_same_fit(found: Any, expected: Any) -> None:
    for name in ("n", "location", "scale", "points", "source"):
        if getattr(expected, name) is None:
            assert getattr(found, name) is None
        else:
            assert_same(getattr(found, name), getattr(expected, name))
    if expected.curve is not None:
        for name in ("x", "y", "offsets"):
            assert_same(getattr(found.curve, name), getattr(expected.curve, name))


def fits(d: dict[str, Any], statistic: str, names: tuple[str, ...]) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The fit on refusing arrays and on NumPy's, and what each was called with."""
    plain = {name: d[name] for name in names} | ({"covariate": d["covariate"]} if statistic == "lowess" else {})
    device = {name: moved(value) for name, value in plain.items()}
    found = fit(moved(d["values"]), d["segments"], statistic, **device)
    return found, fit(d["values"], d["segments"], statistic, **plain), device, plain


@pytest.mark.shim
@on_refusing_arrays
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_statistic_is_fitted(statistic: str, weighted: bool) -> None:
    names = ("use", "weights") if weighted and STATISTICS[statistic].takes_weights else ("use",)
    found, expected, *_ = fits(data(), statistic, names)
    assert_same_fit(found, expected)


@pytest.mark.shim
@on_refusing_arrays
@pytest.mark.parametrize("how", applied.APPLICATIONS)
def test_every_application(how: str) -> None:
    d = data()
    found, expected, *_ = fits(d, "lowess" if how == "subtract" else "mad", ())
    if how != "subtract":
        found, expected = applied.relative_scale(found), applied.relative_scale(expected)
    values, x = d["values"], d["covariate"]
    result = applied.apply(moved(values), d["segments"], found, how, covariate=moved(x))
    assert_same(result, applied.apply(values, d["segments"], expected, how, covariate=x))
    there, here = applied.evaluate(found, moved(x), d["segments"]), applied.evaluate(expected, x, d["segments"])
    assert_same(there, here)


# The codes of the pooled groups are a device array, which Segments cannot take.


@pytest.mark.shim
@on_refusing_arrays
@pytest.mark.parametrize("rule", ["whole", "shrink", "merge"])
@pytest.mark.parametrize("statistic", ["median", "mad", "moments", "lowess"])
def test_small_groups_get_another_fit(statistic: str, rule: str) -> None:
    d = data(small=True)
    found, expected, device, plain = fits(d, statistic, ("use", "weights"))
    limit = 5 if statistic != "lowess" else 20
    assert (expected.n < limit).any()
    results = []
    for own, values, given in ((found, moved(d["values"]), device), (expected, d["values"], plain)):
        place = d["position"] if values is d["values"] else moved(d["position"])
        more = {"statistic": STATISTICS[statistic], "position": place, "arguments": given}
        results.append(replace_small(own, values, d["segments"], limit, rule, **more))
    assert_same_fit(*results)


@pytest.mark.shim
@on_refusing_arrays
def test_small_groups_are_refused_by_name() -> None:
    d = data(small=True)
    found, _, device, _ = fits(d, "median", ("use", "weights"))
    with pytest.raises(FitError, match=r"fewer than 5 usable values; found d \("):
        replace_small(
            found, moved(d["values"]), d["segments"], 5, "error", statistic=STATISTICS["median"], arguments=device
        )


@pytest.mark.shim
@on_refusing_arrays
@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.statistic])
@pytest.mark.parametrize("axis", [0, 1])
def test_normalize_groups(method: str, axis: int) -> None:
    d = data()
    labels = [d["segments"].labels[code] for code in d["segments"].codes]
    options = {"covariate": d["covariate"]} if method == "loess" else {}
    options |= {"weights": d["weights"], "use": d["use"]}
    if axis == 0:
        d["values"], options = d["values"].T, {name: value.T for name, value in options.items()}
    device = {name: moved(value) for name, value in options.items()}
    found, expected = (
        normalize_groups(values, labels, method, axis=axis, min_group=20, small_groups="shrink", **given)
        for values, given in ((moved(d["values"]), device), (d["values"], options))
    )
    assert_same(found, expected)


@pytest.mark.shim
@on_refusing_arrays
def test_share_explained() -> None:
    d = data()
    found = share_explained(moved(d["values"]), d["segments"], use=moved(d["use"]))
    assert_same(found, share_explained(d["values"], d["segments"], use=d["use"]))


@pytest.mark.shim
@on_refusing_arrays
def test_numpy_arrays_go_to_the_device_and_back_only_where_they_are_told_to() -> None:
    import gridnorm as gn

    arrays = gn.simulate(2, blocks=(2, 2), spots=(8, 8), seed=3).arrays
    for options in ({"method": "loess"}, {"method": "loess", "min_group": 62, "small_groups": "shrink"}):
        found, expected = (gn.normalize(arrays, by="print-tip", device=device, **options) for device in ("gpu", "cpu"))
        np.testing.assert_allclose(found.M, expected.M, rtol=0, atol=TOLERANCE * 10)


# ---------------------------------------------------------------------------------------------- the stand-in


@pytest.mark.parametrize(
    "mistake",
    [
        np.asarray,
        np.isfinite,
        np.concatenate,
        lambda a: a + np.ones(3),
        lambda a: np.ones(3) * a,
        lambda a: a[np.arange(2)],
        lambda a: a[[0, 1]],
        lambda a: a.__setitem__(slice(None), np.ones(3)),
        lambda a: strict.xp.where(a > 0, a, np.ones(3)),
        lambda a: strict.xp.nanmin(a, initial=0.0),
        lambda a: strict.xp.repeat(a, strict.xp.arange(3)),
        lambda a: strict.xp.errstate(),
        lambda a: a.item(),
    ],
)
def test_what_cupy_refuses_is_refused(mistake: Callable[[Any], Any]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        mistake(strict.xp.ones(3))


@pytest.mark.parametrize(("name", "keywords"), strict.FUNCTIONS.items())
def test_what_is_listed_cupy_has(name: str, keywords: str) -> None:
    """Where CuPy is installed; it need not see a card."""
    function = getattr(pytest.importorskip("cupy"), name)
    known = (
        inspect.signature(function).parameters
        if inspect.isfunction(function)
        else re.findall(r"\w+", function.__doc__.splitlines()[0])  # a ufunc
    )
    assert set(keywords.split()) <= set(known)


@pytest.mark.parametrize("name", [*strict._SAME, *strict._METHODS, *(f"__{n.rstrip('_')}__" for n in strict._BINARY)])
def test_attributes_that_are_listed_cupys_arrays_have(name: str) -> None:
    assert hasattr(pytest.importorskip("cupy").ndarray, name)
