"""``segment_norm``: rows by segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends import Backend

from gridnorm import nn
from gridnorm.errors import OptionError

RNG = np.random.default_rng(4)
LABELS = np.array([2, 0, 2, 2, 0, 1, 1, 2])


def reference(x: np.ndarray, labels: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    out = np.empty_like(x)
    for label in np.unique(labels):
        rows = x[labels == label]
        out[labels == label] = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + eps)
    return out


@pytest.mark.parametrize("features", [(), (3,), (2, 3)])
def test_every_segment_and_feature_by_itself(backend: Backend, features: tuple[int, ...]) -> None:
    x = RNG.normal(2, 3, (8, *features))
    w, b = RNG.normal(size=features), RNG.normal(size=features)
    got = backend.run(nn.segment_norm, x, segments=LABELS, weight=w, bias=b)
    np.testing.assert_allclose(got, reference(x, LABELS) * w + b, atol=1e-13)


def test_joining_graphs_changes_nothing(backend: Backend) -> None:
    """Concatenating two graphs leaves each unchanged, to the last bit."""
    one, two = (RNG.normal(size=(n, 3)).astype(np.float32) for n in (5, 700))
    both = backend.run(nn.segment_norm, np.concatenate([one, two]), ptr=[0, 5, 705])
    np.testing.assert_array_equal(both[:5], backend.run(nn.segment_norm, one, segments=np.zeros(5, int)))
    np.testing.assert_array_equal(both[5:], backend.run(nn.segment_norm, two, ptr=[0, 700]))


def test_offsets_and_labels_agree_and_an_empty_segment_is_none(backend: Backend) -> None:
    x = RNG.normal(size=(6, 2))
    y, mean, _ = backend.run(nn.segment_norm, x, ptr=[0, 4, 4, 6], return_stats=True)
    np.testing.assert_array_equal(y, backend.run(nn.segment_norm, x, segments=[0, 0, 0, 0, 1, 1]))
    assert mean.shape == (3, 2)
    assert np.isnan(mean[1]).all()


def test_rows_that_pass_are_untouched(backend: Backend) -> None:
    x = RNG.normal(size=(5, 2))
    y, mean, rstd = backend.run(nn.segment_norm, x, [0, -1, 0, 1, 1], bias=np.ones(2), return_stats=True)
    np.testing.assert_array_equal(y[1], x[1])
    assert mean.shape == (2, 2)
    dx, _, dbias = backend.run(nn.segment_norm_backward, np.ones_like(x), x, mean, rstd, segments=[0, -1, 0, 1, 1])
    np.testing.assert_array_equal(dx[1], 1.0)
    assert dbias.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("options", [{}, {"center": False}, {"activation": "gelu"}])
def test_gradients_are_central_differences(backend: Backend, options: dict[str, Any]) -> None:
    x, w, b, dy = RNG.normal(size=(8, 2)), RNG.normal(size=2), RNG.normal(size=2), RNG.normal(size=(8, 2))
    _, mean, rstd = backend.run(nn.segment_norm, x, segments=LABELS, weight=w, bias=b, return_stats=True, **options)
    got = backend.run(nn.segment_norm_backward, dy, x, mean, rstd, w, bias=b, segments=LABELS, **options)
    for position, (gradient, at) in enumerate(zip(got, (x, w, b), strict=True)):
        for i in np.ndindex(at.shape):
            step = np.zeros_like(at)
            step[i] = 1e-6
            up, down = (
                backend.on_numpy(
                    nn.segment_norm,
                    x + s * step * (position == 0) if position == 0 else x,
                    segments=LABELS,
                    weight=w + s * step if position == 1 else w,
                    bias=b + s * step if position == 2 else b,
                    **options,
                )
                for s in (1, -1)
            )
            assert abs(((up - down) * dy).sum() / 2e-6 - gradient[i]) <= 2e-8


def test_many_segments_of_all_sizes(backend: Backend) -> None:
    sizes = np.concatenate([RNG.integers(2, 40, 400), [20000]])
    labels = RNG.permutation(np.repeat(np.arange(sizes.size), sizes))
    x = RNG.normal(1e3, 1, (labels.size, 2)).astype(np.float32)
    y = backend.run(nn.segment_norm, x, segments=labels, eps=0.0)
    np.testing.assert_allclose(y, reference(x.astype(np.float64), labels, 0.0), atol=4e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "segments need either labels or offsets"),
        ({"segments": [0] * 4, "ptr": [0, 4]}, "segments need either labels or offsets"),
        ({"segments": [0] * 3}, "segments do not fit the rows; found 3 labels, expected 4, one per row"),
        ({"ptr": [0, 3]}, r"ptr does not cut the rows; found \[0, 3\], expected ascending whole numbers from 0 to 4"),
        ({"segments": [0] * 4, "activation": "tanh"}, "unknown activation; found 'tanh', expected silu, relu, gelu"),
        ({"ptr": [0, 3, 1, 4]}, "ptr does not cut the rows"),
        ({"segments": [0] * 4, "weight": np.ones(3)}, r"weight does not fit; found shape \(3,\), expected \(2,\)"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        nn.segment_norm(np.ones((4, 2)), **arguments)


def test_a_result_may_lie_over_what_is_read() -> None:
    room = np.zeros((9, 2))
    room[:8] = x = RNG.normal(size=(8, 2))
    wanted = nn.segment_norm(x, LABELS)
    nn.segment_norm(room[:8], LABELS, out=room[1:])
    np.testing.assert_array_equal(room[1:], wanted)
