"""Layers that take means over pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, Shape, Tensors, Work
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class AveragePool(Layer):
    """``ops.average_pool``, over all pixels. Cached: the input's shape."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0][-1:]

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(prod(shapes[0]), inputs=(shapes[0][-1],))

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return ops.average_pool(xs[0]), xs[0].shape

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.average_pool_gradient(gy, cache) if want[0] else None,)
