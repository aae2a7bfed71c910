"""Median, median absolute deviation and quantiles of every segment."""

from __future__ import annotations

import numpy as np

from gridnorm.core.engines.numpy.observed import Floats, Mask, compress, gather, observed, sort_segments
from gridnorm.core.segments import IntArray, Segments

MAD_CONSISTENT = 1.4826  # makes the MAD estimate the standard deviation of normal data


def median(values: Floats, segments: Segments, weights: Floats | None, use: Mask | None) -> tuple[IntArray, Floats]:
    """Count and (weighted) median, each (batch, segment); NaN where a segment has no value."""
    mask = gather(observed(values, use, weights), segments)
    flat = gather(values, segments).astype(np.float64, copy=False)
    w = None if weights is None else gather(np.repeat(weights[:, :, None], values.shape[2], axis=2), segments)
    return _rows(flat, mask, w, segments.offsets * values.shape[2])


def mad(
    values: Floats, segments: Segments, weights: Floats | None, use: Mask | None
) -> tuple[IntArray, Floats, Floats]:
    """Count, median and median absolute deviation (× 1.4826), each (batch, segment)."""
    mask = gather(observed(values, use, weights), segments)
    flat = gather(values, segments).astype(np.float64, copy=False)
    offsets = segments.offsets * values.shape[2]
    w = None if weights is None else gather(np.repeat(weights[:, :, None], values.shape[2], axis=2), segments)
    n, centre = _rows(flat, mask, w, offsets)
    distance = np.abs(flat - np.repeat(centre, np.diff(offsets), axis=1))
    _, spread = _rows(distance, mask, w, offsets)
    return n, centre, MAD_CONSISTENT * spread


def quantiles(values: Floats, segments: Segments, use: Mask | None, probabilities: Floats) -> tuple[IntArray, Floats]:
    """Count (batch, segment) and quantiles (batch, segment, probability), linear between order statistics (type 7)."""
    mask = gather(observed(values, use, None), segments)
    flat = gather(values, segments).astype(np.float64, copy=False)
    batch, groups = flat.shape[0], segments.n_segments
    n = np.zeros((batch, groups), np.int64)
    out = np.full((batch, groups, probabilities.size), np.nan)
    for b in range(batch):
        row, offsets = compress(flat[b], mask[b], segments.offsets * values.shape[2])
        ordered = sort_segments(row, offsets)
        n[b] = np.diff(offsets)
        some = n[b] > 0
        at = (n[b][some, None] - 1) * probabilities
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, n[b][some, None] - 1)
        start = offsets[:-1][some, None]
        below, above = ordered[start + low], ordered[start + high]
        out[b][some] = below + (at - low) * (above - below)
    return n, out


def _rows(flat: Floats, mask: Mask, w: Floats | None, segment_offsets: IntArray) -> tuple[IntArray, Floats]:
    n = np.zeros((flat.shape[0], segment_offsets.size - 1), np.int64)
    centre = np.full(n.shape, np.nan)
    for b in range(flat.shape[0]):
        row, offsets = compress(flat[b], mask[b], segment_offsets)
        n[b] = np.diff(offsets)
        if w is None:
            _plain(row, offsets, n[b], centre[b])
        else:
            _weighted(row, w[b][mask[b]], offsets, centre[b])
    return n, centre


def _plain(row: Floats, offsets: IntArray, n: IntArray, out: Floats) -> None:
    some = n > 0
    ordered = sort_segments(row, offsets)
    start = offsets[:-1][some]
    upper = ordered[start + n[some] // 2]
    lower = ordered[start + (n[some] - 1) // 2]
    # Halves first: the mean of two huge values must not overflow; equal halves stay exact.
    out[some] = np.where(upper == lower, upper, 0.5 * lower + 0.5 * upper)


def _weighted(row: Floats, w: Floats, offsets: IntArray, out: Floats) -> None:
    """First value whose cumulative share of the weight exceeds one half; at exactly one half the mean with the next."""
    for g, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if start == stop:
            continue
        order = np.argsort(row[start:stop], kind="stable")
        x, share = row[start:stop][order], w[start:stop][order]
        share = np.cumsum(share) / share.sum()
        k = int(np.count_nonzero(share < 0.5))
        out[g] = x[k] if share[k] > 0.5 or k + 1 == x.size else 0.5 * (x[k] + x[k + 1])
