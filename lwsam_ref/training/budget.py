"""Selection by cost: the layers of most squared gradient norm among all sets that cost at most so much.

A set costs what its cone costs, and the weight gradients of its own layers. Once a cone is paid for, every layer whose
own cone lies inside it can be had for its weight gradient alone. So the best set is found cone by cone, each a small
knapsack, exactly: a list of choices of which none is both cheaper and better than another. The cones of a network
grow from its output, so the list of a small cone is where that of a larger one starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

from lwsam_ref.algorithms.selection import checked
from lwsam_ref.autodiff.cost import Costs

Choice = tuple[int, int, int, int]
"""FLOPs of the weight gradients, captured squared norm (a whole number), number of layers, the layers as bits."""


class Cone(NamedTuple):
    """Nodes that some layers open: what is left to spend inside, the list to start from, the layers new there."""

    left: int
    start: int
    layers: tuple[int, ...]


class Budget:
    """A criterion: a step costs at most ``share`` more than one of SGD, in FLOPs, resuming.

    Among sets that capture equally much the one with most layers is taken, and of these a cheapest: so an unlimited
    budget takes all layers. ``k`` and ``key`` have no say.
    """

    def __init__(self, costs: Costs, share: float) -> None:
        self.share, self.limit = share, int(share * costs.sgd)
        self.gradients = [costs.gradients(layer) for layer in costs.layout.layers]
        self.all = costs.extra(costs.layout.layers) <= self.limit
        self.cones = self._cones(costs)

    def __call__(
        self, layers: tuple[str, ...], squared_norms: Sequence[Any], k: int, key: tuple[int, ...]
    ) -> tuple[str, ...]:
        norms = _whole_numbers(checked(layers, squared_norms))
        if self.all:
            return layers
        lists: list[list[Choice]] = []
        best, rest = (0, 0, 0, 0), self.limit
        for cone in self.cones:
            choices = lists[cone.start] if lists else [best]
            for layer in cone.layers:
                choices = _pareto([*choices, *self._with(layer, norms[layer], choices, cone.left)])
            lists.append(choices)
            choice = next(c for c in reversed(choices) if c[0] <= cone.left)
            if (*choice[1:3], cone.left - choice[0]) > (*best[1:3], rest):
                best, rest = choice, cone.left - choice[0]
        return tuple(name for i, name in enumerate(layers) if best[3] >> i & 1)

    def _with(self, layer: int, norm: int, choices: Iterable[Choice], left: int) -> Iterable[Choice]:
        price = self.gradients[layer]
        for cost, captured, count, bits in choices:
            if cost + price <= left:
                yield cost + price, captured + norm, count + 1, bits | 1 << layer

    def _cones(self, costs: Costs) -> list[Cone]:
        """Every union of layers' cones that the budget can open, after those inside it; the empty one first."""
        own = [costs.network.cone(costs.layout.only([layer])) for layer in costs.layout.layers]
        found: dict[frozenset[int], int] = {frozenset(): self.limit}
        queue = list(found)
        for nodes in queue:
            for larger in {nodes | cone for cone in own} - found.keys():
                if (left := self.limit - costs.cone_cost(larger)) >= 0:
                    found[larger] = left
                    queue.append(larger)
        unions = sorted(found, key=lambda nodes: (len(nodes), sorted(nodes)))
        inside = [frozenset(i for i, cone in enumerate(own) if cone <= nodes) for nodes in unions]
        cones: list[Cone] = []
        for at, (nodes, layers) in enumerate(zip(unions, inside, strict=True)):
            start = max((i for i in range(at) if unions[i] <= nodes), key=lambda i: len(inside[i]), default=0)
            new = layers - inside[start] if at else layers
            cones.append(Cone(found[nodes], start, tuple(sorted(new))))
        return cones


def _whole_numbers(norms: Iterable[Any]) -> list[int]:
    """The norms times one factor that makes them whole: their sums are exact, in whatever order they are made."""
    exact = [Fraction(norm) for norm in norms]
    factor = lcm(*(norm.denominator for norm in exact))
    return [int(norm * factor) for norm in exact]


def _pareto(choices: list[Choice]) -> list[Choice]:
    """Those than which no other is at once cheaper or as cheap, and better or as good; from cheap to good."""
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda c: (c[0], -c[1], -c[2])):
        if not kept or choice[1:3] > kept[-1][1:3]:
            kept.append(choice)
    return kept
