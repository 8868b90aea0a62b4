"""A toy with whatever a network may have: tokens, a label a position, tied weights, two layers in a node, frozen parts.

Smooth, so ranks agree to rounding. The frozen part stands beside the trainable embedding: no weight changes its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work, normal, zeros
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device
from lwsam_ref.training.objective import Batch
from lwsam_ref.vector import Array

WORDS, WIDTH, INNER, LENGTH = 5, 3, 4, 3


@dataclass(frozen=True)
class Embedding(Layer):
    """(N, T) tokens to (N, T, C): a row of the kernel each."""

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"kernel": ParameterSpec((WORDS, WIDTH), normal(0.7), ranked=True, decayed=True)}

    def shape(self, *inputs: Shape) -> Shape:
        return *inputs[0], WIDTH

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return Work(0, parameters={"kernel": LENGTH * WIDTH})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return t["kernel"][xs[0]], xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        if "kernel" in gw:
            gw["kernel"][...] = 0
            np.add.at(gw["kernel"], cache, gy)
        return (None,)


@dataclass(frozen=True)
class Output(Layer):
    """(N, T, C) to logits (N, T, words), by the kernel of an embedding, which it is tied to."""

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {"kernel": ParameterSpec((WORDS, WIDTH), normal(0.7), ranked=True, decayed=True)}

    def shape(self, *inputs: Shape) -> Shape:
        return *inputs[0][:-1], WORDS

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        n = 2 * LENGTH * WIDTH * WORDS
        return Work(n, inputs=(n,), parameters={"kernel": n})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return xs[0] @ t["kernel"].T, xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        if "kernel" in gw:
            gw["kernel"][...] = gy.reshape(-1, WORDS).T @ cache.reshape(-1, WIDTH)
        return (gy @ t["kernel"] if want[0] else None,)


@dataclass(frozen=True)
class Mix(Layer):
    """``tanh(x inner) outer + bias`` at each position: two layers in one node, the bias beside the second."""

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return {
            "inner": ParameterSpec((WIDTH, INNER), normal(0.7), ranked=True, decayed=True),
            "bias": ParameterSpec((WIDTH,), zeros, beside="outer"),
            "outer": ParameterSpec((INNER, WIDTH), normal(0.7), ranked=True, decayed=True),
        }

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        n, k = 2 * LENGTH * WIDTH * INNER, LENGTH * WIDTH
        return Work(2 * n + k, backward=n, inputs=(n,), parameters={"inner": n, "outer": n, "bias": k})

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        h = np.tanh(xs[0] @ t["inner"])
        return h @ t["outer"] + t["bias"], (xs[0], h)

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        x, h = cache
        gh = (gy @ t["outer"].T) * (1 - h * h)
        flat = gy.reshape(-1, WIDTH)
        if "outer" in gw:
            gw["outer"][...] = h.reshape(-1, INNER).T @ flat
        if "bias" in gw:
            gw["bias"][...] = flat.sum(axis=0)
        if "inner" in gw:
            gw["inner"][...] = x.reshape(-1, WIDTH).T @ gh.reshape(-1, INNER)
        return (gh @ t["inner"].T if want[0] else None,)


def rich(device: Device | None = None, seed: int = 3) -> Network:
    """Layers ``embedding`` (read by two other nodes too), ``mix.inner``, ``mix.outer``; two nodes are frozen."""
    b = Builder((LENGTH,))
    with b.frozen():
        beside = b.add("beside", Mix(), b.add("features", Embedding(), b.input))
    x = b.sum("sum", b.add("embedding", Embedding(), b.input), beside)
    x = b.sum("both", x, b.add("again", Embedding(), b.input, tied={"kernel": "embedding.kernel"}))
    b.add("output", Output(), b.add("mix", Mix(), x), tied={"kernel": "embedding.kernel"})
    return b.network(device or Device.of("cpu", "float64"), seed)


def tokens(network: Network, size: int, seed: int) -> Batch:
    """Random words, and a random word to be predicted at each position."""
    draw = np.random.default_rng(seed)
    put = network.device.put
    x, targets = (put(draw.integers(0, WORDS, (size, LENGTH))) for _ in range(2))
    return Batch(x, targets, step=seed % 5)
