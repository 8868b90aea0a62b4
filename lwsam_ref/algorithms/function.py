"""Any smooth function, given as value and gradient, behind the protocol that the algorithms know; one process.

>>> f = Function.of({"a": (2,), "b": (1,)}, [3.0, 4.0, 1.0], lambda w: w @ w / 2, lambda w: w)
>>> from lwsam_ref.algorithms import LayerwiseSAM, Raw
>>> steps = minimise(f, LayerwiseSAM(1, Raw(0.1), alpha=1.0), steps=50, lr=0.2)
>>> steps[0].selected, steps[1].selected, float(steps[0].loss)
(('b',), ('a',), 13.0)
>>> bool(f.value(f.weights.data) < 1e-6)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.algorithms.protocol import Method, Step
from lwsam_ref.errors import Consumed
from lwsam_ref.vector import Array, LayeredVector, Layout


class Smooth:
    """A loss of layered weights and a batch; who inherits says ``loss_at`` and ``gradient_at`` a flat array ``w``."""

    weights: LayeredVector

    def loss_at(self, w: Array, batch: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no loss")

    def gradient_at(self, w: Array, batch: Any) -> Array:
        raise TypeError(f"{type(self).__name__} defines no gradient")

    def forward(self, batch: Any) -> SmoothEvaluation:
        return SmoothEvaluation(self, batch)

    def mean(self, gradient: LayeredVector) -> LayeredVector:
        return gradient

    def uphill(self, own: LayeredVector, mean: LayeredVector) -> LayeredVector:
        return mean

    def put(self, host: np.ndarray[Any, Any]) -> Array:
        return host

    def get(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array)


class SmoothEvaluation:
    """One batch at a copy of the weights."""

    def __init__(self, f: Smooth, batch: Any) -> None:
        self.f, self.batch, self.w, self.consumed = f, batch, f.weights.data.copy(), False

    @property
    def loss(self) -> Any:
        self.alive()
        return self.f.loss_at(self.w, self.batch)

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        self.alive()
        layout = self.f.weights.layout
        whole = LayeredVector(layout, self.f.gradient_at(self.w, self.batch))
        return whole.only(layout if only is None else layout.only(only))

    def resume(self, changed: Iterable[str]) -> Any:
        self.alive()
        self.consumed = True
        return self.f.forward(self.batch)

    def commit(self) -> None:
        self.alive()

    def alive(self) -> None:
        if self.consumed:
            raise Consumed("this evaluation was consumed by resume: use the one that resume returned")


@dataclass(eq=False)
class Function(Smooth):
    """``value(w)`` and ``gradient(w)`` of a flat array; there are no batches and no samples.

    So it goes with every method that knows no samples: not with ESAM, nor with sparse SAM.
    """

    weights: LayeredVector
    value: Callable[[Array], Any]
    gradient: Callable[[Array], Array]

    @classmethod
    def of(
        cls,
        layers: Mapping[str, Sequence[int]],
        start: Sequence[float],
        value: Callable[[Array], Any],
        gradient: Callable[[Array], Array],
    ) -> Function:
        """From the layers' names and shapes, in the order in which they lie in the flat array ``start``; float64."""
        return cls(LayeredVector(Layout.of(layers), np.array(start, np.float64)), value, gradient)

    def loss_at(self, w: Array, batch: Any) -> Any:
        return self.value(w)

    def gradient_at(self, w: Array, batch: Any) -> Array:
        return self.gradient(w)


def minimise(f: Any, method: Method, *, steps: int, lr: float, momentum: float = 0.0, batch: Any = None) -> list[Step]:
    """So many steps of ``method`` on ``f`` from its weights on, which move; what each step found."""
    optimizer, state, found = Momentum(f.weights, momentum), method.initial(f), []
    for number in range(steps):
        step, state = method.step(f, batch, state, number)
        optimizer.step(step.update, lr)
        found.append(step)
    return found
