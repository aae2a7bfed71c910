"""Engines and chains: each verb by the first engine that has it, for one that has a single verb as for a full one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from covariates import over

from gridnorm.core.engines import CHAINS, VERBS, Chain, backend_for, cuda, hosted, in_front, offered, on_device
from gridnorm.core.engines import numpy as reference
from gridnorm.core.engines.verbs import WRITTEN, Verbs
from gridnorm.core.fit import fit
from gridnorm.core.segments import Segments
from gridnorm.core.statistic import STATISTICS
from gridnorm.errors import OptionError

SEGMENTS = Segments.from_labels(["a", "b", "a", "c", "b", "a", "a"])
VALUES = np.array([[1.0, 8.0, 3.0, 6.0, 4.0, np.nan, 7.0], [5.0, 5.0, 2.0, 9.0, 1.0, 0.5, 3.0]])


class OnlyMedian:
    """A host engine with one verb, which it counts."""

    name = "host"

    def __init__(self) -> None:
        self.calls = 0

    def median(self, values: Any, segments: Segments, weights: Any, use: Any) -> tuple[Any, Any]:
        self.calls += 1
        centre = [
            [np.nanmedian(row[segments.codes == g]) for g in range(segments.n_segments)] for row in values[..., 0]
        ]
        count = [
            [np.isfinite(row[segments.codes == g]).sum() for g in range(segments.n_segments)] for row in values[..., 0]
        ]
        return np.array(count), np.array(centre)


HOST_ONLY = {"loess"}  # verbs that the device leaves to NumPy's engine


# ---------------------------------------------------------------------------------------------- the list


def test_every_verb_has_a_meaning_and_the_reference_has_every_verb() -> None:
    assert all(meaning.endswith(".") for meaning in VERBS.values())
    assert offered(reference) == tuple(VERBS)
    assert {"median", "moments", "sums", "lowess_fit", "standardize_backward"} < set(VERBS)


@pytest.mark.parametrize(
    ("engine", "verb"), [(engine, verb) for engine in (reference, cuda) for verb in offered(engine)],
    ids=lambda one: one if isinstance(one, str) else one.name,
)  # fmt: skip
def test_a_verb_takes_what_the_list_says_and_may_take_further_keywords(engine: ModuleType, verb: str) -> None:
    def told(function: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    listed, own = told(getattr(Verbs, verb))[1:], told(getattr(engine, verb))
    assert own[: len(listed)] == listed
    assert all(kind is inspect.Parameter.KEYWORD_ONLY and default is None for _, kind, default in own[len(listed) :])


def test_the_device_for_numpy_arrays_has_every_verb_that_the_device_has() -> None:
    assert offered(hosted) == offered(cuda)
    assert set(VERBS) - set(offered(cuda)) == HOST_ONLY
    for verb in offered(hosted):
        assert getattr(hosted, verb).__name__ == verb
        assert getattr(hosted, verb) is not getattr(cuda, verb)


def test_arrays_that_a_verb_writes_to_are_keywords_of_the_listed_names() -> None:
    """The device for NumPy arrays copies these back."""
    found = set()
    for verb in VERBS:
        for p in inspect.signature(getattr(reference, verb)).parameters.values():
            if p.name in WRITTEN:
                assert p.kind is inspect.Parameter.KEYWORD_ONLY
                found.add(p.name)
    assert found == set(WRITTEN)


# ---------------------------------------------------------------------------------------------- chains


@pytest.mark.parametrize("statistic", [name for name, row in STATISTICS.items() if not row.covariates])
def test_an_engine_with_one_verb_serves_it_and_leaves_the_others(statistic: str) -> None:
    expected = fit(VALUES, SEGMENTS, statistic)
    host = OnlyMedian()
    with in_front(host) as chain:
        found = fit(VALUES, SEGMENTS, statistic)
        assert chain.names == ("host", "numpy")
        assert backend_for(VALUES).median == host.median
        assert backend_for(VALUES).mad is reference.mad
        assert backend_for(VALUES).xp is np
    assert host.calls == (statistic == "median")
    assert found.payload.to_plain() == expected.payload.to_plain()
    np.testing.assert_array_equal(found.n, expected.n)

    again = fit(VALUES, SEGMENTS, statistic)  # it is gone
    assert host.calls == (statistic == "median")
    assert backend_for(VALUES).median is reference.median
    assert again.payload.to_plain() == expected.payload.to_plain()


@pytest.mark.parametrize("name", ["loess", "surface", "composite", "joint"])
def test_what_the_engine_in_front_lacks_numpys_computes(name: str) -> None:
    """Medians of the joint fit are the engine's, the local regression is not."""
    row, level = STATISTICS[name], np.random.default_rng(2).uniform(6, 14, 200)
    segments, given = Segments.from_codes(np.arange(200) % 2, "ab"), over(row, level)
    expected = fit(np.sin(level), segments, name, **given)
    host = OnlyMedian()
    with in_front(host):
        assert backend_for(level).loess is reference.loess
        found = fit(np.sin(level), segments, name, **given)
    assert (host.calls > 0) == (name == "joint")
    assert found.payload.to_plain() == expected.payload.to_plain()


