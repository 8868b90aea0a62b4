"""What a kernel is given, and what the plain ops make of it: shared by the tests on the host and on a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.autodiff import ops
from lwsam_ref.engines.cuda import convolution, elementwise, normalise
from lwsam_ref.engines.cuda.kernels import Kernels
from lwsam_ref.engines.cuda.tiles import Choice, Problem, Tile

EPS = 1e-3

TOLERANCE = {"float64": 1e-13, "float32": 1e-5}
"""Relative to the largest entry: sums of up to a thousand terms in another order."""


class Shape(NamedTuple):
    """Of a convolution: images, height, width, channels, filters, size, stride; and the tile it is tried with."""

    n: int
    h: int
    w: int
    c: int
    q: int
    k: int
    s: int
    tile: Tile
    parts: int = 3

    def choose(self, problem: Problem) -> Choice:
        return Choice(self.tile, self.parts)


CONVOLUTIONS = {
    "one tile": Shape(2, 8, 8, 16, 16, 3, 1, Tile(128, 16, 16, 8, 4)),
    "odd image, stride 2": Shape(2, 9, 7, 16, 24, 3, 2, Tile(64, 32, 16, 4, 4)),
    "three channels": Shape(3, 8, 8, 3, 16, 3, 1, Tile(64, 16, 8, 4, 4)),
    "one tap, stride 2": Shape(2, 8, 6, 8, 12, 1, 2, Tile(32, 16, 8, 4, 4), 1),
    "many columns": Shape(2, 5, 6, 20, 72, 3, 1, Tile(64, 64, 8, 8, 8)),
    "nothing is a multiple of four": Shape(5, 7, 6, 5, 3, 5, 2, Tile(48, 16, 8, 4, 4), 7),
    "stride 3": Shape(3, 7, 8, 4, 4, 3, 3, Tile(32, 16, 8, 2, 2)),
}

NORMS = {
    "images": ((5, 7, 6, 16), 0.0),
    "three channels": ((3, 5, 4, 3), 0.0),
    "far from zero": ((400, 10), 1e5),
    "several blocks of channels": ((2, 3, 3, 160), 0.0),
}


def draw(seed: int, dtype: str, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def convolution_arrays(shape: Shape, dtype: str) -> list[Any]:
    """x, w, gy."""
    n, h, w, c, q, k, s, *_ = shape
    return draw(0, dtype, (n, h, w, c), (k, k, c, q), (n, -(-h // s), -(-w // s), q))


def plain_convolution(shape: Shape, x: Any, w: Any, gy: Any) -> list[Any]:
    """y, gx, gw; like the other plain results in float64, whatever is given."""
    x, w, gy = _wide(x, w, gy)
    gw = np.empty_like(w)
    return [ops.convolution(x, w, shape.s), ops.convolution_gradient(x, w, gy, shape.s, True, gw), gw]


def own_convolution(kernels: Kernels, shape: Shape, x: Any, w: Any, gy: Any) -> list[Any]:
    gw = np.full_like(w, np.nan)
    y = convolution.convolution(kernels, x, w, shape.s, shape.choose)
    return [y, convolution.convolution_gradient(kernels, x, w, gy, shape.s, True, gw, shape.choose), gw]


def norm_arrays(name: str, dtype: str) -> list[Any]:
    """x, gamma, beta, gy."""
    shape, mean = NORMS[name]
    x, gamma, beta, gy = draw(1, "float64", shape, shape[-1:], shape[-1:], shape)
    return [a.astype(dtype) for a in (x + mean, gamma, beta, gy)]


def plain_norm(relu: bool, x: Any, gamma: Any, beta: Any, gy: Any) -> list[Any]:
    """y, mean, variance, gx, ggamma, gbeta."""
    x, gamma, beta, gy = _wide(x, gamma, beta, gy)
    y, (mean, variance) = ops.batch_norm(x, gamma, beta, EPS)
    if relu:
        y = ops.relu(y)
        gy = ops.relu_gradient(y, gy)
    return [y, mean, variance, *ops.batch_norm_gradient(x, gamma, EPS, mean, variance, gy, True)]


def own_norm(kernels: Kernels, relu: bool, x: Any, gamma: Any, beta: Any, gy: Any) -> list[Any]:
    y, s = normalise.batch_norm(kernels, x, gamma, beta, EPS, relu)
    ggamma, gbeta = np.full_like(gamma, np.nan), np.full_like(beta, np.nan)
    gx = normalise.batch_norm_gradient(kernels, x, gamma, beta, EPS, s, gy, relu, True, ggamma, gbeta)
    return [y, s.mean, s.variance, gx, ggamma, gbeta]


def plain_linear(x: Any, w: Any, b: Any, gy: Any) -> list[Any]:
    """y, gx, gw, gb."""
    x, w, b, gy = _wide(x, w, b, gy)
    gw, gb = np.empty_like(w), np.empty_like(b)
    return [ops.linear(x, w, b), ops.linear_gradient(x, w, gy, True, gw, gb), gw, gb]


def own_linear(kernels: Kernels, x: Any, w: Any, b: Any, gy: Any) -> list[Any]:
    gw, gb = np.full_like(w, np.nan), np.full_like(b, np.nan)
    y = convolution.linear(kernels, x, w, b)
    return [y, convolution.linear_gradient(kernels, x, w, gy, True, gw, gb), gw, gb]


def plain_elementwise(a: Any, b: Any) -> list[Any]:
    """ReLU, its gradient, the sum, and the ReLU of the sum: exact in any dtype."""
    y = ops.relu(a)
    return [y, ops.relu_gradient(y, b), a + b, ops.relu(a + b)]


def own_elementwise(kernels: Kernels, a: Any, b: Any) -> list[Any]:
    y = elementwise.relu(kernels, a)
    sums = [elementwise.add(kernels, a, b, relu) for relu in (False, True)]
    return [y, elementwise.relu_gradient(kernels, y, b), *sums]


def error(found: list[Any], expected: list[Any]) -> float:
    """The largest, relative to the largest entry of its array; not a number if any entry is not."""
    return float(max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, expected, strict=True)))


def _wide(*arrays: Any) -> list[Any]:
    return [a.astype(np.float64) for a in arrays]
