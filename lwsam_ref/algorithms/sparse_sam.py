r"""Sparse SAM with a Fisher mask (Mi et al. 2022, Algorithm 1, "SSAM-F"): perturb the parameters that matter most.

Every ``refresh`` steps the empirical Fisher information, parameter by parameter, ranks the perturbable parameters:

.. math:: F = \frac1N \sum_{n=1}^N \left( \nabla \log p(y_n \mid x_n) \right)^2,

and the share 1 - sparsity with the largest F is perturbed, until the next time. A mask saves nothing: the ascent's
errors pass through every layer, and the Fisher information costs N passes of single samples besides. These run as at
test time, so the first mask is one of batch norm's initial statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.layerwise_sam import layerwise_sam
from lwsam_ref.algorithms.perturbation import Masked, Radius
from lwsam_ref.algorithms.protocol import SampledObjective, State, Step
from lwsam_ref.vector import Array, LayeredVector


def fisher(f: SampledObjective, batch: Any, samples: int) -> LayeredVector:
    """F over the perturbable entries, up to a factor (1 / N, which ranks nothing)."""
    layout = f.weights.layout.only(f.weights.layers)
    total = LayeredVector(layout, np.zeros_like(f.weights.data, shape=(layout.size,)))
    for sample in f.per_sample(batch, samples):
        gradient = sample.backward(only=layout.layers)
        total.add(gradient.scaled(gradient.data))
    return f.mean(total)


def largest(scores: Array, count: int) -> Array:
    """A mask of the ``count`` largest; among equals the first ones."""
    mask = np.zeros_like(scores, dtype=bool)
    mask[np.argsort(-scores, kind="stable")[:count]] = True
    return mask


@dataclass(frozen=True)
class SparseSAM:
    """The method; it keeps the mask."""

    radius: Radius
    sparsity: Any
    refresh: int
    samples: int

    def initial(self, f: SampledObjective) -> State:
        return {"mask": np.ones_like(f.weights.only(f.weights.layout.only(f.weights.layers)).data, dtype=bool)}

    def step(self, f: SampledObjective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        if number % self.refresh == 0:
            information = fisher(f, batch, self.samples).data
            state = {"mask": largest(information, round((1 - self.sparsity) * information.size))}
        return layerwise_sam(f, batch, f.weights.layers, Masked(self.radius, state["mask"]), 1), state
