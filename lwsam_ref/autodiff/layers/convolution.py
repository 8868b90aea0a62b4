"""Convolution of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work, glorot
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class Convolution(Layer):
    """``ops.convolution`` without bias (a batch norm follows). Cached: the input. Tensor: kernel (k, k, C, K)."""

    channels: int
    filters: int
    size: int = 3
    stride: int = 1

    def __post_init__(self) -> None:
        if self.size % 2 == 0:
            raise ValueError(f"a convolution of size {self.size}: the size must be odd")

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {
            "kernel": ParameterSpec(
                (self.size, self.size, self.channels, self.filters), glorot, ranked=True, decayed=True
            )
        }

    def shape(self, *inputs: Shape) -> Shape:
        (height, width, _), s = inputs[0], self.stride
        return -(-height // s), -(-width // s), self.filters

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """Twice the multiplications, those with the zero padding included, for each of the three products."""
        n = 2 * self.size**2 * self.channels * prod(self.shape(*shapes))
        return Work(n, inputs=(n,), parameters={"kernel": n})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return ops.convolution(xs[0], t["kernel"], self.stride), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.convolution_gradient(cache, t["kernel"], gy, self.stride, want[0], gw.get("kernel")),)
