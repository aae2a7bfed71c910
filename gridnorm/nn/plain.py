"""What is given as an array, as one of the library that computes: nothing that it holds is lost on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridnorm.errors import OptionError


def plain(name: str, value: Any, xp: Any) -> Any:
    """``value`` as an array of the library.

    Raises
    ------
    OptionError
        For a masked array, and for one of another library: a copy of it would be read, and a result written to one.
    """
    given = isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")
    if given and not isinstance(value, xp.ndarray):
        library = type(value).__module__.partition(".")[0]
        hint = f"Bring {name} and x to the same side, as with cupy.asarray or get()"
        raise OptionError(
            "arrays of different libraries cannot be mixed",
            found=f"{name}, an array of {library}",
            expected="one kind of array",
            hint=hint,
        )
    more = " and mask=~numpy.ma.getmaskarray(x)" if name == "x" else ""
    refuse_masked(name, value, f"Give {name}.filled(0){more}")
    return xp.asarray(value)


def refuse_masked(name: str, value: Any, hint: str) -> None:
    """Refuse a masked array, or a list of such, where the mask would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise OptionError(f"{name} is a masked array, and its mask would be lost", hint=hint)
    if isinstance(value, list | tuple) and any(isinstance(part, np.ma.MaskedArray) for part in value):
        raise OptionError(f"{name} holds masked values, and their masks would be lost", hint="Give plain ones")


def real_numbers(name: str, array: Any) -> Any:
    """The array, if it holds numbers that are neither complex nor objects.

    Raises
    ------
    OptionError
        Naming the dtype.
    """
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise OptionError(f"{name} must hold real numbers", found=f"dtype {array.dtype}")
    return array


def numbers_of(name: str, value: Any) -> NDArray[Any]:
    """Labels or channel numbers as a NumPy array."""
    refuse_masked(name, value, f"Give {name}.compressed(), or an array without a mask")
    return np.asarray(value)
