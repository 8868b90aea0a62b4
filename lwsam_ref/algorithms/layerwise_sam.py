"""Algorithm 1 of the paper: layer-wise sharpness-aware minimisation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.perturbation import Radius, blend, perturbed
from lwsam_ref.algorithms.protocol import Objective, State, Step
from lwsam_ref.algorithms.selection import Criterion, high


def layerwise_sam(f: Objective, batch: Any, selected: Iterable[str], radius: Radius, alpha: Any) -> Step:
    """Lines 5 to 7 and 9 for the layers ``selected``; the optimiser does line 8.

    The ascent's backward pass visits nothing upstream of the selected layers, and the second forward pass
    recomputes nothing that they cannot change.
    """
    selected = f.weights.layout.only(selected).layers
    at_w = f.forward(batch)
    own = at_w.backward(only=selected)
    ascent = f.mean(own)  # line 5: a vector over `selected` alone
    loss = at_w.loss
    at_w.commit()
    climb, r = radius.climb(f.weights, f.uphill(own, ascent))
    with perturbed(f.weights, climb):
        at_perturbed = at_w.resume(selected)  # line 6: forward over the cone only; consumes at_w
        descent = f.mean(at_perturbed.backward())
    update = blend(ascent, descent, alpha)  # line 7: Eq. 6
    return Step(update, loss, descent.squared_norms(), at_perturbed.loss, selected, r)  # line 9


@dataclass(frozen=True)
class LayerwiseSAM:
    """Algorithm 1 with its state, the squared norms of the last step: lines 2, 4 and 9 around the step itself.

    A criterion may have a rule of its own in the place of ``k`` (a budget).
    """

    k: int
    radius: Radius
    alpha: Any
    criterion: Criterion = high
    seed: int = 0

    def initial(self, f: Objective) -> State:
        return {"descent_norms": np.zeros_like(f.weights.data, shape=len(f.weights.layers), dtype=np.float64)}  # line 2

    def step(self, f: Objective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        layers, norms = f.weights.layers, f.get(state["descent_norms"]).tolist()
        selected = self.criterion(layers, norms, self.k, (self.seed, number))  # line 4
        step = layerwise_sam(f, batch, selected, self.radius, self.alpha)
        return step, {"descent_norms": step.descent_norms}
