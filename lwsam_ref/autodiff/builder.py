"""Write a network as its paper's table: one line a node, shapes and channel counts inferred.

>>> b = Builder((8, 8, 1))
>>> x = b.convolution("conv", b.input, 16)
>>> x = b.relu("relu", b.batch_norm("bn", x))
>>> x = b.linear("fc", b.average_pool("pool", x), 10)
>>> network = b.network(Device.of("cpu", "float32"), seed=0)
>>> network.layers, network.weights
(('conv', 'fc'), LayeredVector(conv.kernel: 144, bn.gamma: 16, bn.beta: 16, fc.kernel: 160, fc.bias: 10))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lwsam_ref.autodiff.layer import Layer, Shape
from lwsam_ref.autodiff.layers import Add, AveragePool, BatchNorm, Convolution, Dropout, Flatten, Linear, ReLU
from lwsam_ref.autodiff.layers.group_norm import GroupNorm
from lwsam_ref.autodiff.network import INPUT, Network, Node
from lwsam_ref.device import Device


class Builder:
    """Nodes are named by the integers that the methods return; ``bn_eps`` and ``bn_momentum`` hold for every norm."""

    input = INPUT

    def __init__(self, input_shape: Shape, bn_eps: float = 1e-3, bn_momentum: float = 0.99) -> None:
        self.nodes: list[Node] = []
        self.input_shape, self.bn_eps, self.bn_momentum = input_shape, bn_eps, bn_momentum
        self._shapes: dict[int, Shape] = {INPUT: input_shape}
        self._frozen = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The nodes that are added inside are frozen."""
        before, self._frozen = self._frozen, True
        try:
            yield
        finally:
            self._frozen = before

    def add(self, name: str, layer: Layer, *inputs: int, tied: Mapping[str, str] | None = None) -> int:
        """Append any layer; ``tied``: which of its parameters are tensors of earlier nodes (see :class:`Node`)."""
        if len(inputs) != layer.inputs:
            raise ValueError(f"node {name!r} wants {layer.inputs} inputs; it was given {len(inputs)}")
        here = len(self.nodes)
        self.nodes.append(Node(name, layer, inputs, tied or {}, self._frozen))
        self._shapes[here] = layer.shape(*(self._shapes[i] for i in inputs))
        return here

    def channels(self, x: int) -> int:
        return self._shapes[x][-1]

    def convolution(self, name: str, x: int, filters: int, size: int = 3, stride: int = 1) -> int:
        return self.add(name, Convolution(self.channels(x), filters, size, stride), x)

    def batch_norm(self, name: str, x: int, initial_gamma: float = 1.0) -> int:
        return self.add(name, BatchNorm(self.channels(x), self.bn_eps, self.bn_momentum, initial_gamma), x)

    def group_norm(self, name: str, x: int, groups: int) -> int:
        return self.add(name, GroupNorm(self.channels(x), groups, self.bn_eps), x)

    def relu(self, name: str, x: int) -> int:
        return self.add(name, ReLU(), x)

    def sum(self, name: str, a: int, b: int) -> int:
        if self._shapes[a] != self._shapes[b]:
            raise ValueError(f"node {name!r} adds shapes {self._shapes[a]} and {self._shapes[b]}: make them equal")
        return self.add(name, Add(), a, b)

    def average_pool(self, name: str, x: int) -> int:
        return self.add(name, AveragePool(), x)

    def flatten(self, name: str, x: int) -> int:
        return self.add(name, Flatten(), x)

    def dropout(self, name: str, x: int, rate: float) -> int:
        """No node at all for a rate of 0."""
        return self.add(name, Dropout(rate), x) if rate else x

    def linear(self, name: str, x: int, units: int) -> int:
        return self.add(name, Linear(self.channels(x), units), x)

    def network(self, device: Device, seed: int = 0) -> Network:
        return Network(self.nodes, self.input_shape, device, seed)
