"""Global average pooling: (N, H, W, C) to (N, C), the mean over the pixels."""

from __future__ import annotations

import numpy as np

from lwsam_ref.vector import Array


def average_pool(x: Array) -> Array:
    return x.mean(axis=(1, 2))


def average_pool_gradient(gy: Array, shape: tuple[int, ...]) -> Array:
    """Every pixel's share, 1 / (H W), of the gradient."""
    n, height, width, c = shape
    share = gy / (height * width)
    return np.broadcast_to(share[:, None, None, :], (n, height, width, c)).copy()
