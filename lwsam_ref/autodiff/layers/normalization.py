"""Batch normalisation as a layer: parameters, running statistics, whose samples are taken together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work, constant, ones, zeros
from lwsam_ref.vector import Array


@dataclass(frozen=True)
class BatchNorm(Layer):
    """``ops.batch_norm``; with the running statistics when not in training, where these are constants.

    Cached: the input and, in training, the batch's mean and variance and whose they are.
    ``commit``: running <- momentum running + (1 - momentum) batch, the variance unbiased (M / (M - 1)).
    """

    channels: int
    eps: float = 1e-3
    momentum: float = 0.99
    initial_gamma: float = 1.0

    def parameters(self) -> Mapping[str, ParameterSpec]:
        c = (self.channels,)
        return {
            "gamma": ParameterSpec(c, constant(self.initial_gamma), normalises=True),
            "beta": ParameterSpec(c, zeros, normalises=True),
        }

    def buffers(self) -> Mapping[str, ParameterSpec]:
        c = (self.channels,)
        return {"mean": ParameterSpec(c, zeros), "variance": ParameterSpec(c, ones)}

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """An entry: 5 for the statistics, 3 to standardise; 4 for both sums of the way back, 5 for the input's."""
        n = prod(shapes[0])
        if training:
            return Work(8 * n, backward=4 * n, inputs=(5 * n,))
        return Work(3 * n, inputs=(n,), parameters={"gamma": 3 * n, "beta": n})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        (x,) = xs
        if not context.training:
            return ops.standardise(x, t["mean"], t["variance"], self.eps, t["gamma"], t["beta"]), (x, None)
        y, statistics = ops.batch_norm(x, t["gamma"], t["beta"], self.eps, context.batch.sum, context.batch.size)
        return y, (x, (*statistics, context.batch))

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        x, statistics = cache
        if statistics is None:
            scale = t["mean"], t["variance"], self.eps, t["gamma"]
            return (ops.standardise_gradient(x, *scale, gy, want[0], gw.get("gamma"), gw.get("beta")),)
        mean, variance, batch = statistics
        gx, ggamma, gbeta = ops.batch_norm_gradient(
            x, t["gamma"], self.eps, mean, variance, gy, want[0], batch.sum, batch.size
        )
        for name, gradient in (("gamma", ggamma), ("beta", gbeta)):
            if name in gw:
                gw[name][...] = gradient
        return (gx,)

    def commit(self, t: Tensors, cache: Cache) -> None:
        x, (mean, variance, together) = cache
        count = x.size // self.channels * together.size
        unbiased = variance * (count / max(1, count - 1))
        for running, batch in ((t["mean"], mean), (t["variance"], unbiased)):
            running *= self.momentum
            running += (1.0 - self.momentum) * batch.astype(running.dtype)
