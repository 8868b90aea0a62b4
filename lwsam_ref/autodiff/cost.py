r"""What a step costs in floating-point operations: as the cone predicts it, and as the passes really did it.

With F a forward pass, B a full backward pass, :math:`B_S` and :math:`F_S` those over the cone of the layers S (the
backward pass with the gradients of S alone), all per sample:

====================== ============================================== ===============================
SGD                    F + B
layer-wise SAM         :math:`F + B_S + F_S + B`                      Eq. 8 has F in place of F_S
generalized SAM        the same with all layers
sparse SAM             the same, and per ``refresh`` steps the Fisher information
LookSAM, t steps       :math:`\tfrac1t (F + B + F_S + B) + \tfrac{t-1}t (F + B)`     Eq. 9
ESAM, of n samples m   :math:`F + B_S + F_S + \tfrac mn (F + B)`
====================== ============================================== ===============================

Eq. 8 of the paper adds numbers of elements to costs; read in FLOPs it is the line above. Not counted: the loss, the
vector algebra of the perturbation and the optimiser, which are proportional to classes and weights, not to pixels; and
on the way back the one addition an entry where a value was read by two nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from lwsam_ref.autodiff.engine import Pass, Visit
from lwsam_ref.autodiff.layer import Work
from lwsam_ref.autodiff.network import INPUT, Network
from lwsam_ref.vector import Layout


class Costs:
    """The formulas for ``network``, with ``layout`` saying which tensors a layer perturbs. FLOPs per sample."""

    def __init__(self, network: Network, layout: Layout) -> None:
        self.network, self.layout = network, layout
        shapes = [tuple(_shape(network, j) for j in node.inputs) for node in network.nodes]
        self.work: dict[bool, tuple[Work, ...]] = {
            training: tuple(
                node.layer.work(s, training and not node.frozen) for node, s in zip(network.nodes, shapes, strict=True)
            )
            for training in (True, False)
        }
        self.forward = sum(work.forward for work in self.work[True])
        self.again = self._forward(True)
        self.backward = self._backward(layout, training=True)
        self.sgd = self.forward + self.backward
        self._seen: dict[tuple[str, bool, tuple[Visit, ...]], tuple[int, ...]] = {}

    def resume(self, selected: Iterable[str]) -> int:
        """:math:`F_S`."""
        return sum(self.work[True][i].forward for i in self.network.cone(self.layout.only(selected)))

    def ascent(self, selected: Iterable[str]) -> int:
        """:math:`B_S`."""
        return self._backward(self.layout.only(selected), training=True)

    def extra(self, selected: Iterable[str], afresh: bool = False) -> int:
        """What layer-wise SAM on ``selected`` adds to a step of SGD; ``afresh``: with a whole second forward pass."""
        selected = tuple(selected)
        return self.ascent(selected) + (self.again if afresh else self.resume(selected))

    def cone_cost(self, cone: Iterable[int]) -> int:
        """The cone's own share of :meth:`extra`: both passes through its nodes, without parameter gradients."""
        return sum(self.work[True][i].forward for i in cone) + self._through(cone, training=True)

    def gradients(self, layer: str) -> int:
        """The share of :meth:`extra` that the gradients of ``layer``'s own tensors have, once the pass reaches them."""
        return self._parameters(self.layout.only([layer]), training=True)

    def readers(self, layer: str) -> tuple[int, ...]:
        """The nodes that read a tensor of ``layer``."""
        own = self.layout.only([layer]).slices.keys()
        return tuple(i for i, names in enumerate(self.network.names) if not own.isdisjoint(names.values()))

    def fisher(self) -> int:
        """One sample's forward and backward pass as at test time, for the gradients of all layers."""
        return self._forward(False) + self._backward(self.layout.only(self.layout.layers), training=False)

    def executed(self, walks: Iterable[Pass]) -> int:
        """What passes really did: the sum over their visits."""
        return sum(walk.samples * sum(self.visited(walk)) for walk in walks)

    def visited(self, walk: Pass) -> tuple[int, ...]:
        """FLOPs per sample of each visit of one pass."""
        key = walk.kind, walk.training, walk.visits
        if key not in self._seen:
            self._seen[key] = tuple(self._visit(walk, visit) for visit in walk.visits)
        return self._seen[key]

    def _visit(self, walk: Pass, visit: Visit) -> int:
        work = self.work[walk.training][visit.node]
        if walk.kind == "forward":
            return work.forward
        sent = sum(n for n, want in zip(work.inputs, visit.want, strict=True) if want)
        return work.backward + sent + sum(work.parameters.get(name, 0) for name in visit.wanted)

    def _forward(self, training: bool) -> int:
        """Of another forward pass over the same samples: what is constant is not computed again."""
        return sum(w.forward for i, w in enumerate(self.work[training]) if i not in self.network.constant)

    def _backward(self, part: Layout, training: bool) -> int:
        return self._through(self.network.cone(part), training) + self._parameters(part, training)

    def _through(self, cone: Iterable[int], training: bool) -> int:
        total, inside = 0, frozenset(cone)
        for i in inside:
            work = self.work[training][i]
            total += work.backward
            total += sum(n for j, n in zip(self.network.nodes[i].inputs, work.inputs, strict=True) if j in inside)
        return total

    def _parameters(self, part: Layout, training: bool) -> int:
        return sum(
            n
            for names, work in zip(self.network.names, self.work[training], strict=True)
            for name, n in work.parameters.items()
            if names[name] in part.slices
        )


def _shape(network: Network, i: int) -> tuple[int, ...]:
    return network.input_shape if i == INPUT else network.shapes[i]
