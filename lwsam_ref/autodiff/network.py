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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from lwsam_ref.autodiff.layer import Layer, Shape, Tensors
from lwsam_ref.device import Device
from lwsam_ref.vector import LayeredVector, Layout, TensorSpec

INPUT = -1
"""The index by which a node names the network's input."""


@dataclass(frozen=True)
class Node:
    """One layer at one place: ``inputs`` are indices of earlier nodes, or ``INPUT``.

    ``tied`` names parameters that are no tensors of their own: each is that of an earlier node (``embedding.kernel``).
    A ``frozen`` node has no trainable parameter, and does in training what it does at test time.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    tied: Mapping[str, str] = field(default_factory=dict, hash=False)
    frozen: bool = False


class Network:
    """Nodes in forward order (the last one is the output), with all trainable parameters in one vector.

    Each ranked parameter is a *layer* in the paper's sense: named as its node is, or, of several in one node,
    ``node.parameter``. Any other parameter belongs to the layer in its own node, else to the nearest upstream layer,
    else to the first one. So every trainable parameter belongs to exactly one layer; ``layers`` has their names in
    forward order.

    ``names`` has, for each node, the full name of the tensor that each of its parameters is; ``makers`` has, for each
    layer, the node that it lies in. ``constant`` are the frozen nodes with nothing but frozen nodes upstream: no weight
    changes their values. ``border`` are those of them that other nodes read.
    """

    def __init__(self, nodes: Iterable[Node], input_shape: Shape, device: Device, seed: int = 0) -> None:
        self.nodes = tuple(nodes)
        self.input_shape = input_shape
        self.device = device
        self._check()
        self.shapes = self._shapes()
        self._cones: dict[Layout, frozenset[int]] = {}
        self.names: tuple[Mapping[str, str], ...] = tuple(
            {name: node.tied.get(name, f"{node.name}.{name}") for name in node.layer.parameters()}
            for node in self.nodes
        )
        trainable, frozen = self._parameters()
        self.weights, self.frozen = (
            LayeredVector(t, device.zeros(t.size)) for t in (Layout(trainable), Layout(frozen))
        )
        buffers = Layout(
            TensorSpec(f"{node.name}.{name}", spec.shape, None, ranked=False, decayed=False)
            for node in self.nodes
            for name, spec in node.layer.buffers().items()
        )
        self.buffers = LayeredVector(buffers, device.zeros(buffers.size))
        self.tensors: tuple[Tensors, ...] = tuple(map(self._tensors, range(len(self.nodes))))
        for i, node in enumerate(self.nodes):
            specs = {**node.layer.parameters(), **node.layer.buffers()}
            for position, (name, spec) in enumerate(specs.items()):
                if name not in node.tied:
                    self.tensors[i][name][...] = device.put(spec.initial((seed, i, position)))
        constant: set[int] = {INPUT}
        for i, node in enumerate(self.nodes):
            if node.frozen and constant.issuperset(node.inputs):
                constant.add(i)
        self.constant = frozenset(constant - {INPUT})
        if len(self.nodes) - 1 in constant:
            raise ValueError("all nodes are frozen: nothing is left to train")
        self.border = self.constant & {j for i, n in enumerate(self.nodes) if i not in constant for j in n.inputs}

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
        """The first node in forward order that owns a tensor of ``part``: no backward pass goes upstream of it.

        For an empty part, one past the last node.
        """
        return min(self.cone(part), default=len(self.nodes))

    def _cone(self, part: Layout) -> frozenset[int]:
        cone: set[int] = set()
        for i, node in enumerate(self.nodes):
            if not (part.slices.keys().isdisjoint(self.names[i].values()) and cone.isdisjoint(node.inputs)):
                cone.add(i)
        return frozenset(cone)

    def _check(self) -> None:
        tensors: set[str] = set()
        frozen: set[str] = set()
        for i, node in enumerate(self.nodes):
            if not all(INPUT <= j < i for j in node.inputs):
                raise ValueError(f"node {node.name!r} takes an input that does not come before it")
            for name, full in node.tied.items():
                if name not in node.layer.parameters() or full not in tensors:
                    raise ValueError(
                        f"node {node.name!r} ties {name!r} to {full!r}, which is no tensor of an earlier node"
                    )
            if len(set(node.tied.values())) < len(node.tied):
                raise ValueError(f"node {node.name!r} ties two parameters to one tensor: tie one")
            if node.frozen and not frozen.issuperset(node.tied.values()):
                raise ValueError(f"node {node.name!r} is frozen, but tied to a tensor that is not")
            own = {f"{node.name}.{name}" for name in node.layer.parameters() if name not in node.tied}
            tensors |= own
            frozen |= own if node.frozen else set()
        read = {j for node in self.nodes for j in node.inputs}
        for i, node in enumerate(self.nodes[:-1]):
            if i not in read:
                raise ValueError(f"node {node.name!r} does not reach the output")
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise ValueError("two nodes have the same name")

    def _parameters(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """The trainable parameters, each with the layer that it belongs to; and the frozen ones, which have none."""
        own = [self._own_layers(node) for node in self.nodes]
        self.makers = {layer: i for i, layers in enumerate(own) for layer in layers.values()}
        first = next((name for layers in own for name in layers.values()), None)
        upstream: dict[int, str | None] = {INPUT: None}
        tensors: dict[bool, list[TensorSpec]] = {False: [], True: []}
        for i, (node, layers) in enumerate(zip(self.nodes, own, strict=True)):
            above = next((upstream[j] for j in node.inputs if upstream[j]), None)
            upstream[i] = [*layers.values()][-1] if layers else above
            for name, spec in node.layer.parameters().items():
                if name not in node.tied:
                    here = layers.get(name) or layers.get(spec.beside or "") or next(iter(layers.values()), None)
                    layer = None if node.frozen else here or above or first
                    what = spec.ranked, spec.decayed, spec.normalises
                    tensors[node.frozen].append(TensorSpec(f"{node.name}.{name}", spec.shape, layer, *what))
        return tensors[False], tensors[True]

    def _own_layers(self, node: Node) -> dict[str, str]:
        """The layers that a node makes, by the name of the parameter."""
        ranked = [name for name, spec in node.layer.parameters().items() if spec.ranked and name not in node.tied]
        if node.frozen:
            return {}
        return {name: node.name if len(ranked) == 1 else f"{node.name}.{name}" for name in ranked}

    def _tensors(self, i: int) -> Tensors:
        found = {}
        for name, full in self.names[i].items():
            tensor = (self.weights if full in self.weights.layout.slices else self.frozen)[full]
            if tensor.shape != (asked := self.nodes[i].layer.parameters()[name].shape):
                raise ValueError(
                    f"{self.nodes[i].name!r} ties {name!r} {asked} to {full!r}, whose shape is {tensor.shape}"
                )
            found[name] = tensor
        buffers = self.nodes[i].layer.buffers()
        return found | {name: self.buffers[f"{self.nodes[i].name}.{name}"] for name in buffers}

    def _shapes(self) -> tuple[Shape, ...]:
        shapes: dict[int, Shape] = {INPUT: self.input_shape}
        for i, node in enumerate(self.nodes):
            shapes[i] = node.layer.shape(*(shapes[j] for j in node.inputs))
        return tuple(shapes[i] for i in range(len(self.nodes)))


def parameter_count(network: Network) -> int:
    """All trainable entries."""
    return int(np.sum([t.size for t in network.weights.layout.tensors]))
