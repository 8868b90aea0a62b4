"""The affine map ``y = x w + b`` of (N, C) to (N, K): ``gx = gy w^T``, ``gw = x^T gy``, ``gb = sum gy``."""

from __future__ import annotations

import numpy as np

from lwsam_ref.vector import Array


def linear(x: Array, w: Array, b: Array) -> Array:
    y = x @ w
    y += b
    return y


def linear_gradient(x: Array, w: Array, gy: Array, want_gx: bool, gw: Array | None, gb: Array | None) -> Array | None:
    """The gradient with respect to ``x`` if wanted; the others are written into ``gw`` and ``gb`` if given."""
    if gw is not None:
        np.matmul(x.T, gy, out=gw)
    if gb is not None:
        gb[...] = gy.sum(axis=0)
    return gy @ w.T if want_gx else None
