"""Whether a module of PyTorch computes a group normalization and nothing else, so that a layer may take its place."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.fx
import torch.nn.utils.parametrize

from gridnorm.errors import OptionError

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_PARAMETERS = ("weight", "bias")
_GROUP_NORM = torch.nn.functional.group_norm
_INSTEAD = "Take it apart: give a torch.nn.GroupNorm, and do the rest beside it"


def refuse_more_than(known: tuple[Any, ...], module: Any, wanted: str) -> None:
    """Refuse a module that is none of the known classes, or whose forward does something else than theirs.

    Raises
    ------
    OptionError
        Naming the class, and what would be lost.
    """
    name = f"{type(module).__module__}.{type(module).__qualname__}"
    if not isinstance(module, known):
        raise OptionError(f"not a {wanted}", found=name)
    hooks = [kind.strip("_") for kind in _HOOKS if getattr(module, kind)]
    if hooks:
        hint = "Remove them first and register them with the new layer"
        raise OptionError(f"{name} has hooks, which would be lost", found=", ".join(hooks), hint=hint)
    if torch.nn.utils.parametrize.is_parametrized(module):
        computed = ", ".join(module.parametrizations)
        hint = "torch.nn.utils.parametrize.remove_parametrizations makes it a parameter"
        raise OptionError(f"parameters of {name} are computed from others", found=computed, hint=hint)
    usual = any(type(module).forward is one.forward for one in known)
    own = "forward" in vars(module) or type(module).__call__ is not torch.nn.Module.__call__
    if own or not (usual or _only_normalizes(module)):
        raise OptionError(
            f"the forward of {name} is not that of its base class, and what it does more would be lost", hint=_INSTEAD
        )


def _only_normalizes(module: Any) -> bool:
    """Whether a forward of its own is ``group_norm`` of x with the module's numbers; identities count as nothing."""
    if not isinstance(module, torch.nn.GroupNorm):
        return False
    try:
        graph = torch.fx.Tracer().trace(module)
    except Exception:  # noqa: BLE001 – whatever a stranger's forward raises: it cannot be judged
        return False
    x = next(iter(graph.nodes))
    node = _before_identities(module, next(iter(reversed(graph.nodes))).args[0])
    called: Any = getattr(node, "target", None)
    if called is not _GROUP_NORM:
        return False
    given = inspect.signature(called).bind(*node.args, **node.kwargs)
    given.apply_defaults()
    source, number, weight, bias, eps = given.arguments.values()
    mine = (module.num_groups, module.eps, *(n if getattr(module, n) is not None else None for n in _PARAMETERS))
    held = tuple(getattr(one, "target", one) for one in (weight, bias))
    return _before_identities(module, source) is x and (number, eps, *held) == mine


def _before_identities(module: Any, node: Any) -> Any:
    """What goes through ``torch.nn.Identity``, or the node itself."""
    while getattr(node, "op", None) == "call_module":
        if type(module.get_submodule(node.target)) is not torch.nn.Identity:
            break
        node = node.args[0]
    return node
