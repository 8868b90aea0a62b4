"""All that an algorithm knows of what it minimises. Networks implement it, and so do toy problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lwsam_ref.vector import Array, LayeredVector

State = Mapping[str, Array]
"""What a method keeps between steps: named arrays, and nothing else, so that a checkpoint can hold them."""


class Evaluation(Protocol):
    """The loss of one batch at the weights as they were when it was made, and what it takes to go on from there."""

    @property
    def loss(self) -> Any:
        """The mean loss of the batch: a scalar, on the device."""

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        """The gradient of all trainable entries, or of the perturbable entries of the layers ``only``."""

    def resume(self, changed: Iterable[str]) -> Evaluation:
        """The evaluation at weights that differ in the layers ``changed`` alone. Consumes this one."""

    def commit(self) -> None:
        """Move, once per step, what an evaluation moves (the running statistics of batch norm)."""


class Objective(Protocol):
    """A loss as a function of weights and batch."""

    weights: LayeredVector

    def forward(self, batch: Any) -> Evaluation:
        """Evaluate ``batch`` at the present weights."""

    def mean(self, gradient: LayeredVector) -> LayeredVector:
        """The mean over the processes that share the batch."""

    def uphill(self, own: LayeredVector, mean: LayeredVector) -> LayeredVector:
        """The gradient to climb along: the mean over the processes, or (m-sharpness) this process's own."""

    def put(self, host: np.ndarray[Any, Any]) -> Array:
        """The array where the weights live."""

    def get(self, array: Array) -> np.ndarray[Any, Any]:
        """The array on the host."""


class SampledEvaluation(Evaluation, Protocol):
    """An evaluation that also tells the samples apart."""

    @property
    def losses(self) -> Array:
        """The loss of each sample of the batch, without weight decay."""

    def resume(self, changed: Iterable[str]) -> SampledEvaluation: ...


class SampledObjective(Objective, Protocol):
    """An objective whose batches are made of samples."""

    def forward(self, batch: Any) -> SampledEvaluation: ...

    def hardest(self, batch: Any, scores: Array, share: Any) -> Any:
        """The batch of those ``share`` of the samples, at least one, whose scores are highest, in their old order."""

    def per_sample(self, batch: Any, samples: int) -> Iterator[Evaluation]:
        """Each of the first ``samples`` samples by itself, as at test time: no sample has a say in another's loss."""


@dataclass(frozen=True)
class Step:
    """What one step of a method found. ``w`` is where it started, ``w + e`` the perturbed point.

    Losses are means over the whole batch, also where the descent takes some of its samples only.
    """

    update: LayeredVector
    """v, the direction that the optimiser takes in the place of the gradient."""
    loss: Any
    """Loss of the batch at w."""
    descent_norms: Array
    """Squared norm, per layer, of the gradient that the descent used: at w + e, or at w if nothing was perturbed."""
    loss_perturbed: Any = None
    """Loss of the batch at w + e; ``None`` for a method that does not look there."""
    selected: tuple[str, ...] = ()
    """The layers that were perturbed, in forward order."""
    r_effective: Any = None
    """The factor in the perturbation: r, or rho over a norm."""


class Method(Protocol):
    """A method with its hyper-parameters: a step as a function of (objective, batch, state), seed and number."""

    def initial(self, f: SampledObjective) -> State:
        """The state before the first step."""

    def step(self, f: SampledObjective, batch: Any, state: State, number: int) -> tuple[Step, State]:
        """Step ``number`` (from 0) and the state after it."""
