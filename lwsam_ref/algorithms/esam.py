r"""Efficient SAM (Du et al. 2022, Algorithm 1): a random part of the perturbation, a hard part of the batch.

*Stochastic weight perturbation*: of the perturbation e each entry is kept with probability beta and divided by it,
so its mean is e. *Sharpness-sensitive data selection*: the descent takes the share gamma of the samples whose loss
rose most from w to w + e.

The mask is drawn entry by entry, as the paper says, or tensor by tensor, as its authors' code does. Either way the
ascent's errors pass through every layer: a mask saves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.perturbation import Masked, Radius, perturbed
from lwsam_ref.algorithms.protocol import SampledObjective, State, Step
from lwsam_ref.rng import generator
from lwsam_ref.vector import Layout


def esam(f: SampledObjective, batch: Any, radius: Radius, gamma: Any) -> Step:
    """One step, the mask being a part of ``radius``."""
    layers = f.weights.layers
    at_w = f.forward(batch)
    own = at_w.backward(only=layers)
    loss, losses = at_w.loss, at_w.losses
    at_w.commit()
    climb, r = radius.climb(f.weights, f.uphill(own, f.mean(own)))  # stochastic weight perturbation
    with perturbed(f.weights, climb):
        at_perturbed = at_w.resume(layers)
        loss_perturbed, rise = at_perturbed.loss, at_perturbed.losses - losses
        del at_perturbed  # its tape, before the next one is made
        hardest = f.hardest(batch, rise, gamma)  # sharpness-sensitive data selection
        descent = f.mean(f.forward(hardest).backward())
    return Step(descent, loss, descent.squared_norms(), loss_perturbed, layers, r)


@dataclass(frozen=True)
class ESAM:
    """The method; it keeps no state. ``by``: ``parameter`` or ``tensor``."""

    radius: Radius
    beta: Any
    gamma: Any
    by: str = "parameter"
    seed: int = 0

    def initial(self, f: SampledObjective) -> State:
        return {}

    def step(self, f: SampledObjective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        mask = self.mask(f.weights.layout.only(f.weights.layers), number)
        return esam(f, batch, Masked(self.radius, f.put(mask), self.beta), self.gamma), state

    def mask(self, layout: Layout, number: int) -> np.ndarray[Any, Any]:
        """Which entries of ``layout`` step ``number`` perturbs."""
        draw = generator("perturbed weights", self.seed, number).random
        if self.by == "parameter":
            return np.asarray(draw(layout.size) < self.beta)
        return np.repeat(draw(len(layout.tensors)) < self.beta, [t.size for t in layout.tensors])
