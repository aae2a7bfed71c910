"""The device for NumPy arrays: each verb moves its arrays there, computes, and brings the result back.

Made from the list of verbs: it has those that the CUDA engine has. The copies are what ``--device gpu`` asks for.
Arrays that lie on a device already are computed there without any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from gridnorm.core.engines import cuda
from gridnorm.core.engines.cuda.device import current_device, explain
from gridnorm.core.engines.verbs import VERBS, WRITTEN, offered
from gridnorm.core.segments import Segments
from gridnorm.errors import DeviceError, GridnormError

name = "hosted"
_engine: Any = cuda


def _hosted(verb: str) -> Callable[..., Any]:
    compute = getattr(_engine, verb)

    def run(*args: Any, **options: Any) -> Any:
        device = current_device()
        try:
            sent_args, sent = _moved((args, options), np.ndarray, device.xp.asarray)
            result = compute(*sent_args, **sent)
            written = [(sent[key], options[key]) for key in WRITTEN if options.get(key) is not None]
            for there, here in written:
                if there is not here:
                    here[...] = _to_host(there)
            home = {id(there): here for there, here in written}
            return _moved(result, device.xp.ndarray, lambda a: home[id(a)] if id(a) in home else _to_host(a))
        except (GridnormError, TypeError, ValueError):  # mistakes in the call are not the device's
            raise
        except Exception as error:
            what, hint = explain(error)
            raise DeviceError(f"{verb} failed on the device", found=what, hint=hint) from error

    run.__name__ = run.__qualname__ = verb
    run.__doc__ = f"{VERBS[verb]} Computed on the device, for NumPy arrays."
    return run


def _to_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array


def _moved(value: Any, kind: type, move: Callable[[Any], Any]) -> Any:
    """``value`` with every array in it moved, each once however often it occurs.

    ``Segments`` stay: the engines have their own copies of them.
    """
    done: dict[int, Any] = {}

    def each(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(each(part) for part in value)
        if isinstance(value, dict):
            return {key: each(part) for key, part in value.items()}
        if isinstance(value, kind):
            if id(value) not in done:
                done[id(value)] = move(value)
            return done[id(value)]
        if is_dataclass(value) and not isinstance(value, type | Segments):
            if id(value) not in done:
                done[id(value)] = replace(value, **{f.name: each(getattr(value, f.name)) for f in fields(value)})
            return done[id(value)]
        return value

    return each(value)


globals().update({verb: _hosted(verb) for verb in offered(_engine)})
