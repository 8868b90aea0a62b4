r"""Friendly SAM (Li et al. 2024, "Friendly Sharpness-Aware Minimization", Algorithm 1): climb along the batch's noise.

The full gradient, of which a moving average m of the batches' gradients g is an estimate, is taken out of the ascent:

.. math:: m_t = \lambda m_{t-1} + (1 - \lambda)\, g_t, \qquad d_t = g_t - \sigma m_t, \qquad e_t = \rho\, d_t / |d_t|,

or :math:`e_t = r d_t`, from m = 0 on. With sigma 0 it is SAM. With sigma 1 and lambda 0 nothing is left to climb along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.perturbation import Radius, perturbed
from lwsam_ref.algorithms.protocol import Objective, State, Step
from lwsam_ref.vector import LayeredVector


@dataclass(frozen=True)
class FriendlySAM:
    r"""The method; it keeps m, over the perturbable entries. ``memory`` is :math:`\lambda`.

    Of several ranks m is the average of their means, also where each climbs along its own gradient.
    """

    radius: Radius
    sigma: Any = 1
    memory: Any = 0.6

    def initial(self, f: Objective) -> State:
        size = f.weights.layout.only(f.weights.layers).size
        return {"m": np.zeros_like(f.weights.data, shape=(size,))}

    def step(self, f: Objective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        layers = f.weights.layers
        at_w = f.forward(batch)
        own = at_w.backward(only=layers)
        g, loss = f.mean(own), at_w.loss
        at_w.commit()
        m = self.memory * LayeredVector(g.layout, state["m"]) + (1 - self.memory) * g
        climb, r = self.radius.climb(f.weights, f.uphill(own, g) - self.sigma * m)
        with perturbed(f.weights, climb):
            at_perturbed = at_w.resume(layers)
            h = f.mean(at_perturbed.backward())
        return Step(h, loss, h.squared_norms(), at_perturbed.loss, layers, r), {"m": m.data}
