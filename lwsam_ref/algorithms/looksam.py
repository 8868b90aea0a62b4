r"""LookSAM (Liu et al. 2022, Algorithm 1): a SAM gradient every ``interval`` steps, a part of it reused in between.

The SAM gradient h splits into a part along the gradient g and the part g_v orthogonal to it, which changes slowly; in
the steps between, v is the update:

.. math:: g_v = h - \frac{\langle g, h\rangle}{|g|^2}\, g, \qquad v = g + a\, \frac{|g|}{|g_v|}\, g_v.

Where g = 0, g_v = h; where g_v = 0, v = g. The vectors are whole, all parameters in one, as in the paper; ``per_layer``
splits and rescales each layer by itself (parameters that belong to no layer form one more), as common code does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.perturbation import Radius, perturbed
from lwsam_ref.algorithms.protocol import Objective, State, Step
from lwsam_ref.vector import LayeredVector, Layout


def orthogonal(h: LayeredVector, g: LayeredVector, parts: tuple[Layout, ...]) -> LayeredVector:
    """:math:`g_v`, the part of ``h`` that is orthogonal to ``g``, within each of ``parts``; 0 where it is rounding.

    What :func:`reuse` rescales to the length of g must not be the roundings of two vectors along one line: below four
    of them, relative to h, nothing is left.
    """
    g_v = h.copy()
    eps = 0 if h.data.dtype == object else float(np.finfo(h.data.dtype).eps)
    for part in parts:
        along, whole = g.only(part), h.only(part)
        square = along.dot(along)
        rest = whole - (along.dot(whole) / (square + (square == 0))) * along
        g_v.assign((rest.dot(rest) > (4 * eps) ** 2 * whole.dot(whole)) * rest)
    return g_v


def reuse(g: LayeredVector, g_v: LayeredVector, a: Any, parts: tuple[Layout, ...]) -> LayeredVector:
    """:math:`v = g + a |g| / |g_v| g_v` within each of ``parts``; ``g`` where the ratio has no finite value."""
    v = g.copy()
    for part in parts:
        kept = g_v.only(part)
        square = kept.squared_norm()
        usable = square > float(np.finfo(kept.data.dtype).tiny)
        ratio = np.sqrt(g.only(part).squared_norm() / (square + ~usable))
        v.add((usable * (a * ratio)) * kept)
    return v


@dataclass(frozen=True)
class LookSAM:
    """The method; it keeps :math:`g_v`."""

    radius: Radius
    interval: int
    reused: Any = 0.7
    per_layer: bool = False

    def initial(self, f: Objective) -> State:
        return {"g_v": np.zeros_like(f.weights.data)}

    def step(self, f: Objective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        parts = self.parts(f.weights.layout)
        at_w = f.forward(batch)
        own = at_w.backward()
        g, loss = f.mean(own), at_w.loss
        at_w.commit()
        if number % self.interval:
            v = reuse(g, LayeredVector(g.layout, state["g_v"]), self.reused, parts)
            return Step(v, loss, g.squared_norms()), state
        layers = f.weights.layers
        climb, r = self.radius.climb(f.weights, f.uphill(own, g).only(g.layout.only(layers)))
        with perturbed(f.weights, climb):
            at_perturbed = at_w.resume(layers)
            h = f.mean(at_perturbed.backward())
        step = Step(h, loss, h.squared_norms(), at_perturbed.loss, layers, r)
        return step, {"g_v": orthogonal(h, g, parts).data}

    def parts(self, layout: Layout) -> tuple[Layout, ...]:
        """What is split by itself."""
        if not self.per_layer:
            return (layout,)
        rest = Layout(t for t in layout.tensors if t.layer is None)
        return *(layout.only([layer]) for layer in layout.layers), rest
