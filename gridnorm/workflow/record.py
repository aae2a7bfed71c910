"""One set to disk: its table and the record of its making, together."""

from __future__ import annotations

import os

from gridnorm.arrays.arrayset import ArraySet
from gridnorm.io.atomic import Output, guard
from gridnorm.io.text import load, name_of
from gridnorm.io.write import Precision, write_table
from gridnorm.provenance import InputDigest
from gridnorm.workflow.between import Alike
from gridnorm.workflow.settings import Settings
from gridnorm.workflow.sidecar import Sidecar, Summary, set_sidecar
from gridnorm.workflow.spot_files import FILES


def put_set(
    arrays: ArraySet, path: str, files: Output, *, precision: Precision, form: str, beside: str | None
) -> tuple[Sidecar, list[Summary]]:
    """The table of a set and, at ``beside``, its sidecar, into one group of files; ``-`` is standard output.

    Returns
    -------
    The sidecar, and the arrays in a line each.
    """
    spots, numbers = arrays.shown, arrays.numbers()
    table = {
        "file": name_of(path), "rows": arrays.n_spots, "columns": [*spots, *numbers], "precision": precision,
    }  # fmt: skip
    record, summaries = set_sidecar(arrays, table)
    write_table(path, spots, numbers, precision=precision, form=form, output=None if path == "-" else files)
    if beside is not None:
        put_sidecar(record, beside, files)
    return record, summaries


def put_sidecar(record: Sidecar, path: str, files: Output) -> None:
    """A sidecar into a group of files, piece by piece."""
    handle = files.open(path)
    for piece in record.pieces():
        guard(os.path.basename(path), handle.write, piece)


def extra_inputs(settings: Settings, alike: Alike | None = None) -> list[InputDigest]:
    """Digests of the files that are read beside the arrays."""
    paths = [settings.run[name] for name in ("gal", *FILES) if settings.run[name] is not None]
    texts = [(name_of(path), load(path)) for path in paths]
    found = [InputDigest(name, text.size, text.sha256) for name, text in texts]
    return found if alike is None or alike.digest is None else [*found, alike.digest]
