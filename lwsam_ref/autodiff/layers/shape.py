"""Layers that move or add values: sum, flatten."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from lwsam_ref.autodiff.layer import Cache, Context, Layer, Shape, Tensors, Work
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class Add(Layer):
    """``x1 + x2``; the gradient with respect to both is ``gy`` itself. Nothing is cached."""

    inputs = 2

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(prod(shapes[0]), inputs=(0, 0))

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return xs[0] + xs[1], None

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return tuple(gy if w else None for w in want)


@dataclass(frozen=True)
class Flatten(Layer):
    """(N, ...) to (N, C). Cached: the input's shape."""

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(0)

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return xs[0].reshape(len(xs[0]), -1), xs[0].shape

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (gy.reshape(cache) if want[0] else None,)
