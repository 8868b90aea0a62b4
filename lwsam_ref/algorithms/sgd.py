"""Stochastic gradient descent: the update is the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lwsam_ref.algorithms.protocol import Objective, State, Step


def sgd(f: Objective, batch: Any) -> Step:
    """``v = g``."""
    at_w = f.forward(batch)
    gradient = f.mean(at_w.backward())
    at_w.commit()
    return Step(gradient, at_w.loss, gradient.squared_norms())


@dataclass(frozen=True)
class SGD:
    """The method without hyper-parameters and without state."""

    def initial(self, f: Objective) -> State:
        return {}

    def step(self, f: Objective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        return sgd(f, batch), state
