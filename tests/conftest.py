"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real array files and limma's results, which are not part of the project."""
    folder = Path(os.environ.get("GRIDNORM_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data" / "arrays" / "MANIFEST.tsv").is_file():
        pytest.skip(f"no real array files at {folder} (set GRIDNORM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of limma's results that are part of the project."""
    return Path(__file__).resolve().parent / "golden"