def test_an_engine_is_taken_away_after_an_error_too() -> None:
    before = backend_for(VALUES)
    with pytest.raises(RuntimeError), in_front(OnlyMedian()):
        raise RuntimeError
    assert backend_for(VALUES) is before


def test_the_last_one_put_in_front_is_the_first_to_be_asked() -> None:
    first, second = OnlyMedian(), OnlyMedian()
    with in_front(first), in_front(second) as chain:
        assert chain.names == ("host", "host", "numpy")
        fit(VALUES, SEGMENTS, "median")
    assert (first.calls, second.calls) == (0, 1)


def test_numpy_arrays_go_to_the_device_only_within_the_block() -> None:
    with on_device(False):
        assert backend_for(VALUES).median is reference.median
    with on_device():
        assert backend_for(VALUES, None, 3).median is hosted.median
        assert backend_for(VALUES).standardize is hosted.standardize
        assert backend_for(VALUES).xp is np
        assert backend_for(VALUES).special() is reference.special()
    assert backend_for(None).median is reference.median


def test_a_verb_that_nobody_has_is_named_with_what_there_is() -> None:
    chain = Chain(OnlyMedian(), SimpleNamespace(name="idle"))
    assert chain.median(VALUES[..., None], SEGMENTS, None, None)[1][1, 2] == 9.0
    with pytest.raises(
        OptionError,
        match=r"^no engine for these arrays has the verb sums; found host: median; idle: none\. Convert the arrays",
    ):
        chain.sums(VALUES, SEGMENTS)
    with pytest.raises(OptionError, match="says whose arrays it takes; found host → idle"):
        chain.xp  # noqa: B018
    with pytest.raises(AttributeError, match=r"no verb 'medians'; verbs are .*median, mad"):
        chain.medians  # noqa: B018
    assert not hasattr(chain, "__deepcopy__")
    assert repr(chain) == "Chain('host', 'idle')"


# ---------------------------------------------------------------------------------------------- whose arrays


def array_of(library: str) -> Any:
    kind = type("ndarray", (), {"dtype": None, "__module__": f"{library}.core"})
    return kind()


def test_an_array_of_an_unknown_library_is_named_with_the_known_ones() -> None:
    assert set(CHAINS) == {"cupy", "numpy"}
    with pytest.raises(
        OptionError,
        match=r"^no backend for this kind of array; found tiled, expected cupy or numpy\. Convert it to a NumPy array",
    ):
        backend_for(VALUES, array_of("tiled"))


def test_arrays_of_two_libraries_are_refused() -> None:
    with pytest.raises(
        OptionError, match="^arrays of different libraries cannot be mixed; found cupy and numpy, expected one kind"
    ):
        backend_for(VALUES, array_of("cupy"))


def test_lists_and_numbers_are_numpys() -> None:
    assert backend_for([1.0], 3, None, "x") is backend_for(VALUES)
    assert backend_for() is backend_for(VALUES)


def test_no_engine_is_imported_before_it_is_asked() -> None:
    code = (
        "import sys, gridnorm.core.fit, gridnorm.core.standardize, gridnorm.core.groups, gridnorm.core.spread;"
        "names = ('numpy', 'cuda', 'hosted');"
        "print([n for n in names if 'gridnorm.core.engines.' + n in sys.modules]);"
        "gridnorm.core.fit.median_of([1.0]);"
        "print([n for n in names if 'gridnorm.core.engines.' + n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['numpy']"]
