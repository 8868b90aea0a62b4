"""The affine map as a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work, glorot, zeros
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class Linear(Layer):
    """``ops.linear``. Cached: the input. Tensors: kernel (C, K), bias (K)."""

    channels: int
    units: int

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {
            "kernel": ParameterSpec((self.channels, self.units), glorot, ranked=True, decayed=True),
            "bias": ParameterSpec((self.units,), zeros, decayed=True),
        }

    def shape(self, *inputs: Shape) -> Shape:
        return (self.units,)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        n, k = 2 * self.channels * self.units, self.units
        return Work(n + k, inputs=(n,), parameters={"kernel": n, "bias": k})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return ops.linear(xs[0], t["kernel"], t["bias"]), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.linear_gradient(cache, t["kernel"], gy, want[0], gw.get("kernel"), gw.get("bias")),)
