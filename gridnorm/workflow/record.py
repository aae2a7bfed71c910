"""One set to disk: its table and the record of its making, together."""

from __future__ import annotations

import os
from typing import Any

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.io.atomic import Output
from gridnorm.io.text import load
from gridnorm.io.write import Precision, write_table
from gridnorm.provenance import InputDigest
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import set_sidecar, to_bytes


def put_set(
    arrays: ArraySet, path: str, files: Output, *, precision: Precision, form: str, beside: str | None
) -> dict[str, Any]:
    """The table of a set and, at ``beside``, its sidecar, into one group of files; ``-`` is standard output.

    Returns
    -------
    The sidecar.
    """
    spots, numbers = arrays.shown, arrays.numbers()
    table = {
        "file": os.path.basename(path), "rows": arrays.n_spots, "columns": [*spots, *numbers], "precision": precision,
    }  # fmt: skip
    record = set_sidecar(arrays, table)
    write_table(path, spots, numbers, precision=precision, form=form, output=None if path == "-" else files)
    if beside is not None:
        files.write(beside, to_bytes(record))
    return record


def extra_inputs(settings: Settings) -> list[InputDigest]:
    """Digests of the files that are read beside the arrays."""
    if settings.gal is None:
        return []
    text = load(settings.gal)
    return [InputDigest(text.name, text.size, text.sha256)]
