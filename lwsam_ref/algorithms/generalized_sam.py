"""Generalized SAM (Zhao et al. 2022; Eqs. 2 and 3): Algorithm 1 with every layer selected. SAM is alpha = 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lwsam_ref.algorithms.layerwise_sam import layerwise_sam
from lwsam_ref.algorithms.perturbation import Radius
from lwsam_ref.algorithms.protocol import Objective, State, Step


def generalized_sam(f: Objective, batch: Any, radius: Radius, alpha: Any) -> Step:
    """``v = (1 - alpha) g(w) + alpha g(w + e)``, with ``e = r g`` or ``rho g / |g|``."""
    return layerwise_sam(f, batch, f.weights.layers, radius, alpha)


@dataclass(frozen=True)
class GeneralizedSAM:
    """The method; it keeps no state."""

    radius: Radius
    alpha: Any

    def initial(self, f: Objective) -> State:
        return {}

    def step(self, f: Objective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        return generalized_sam(f, batch, self.radius, self.alpha), state
