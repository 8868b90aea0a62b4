"""A network as data: nodes in forward order, two flat vectors, and the cone of a set of layers.

>>> from nets import mlp
>>> network = mlp((4,), 3, hidden=(8, 8))
>>> network.layers
('hidden1', 'hidden2', 'output')
>>> [network.nodes[i].name for i in sorted(network.cone(["hidden2"]))]
['hidden2', 'relu2', 'output']
>>> network.nodes[network.frontier(["output", "hidden2"])].name
'hidden2'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lwsam_ref.autodiff.layer import Layer, Shape, Tensors
from lwsam_ref.device import Device
from lwsam_ref.vector import LayeredVector, Layout, Tensor

INPUT = -1
"""The index by which a node names the network's input."""


@dataclass(frozen=True)
class Node:
    """One layer at one place: ``inputs`` are indices of earlier nodes, or ``INPUT``."""

    name: str
    layer: Layer
    inputs: tuple[int, ...]


class Network:
    """Nodes in forward order (the last one is the output), with all parameters in one vector.

    A node with a ``kernel`` is a *layer* in the paper's sense. The parameters of any other node belong to the
    nearest layer behind it, so every parameter belongs to exactly one layer; ``layers`` has the layers' names in
    forward order.
    """

    def __init__(self, nodes: Iterable[Node], input_shape: Shape, device: Device, seed: int = 0) -> None:
        self.nodes = tuple(nodes)
        self.input_shape = input_shape
        self.device = device
        for i, node in enumerate(self.nodes):
            if not all(INPUT <= j < i for j in node.inputs):
                raise ValueError(f"node {node.name!r} takes an input that does not come before it")
        read = {j for node in self.nodes for j in node.inputs}
        for i, node in enumerate(self.nodes[:-1]):
            if i not in read:
                raise ValueError(f"node {node.name!r} does not reach the output")
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise ValueError("two nodes have the same name")
        self.shapes = self._shapes()
        self._cones: dict[Layout, frozenset[int]] = {}
        layout = Layout(self._parameters())
        buffers = Layout(
            Tensor(f"{node.name}.{name}", spec.shape, None, name)
            for node in self.nodes
            for name, spec in node.layer.buffers().items()
        )
        self.weights = LayeredVector(layout, device.zeros(layout.size))
        self.buffers = LayeredVector(buffers, device.zeros(buffers.size))
        self.tensors: tuple[Tensors, ...] = tuple(self._tensors(node) for node in self.nodes)
        for i, node in enumerate(self.nodes):
            specs = {**node.layer.parameters(), **node.layer.buffers()}
            for position, (name, spec) in enumerate(specs.items()):
                self.tensors[i][name][...] = device.put(spec.initial((seed, i, position)))

    @property
    def layers(self) -> tuple[str, ...]:
        return self.weights.layers

    def cone(self, part: Layout | Iterable[str]) -> frozenset[int]:
        """The nodes that have an ancestor-or-self which owns a tensor of ``part`` (a layout, or layers' names).

        It is at once what a backward pass visits to reach those tensors, and all that changing them can change.
        """
        layout = part if isinstance(part, Layout) else self.weights.layout.only(part)
        if layout not in self._cones:
            self._cones[layout] = self._cone(layout)
        return self._cones[layout]

    def frontier(self, part: Layout | Iterable[str]) -> int:
        """The first node in forward order that owns a tensor of ``part``: no backward pass goes behind it.

        For an empty part, one past the last node.
        """
        return min(self.cone(part), default=len(self.nodes))

    def _cone(self, part: Layout) -> frozenset[int]:
        cone: set[int] = set()
        for i, node in enumerate(self.nodes):
            owns = any(f"{node.name}.{name}" in part.slices for name in node.layer.parameters())
            if owns or not cone.isdisjoint(node.inputs):
                cone.add(i)
        return frozenset(cone)

    def _parameters(self) -> list[Tensor]:
        """Every parameter with the layer that it belongs to; behind no layer means: to the first that follows."""
        owners = [n.name for n in self.nodes if "kernel" in n.layer.parameters()]
        above: dict[int, str | None] = {INPUT: None}
        tensors: list[Tensor] = []
        for i, node in enumerate(self.nodes):
            specs = node.layer.parameters()
            above[i] = node.name if "kernel" in specs else next((above[j] for j in node.inputs if above[j]), None)
            owner = above[i] or (owners[0] if owners else None)
            tensors += (Tensor(f"{node.name}.{name}", spec.shape, owner, name) for name, spec in specs.items())
        return tensors

    def _tensors(self, node: Node) -> Tensors:
        views = {name: self.weights[f"{node.name}.{name}"] for name in node.layer.parameters()}
        return views | {name: self.buffers[f"{node.name}.{name}"] for name in node.layer.buffers()}

    def _shapes(self) -> tuple[Shape, ...]:
        shapes: dict[int, Shape] = {INPUT: self.input_shape}
        for i, node in enumerate(self.nodes):
            shapes[i] = node.layer.shape(*(shapes[j] for j in node.inputs))
        return tuple(shapes[i] for i in range(len(self.nodes)))


def parameter_count(network: Network) -> int:
    """All trainable entries."""
    return int(np.sum([t.size for t in network.weights.layout.tensors]))
