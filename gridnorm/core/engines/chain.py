"""Chains: engines in order, each verb served by the first that has it."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

from gridnorm.core.engines.verbs import VERBS, Engine, Namespace, offered
from gridnorm.errors import OptionError

_FOLDER = __name__.rpartition(".")[0]


class Chain:
    """Engines, the first preferred; a ``Backend`` if one of them has each verb.

    An engine is given itself or by the name of its module beside this one, which is then imported when the first verb
    is asked for. What has been found is kept, so that a verb costs no more than an attribute.

    Parameters
    ----------
    engines
        In order. The namespace of the arrays is that of the first which has one.

    Examples
    --------
    >>> import numpy as np
    >>> from gridnorm.core.segments import Segments
    >>> Chain("numpy").sums(np.array([[[1.0], [2.0]]]), Segments.single(2))
    array([[3.]])
    """

    def __init__(self, *engines: str | Engine) -> None:
        self.engines = engines

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the engines."""
        return tuple(engine if isinstance(engine, str) else engine.name for engine in self.engines)

    @property
    def xp(self) -> Any:
        """Functions of the library whose arrays these are."""
        return self._namespace.xp

    def special(self) -> Any:
        """Special functions that go with ``xp``."""
        return self._namespace.special()

    @cached_property
    def _namespace(self) -> Namespace:
        for engine in map(_loaded, self.engines):
            if hasattr(engine, "xp"):
                return engine  # type: ignore[no-any-return]
        raise OptionError("no engine of this chain says whose arrays it takes", found=" → ".join(self.names))

    def __getattr__(self, name: str) -> Any:
        """The function of a verb; Python asks here only for what has not been found before."""
        if name not in VERBS:
            raise AttributeError(f"no verb {name!r}; verbs are {', '.join(VERBS)}")
        for engine in map(_loaded, self.engines):
            function = getattr(engine, name, None)
            if callable(function):
                self.__dict__[name] = function
                return function
        offers = [f"{engine.name}: {', '.join(offered(engine)) or 'none'}" for engine in map(_loaded, self.engines)]
        raise OptionError(
            f"no engine for these arrays has the verb {name}",
            found="; ".join(offers) or "no engine at all",
            hint="Convert the arrays to NumPy first, whose engine has every verb",
        )

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.names))})"


def _loaded(engine: str | Engine) -> Any:
    return import_module(f"{_FOLDER}.{engine}") if isinstance(engine, str) else engine
