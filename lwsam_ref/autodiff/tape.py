"""The tape of one evaluation: a value and a cache per node; the plain walk through a network, both ways.

A tape is consumed by :meth:`Tape.resume`, which hands what is still valid to a new one: no array is computed or
kept twice, and the old tape refuses to be used afterwards.

A walk can be noted as a :class:`Pass`, so that what a step really executed can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.algorithms import Consumed
from lwsam_ref.autodiff.layer import Run
from lwsam_ref.autodiff.network import INPUT, Network
from lwsam_ref.vector import Array, LayeredVector, Layout


class Visit(NamedTuple):
    """One call of a layer; on the way back with what was asked: which inputs' gradients, which parameters'."""

    node: int
    want: tuple[bool, ...] = ()
    wanted: tuple[str, ...] = ()


class Pass(NamedTuple):
    """One walk: ``forward`` or ``backward``, over how many samples, in training or not, and its visits in order."""

    kind: str
    samples: int
    training: bool
    visits: tuple[Visit, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(visit.node for visit in self.visits)


class Tape:
    """The walk of ``network`` over the batch ``x``; ``passes`` is the list that walks are noted in, if they are."""

    def __init__(self, network: Network, x: Array, run: Run, passes: list[Pass] | None = None) -> None:
        self.network, self.x, self.run, self.passes = network, x, run, passes
        self._entries: list[Any] | None = [None] * len(network.nodes)
        self._walk(range(len(network.nodes)))

    @property
    def output(self) -> Array:
        return self.value(len(self.network.nodes) - 1)

    def value(self, i: int) -> Array:
        """The output of node ``i``."""
        return self.x if i == INPUT else self._alive()[i][0]

    def alive(self, what: Any) -> Any:
        """``what`` was computed from this tape: itself, unless the tape was consumed."""
        self._alive()
        return what

    def resume(self, part: Layout) -> Tape:
        """After the tensors of ``part`` changed: a new tape that recomputes exactly their cone; consumes this one.

        Exact, bit for bit: no node outside the cone depends on a changed tensor, random masks are functions of
        their key, and no layer writes into an array of the tape.
        """
        after = object.__new__(Tape)
        after.network, after.x, after.run, after.passes = self.network, self.x, self.run, self.passes
        after._entries, self._entries = self._alive(), None
        after._walk(sorted(self.network.cone(part)))
        return after

    def backward(self, gy: Array, part: Layout) -> LayeredVector:
        """The gradient with respect to the tensors of ``part``, given that of the output; visits their cone alone."""
        entries, nodes, cone = self._alive(), self.network.nodes, self.network.cone(part)
        gradient = LayeredVector(part, np.empty_like(self.network.weights.data, shape=(part.size,)))
        arriving: dict[int, Array] = {len(nodes) - 1: gy}
        visits: list[Visit] = []
        for i in sorted(cone, reverse=True):
            node, g = nodes[i], arriving.pop(i)
            wanted = {
                name: gradient[full]
                for name in node.layer.parameters()
                if (full := f"{node.name}.{name}") in part.slices
            }
            want = tuple(j in cone for j in node.inputs)
            sent = node.layer.backward(self.network.tensors[i], g, entries[i][1], want, wanted)
            visits.append(Visit(i, want, tuple(wanted)))
            for j, gx in zip(node.inputs, sent, strict=True):
                if gx is not None:
                    arriving[j] = arriving[j] + gx if j in arriving else gx
        self._note("backward", visits)
        return gradient

    def commit(self) -> None:
        """Move the buffers (running statistics) by what this pass saw."""
        for node, tensors, entry in zip(self.network.nodes, self.network.tensors, self._alive(), strict=True):
            node.layer.commit(tensors, entry[1])

    def _walk(self, order: Iterable[int]) -> None:
        entries, visits = self._alive(), []
        for i in order:
            node, entries[i] = self.network.nodes[i], None
            xs = tuple(self.value(j) for j in node.inputs)
            run = replace(self.run, key=(*self.run.key, i))
            entries[i] = node.layer.forward(self.network.tensors[i], xs, run)
            visits.append(Visit(i))
        self._note("forward", visits)

    def _note(self, kind: str, visits: Iterable[Visit]) -> None:
        if self.passes is not None:
            self.passes.append(Pass(kind, len(self.x), self.run.training, tuple(visits)))

    def _alive(self) -> list[Any]:
        if self._entries is None:
            raise Consumed("this evaluation was consumed by resume: use the one that resume returned")
        return self._entries


class Afresh(Tape):
    """The plain way to resume: a whole new forward pass. The oracle of :meth:`Tape.resume`, and what it saves."""

    def resume(self, part: Layout) -> Tape:
        self._alive()
        self._entries = None
        return Afresh(self.network, self.x, self.run, self.passes)
