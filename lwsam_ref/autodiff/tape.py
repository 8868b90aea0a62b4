"""The plain engine: a value and a cache per node, a walk through the network both ways. The oracle of all others.

A tape is consumed by :meth:`PlainTape.resume`, which hands what is still valid to a new one: no array is computed or
kept twice, and the old tape refuses to be used afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from lwsam_ref.autodiff.engine import Constants, Pass, Visit
from lwsam_ref.autodiff.layer import Context
from lwsam_ref.autodiff.network import INPUT, Network
from lwsam_ref.errors import Consumed
from lwsam_ref.vector import Array, LayeredVector, Layout


def walk(
    network: Network, x: Array, context: Context, entries: list[Any], order: Iterable[int], passes: list[Pass] | None
) -> None:
    """Compute the nodes ``order`` into ``entries``, (value, cache) each; a frozen one as at test time."""
    visits = []
    for i in order:
        node, entries[i] = network.nodes[i], None
        xs = tuple(x if j == INPUT else entries[j][0] for j in node.inputs)
        here = replace(context, key=(*context.key, i), training=context.training and not node.frozen)
        entries[i] = node.layer.forward(network.tensors[i], xs, here)
        visits.append(Visit(i))
    if passes is not None:
        passes.append(Pass("forward", len(x), context.training, tuple(visits)))


class PlainTape:
    """The walk of ``network`` over the batch ``x``, ``passes`` being the list that walks are noted in, if they are."""

    def __init__(
        self,
        network: Network,
        x: Array,
        context: Context,
        passes: list[Pass] | None = None,
        constants: Constants | None = None,
    ) -> None:
        self.network, self.x, self.context, self.passes, self.constants = network, x, context, passes, constants
        entries: list[Any] = [None] * len(network.nodes)
        for i, value in (constants or {}).items():
            entries[i] = value, None
        known = network.constant if constants is not None else frozenset()
        walk(network, x, context, entries, (i for i in range(len(entries)) if i not in known), passes)
        self._entries: list[Any] | None = entries

    @property
    def output(self) -> Array:
        return self.value(len(self.network.nodes) - 1)

    def value(self, i: int) -> Array:
        """The output of node ``i``."""
        return self.x if i == INPUT else self._alive()[i][0]

    def alive(self, what: Any) -> Any:
        """Return ``what``; raise ``Consumed`` if this tape was resumed."""
        self._alive()
        return what

    def resume(self, part: Layout) -> PlainTape:
        """After the tensors of ``part`` changed: a new tape that recomputes exactly their cone; consumes this one.

        Exact, bit for bit: no node outside the cone depends on a changed tensor, random masks are functions of
        their key, and no layer writes into an array of the tape.
        """
        after = copy(self)
        after._entries, self._entries = self._alive(), None
        walk(self.network, self.x, self.context, after._alive(), sorted(self.network.cone(part)), self.passes)
        return after

    def backward(self, gy: Array, part: Layout) -> LayeredVector:
        """The gradient with respect to the tensors of ``part``, given that of the output; visits their cone alone.

        Where several nodes read a tensor, their shares are added.
        """
        entries, network, cone = self._alive(), self.network, self.network.cone(part)
        gradient = LayeredVector(part, np.empty_like(network.weights.data, shape=(part.size,)))
        arriving: dict[int, Array] = {len(network.nodes) - 1: gy}
        written: set[str] = set()
        visits: list[Visit] = []
        for i in sorted(cone, reverse=True):
            node, g = network.nodes[i], arriving.pop(i)
            wanted = {name: full for name, full in network.names[i].items() if full in part.slices}
            shared = {name: full for name, full in wanted.items() if full in written}
            gw = {
                name: np.empty_like(gradient[full]) if name in shared else gradient[full]
                for name, full in wanted.items()
            }
            want = tuple(j in cone for j in node.inputs)
            sent = node.layer.backward(network.tensors[i], g, entries[i][1], want, gw)
            for name, full in shared.items():
                gradient[full][...] += gw[name]
            written |= set(wanted.values())
            visits.append(Visit(i, want, tuple(wanted)))
            for j, gx in zip(node.inputs, sent, strict=True):
                if gx is not None:
                    arriving[j] = arriving[j] + gx if j in arriving else gx
        if self.passes is not None:
            self.passes.append(Pass("backward", len(self.x), self.context.training, tuple(visits)))
        return gradient

    def commit(self) -> None:
        """Move the buffers (running statistics) by what this pass saw; those of frozen nodes stay."""
        for node, tensors, entry in zip(self.network.nodes, self.network.tensors, self._alive(), strict=True):
            if not node.frozen:
                node.layer.commit(tensors, entry[1])

    def _alive(self) -> list[Any]:
        if self._entries is None:
            raise Consumed("this evaluation was consumed by resume: use the one that resume returned")
        return self._entries


class AfreshTape(PlainTape):
    """The plain way to resume: a whole new forward pass. The oracle of :meth:`PlainTape.resume`, and what it saves."""

    def resume(self, part: Layout) -> PlainTape:
        self._alive()
        self._entries = None
        return AfreshTape(self.network, self.x, self.context, self.passes, self.constants)


class Plain:
    """The engine that walks node by node; resuming, it recomputes the cone."""

    tape = PlainTape

    def __init__(self, network: Network) -> None:
        self.network = network

    def constants(self, x: Array, context: Context, passes: list[Pass] | None = None) -> Constants:
        if not self.network.constant:
            return {}
        entries: list[Any] = [None] * len(self.network.nodes)
        walk(self.network, x, context, entries, sorted(self.network.constant), passes)
        return {i: entries[i][0] for i in self.network.border}

    def forward(
        self, x: Array, context: Context, passes: list[Pass] | None = None, constants: Constants | None = None
    ) -> PlainTape:
        return self.tape(self.network, x, context, passes, constants)


class Afresh(Plain):
    """The engine that walks node by node, and resumes by a whole new forward pass."""

    tape = AfreshTape
