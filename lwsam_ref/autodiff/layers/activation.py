"""Elementwise layers: ReLU and dropout."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, Shape, Tensors, Work
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class ReLU(Layer):
    """``ops.relu``. Cached: the output."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        y = ops.relu(xs[0])
        return y, y

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.relu_gradient(cache, gy) if want[0] else None,)


@dataclass(frozen=True)
class Dropout(Layer):
    """``ops.dropout`` in training, else the identity. Cached: the mask, drawn from (seed, step, node)."""

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"dropout at rate {self.rate}: the rate must be at least 0 and less than 1")

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        n = prod(shapes[0]) if training else 0
        return Work(n, inputs=(n,))

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        if not context.training:
            return xs[0], None
        keep = context.mask(xs[0].shape, self.rate)
        return ops.dropout(xs[0], keep, self.rate), keep

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        if cache is None or not want[0]:
            return (gy if want[0] else None,)
        return (ops.dropout_gradient(gy, cache, self.rate),)
