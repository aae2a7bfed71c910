"""``rms_norm``: torch's numbers, the formula's, and those of ``group_norm`` without a mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend
from formula import LAYOUTS, differences, far, formula, normal, split

from gridnorm import nn
from gridnorm.errors import OptionError

SHAPES: list[tuple[tuple[int, ...], Any]] = [((4, 8), 8), ((2, 5, 16), [16]), ((2, 3, 4, 5), (4, 5)), ((7,), (7,))]


def plainly(x: np.ndarray, axes: int, eps: float) -> np.ndarray:
    v = x.astype(np.float64)
    return v / np.sqrt((v * v).mean(axis=tuple(range(-axes, 0)), keepdims=True) + eps)


@pytest.mark.parametrize(("shape", "normalized"), SHAPES)
@pytest.mark.parametrize("eps", [None, 1e-5, 0.0])
def test_a_shape_is_normalized(backend: Backend, shape: tuple[int, ...], normalized: Any, eps: float | None) -> None:
    inner = (normalized,) if isinstance(normalized, int) else tuple(normalized)
    x, weight, bias = normal(shape), normal(inner, seed=1), normal(inner, seed=2)
    used = np.finfo(np.float64).eps if eps is None else eps
    y, rstd = backend.run(nn.rms_norm, x, normalized, weight, eps, bias=bias, return_stats=True)
    np.testing.assert_allclose(y, plainly(x, len(inner), used) * weight + bias, atol=1e-14)
    assert rstd.shape == shape[: len(shape) - len(inner)]
    np.testing.assert_array_equal(
        backend.run(nn.rms_norm, x, normalized, eps=eps), backend.run(nn.rms_norm, x, normalized, None, eps)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_of_channels(backend: Backend, layout: str) -> None:
    x, weight = LAYOUTS[layout](normal((3, 6, 5, 4))), normal((6,), seed=1)
    for mine, labels in (({}, [0] * 6), ({"num_groups": 3}, split(6, 3)), ({"groups": [0, 1, -1, 1, 0, 0]}, None)):
        labels = mine.get("groups", labels)
        y, rstd = backend.run(nn.rms_norm, x, weight=weight, eps=1e-3, return_stats=True, **mine)
        wanted, _, factor = formula(x, labels, weight, eps=1e-3, center=False)
        assert far(y, wanted) <= 1e-13 and far(rstd, factor) <= 1e-13
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(
        np.moveaxis(backend.run(nn.rms_norm, last, num_groups=2, channel_axis=-1), -1, 1),
        backend.run(nn.rms_norm, x, num_groups=2),
        rtol=0,
        atol=backend.tolerance(np.float64),  # the kernels add in the order of the memory
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{"num_groups": 3}, {"groups": [0, 1, -1, 1, 0, 0], "affine": "group"}, {"activation": "gelu"}], ids=str
)
def test_is_group_norm_without_a_mean(backend: Backend, dtype: Any, options: dict[str, Any]) -> None:
    x, dy = normal((3, 6, 5, 4), dtype), normal((3, 6, 5, 4), dtype, 1)
    weight = normal((2 if "groups" in options else 6,), seed=2)
    groups = {} if "groups" in options else {"num_groups": options.get("num_groups", 1)}
    y, mean, rstd = backend.run(
        nn.group_norm, x, weight=weight, center=False, return_stats=True, **{**options, **groups}
    )
    found = backend.run(nn.rms_norm, x, weight=weight, eps=1e-5, return_stats=True, **options)
    for a, b in zip(found, (y, rstd), strict=True):
        np.testing.assert_array_equal(a, b)
    wanted = backend.run(nn.group_norm_backward, dy, x, mean, rstd, weight, center=False, **{**options, **groups})
    for a, b in zip(backend.run(nn.rms_norm_backward, dy, x, rstd, weight, **options), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not mean.any()


def test_small_values_keep_their_scale_with_the_usual_eps(backend: Backend) -> None:
    """It is that of the type that is computed in: half precision's own would swallow everything below 0.03."""
    for dtype in (np.float16, np.float32, np.float64):
        x = (normal((4, 64)) * 1e-3).astype(dtype)
        eps = np.finfo(np.float64 if dtype == np.float64 else np.float32).eps
        assert (
            far(backend.run(nn.rms_norm, x, 64), plainly(x, 1, eps))
            <= {np.float16: 2e-3, np.float32: 2e-6, np.float64: 1e-14}[dtype]
        )


