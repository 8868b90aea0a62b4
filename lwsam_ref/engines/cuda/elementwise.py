"""ReLU and sums, entry by entry: the launch code of elementwise.cu."""

from __future__ import annotations

import numpy as np

from lwsam_ref.engines.cuda.kernels import Kernels, address, dense, whole
from lwsam_ref.vector import Array

THREADS = 256


def relu(kernels: Kernels, x: Array) -> Array:
    """``max(x, 0)``."""
    return _map(kernels, "relu", x)


def relu_gradient(kernels: Kernels, y: Array, gy: Array) -> Array:
    """``gy`` where the output ``y`` is positive, else 0."""
    return _map(kernels, "relu_gradient", y, gy)


def add(kernels: Kernels, a: Array, b: Array, relu: bool) -> Array:
    """``a + b``; with ``relu``, ``max(a + b, 0)``."""
    return _map(kernels, "add_relu" if relu else "add", a, b)


def _map(kernels: Kernels, name: str, *arrays: Array) -> Array:
    given = [dense(a) for a in arrays]
    result = np.empty_like(given[0], order="C")
    wide = given[0].size % 4 == 0 and all(address(a) % 16 == 0 for a in (*given, result))
    v = 4 if wide else 1
    size = result.size // v
    run = kernels.program(result.dtype, "elementwise.cu", V=v)
    run(name, (whole(size, THREADS),), THREADS, *given, result, np.int32(size))
    return result
