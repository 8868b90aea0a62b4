"""Finite sums in any dtype, behind the protocol that networks implement.

>>> from fractions import Fraction
>>> f = quadratic({"a": (1,), "b": (1,)}, seed=0, dtype=object)
>>> f.forward((0, 1)).loss.__class__
<class 'fractions.Fraction'>
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from lwsam_ref.vector import Array, LayeredVector, Layout
from proofs.problems import FiniteSum

TERMS = 4


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
        TERMS,
        None,
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
        TERMS,
        float((a * a).sum(axis=1).max()),
        lambda i, w: np.sin(a[i] @ w),
        lambda i, w: np.cos(a[i] @ w) * a[i],
        lambda i, w: -np.sin(a[i] @ w) * np.outer(a[i], a[i]),
    )
