"""The arrays that refuse what CuPy refuses (``strict.py``): they do, and a whole run computes with them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import cudashim
import numpy as np
import pytest
import strict

from gridnorm.core.engines.cuda.device import use_device

TOLERANCE = 1e-12  # absolute, of values of about 1


@pytest.fixture
def refusing(skip_without: Callable[[str, str], None]) -> Iterator[None]:
    if cudashim.MODE != "fast":
        pytest.skip("about arrays, not about memory or races")
    if reason := cudashim.why_not():
        skip_without("shim", reason)
    with use_device(strict.StrictDevice()):
        yield


@pytest.mark.shim
@pytest.mark.usefixtures("refusing")
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
