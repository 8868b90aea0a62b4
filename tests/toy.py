"""Finite sums with known derivatives, behind the protocol that networks implement.

>>> from fractions import Fraction
>>> f = quadratic({"a": (1,), "b": (1,)}, seed=0, dtype=object)
>>> f.forward((0, 1)).loss.__class__
<class 'fractions.Fraction'>
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lwsam_ref.tape import Consumed
from lwsam_ref.vector import Array, LayeredVector, Layout

TERMS = 4


@dataclass(eq=False)
class FiniteSum:
    """``L_B(w) = (1/b) sum_{i in B} l_i(w)``; a batch is a tuple of indices i. Derivatives are of one term."""

    weights: LayeredVector
    term: Callable[[int, Array], Any]
    gradient: Callable[[int, Array], Array]
    hessian: Callable[[int, Array], Array]

    def forward(self, batch: Sequence[int]) -> Evaluation:
        return Evaluation(self, batch)

    def mean(self, gradient: LayeredVector) -> LayeredVector:
        return gradient

    def hessian_of(self, batch: Sequence[int]) -> Array:
        """The batch's Hessian at the present weights."""
        return sum(self.hessian(i, self.weights.data) for i in batch) / len(batch)


class Evaluation:
    """One batch at a copy of the weights."""

    def __init__(self, f: FiniteSum, batch: Sequence[int]) -> None:
        self.f, self.batch, self.w, self.consumed = f, batch, f.weights.data.copy(), False
        self.loss = sum(f.term(i, self.w) for i in batch) / len(batch)

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        self._alive()
        layout = self.f.weights.layout
        full = sum(self.f.gradient(i, self.w) for i in self.batch) / len(self.batch)
        return LayeredVector(layout, full).only(layout if only is None else layout.only(only))

    def resume(self, changed: Iterable[str]) -> Evaluation:
        self._alive()
        self.consumed = True
        return Evaluation(self.f, self.batch)

    def commit(self) -> None:
        self._alive()

    def _alive(self) -> None:
        if self.consumed:
            raise Consumed("a toy's evaluation was consumed by resume")


def entries(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    """Small random numbers: fractions for ``object``, else floats."""
    if np.dtype(dtype) != object:
        return rng.normal(size=shape).astype(dtype)
    numbers = [Fraction(int(p), int(q)) for p, q in rng.integers(1, 9, (int(np.prod(shape)), 2))]
    signs = rng.choice([-1, 1], len(numbers)).tolist()
    return np.array([s * x for s, x in zip(signs, numbers, strict=True)], object).reshape(shape)


def quadratic(layers: Mapping[str, Sequence[int]], seed: int, dtype: Any) -> FiniteSum:
    """``l_i(w) = w^T A_i w / 2 + b_i^T w``, A_i symmetric and indefinite."""
    layout, rng = Layout.of(layers), np.random.default_rng(seed)
    a = entries(rng, (TERMS, layout.size, layout.size), dtype)
    a, b = a + a.transpose(0, 2, 1), entries(rng, (TERMS, layout.size), dtype)
    return FiniteSum(
        LayeredVector(layout, entries(rng, (layout.size,), dtype)),
        lambda i, w: w @ (a[i] @ w) / 2 + b[i] @ w,
        lambda i, w: a[i] @ w + b[i],
        lambda i, w: a[i],
    )


def waves(layers: Mapping[str, Sequence[int]], seed: int) -> FiniteSum:
    """``l_i(w) = sin(a_i^T w)`` in float64: smooth, with a Hessian that moves."""
    layout, rng = Layout.of(layers), np.random.default_rng(seed)
    a = rng.normal(size=(TERMS, layout.size))
    return FiniteSum(
        LayeredVector(layout, rng.normal(size=layout.size)),
        lambda i, w: np.sin(a[i] @ w),
        lambda i, w: np.cos(a[i] @ w) * a[i],
        lambda i, w: -np.sin(a[i] @ w) * np.outer(a[i], a[i]),
    )
