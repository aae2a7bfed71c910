"""Fixtures that all tests share, and ``--require``: what must be there instead of being skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import backends
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=os.environ.get("GRIDNORM_REQUIRE", "").split(","),
        metavar="PART",
        help="fail instead of skip where PART (shared, shim, nvrtc, gpu, torch, onnx, ml_dtypes) is absent; also GRIDNORM_REQUIRE",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Packages that a run requires are there, or it ends here: modules skip themselves without them."""
    for package in ("torch", "onnx", "ml_dtypes"):
        if package in config.getoption("--require") and find_spec(package) is None:
            raise pytest.UsageError(f"required, but {package} is not installed")


def skip(config: pytest.Config, part: str, reason: str) -> NoReturn:
    """Skip the test with its reason; fail it where the run requires the part."""
    if part in config.getoption("--require"):
        pytest.fail(f"required, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def skip_without(pytestconfig: pytest.Config) -> Callable[[str, str], NoReturn]:
    """``skip_without(part, reason)``: skip the test, or fail it where the run requires the part."""
    return partial(skip, pytestconfig)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """Folder of real array files and limma's results, which are not part of the project."""
    folder = Path(os.environ.get("GRIDNORM_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data" / "arrays" / "MANIFEST.tsv").is_file():
        skip(pytestconfig, "shared", f"no real array files at {folder} (set GRIDNORM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of limma's results that are part of the project."""
    return Path(__file__).resolve().parent / "golden"


def _on_host(request: pytest.FixtureRequest) -> bool:
    """Whether a test is about a row of methods or statistics that only NumPy's engine can fit."""
    from gridnorm.core.methods import METHODS

    given = getattr(request.node, "callspec", None)
    name = {} if given is None else given.params
    row = METHODS[name["method"]].statistic if name.get("method") in METHODS else name.get("statistic")
    return row in backends.ON_HOST


@pytest.fixture(params=backends.EVERY)
def backend(request: pytest.FixtureRequest, skip_without: Callable[[str, str], NoReturn]) -> Iterator[backends.Backend]:
    """Whose arrays and who computes: see ``tests/helpers/backends.py``. The last two are run by ``.ci/kernels``."""
    if request.param in backends.ON_KERNELS:
        import cudashim

        if cudashim.MODE != "fast":
            pytest.skip("about arrays, not about memory or races")
        if reason := cudashim.why_not():
            skip_without("shim", reason)
    if request.param == "refusing" and _on_host(request):
        pytest.skip("needs the verb loess: core/test_backends.py says what these arrays are told")
    with backends.backend_named(request.param) as used:
        yield used
