"""Whether a module of PyTorch computes a group normalization and nothing else, so that a layer may take its place."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import torch
import torch.fx
import torch.nn.utils.parametrize

from gridnorm.errors import OptionError

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_CALL = ("__call__", "_call_impl", "_wrapped_call_impl")
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
    hooks = _hooks(module)
    if hooks:
        hint = "Remove them first and register them with the new layer"
        raise OptionError(f"{name} has hooks, which would be lost", found=", ".join(hooks), hint=hint)
    if torch.nn.utils.parametrize.is_parametrized(module):
        computed = ", ".join(module.parametrizations)
        hint = "torch.nn.utils.parametrize.remove_parametrizations makes it a parameter"
        raise OptionError(f"parameters of {name} are computed from others", found=computed, hint=hint)
    strange = [n for n in _PARAMETERS if getattr(module, n) is not module._parameters.get(n)]
    if strange:
        hint = "Make each a torch.nn.Parameter"
        raise OptionError(f"parameters of {name} are not its own", found=", ".join(strange), hint=hint)
    usual = any(type(module).forward is one.forward for one in known)
    own = "forward" in vars(module) or any(getattr(type(module), n) is not getattr(torch.nn.Module, n) for n in _CALL)
    if own or not (usual or _only_normalizes(module)):
        raise OptionError(
            f"the forward of {name} is not that of its base class, and what it does more would be lost", hint=_INSTEAD
        )


def _hooks(module: Any) -> list[str]:
    return [kind.strip("_") for kind in _HOOKS if getattr(module, kind)]


def _only_normalizes(module: Any) -> bool:
    """Whether a forward of its own is ``group_norm`` of x with the module's numbers; identities count as nothing.

    In training and outside of it: a layer that takes the module's place goes from one to the other.
    """
    if not isinstance(module, torch.nn.GroupNorm):
        return False
    try:
        # A copy: a forward that is looked at may leave something behind.
        graphs = [torch.fx.Tracer().trace(deepcopy(module).train(mode)) for mode in (True, False)]
    except Exception:  # noqa: BLE001 – whatever a stranger's forward raises: it cannot be judged
        return False
    return all(_is_group_norm(module, graph) for graph in graphs)


def _is_group_norm(module: Any, graph: torch.fx.Graph) -> bool:
    """Whether the graph does that and nothing beside it, such as a change of x in place."""
    found = [node for node in graph.nodes if node.op not in ("placeholder", "get_attr", "output")]
    found = [node for node in found if not _is_identity(module, node)]
    if [node.target for node in found] != [_GROUP_NORM]:
        return False
    (node,) = found
    given = inspect.signature(_GROUP_NORM).bind(*node.args, **node.kwargs)
    given.apply_defaults()
    source, number, weight, bias, eps = given.arguments.values()
    mine = (module.num_groups, module.eps, *(n if getattr(module, n) is not None else None for n in _PARAMETERS))
    held = tuple(getattr(one, "target", one) for one in (weight, bias))
    x, last = next(iter(graph.nodes)), next(iter(reversed(graph.nodes))).args[0]
    ends = (_before_identities(module, one) for one in (source, last))
    return tuple(ends) == (x, node) and (number, eps, *held) == mine


def _before_identities(module: Any, node: Any) -> Any:
    """What goes through ``torch.nn.Identity``, or the node itself."""
    while _is_identity(module, node):
        node = node.args[0]
    return node


def _is_identity(module: Any, node: Any) -> bool:
    if getattr(node, "op", None) != "call_module":
        return False
    called = module.get_submodule(node.target)
    return type(called) is torch.nn.Identity and not _hooks(called) and "forward" not in vars(called)
