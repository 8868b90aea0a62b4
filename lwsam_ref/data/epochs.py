"""Which images make up which batch: a function of (seed, epoch) alone.

>>> [b.tolist() for b in batches(7, 2, seed=0, epoch=1)] == [b.tolist() for b in batches(7, 2, seed=0, epoch=1)]
True
>>> [len(b) for b in batches(7, 2, seed=0, epoch=1)]
[2, 2, 2]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lwsam_ref.rng import generator


def batches_per_epoch(n: int, batch_size: int) -> int:
    """Whole batches: the last partial one is dropped."""
    return n // batch_size


def batches(
    n: int, batch_size: int, *, seed: int, epoch: int, rank: int = 0, ranks: int = 1
) -> Iterator[np.ndarray[Any, Any]]:
    """One permutation of the n images per epoch, cut into global batches, of which a rank takes every P-th image."""
    order = generator("epoch", seed, epoch).permutation(n)
    for b in range(batches_per_epoch(n, batch_size)):
        yield order[b * batch_size : (b + 1) * batch_size][rank::ranks]
