"""What is minimised and what is reported, each by name: the data set says which; no other code knows labels.

A loss is a function of the network's output and the targets, sample by sample: one target a sample, or one a position
(then a sample's loss is the mean over its positions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from lwsam_ref.autodiff.ops import cross_entropy, cross_entropy_gradient
from lwsam_ref.vector import Array


class Loss(Protocol):
    """Losses of samples, and how to go back."""

    def forward(self, output: Array, targets: Array) -> tuple[Array, Any]:
        """The loss of each sample, and a cache."""

    def backward(self, cache: Any, targets: Array) -> Array:
        """The gradient of the mean loss with respect to the output."""

    def likelihood(self) -> Loss:
        """The same without what only regularises: the negative log-likelihood, up to a constant."""


@dataclass(frozen=True)
class CrossEntropy:
    """``ops.cross_entropy`` of logits (N, ..., K) and class numbers (N, ...), with label smoothing."""

    smoothing: float = 0.0

    def forward(self, output: Array, targets: Array) -> tuple[Array, Any]:
        losses, p = cross_entropy(output.reshape(-1, output.shape[-1]), targets.reshape(-1), self.smoothing)
        return (losses if targets.ndim == 1 else losses.reshape(len(targets), -1).mean(axis=1)), (p, output.shape)

    def backward(self, cache: Any, targets: Array) -> Array:
        p, shape = cache
        return cross_entropy_gradient(p, targets.reshape(-1), self.smoothing).reshape(shape)

    def likelihood(self) -> Loss:
        return replace(self, smoothing=0.0)


@dataclass(frozen=True)
class SquaredError:
    """``|y - t|^2 / 2`` of outputs and targets (N, ...) of equal shape, summed over a sample's entries."""

    def forward(self, output: Array, targets: Array) -> tuple[Array, Any]:
        rest = output - targets
        return (rest * rest).reshape(len(rest), -1).sum(axis=1) / 2, rest

    def backward(self, cache: Any, targets: Array) -> Array:
        return cache / len(cache)

    def likelihood(self) -> Loss:
        return self


LOSSES: dict[str, Callable[[float], Loss]] = {
    "cross-entropy": CrossEntropy,
    "squared-error": lambda smoothing: SquaredError(),
}
"""A loss by its name; the argument is the label smoothing, which a loss without labels leaves aside."""

HostArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Metric:
    """``total(output, targets)`` summed over all samples, over the number of targets; on the host."""

    name: str
    higher: bool
    """Whether more is better."""
    total: Callable[[HostArray, HostArray], float]

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    def shown(self, value: float) -> str:
        """As a person reads it."""
        return f"{value:.2%}" if self.name == "accuracy" else f"{value:.4g}"

    def best(self, values: list[float]) -> float:
        return max(values) if self.higher else min(values)


def _right(output: HostArray, targets: HostArray) -> int:
    return int((output.argmax(axis=-1) == targets).sum())


def _bits(output: HostArray, targets: HostArray) -> float:
    losses, _ = cross_entropy(output.reshape(-1, output.shape[-1]).astype(np.float64), targets.reshape(-1), 0.0)
    return float(losses.sum() / np.log(2))


def _squares(output: HostArray, targets: HostArray) -> float:
    return float(np.square(output.astype(np.float64) - targets).sum())


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("accuracy", True, _right),
        Metric("bits_per_character", False, _bits),
        Metric("mean_squared_error", False, _squares),
    )
}