@pytest.mark.parametrize(
    "options", [{"normalized_shape": (3, 2)}, {"num_groups": 2}, {"groups": [0, 1, 1, 0]}], ids=str
)
@pytest.mark.parametrize("activation", [None, "silu"])
def test_gradients_are_central_differences(backend: Backend, options: dict[str, Any], activation: str | None) -> None:
    x, dy, dr = normal((2, 4, 3, 2)), normal((2, 4, 3, 2), seed=1), normal((2, 4), seed=2)
    shape = options.get("normalized_shape", (4,))
    weight, bias = normal(shape, seed=3), normal(shape, seed=4)
    rest = {"activation": activation, **options}

    def loss(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
        y, rstd = backend.on_numpy(nn.rms_norm, x, weight=weight, bias=bias, return_stats=True, **rest)
        return float((y * dy).sum() + (rstd * dr[:, : rstd.shape[-1]]).sum())

    rstd = backend.run(nn.rms_norm, x, weight=weight, return_stats=True, **rest)[1]
    found = backend.run(nn.rms_norm_backward, dy, x, rstd, weight, bias=bias, drstd=dr[:, : rstd.shape[-1]], **rest)
    for gradient, wanted in zip(found, differences(loss, [x, weight, bias]), strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-8 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize(("shape", "normalized"), SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("eps", [None, 1e-3])
def test_torch_gives_the_same(
    backend: Backend, shape: tuple[int, ...], normalized: Any, dtype: str, eps: float | None
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    inner = [normalized] if isinstance(normalized, int) else list(normalized)
    numbers = [normal(s, np.float64, seed).astype(kind) for seed, s in enumerate((shape, shape, inner))]
    tensors = [torch.tensor(a.astype(np.float64)).to(getattr(torch, dtype)) for a in numbers]
    (x, dy, weight), (theirs, seed, factor) = numbers, tensors
    wanted = torch.nn.functional.rms_norm(theirs.requires_grad_(), inner, factor.requires_grad_(), eps)
    wanted.backward(seed)
    y, rstd = backend.run(nn.rms_norm, x, normalized, weight, eps, return_stats=True)
    dx, dweight, _ = backend.run(nn.rms_norm_backward, dy, x, rstd, weight, normalized_shape=normalized)
    assert y.dtype == kind
    # A few units in the last place of the largest.
    tolerance = {"float64": 1e-12, "float32": 4e-7, "bfloat16": 2e-2, "float16": 2e-3}[dtype]
    for mine, tensor in ((y, wanted), (dx, theirs.grad), (dweight, factor.grad)):
        other = tensor.detach().double().numpy()
        assert far(mine, other) <= tolerance * max(1, np.abs(other).max())


def test_values_that_break_others(backend: Backend) -> None:
    x = np.full((2, 4), 1e30, np.float32)  # the square runs over
    np.testing.assert_allclose(backend.run(nn.rms_norm, x, 4), 1.0, rtol=1e-6)
    assert not backend.run(nn.rms_norm, np.zeros((2, 4)), 4, eps=0.0).any()
    np.testing.assert_array_equal(
        backend.run(nn.rms_norm, np.array([[3.0]]), 1, eps=0.0), 1.0
    )  # one value: no warning, it means something
    x = normal((3, 4))
    x[1, 2] = np.nan
    y, rstd = backend.run(nn.rms_norm, x, 4, return_stats=True)
    dx = backend.run(nn.rms_norm_backward, np.ones_like(x), x, rstd, normalized_shape=4)[0]
    for a in (y, dx):
        assert np.isnan(a[1]).all() and np.isfinite(a[[0, 2]]).all()
    assert backend.run(nn.rms_norm, np.zeros((0, 4)), 4).shape == (0, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalized_shape": 5}, r"do not have the normalized shape; found x \(2, 6, 4\), expected \(…, 5\)"),
        ({"normalized_shape": 4, "num_groups": 2}, "num_groups does not go with normalized_shape"),
        ({"normalized_shape": 4, "groups": [0] * 4}, "groups does not go with normalized_shape"),
        ({"normalized_shape": 4, "channel_axis": -1}, "channel_axis does not go with normalized_shape"),
        ({"num_groups": 2, "groups": [0] * 6}, "exclude each other"),
        ({"num_groups": 4}, "6 channels cannot be cut into 4 groups"),
        ({"eps": -1.0}, "eps cannot have this value"),
        ({"normalized_shape": 4, "weight": np.ones(6)}, r"expected \(4,\), one per value of the normalized shape"),
        ({"weight": np.ones(4)}, r"expected \(6,\), one per channel"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        nn.rms_norm(normal((2, 6, 4)), **options)
    with pytest.raises(TypeError, match=r"rms_norm\(\) got an unexpected keyword argument 'center'"):
        nn.rms_norm(normal((2, 6, 4)), center=False)
    with pytest.raises(OptionError, match="rstd is not what return_stats gave; found None"):
        nn.rms_norm_backward(normal((2, 6)), normal((2, 6)), None)
