"""The engine ``cuda``: the plain walk over a twin of the network, whose layers have kernels of their own.

The twin has the network's nodes, weights, buffers and cones; only its layers are others. A layer without a kernel of
its own stays as it is. So all that the walk promises (what it visits, how it resumes, what it notes) is promised by
the plain walk, and the kernels are held to the plain ops, node by node.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import cast

from lwsam_ref.autodiff import layers as plain
from lwsam_ref.autodiff.layer import Layer
from lwsam_ref.autodiff.network import INPUT, Network
from lwsam_ref.engines.cuda import layers as own
from lwsam_ref.engines.cuda.kernels import Kernels


def twin(network: Network, kernels: Kernels) -> Network:
    """The network with own layers where there are any; weights, buffers and cones are shared."""
    other = copy(network)
    merged = _merged(network)
    other.nodes = tuple(
        replace(node, layer=_own(node.layer, kernels, i in merged.values(), i in merged))
        for i, node in enumerate(network.nodes)
    )
    return other


def _merged(network: Network) -> dict[int, int]:
    """The ReLUs that alone read a batch norm or a sum, each with the node that it is computed with."""
    read = [j for node in network.nodes for j in node.inputs]
    found = {}
    for i, node in enumerate(network.nodes):
        if type(node.layer) is plain.ReLU:
            (j,) = node.inputs
            alone = j != INPUT and read.count(j) == 1
            if alone and type(network.nodes[j].layer) in (plain.BatchNorm, plain.Add):
                found[i] = j
    return found


def _own(layer: Layer, kernels: Kernels, with_relu: bool, passed: bool) -> Layer:
    kind = type(layer)  # itself: what inherits from a layer may compute something else
    if kind is plain.Convolution:
        return own.Convolution(cast(plain.Convolution, layer), kernels)
    if kind is plain.Linear:
        return own.Linear(layer, kernels)
    if kind is plain.BatchNorm:
        return own.BatchNorm(cast(plain.BatchNorm, layer), kernels, with_relu)
    if kind is plain.Add:
        return own.Add(cast(plain.Add, layer), kernels, with_relu)
    if kind is plain.ReLU:
        return own.Passed(layer, kernels) if passed else own.ReLU(layer, kernels)
    return layer
