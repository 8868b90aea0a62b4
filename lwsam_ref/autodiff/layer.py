"""The contract of a layer, what a node of a network computes: a value (a frozen dataclass) with two pure functions.

``forward(t, xs, context)`` takes the node's tensors ``t`` by name (parameters and buffers), its inputs, and the
:class:`Context` that it is part of; it returns the output and a cache. ``backward(t, gy, cache, want, gw)`` returns the
gradient with respect to each input whose ``want`` is true (``None`` for the others) and writes the gradient of each
parameter that ``gw`` names into the array found there; it computes nothing that was not asked for, and leaves the
cache as it is. A layer keeps nothing: parameters and buffers live in the network's two flat vectors, caches on the
tape. State that moves once per step moves in ``commit``.

Caches hold references to tape values, not copies: a layer never writes into an array that it did not make.

``work(shapes, training)`` states what both functions cost. A multiplication, an addition, a maximum is one floating-
point operation (FLOP); what is done once a channel, and drawing random numbers, is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.comm import SERIAL, Communicator
from lwsam_ref.device import Device
from lwsam_ref.rng import generator
from lwsam_ref.vector import Array

Shape = tuple[int, ...]
Tensors = Mapping[str, Array]
Cache = Any


Initial = Callable[[Shape, np.random.Generator], np.ndarray[Any, Any]]
"""An initial value, from a shape and a source of random numbers."""


def constant(value: float) -> Initial:
    """The same number everywhere."""
    return lambda shape, draw: np.full(shape, value)


zeros, ones = constant(0.0), constant(1.0)


def glorot(shape: Shape, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """Uniform, for a kernel (..., C, K) (Glorot and Bengio 2010)."""
    *receptive, c, k = shape
    limit = np.sqrt(6.0 / (prod(receptive) * (c + k)))
    return draw.uniform(-limit, limit, shape)


def normal(deviation: float) -> Initial:
    """Normal around 0."""
    return lambda shape, draw: draw.normal(0.0, deviation, shape)


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter: its shape, its initial value, and what it is.

    ``ranked``: it makes a layer in the paper's sense. ``decayed``: weight decay acts on it. ``normalises``: it is the
    gain or the shift of a normalisation. Of a node with several ranked parameters each is a layer of its own, and
    ``beside`` names the one that an unranked parameter goes with (else the first).
    """

    shape: Shape
    init: Initial
    ranked: bool = False
    decayed: bool = False
    normalises: bool = False
    beside: str | None = None

    def initial(self, key: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """The initial value, a function of ``key``: (seed, node, position among the node's tensors)."""
        return self.init(self.shape, generator("initial weights", *key))


@dataclass(frozen=True)
class Context:
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
    """FLOPs per sample: of a forward pass; of the fixed part of a backward pass; and extra per requested gradient."""

    forward: int
    backward: int = 0
    inputs: tuple[int, ...] = (0,)
    parameters: Mapping[str, int] = MappingProxyType({})


class Layer:
    """The contract, with the defaults of a layer that has no parameters, no buffers and one input."""

    inputs = 1

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {}

    def buffers(self) -> Mapping[str, ParameterSpec]:
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """The shape of the output per sample, from those of the inputs."""
        return inputs[0]

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """What the layer costs on inputs of these shapes; by default an operation an entry, each way."""
        n = prod(shapes[0])
        return Work(n, inputs=(n,))

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        raise TypeError(f"{type(self).__name__} defines no forward pass")

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        raise TypeError(f"{type(self).__name__} defines no backward pass")

    def commit(self, t: Tensors, cache: Cache) -> None:
        """Move the buffers, in place, by what the pass saw."""
