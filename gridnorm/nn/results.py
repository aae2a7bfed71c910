"""Where results go: new arrays, or those that a caller gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from gridnorm.errors import OptionError
from gridnorm.nn.arguments import Arguments
from gridnorm.nn.plain import plain
from gridnorm.nn.views import Axes, as_view, assign, disturbs, overlap, shows


class Target(NamedTuple):
    """An array of the activation's shape, and the (batch, item, width) view that is computed into."""

    array: Any
    view: Any
    axes: Axes
    direct: bool

    def written(self) -> Any:
        """The array, once the view has been computed."""
        if not self.direct:
            assign(self.array, self.axes, self.view)
        return self.array


def target(given: Arguments, out: Any, *read: Any) -> Target:
    """Where a result like x goes: ``out``, or a new array.

    ``read`` are arrays that are read element for element as it is written; what else was given it must not meet at all.
    """
    array = given.xp.empty_like(given.x) if out is None else like(writable(out), given, "out")
    direct = shows(array, given.axes)
    if direct and out is not None:
        direct = not disturbs(array, *read) and not any(overlap(array, one) for one in given.tables)
    view = as_view(array, given.axes) if direct else given.xp.empty(given.values.shape, array.dtype)
    return Target(array, view, given.axes, direct)


def like(array: Any, given: Arguments, name: str) -> Any:
    """An array that must have the shape and dtype of x."""
    array = plain(name, array, given.xp)
    if array.shape != given.x.shape or array.dtype != given.x.dtype:
        raise OptionError(
            f"{name} is not like x", found=f"{array.dtype} {array.shape}", expected=f"{given.x.dtype} {given.x.shape}"
        )
    return array


def writable(out: Any) -> Any:
    """``out``, if it is an array that can be written to."""
    flags = getattr(out, "flags", None)
    if flags is None or not getattr(flags, "writeable", True):  # CuPy's arrays always can
        found = f"a {type(out).__name__}" if flags is None else "a read-only array"
        raise OptionError("out cannot be written to", found=found, expected="a writable array like x")
    return out
