"""The layers: what a node of a network computes. Each is a value (a frozen dataclass) with two pure functions.

``forward(t, xs, run)`` takes the node's tensors ``t`` by name (parameters and buffers), its inputs, and the
:class:`Run` it is part of; it returns the output and a cache. ``backward(t, gy, cache, want, gw)`` returns the
gradient with respect to each input whose ``want`` is true (``None`` for the others) and writes the gradient of each
parameter that ``gw`` names into the array found there; it computes nothing that was not asked for, and leaves the
cache as it is. A layer keeps nothing: parameters and buffers live in the network's two flat vectors, caches on the
tape. State that moves once per step moves in ``commit``.

Caches hold references to tape values, not copies: a layer never writes into an array that it did not make.

``work(shapes, training)`` states what both functions cost. A multiplication, an addition, a maximum is one floating-
point operation (FLOP); what is done once a channel, and drawing random numbers, is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref import ops
from lwsam_ref.backend import Device, generator
from lwsam_ref.comm import SERIAL, Communicator
from lwsam_ref.vector import Array

Shape = tuple[int, ...]
Tensors = Mapping[str, Array]
Cache = Any


@dataclass(frozen=True)
class Parameter:
    """Shape and initial value: ``glorot`` (uniform, Glorot and Bengio 2010) or a constant to fill with."""

    shape: Shape
    init: str | float

    def initial(self, key: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """The initial value, a function of ``key``: (seed, node, position among the node's tensors)."""
        if self.init != "glorot":
            return np.full(self.shape, float(self.init))
        *receptive, c, k = self.shape
        limit = np.sqrt(6.0 / (prod(receptive) * (c + k)))
        return generator("initial weights", *key).uniform(-limit, limit, self.shape)


@dataclass(frozen=True)
class Run:
    """One forward pass: on which device, in training or not, and the key of its random numbers at each node.

    ``rows``: which samples, of how many, the batch has, if it is a part of the one that the numbers are drawn for.
    ``batch``: the processes whose samples batch norm takes together.
    """

    device: Device
    training: bool
    key: tuple[int, ...] = ()
    rows: tuple[np.ndarray[Any, Any], int] | None = None
    batch: Communicator = SERIAL

    def mask(self, shape: Shape, rate: float) -> Array:
        """0 with probability ``rate``, else 1: a function of key and sample, so a repeated pass repeats the draw."""
        rows, whole = self.rows or (slice(None), shape[0])
        keep = generator("mask", *self.key).random((whole, *shape[1:]))[rows] >= rate
        return self.device.put(keep.astype(self.device.dtype))


class Work(NamedTuple):
    """FLOPs per sample: of the forward pass; of a backward pass whatever is wanted; and for each gradient besides."""

    forward: int
    backward: int = 0
    inputs: tuple[int, ...] = (0,)
    parameters: Mapping[str, int] = MappingProxyType({})


class Layer:
    """The contract, with the defaults of a layer that has no parameters, no buffers and one input."""

    inputs = 1

    def parameters(self) -> Mapping[str, Parameter]:
        return {}

    def buffers(self) -> Mapping[str, Parameter]:
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """The shape of the output per sample, from those of the inputs."""
        return inputs[0]

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """What the layer costs on inputs of these shapes; by default an operation an entry, each way."""
        n = prod(shapes[0])
        return Work(n, inputs=(n,))

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        raise TypeError(f"{type(self).__name__} defines no forward pass")

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        raise TypeError(f"{type(self).__name__} defines no backward pass")

    def commit(self, t: Tensors, cache: Cache) -> None:
        """Move the buffers, in place, by what the pass saw."""


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

    def parameters(self) -> Mapping[str, Parameter]:
        return {"kernel": Parameter((self.size, self.size, self.channels, self.filters), "glorot")}

    def shape(self, *inputs: Shape) -> Shape:
        (height, width, _), s = inputs[0], self.stride
        return -(-height // s), -(-width // s), self.filters

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """Twice the multiplications, those with the zero padding included, for each of the three products."""
        n = 2 * self.size**2 * self.channels * prod(self.shape(*shapes))
        return Work(n, inputs=(n,), parameters={"kernel": n})

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        return ops.convolution(xs[0], t["kernel"], self.stride), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.convolution_gradient(cache, t["kernel"], gy, self.stride, want[0], gw.get("kernel")),)


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

    def parameters(self) -> Mapping[str, Parameter]:
        c = (self.channels,)
        return {"gamma": Parameter(c, self.initial_gamma), "beta": Parameter(c, 0.0)}

    def buffers(self) -> Mapping[str, Parameter]:
        c = (self.channels,)
        return {"mean": Parameter(c, 0.0), "variance": Parameter(c, 1.0)}

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """An entry: 5 for the statistics, 3 to standardise; 4 for both sums of the way back, 5 for the input's."""
        n = prod(shapes[0])
        if training:
            return Work(8 * n, backward=4 * n, inputs=(5 * n,))
        return Work(3 * n, inputs=(n,), parameters={"gamma": 3 * n, "beta": n})

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        (x,) = xs
        if not run.training:
            return ops.standardise(x, t["mean"], t["variance"], self.eps, t["gamma"], t["beta"]), (x, None)
        y, statistics = ops.batch_norm(x, t["gamma"], t["beta"], self.eps, run.batch)
        return y, (x, (*statistics, run.batch))

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        x, statistics = cache
        if statistics is None:
            scale = t["mean"], t["variance"], self.eps, t["gamma"]
            return (ops.standardise_gradient(x, *scale, gy, want[0], gw.get("gamma"), gw.get("beta")),)
        mean, variance, batch = statistics
        gx, ggamma, gbeta = ops.batch_norm_gradient(x, t["gamma"], self.eps, mean, variance, gy, want[0], batch)
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


@dataclass(frozen=True)
class Linear(Layer):
    """``ops.linear``. Cached: the input. Tensors: kernel (C, K), bias (K)."""

    channels: int
    units: int

    def parameters(self) -> Mapping[str, Parameter]:
        return {
            "kernel": Parameter((self.channels, self.units), "glorot"),
            "bias": Parameter((self.units,), 0.0),
        }

    def shape(self, *inputs: Shape) -> Shape:
        return (self.units,)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        n, k = 2 * self.channels * self.units, self.units
        return Work(n + k, inputs=(n,), parameters={"kernel": n, "bias": k})

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        return ops.linear(xs[0], t["kernel"], t["bias"]), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.linear_gradient(cache, t["kernel"], gy, want[0], gw.get("kernel"), gw.get("bias")),)


