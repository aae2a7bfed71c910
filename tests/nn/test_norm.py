"""What all norms share: every one has every option, with one meaning, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from backends import Backend
from formula import ACTIVATIONS, differences, normal

from gridnorm import nn
from gridnorm.errors import OptionError

Array = np.ndarray
LABELS = [0, 1, 1, 0, 2, 1]


@dataclass(frozen=True)
class Norm:
    """A norm, as tests call it: what it is given beside x, and where its tables lie."""

    function: Callable[..., Any]
    backward: Callable[..., Any]
    shape: tuple[int, ...]
    parameters: tuple[int, ...]  # shape of γ and β
    table: tuple[int, ...]  # of scale and shift
    narrow: tuple[int, ...]  # the same, one number a sample
    on_x: tuple[int, ...]  # shape in which a table broadcasts to x
    forward: dict[str, Any] = field(default_factory=dict)
    both: dict[str, Any] = field(default_factory=dict)
    again: dict[str, Any] = field(default_factory=dict)  # for backward only
    means: bool = True

    def __call__(self, x: Array, weight: Any = None, bias: Any = None, **options: Any) -> Any:
        return self.function(x, weight=weight, bias=bias, **self.forward, **self.both, **options)

    def gradients(self, dy: Array, x: Array, stats: tuple[Array, ...], weight: Any, **options: Any) -> Any:
        return self.backward(dy, x, *stats, weight, **self.both, **self.again, **options)

    def computed(self, backend: Backend) -> Norm:
        """The same norm, on the arrays of a backend."""
        return replace(self, function=partial(backend.run, self.function), backward=partial(backend.run, self.backward))

    def on(self, table: Array) -> Array:
        """A table in the shape of x."""
        return np.broadcast_to(table, self.table).reshape(self.on_x)


IMAGES = {"shape": (3, 6, 2, 2), "parameters": (6,), "table": (3, 6), "narrow": (3, 1), "on_x": (3, 6, 1, 1)}
ROWS = {"shape": (6, 2, 2), "parameters": (2, 2), "table": (6, 2, 2), "narrow": (6, 1, 1), "on_x": (6, 2, 2)}
SHAPED = {"shape": (3, 4, 2, 2), "parameters": (2, 2), "table": (3, 4, 2, 2), "narrow": (3, 1, 1, 1)}
RUNNING = {"running_mean": normal((6,), seed=5), "running_var": np.linspace(1, 2, 6), "eps": 1e-3}

NORMS: dict[str, Norm] = {
    "group": Norm(nn.group_norm, nn.group_norm_backward, **IMAGES, both={"num_groups": 2}),
    "labels": Norm(nn.group_norm, nn.group_norm_backward, **IMAGES, both={"groups": LABELS}),
    "layer": Norm(nn.layer_norm, nn.layer_norm_backward, **IMAGES),
    "layer of a shape": Norm(
        nn.layer_norm, nn.layer_norm_backward, **SHAPED, on_x=(3, 4, 2, 2), both={"normalized_shape": (2, 2)}
    ),
    "instance": Norm(nn.instance_norm, nn.instance_norm_backward, **IMAGES),
    "batch": Norm(nn.batch_norm, nn.batch_norm_backward, **IMAGES, both={"training": True}),
    "ghost batches": Norm(nn.batch_norm, nn.batch_norm_backward, **IMAGES, both={"training": True, "ghost_size": 2}),
    "kept batch": Norm(nn.batch_norm, nn.batch_norm_backward, **IMAGES, forward=RUNNING, again={"training": False}),
    "segments": Norm(nn.segment_norm, nn.segment_norm_backward, **ROWS, both={"segments": LABELS}),
    "ptr": Norm(nn.segment_norm, nn.segment_norm_backward, **ROWS, both={"ptr": [0, 2, 6]}),
    "rms of a shape": Norm(
        nn.rms_norm,
        nn.rms_norm_backward,
        **SHAPED,
        on_x=(3, 4, 2, 2),
        both={"normalized_shape": (2, 2)},
        means=False,
    ),
    "rms in groups": Norm(nn.rms_norm, nn.rms_norm_backward, **IMAGES, both={"num_groups": 3}, means=False),
}
every = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
own = pytest.mark.parametrize("norm", [n for name, n in NORMS.items() if name != "kept batch"])


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_residual_is_added_first(backend: Backend, norm: Norm, dtype: Any) -> None:
    norm = norm.computed(backend)
    x, added = normal(norm.shape, dtype), normal(norm.shape, dtype, 1)
    y, total = norm(x, residual=added, return_residual=True)
    np.testing.assert_array_equal(total, x + added)
    np.testing.assert_array_equal(y, norm(x + added))
    np.testing.assert_array_equal(norm(x, residual=added), y)


@every
@pytest.mark.parametrize("activation", ["silu", "relu", "gelu"])
def test_an_activation_comes_last(backend: Backend, norm: Norm, activation: str) -> None:
    norm = norm.computed(backend)
    x, weight, bias = normal(norm.shape), normal(norm.parameters, seed=1), normal(norm.parameters, seed=2)
    expected = ACTIVATIONS[activation](norm(x, weight, bias))
    np.testing.assert_allclose(norm(x, weight, bias, activation=activation), expected, atol=1e-14)


@every
def test_samples_are_modulated(backend: Backend, norm: Norm) -> None:
    norm = norm.computed(backend)
    x, weight, bias = normal(norm.shape), normal(norm.parameters, seed=1), normal(norm.parameters, seed=2)
    plain = norm(x, weight, bias)
    for shape in (norm.table, norm.narrow, (1,) * len(norm.table)):
        scale, shift = normal(shape, seed=3), normal(shape, seed=4)
        expected = plain * (1 + norm.on(scale)) + norm.on(shift)
        np.testing.assert_allclose(norm(x, weight, bias, scale=scale, shift=shift), expected, atol=1e-13)
        np.testing.assert_allclose(norm(x, weight, bias, shift=shift), plain + norm.on(shift), atol=1e-13)
        np.testing.assert_allclose(norm(x, scale=scale), norm(x) * (1 + norm.on(scale)), atol=1e-13)


@own
def test_masked_values_are_not_seen(backend: Backend, norm: Norm) -> None:
    norm = norm.computed(backend)
    x, mask = normal(norm.shape), np.random.default_rng(6).random(norm.shape) < 0.7
    y = norm(x, mask=mask)
    assert not np.array_equal(y, norm(x))
    np.testing.assert_array_equal(norm(np.where(mask, x, np.nan), mask=mask)[mask], y[mask])
    np.testing.assert_array_equal(norm(x, sample_weight=mask.astype(float)), y)
    np.testing.assert_allclose(norm(x, mask=mask, sample_weight=np.full(norm.shape, 3.0)), y, atol=1e-13)


@every
def test_statistics_come_back(backend: Backend, norm: Norm) -> None:
    norm = norm.computed(backend)
    x = normal(norm.shape, np.float32)
    y, *stats = norm(x, return_stats=True)
    np.testing.assert_array_equal(y, norm(x))
    assert [a.dtype for a in stats] == [np.float64, np.float32][not norm.means :]
    assert len({a.shape for a in stats}) == 1
    assert len(norm(x, residual=x, return_residual=True, return_stats=True)) == len(stats) + 2


@every
def test_results_go_where_they_are_sent(backend: Backend, norm: Norm) -> None:
    norm = norm.computed(backend)
    x, added = normal(norm.shape, np.float32), normal(norm.shape, np.float32, 1)
    wanted = norm(x, residual=added)
    for place in (np.zeros_like(x), np.zeros_like(x, order="F"), np.repeat(x, 2, axis=-1)[..., ::2]):
        assert norm(x, residual=added, out=place) is place
        np.testing.assert_array_equal(place, wanted)
    for name in ("x", "residual"):
        arrays = {"x": x.copy(), "residual": added.copy()}
        norm(**arrays, out=arrays[name])
        np.testing.assert_array_equal(arrays[name], wanted)
    dy = normal(norm.shape, np.float32, 2)
    _, *stats = norm(x, return_stats=True)
    dx = norm.gradients(dy, x, tuple(stats), None)[0]
    assert norm.gradients(dy, x, tuple(stats), None, out=dy)[0] is dy
    np.testing.assert_array_equal(dy, dx)


@every
@pytest.mark.parametrize("narrow", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("activation", [None, pytest.param("silu", marks=pytest.mark.slow)])
def test_gradients_are_central_differences(backend: Backend, norm: Norm, narrow: bool, activation: str | None) -> None:
    """Of everything at once: modulation, weights of samples, statistics that are used further."""
    norm = norm.computed(backend)
    x, dy = normal(norm.shape), normal(norm.shape, seed=1)
    weight, bias = normal(norm.parameters, seed=2), normal(norm.parameters, seed=3)
    scale, shift = (normal(norm.narrow if narrow else norm.table, seed=seed) for seed in (4, 5))
    options = {"sample_weight": np.random.default_rng(6).uniform(0.1, 1, norm.shape), "activation": activation}
    more = [normal(a.shape, seed=7 + k) for k, a in enumerate(norm(x, return_stats=True, **options)[1:])]

    def loss(x: Array, weight: Array, bias: Array, scale: Array, shift: Array) -> float:
        y, *stats = norm(x, weight, bias, scale=scale, shift=shift, return_stats=True, **options)
        return float((y * dy).sum() + sum((s * d).sum() for s, d in zip(stats, more, strict=True)))

    _, *stats = norm(x, weight, bias, return_stats=True, **options)
    given = {"bias": bias, "scale": scale, "shift": shift, **options}
    given |= dict(zip(["dmean", "drstd"][not norm.means :], more, strict=True))
    found = norm.gradients(dy, x, tuple(stats), weight, **given)
    for gradient, wanted in zip(found, differences(loss, [x, weight, bias, scale, shift], 1e-6), strict=True):
        assert gradient.shape == wanted.shape
        np.testing.assert_allclose(gradient, wanted, atol=5e-7 * max(1, np.abs(wanted).max()))
    without = norm.gradients(dy, x, tuple(stats), weight, needs=(False, True, False), **given)
    assert without[0] is None and without[2] is None
    np.testing.assert_array_equal(without[1], found[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"activation": "silu"}, {"mask": np.arange(4) > 0}], ids=str)
def test_norms_that_are_the_same_agree_to_the_bit(dtype: Any, options: dict[str, Any]) -> None:
    x, dy = normal((3, 6, 5, 4), dtype), normal((3, 6, 5, 4), dtype, 1)
    weight = normal((6,), dtype, 2)

    def both(function: Any, backward: Any, x: Array = x, dy: Array = dy, weight: Any = weight, **more: Any) -> Any:
        y, *stats = function(x, weight=weight, return_stats=True, **more, **options)
        return [y, *backward(dy, x, *stats, weight, **more, **options)]

    def group(number: int, **more: Any) -> list[Array]:
        return both(nn.group_norm, nn.group_norm_backward, num_groups=number, **more)

    def same(one: list[Array], other: list[Array]) -> None:
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b.reshape(a.shape))

    same(group(1), both(nn.layer_norm, nn.layer_norm_backward))
    same(group(6), both(nn.instance_norm, nn.instance_norm_backward))
    same(group(2, center=False), _rms(both))
    # A sample as a row of one segment, and as the only one of a batch.
    alone = [a[:1] for a in (x, dy)]
    same(
        both(nn.instance_norm, nn.instance_norm_backward, *alone),
        both(nn.batch_norm, nn.batch_norm_backward, *alone, training=True),
    )


def _rms(both: Any) -> Any:
    eps = {"eps": 1e-5}

    def function(*args: Any, **options: Any) -> Any:
        return nn.rms_norm(*args, **eps, num_groups=2, **options)

    return both(function, nn.rms_norm_backward)


def test_what_is_modulated_must_fit() -> None:
    for norm in NORMS.values():
        for shape in ((7, 7), norm.table[1:], (*norm.table, 1)):
            with pytest.raises(OptionError, match="scale does not fit; found shape"):
                norm(normal(norm.shape), scale=np.ones(shape))


@every
def test_what_no_norm_takes(norm: Norm) -> None:
    x = normal(norm.shape)
    _, *stats = norm(x, return_stats=True)
    for options, message in (
        ({"activation": "tanh"}, "unknown activation; found 'tanh', expected silu, relu, gelu"),
        ({"residual": x[:1]}, "residual is not like x"),
        ({"return_residual": True}, "return_residual needs a residual"),
        ({"weight": np.ones(7)}, r"weight does not fit; found shape \(7,\), expected .*, one per"),
        ({"bias": np.ma.masked_array(np.ones(norm.parameters))}, "bias is a masked array"),
    ):
        with pytest.raises(OptionError, match=message):
            norm(x, **options)
    for options, message in (
        ({"activation": "tanh"}, "unknown activation"),
        ({"needs": (True, True)}, "needs has the wrong length"),
        ({"drstd": np.ones(9)}, "drstd does not fit x"),
    ):
        with pytest.raises(OptionError, match=message):
            norm.gradients(x, x, tuple(stats), None, **options)
    for call in (lambda: norm(x, colour=1), lambda: norm.gradients(x, x, tuple(stats), None, colour=1)):
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            call()
    masked = np.ma.masked_array(x, x > 0)
    for call in (
        lambda: norm(masked),
        lambda: norm(x, residual=masked),
        lambda: norm.gradients(masked, x, tuple(stats), None),
    ):
        with pytest.raises(OptionError, match="is a masked array, and its mask would be lost"):
            call()
