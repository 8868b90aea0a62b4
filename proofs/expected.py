"""One step of layer-wise SAM from a point, taken by the code that trains, for every batch: expectations in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lwsam_ref.algorithms import Normalised, Raw, layerwise_sam
from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.vector import LayeredVector
from proofs.problems import Batch, FiniteSum

Selection = tuple[str, ...] | Callable[[Batch], tuple[str, ...]]
"""Layers chosen before the batch is drawn, or a choice that may look at the batch."""


def mean(values: Sequence[Any]) -> Any:
    return sum(values[1:], start=values[0]) / len(values)


@dataclass(frozen=True)
class Outcome:
    """What one batch leads to: g, gt (the gradient at ``w + r P g``), v, and the loss of all terms at w+."""

    g: LayeredVector
    gt: LayeredVector
    v: LayeredVector
    loss_after: Any


class Expected:
    """The step from the weights of ``f``, with ``x = beta r`` (or ``rho``, normalised), ``z = eta beta``, ``alpha``."""

    def __init__(
        self,
        f: FiniteSum,
        batches: Sequence[Batch],
        selected: Selection,
        *,
        x: Any = 0,
        z: Any = 0,
        alpha: Any = 1,
        rho: float | None = None,
    ) -> None:
        self.f, self.batches, self.selected = f, tuple(batches), selected
        self.x, self.z, self.alpha, self.rho = x, z, alpha, rho
        self.r, self.eta = x / f.beta, z / f.beta
        self.radius = Raw(self.r) if rho is None else Normalised(rho)
        at_w = f.forward(f.all)
        self.loss, self.gradient = at_w.loss, at_w.backward()

    def layers(self, batch: Batch) -> tuple[str, ...]:
        return self.selected if isinstance(self.selected, tuple) else self.selected(batch)

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(map(self._outcome, self.batches))

    def _outcome(self, batch: Batch) -> Outcome:
        f, layers = self.f, self.layers(batch)
        gt = layerwise_sam(f, batch, layers, self.radius, 1).update
        v = gt if self.alpha == 1 else layerwise_sam(f, batch, layers, self.radius, self.alpha).update
        g = f.forward(batch).backward()
        before = f.weights.copy()
        Momentum(f.weights, 0).step(v, self.eta)
        after = f.forward(f.all).loss
        f.weights.assign(before)
        return Outcome(g, gt, v, after)

    # -- the quantities of the theorems --------------------------------------------------------------------------

    @cached_property
    def g2(self) -> Any:
        """``G^2 = |grad L|^2``."""
        return self.gradient.squared_norm()

    @cached_property
    def pg2(self) -> Any:
        """``|P grad L|^2``."""
        return self.gradient.only(self.gradient.layout.only(self.layers(self.batches[0]))).squared_norm()

    @property
    def kappa(self) -> Any:
        """``|P grad L|^2 / |grad L|^2``, and 0 where the gradient is 0."""
        return self.pg2 / self.g2 if self.g2 else 0 * self.g2

    @cached_property
    def s2(self) -> Any:
        """``E |g - grad L|^2``."""
        return mean([(o.g - self.gradient).squared_norm() for o in self.outcomes])

    @cached_property
    def sp2(self) -> Any:
        """``E |P (g - grad L)|^2``: the noise inside the selected layers."""
        part = self.gradient.layout.only(self.layers(self.batches[0]))
        return mean([(o.g - self.gradient).only(part).squared_norm() for o in self.outcomes])

    @cached_property
    def alignment(self) -> Any:
        """``E <gt, grad L>``."""
        return mean([o.gt.dot(self.gradient) for o in self.outcomes])

    @cached_property
    def loss_after(self) -> Any:
        """``E L(w+)``."""
        return mean([o.loss_after for o in self.outcomes])
