"""How much to work on at a time, so that what is written is still in the cache when it is read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lwsam_ref.vector import Array

CACHE_BYTES = 1 << 20
"""Working set of one block on a CPU: about a core's second-level cache, columns and all."""


def on_host(x: Array) -> bool:
    """Whether many small calls are cheap (NumPy), or few large ones (a GPU)."""
    return isinstance(x, np.ndarray)


def blocks(x: Array, bytes_per_item: int) -> Iterator[slice]:
    """Slices that cut the first axis of ``x`` into blocks of about ``CACHE_BYTES``; one block on a GPU."""
    n = len(x)
    step = max(1, CACHE_BYTES // max(1, bytes_per_item)) if on_host(x) else max(1, n)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def as_rows(x: Array) -> Array:
    """(N, ..., W, C) as (N * ..., W * C): runs long enough for NumPy's inner loops. (N, C) stays as it is."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if x.ndim > 2 else x


def tiled(channel: Array, x: Array) -> Array:
    """A vector over the C channels of ``x``, repeated to the length of a row of :func:`as_rows`."""
    return np.tile(channel, x.shape[-2]) if x.ndim > 2 else channel


def channel_sum(rows: Array, channels: int) -> Array:
    """The sum over everything but the channels, in float64, of rows as :func:`as_rows` makes them.

    On a CPU, pieces of at most 256 rows are summed by BLAS in the rows' own dtype, the pieces in float64: as fast
    as the one, nearly as exact as the other. On a GPU one reduction does it.
    """
    if not on_host(rows):
        return rows.sum(axis=0, dtype=np.float64).reshape(-1, channels).sum(axis=0)
    total = np.zeros_like(rows, shape=(rows.shape[1],), dtype=np.float64)
    ones = np.ones_like(rows, shape=(min(256, len(rows)),))
    for start in range(0, len(rows), 256):
        piece = rows[start : start + 256]
        total += ones[: len(piece)] @ piece
    return total.reshape(-1, channels).sum(axis=0)
