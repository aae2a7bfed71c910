"""The module GroupNorm of the bridge to PyTorch, its errors, and what importing it does."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='needs PyTorch: pip install "gridnorm[torch]"')

from gridnorm.errors import OptionError
from gridnorm.nn.torch import GroupNorm, group_norm

LABELS = (2, 0, 0, 1, -1, 2)


def random(*shape: int, seed: int = 0, dtype: Any = torch.float64, grad: bool = False) -> Any:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return made.requires_grad_(grad)


def error(a: Any, b: Any) -> float:
    return float((a.detach().double() - b.detach().double()).abs().max())


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: group_norm(x.numpy(), 2), "x is not a tensor"),
        (lambda x: group_norm(x, 2, np.ones(4)), "weight is not a tensor"),
        (lambda x: group_norm(x.long(), 2), "floating-point"),
        (lambda x: group_norm(x, 2, torch.ones(4, device="meta")), "weight is on another device"),
        (lambda x: group_norm(x, 3), "3 groups of one size"),
        (lambda x: group_norm(x, 2.0), "whole number"),
        (lambda x: group_norm(x, True), "whole number"),
        (lambda x: group_norm(x, 2, groups=[0, 0, 1, 1]), "exclude each other"),
        (lambda x: group_norm(x, groups=[0, 0, 1]), "one per channel"),
        (lambda x: group_norm(x, 2, torch.ones(2)), 'affine="group"'),
        (lambda x: group_norm(x, 2, eps=-0.5), "eps"),
        (lambda x: group_norm(x, 2, activation="tanh"), "unknown activation"),
        (lambda x: group_norm(x, 2, return_residual=True), "needs a residual"),
        (lambda x: group_norm(x, 2, sample_weight=torch.ones(4, 1, requires_grad=True)), "no gradient"),
        (lambda x: group_norm(x[0, :, 0], 2), "too few axes"),
        (lambda x: GroupNorm(2), "num_channels is missing"),
        (lambda x: group_norm(x, 32, groups=[0] * 4), "num_groups and groups exclude each other; found num_groups 32"),
        (lambda x: GroupNorm(), "a number or labels"),
        (lambda x: GroupNorm(2, 4, groups=[0, 0, 1, 1]), "a number or labels"),
        (lambda x: GroupNorm(3, 4), "3 groups of one size"),
        (lambda x: GroupNorm(2, 4, affine="channels"), "affine"),
        (lambda x: GroupNorm.from_torch(torch.nn.LayerNorm(4)), "not a torch.nn.GroupNorm"),
    ],
)
def test_errors_say_what_is_wrong(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call(random(2, 4, 3))


# The module


def test_module_has_the_state_of_torchs() -> None:
    theirs, ours = torch.nn.GroupNorm(3, 6), GroupNorm(3, 6)
    assert list(ours.state_dict()) == ["weight", "bias"]
    assert torch.equal(ours.weight, torch.ones(6)) and torch.equal(ours.bias, torch.zeros(6))
    with torch.no_grad():
        theirs.weight.copy_(random(6)), theirs.bias.copy_(random(6, seed=1))
    ours.load_state_dict(theirs.state_dict())
    x = random(2, 6, 5, dtype=torch.float32)
    assert error(ours(x), theirs(x)) < 2e-6
    theirs.load_state_dict(ours.state_dict())
    ours.reset_parameters()
    assert torch.equal(ours.weight, torch.ones(6)) and torch.equal(ours.bias, torch.zeros(6))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_from_torch_shares_parameters(affine: bool, bias: bool) -> None:
    theirs = torch.nn.GroupNorm(3, 6, eps=1e-3, affine=affine, bias=bias).eval()
    ours = GroupNorm.from_torch(theirs)
    assert ours.weight is theirs.weight and ours.bias is theirs.bias and not ours.training
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = random(2, 6, 5, dtype=torch.float32)
    assert error(ours(x), theirs(x)) < 2e-6
    silu = GroupNorm.from_torch(theirs, activation="silu")
    assert error(silu(x), torch.nn.functional.silu(theirs(x))) < 2e-6


def test_parameters_of_the_module() -> None:
    assert GroupNorm(2, 4, affine=False).weight is None
    without = GroupNorm(2, 4, bias=False, dtype=torch.float64)
    assert without.bias is None and without.weight.dtype == torch.float64
    assert GroupNorm(groups=LABELS, affine="group").weight.shape == (3,)
    assert GroupNorm(2, 4, device="meta").weight.device.type == "meta"
    assert GroupNorm(groups=[[0, 1], [2]], num_channels=4).groups == (0, 0, 1, -1)


@pytest.mark.parametrize("how", [{"affine": "group"}, {"affine": False}, {"channel_axis": -1, "affine": False}])
def test_x_of_other_channels_is_refused(how: dict[str, Any]) -> None:
    axis = how.get("channel_axis", 1)
    x = random(2, 12, 3).movedim(1, axis)
    with pytest.raises(OptionError, match=f"x has other channels.*; found 12 along axis {axis}, expected 8"):
        GroupNorm(4, 8, **how)(x)


def test_the_module_shows_what_it_is() -> None:
    assert repr(GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True)"
    text = repr(GroupNorm(groups=LABELS, bias=False, center=False, channel_axis=-1))
    assert text == "GroupNorm(3 groups, 6, eps=1e-05, affine=True, bias=False, channel_axis=-1, center=False)"


def test_module_survives_copies() -> None:
    norm = GroupNorm(groups=LABELS, activation="gelu")
    with torch.no_grad():
        norm.weight.copy_(random(6))
    stored = io.BytesIO()
    torch.save(norm, stored)
    stored.seek(0)
    x = random(2, 6, 3, dtype=torch.float32)
    for twin in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm)), torch.load(stored, weights_only=False)):
        assert twin.weight is not norm.weight and torch.equal(twin(x), norm(x))


def test_module_takes_modulation_and_residual() -> None:
    norm, x = GroupNorm(2, 4), random(2, 4, 3, dtype=torch.float32)
    scale, shift = random(2, 4, seed=1).float(), random(2, 4, seed=2).float()
    y = norm(x, scale=scale, shift=shift, residual=x)
    expected = torch.nn.functional.group_norm(2 * x, 2) * (1 + scale[..., None]) + shift[..., None]
    assert error(y, expected) < 2e-6


def test_trains() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 12), GroupNorm(groups=[0, 1, 2] * 4, activation="silu"), torch.nn.Linear(12, 1)
    )
    x, optimizer = random(64, 8, dtype=torch.float32), torch.optim.SGD(model.parameters(), lr=0.1)
    target = x[:, :1] * x[:, 1:2]
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


# Groups under torch.compile

KINDS: dict[str, Any] = {
    "array": np.array([1, 0, 0, 1]),
    "NumPy's numbers": list(np.array([1, 0, 0, 1])),
    "tensor": torch.tensor([1, 0, 0, 1]),
    "lists": [[0, 3], [1, 2]],
    "arrays": [np.array([0, 3]), np.array([1, 2])],
    "tensors": [torch.tensor([0, 3]), torch.tensor([1, 2])],
    "texts": ["b", "a", "a", "b"],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("default")
def test_groups_of_every_kind_compile(kind: str) -> None:
    torch._dynamo.reset()
    x, groups = random(2, 4, 3), KINDS[kind]
    found = torch.compile(lambda x: group_norm(x, groups=groups), backend="eager")(x)
    assert torch.equal(found, group_norm(x, groups=(1, 0, 0, 1)))
    norm = GroupNorm(groups=groups, num_channels=4, affine=False)
    assert torch.equal(torch.compile(norm, backend="eager", fullgraph=True)(x), found)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="_groups_that_are_no_tuple_of_numbers"):
        torch.compile(lambda x: group_norm(x, groups=groups), backend="eager", fullgraph=True)(x)


# Imports


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torch_is_imported_only_on_demand() -> None:
    assert run("import sys, gridnorm.nn; gridnorm.nn.group_norm; print('torch' in sys.modules)") == "False"


def test_import_without_torch_names_the_extra() -> None:
    code = """
    import sys
    sys.modules["torch"] = None
    try:
        import gridnorm.nn.torch
    except ImportError as error:
        print(error)
    """
    assert 'pip install "gridnorm[torch]"' in run(code)


def test_no_warnings_in_ordinary_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = random(2, 4, 3, grad=True)
        group_norm(x, 2).sum().backward()
