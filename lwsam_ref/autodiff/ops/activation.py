"""Elementwise maps: ReLU ``max(x, 0)`` (gradient 0 at 0), and inverted dropout."""

from __future__ import annotations

import numpy as np

from lwsam_ref.vector import Array


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_gradient(y: Array, gy: Array) -> Array:
    """``gy`` where the output ``y`` is positive: the output tells, so the input need not be kept."""
    return gy * (y > 0)


def dropout(x: Array, keep: Array, rate: float) -> Array:
    """``x / (1 - rate)`` where the mask ``keep`` is 1, else 0: the mean over masks is ``x``."""
    return x * (keep * (1.0 / (1.0 - rate)))


def dropout_gradient(gy: Array, keep: Array, rate: float) -> Array:
    """The map is linear and diagonal, so it is its own transpose."""
    return dropout(gy, keep, rate)
