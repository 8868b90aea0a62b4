"""The plain engine with a clock at every node: the same bits, and the seconds that each node took, either way.

>>> import numpy as np
>>> from lwsam_ref.training.objective import Batch, NetworkObjective
>>> from nets import mlp
>>> network = mlp((4,), 3, hidden=(8,))
>>> engine = Timed(network)
>>> f = NetworkObjective(network, engine=lambda _: engine)
>>> f.forward(Batch(np.ones((2, 4), np.float32), np.array([0, 1]))).backward()
LayeredVector(hidden1.kernel: 32, hidden1.bias: 8, output.kernel: 24, output.bias: 3)
>>> [name for name, seconds in engine.seconds["backward"].items() if seconds > 0]
['hidden1', 'relu1', 'output']
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from time import perf_counter

from lwsam_ref.autodiff.layer import Cache, Context, Layer, Tensors
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.vector import Array


@dataclass(frozen=True, eq=False)
class Clocked(Layer):
    """The layer ``inner`` of the node ``name``, whose calls the ``engine`` times."""

    inner: Layer
    name: str
    engine: Timed

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        with self.engine.clock("forward", self.name):
            return self.inner.forward(t, xs, context)

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        with self.engine.clock("backward", self.name):
            return self.inner.backward(t, gy, cache, want, gw)

    def commit(self, t: Tensors, cache: Cache) -> None:
        self.inner.commit(t, cache)


class Timed(Plain):
    """The engine. ``seconds``, by the kind of pass and the node's name, are those of all calls so far."""

    def __init__(self, network: Network) -> None:
        self.seconds = {kind: {node.name: 0.0 for node in network.nodes} for kind in ("forward", "backward")}
        clocked = copy(network)  # the same tensors, under layers that are timed
        clocked.nodes = tuple(replace(node, layer=Clocked(node.layer, node.name, self)) for node in network.nodes)
        super().__init__(clocked)

    @contextmanager
    def clock(self, kind: str, name: str) -> Iterator[None]:
        """The time inside is added to that of the node. A device is waited for at both ends: else it works on."""
        self.network.device.synchronize()
        start = perf_counter()
        yield
        self.network.device.synchronize()
        self.seconds[kind][name] += perf_counter() - start
