"""Arrays of a run made alike; targets kept in files and read again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any, NamedTuple

from gridnorm._version import __version__
from gridnorm.arrays.arrayset import ArraySet
from gridnorm.arrays.between import BetweenTarget, normalize_between
from gridnorm.arrays.between.rows import WHOLE, Between
from gridnorm.arrays.given import kind_of
from gridnorm.arrays.grouping import By, by_text
from gridnorm.arrays.recipe import check_options
from gridnorm.errors import FormatError, OptionError, option_value, option_word
from gridnorm.io.text import Text, load, name_of, path_text
from gridnorm.plain import named, recorded
from gridnorm.provenance import InputDigest
from gridnorm.workflow.settings import Settings


class Alike(NamedTuple):
    """What makes the arrays of a run alike: a method, or a target and the file it came from; None: nothing."""

    method: str
    by: By
    target: BetweenTarget | None = None
    digest: InputDigest | None = None

    def effective(self, settings: Settings) -> tuple[Between, dict[str, Any]]:
        """The method's row and its options: as given, else the target's, else the row's defaults."""
        row, options = settings.recipe.alike()
        if self.target is None:
            return row, options
        given = {name: value for name, value in options.items() if name in settings.given}
        return row, {**self.target.options, **given}


def alike_of(settings: Settings, target: BetweenTarget | None = None) -> tuple[Settings, Alike | None]:
    """Settings with the method and the grouping that a target names where nothing else does, and what makes alike.

    Raises
    ------
    FormatError
        The file of the target cannot be read, or is none.
    OptionError
        The target's method cannot stand beside other options.
    """
    digest = None
    if target is None and settings.target is not None:
        target, digest = read_target_file(settings.target)
    if target is not None:
        if "between" in settings.given:
            target.refuse_other("method", "between", settings.recipe.alike()[0].name, target.method)
        named = {"between": target.method, "between_by": target.by}
        run = {**settings.run, **{name: word for name, word in named.items() if name not in settings.given}}
        settings = replace(settings, run=run)
        check_options(settings.recipe)
    row, _ = settings.recipe.alike()
    if row.across is None and target is not None:
        raise OptionError(
            f"{option_word('target')} has no meaning for {option_word('between')} none",
            hint=f"Leave {option_word('between')} out: the target says {target.method}",
        )
    if row.across is None and by_text(settings.between_by) != WHOLE:
        raise OptionError(
            f"{option_word('between_by')} has no meaning for {option_word('between')} none",
            hint=f"Name a method: {option_value('between', 'scale')}",
        )
    return settings, None if row.across is None else Alike(row.name, settings.between_by, target, digest)


def make_alike(arrays: ArraySet, alike: Alike | None, settings: Settings) -> ArraySet:
    """The arrays of a run, made alike where that was asked for.

    Raises
    ------
    GridnormError
        As ``normalize_between``.
    """
    if alike is None:
        return arrays
    row, options = alike.effective(settings)
    return normalize_between(arrays, row, by=alike.by, target=alike.target, **types_of(settings), **options)


def types_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Spot types that teach nothing, and those that alone teach, as keywords."""
    return {"exclude_types": settings.exclude_types, "fit_types": settings.fit_types}


def check_saving(settings: Settings, alike: Alike | None) -> None:
    """Refuse at once to keep a target that there will not be.

    Raises
    ------
    OptionError
        Nothing is made alike, or by a form that looks at pairs.
    """
    word = option_word("save_target")
    if alike is None:
        hint = f"Name a method: {option_value('between', 'scale')}"
        raise OptionError(f"{word} has no meaning for {option_word('between')} none", hint=hint)
    form = settings.cyclic_method
    if alike.method == "cyclic-loess" and form not in (None, "fast"):
        raise OptionError(
            f"{option_value('cyclic_method', form)} leaves no target",
            expected="fast, to bring later arrays to the same",
        )


def target_bytes(target: BetweenTarget) -> bytes:
    """A target as its file holds it: JSON, the same bytes for the same arrays."""
    plain = target.to_plain()
    head = {"kind": plain.pop("kind"), "gridnorm": __version__, **plain}
    return (json.dumps(head, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_target_file(path: str | os.PathLike[str]) -> tuple[BetweenTarget, InputDigest]:
    """The target in a file, and the file's digest.

    Raises
    ------
    FormatError
        It cannot be read, or holds no target.
    """
    text: Text = load(path, named(name_of(path), path_text(path)))
    hint = f"Make one with {option_word('save_target')}"
    try:
        plain = json.loads(text.data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise FormatError("this is no target of a method between arrays", file=text.name, hint=hint) from None
    try:
        target = replace(BetweenTarget.from_plain(plain), file=text.name)
        return target, InputDigest(recorded(text.name), text.size, text.sha256)
    except OptionError as error:
        raise FormatError(
            error.what, file=text.name, found=error.found, expected=error.expected, hint=error.hint or hint
        ) from None


def _no_number(word: str) -> float:
    raise ValueError(word)


def read_target(path: str | os.PathLike[str]) -> BetweenTarget:
    """Read what arrays were brought to.

    Parameters
    ----------
    path
        A file that ``write_target`` or ``--save-target`` has written.

    Raises
    ------
    FormatError
        It cannot be read, or holds no target.

    Examples
    --------
    >>> import gridnorm as gn, tempfile, pathlib
    >>> result = gn.normalize(gn.simulate(3, blocks=(2, 2), spots=(15, 15), seed=1).arrays, between="quantile")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "target.json"
    >>> gn.write_target(result.between, path)
    >>> gn.read_target(path).method
    'quantile'
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError("no file of a target", found=kind_of(path), expected="the name of a file")
    return read_target_file(path)[0]


def write_target(target: BetweenTarget, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write what arrays were brought to (``result.between``), to bring later ones to the same; whole or not at all.

    Parameters
    ----------
    target
        What ``normalize_between`` left in ``between`` of its result.
    path
        A JSON file.
    force
        Overwrite an existing file.

    Raises
    ------
    OptionError
        The file exists, or there is no target.
    OutputError
        It cannot be written.
    """
    from gridnorm.io.atomic import Output

    if not isinstance(target, BetweenTarget):
        raise OptionError(
            "there is no target to write", found=repr(target), expected="result.between of a method that leaves one"
        )
    if not isinstance(path, str | os.PathLike):
        raise OptionError("no path to write to", found=kind_of(path), expected="the name of a file")
    with Output(force) as files:
        files.write(path, target_bytes(target))