@dataclass(frozen=True)
class ReLU(Layer):
    """``ops.relu``. Cached: the output."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        y = ops.relu(xs[0])
        return y, y

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.relu_gradient(cache, gy) if want[0] else None,)


@dataclass(frozen=True)
class Add(Layer):
    """``x1 + x2``; the gradient with respect to both is ``gy`` itself. Nothing is cached."""

    inputs = 2

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(prod(shapes[0]), inputs=(0, 0))

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        return xs[0] + xs[1], None

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return tuple(gy if w else None for w in want)


@dataclass(frozen=True)
class AveragePool(Layer):
    """``ops.average_pool``, over all pixels. Cached: the input's shape."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0][-1:]

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(prod(shapes[0]), inputs=(shapes[0][-1],))

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        return ops.average_pool(xs[0]), xs[0].shape

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (ops.average_pool_gradient(gy, cache) if want[0] else None,)


@dataclass(frozen=True)
class Flatten(Layer):
    """(N, ...) to (N, C). Cached: the input's shape."""

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(0)

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        return xs[0].reshape(len(xs[0]), -1), xs[0].shape

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (gy.reshape(cache) if want[0] else None,)


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

    def forward(self, t: Tensors, xs: tuple[Array, ...], run: Run) -> tuple[Array, Cache]:
        if not run.training:
            return xs[0], None
        keep = run.mask(xs[0].shape, self.rate)
        return ops.dropout(xs[0], keep, self.rate), keep

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        if cache is None or not want[0]:
            return (gy if want[0] else None,)
        return (ops.dropout_gradient(gy, cache, self.rate),)
