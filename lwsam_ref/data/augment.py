"""Pad, crop at random, flip at random: vectorised, and a function of (seed, step) alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.rng import generator

HostArray = np.ndarray[Any, Any]


def crop_and_flip(x: HostArray, pad: int, flip: bool, key: tuple[int, ...], rank: int = 0, ranks: int = 1) -> HostArray:
    """Images (N, H, W, C) moved by up to ``pad`` pixels each way, zeros moving in; half mirrored if ``flip``.

    Of P processes, number r has the images r, r + P, ... of a batch, and the draws for these.
    """
    n, height, width, _ = x.shape
    draw = generator("augment", *key)
    top, left = draw.integers(0, 2 * pad + 1, (2, n * ranks, 1))[:, rank::ranks]
    mirrored = (draw.random((n * ranks, 1)) < 0.5)[rank::ranks]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows = top + np.arange(height)
    columns = left + np.arange(width)
    if flip:
        columns = np.where(mirrored, columns[:, ::-1], columns)
    moved: HostArray = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved
