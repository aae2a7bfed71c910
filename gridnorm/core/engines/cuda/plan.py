"""What a launch needs to know: the segments as the device holds them, their classes of size, strides, variants.

A plan depends on the sizes of the segments, the width and the dtype, never on the number of batch entries or the card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import numpy as np

from gridnorm.core.engines.cuda.device import current_device
from gridnorm.core.engines.cuda.launch import strided
from gridnorm.core.engines.cuda.loading import TYPES
from gridnorm.core.segments import IntArray, Segments
from gridnorm.errors import DeviceError, OptionError

_LONGEST = 2**31 - 1  # blocks of a grid, and what an int32 index can reach


def dtype_of(values: Any, given: str | None = None) -> str:
    """Name of the values' dtype; ``given`` says it where the array cannot (bfloat16 as its bits, uint16)."""
    name = str(values.dtype.name)
    if given == "bfloat16" and name in ("uint16", "bfloat16"):
        return given
    if given not in (None, name) or name not in TYPES:
        raise OptionError("the kernels do not take values of this type", found=given or name, expected=", ".join(TYPES))
    return name


@dataclass(frozen=True, eq=False)
class Placed:
    """Segments in the device's memory, for as long as the segments themselves live."""

    owner: ReferenceType[Segments]
    xp: Any

    @property
    def segments(self) -> Segments:
        """The segments; whoever asks holds them."""
        held = self.owner()
        assert held is not None
        return held

    @cached_property
    def order(self) -> Any:
        """int32 (item,), or None where the segments are contiguous."""
        if self.segments.contiguous:
            return None
        return self.xp.asarray(_as_int32(self.segments.order, self.segments.n_items))

    @cached_property
    def offsets(self) -> Any:
        """int64 (segment + 1,)."""
        return self.xp.asarray(np.ascontiguousarray(self.segments.offsets, np.int64))

    @cached_property
    def codes(self) -> Any:
        """int32 (item,): segment of every item."""
        return self.xp.asarray(_as_int32(self.segments.codes, self.segments.n_segments))

    @cached_property
    def plans(self) -> dict[Any, Any]:
        return {}

    def plan(self, key: Any, make: Callable[[], Any]) -> Any:
        """The plan of that key, made once."""
        if key not in self.plans:
            self.plans[key] = make()
        return self.plans[key]

    def listed(self, numbers: IntArray) -> Any:
        """Numbers of segments, chunks or parts as int32 in the device's memory."""
        return self.xp.asarray(_as_int32(numbers, int(numbers.max(initial=0))))


# A value must not hold its key, or neither would ever be freed: hence the weak `owner`.
_placed: WeakKeyDictionary[Segments, dict[Any, Placed]] = WeakKeyDictionary()


def placed(segments: Segments) -> Placed:
    """The segments in the device's memory; copied there once per device and stream.

    Per stream, because nothing else makes one stream wait for a copy that was queued on another.
    """
    device = current_device()
    kept = _placed.setdefault(segments, {})
    key = (device.name, device.place())
    if key not in kept:
        kept[key] = Placed(ref(segments), device.xp)
    return kept[key]


def _as_int32(numbers: IntArray, largest: int) -> Any:
    if largest > _LONGEST:
        raise OptionError("too many items for the kernels", found=str(largest), expected=f"at most {_LONGEST}")
    return np.ascontiguousarray(numbers, np.int32)


def strides(array: Any) -> list[np.int64]:
    """Strides in elements, as kernels take them."""
    return [np.int64(step // array.itemsize) for step in array.strides]


def in_elements(array: Any, xp: Any) -> Any:
    """The array itself; a copy where its strides are no whole number of elements (a field of a record)."""
    return xp.ascontiguousarray(array) if any(step % array.itemsize for step in array.strides) else array


def optional(array: Any) -> tuple[Any, np.int64, np.int64]:
    """(batch, item) numbers as three arguments of a kernel: the array, its strides; or none."""
    if array is None:
        return None, np.int64(0), np.int64(0)
    return strided(array), *strides(array)  # type: ignore[return-value]


def blocks(count: int, each: int) -> tuple[int]:
    """A grid that serves ``count`` with ``each`` per block."""
    number = -(-count // each)
    if number > _LONGEST:
        raise DeviceError("one launch cannot hold that many blocks", found=str(number), expected=f"at most {_LONGEST}")
    return (number,)


def check_view(values: Any, segments: Segments, items: dict[str, Any], xp: Any) -> None:
    """Shapes that a kernel would believe without looking."""
    if values.ndim != 3 or values.shape[1] != segments.n_items:
        raise OptionError(
            "values do not fit the segments",
            found=f"shape {values.shape}",
            expected=f"(batch, {segments.n_items}, width)",
        )
    for name, array in items.items():
        if array is not None and array.shape != values.shape[:2]:
            raise OptionError(f"{name} do not fit the values", found=str(array.shape), expected=str(values.shape[:2]))
