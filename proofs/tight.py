r"""Instances in exact fractions: those that refute a statement, and those that attain one.

Each is a problem at ``w = 0`` with two weights, each a layer; layer ``a`` is selected, and the batch is full.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from lwsam_ref.vector import Array, LayeredVector, Layout
from proofs.appendix import lemma_a4
from proofs.expected import Expected
from proofs.problems import FiniteSum, of_matrices

PLANE = Layout.of({"a": (1,), "b": (1,)})


def fractions(*values: Any) -> Array:
    return np.array([Fraction(v) for v in values], object)


def quadratic(matrix: tuple[tuple[Any, Any], tuple[Any, Any]], gradient: tuple[Any, Any], beta: Any) -> FiniteSum:
    """``w^T A w / 2 + b^T w`` at 0."""
    rows = np.array([fractions(*row) for row in matrix], object)
    return of_matrices(PLANE, [rows], [fractions(*gradient)], fractions(0, 0), Fraction(beta))


def lemma_a2_indefinite() -> FiniteSum:
    """``L = -w_a w_b + w_a + 2 w_b``: for every r > 0, ``<...> = 5 - 2 r``, and the lemma promises ``5 - r``."""
    return quadratic(((0, -1), (-1, 0)), (1, 2), beta=1)


def lemma_a2_convex() -> FiniteSum:
    """``L = (w_a - w_b)^2 / 2 + w_a + 4 w_b``: ``<...> = 17 - 3 r``, and the lemma promises ``17 - 2 r``."""
    return quadratic(((1, -1), (-1, 1)), (1, 4), beta=2)


def lemma_a2_attained() -> FiniteSum:
    """The Hessian turns ``P g`` against g: ``H P g = -beta |P g| g / |g|``, with ``g = (3, 4)``."""
    return quadratic(((Fraction(-3, 5), Fraction(-4, 5)), (Fraction(-4, 5), Fraction(3, 5))), (3, 4), beta=1)


def lemma_a3_beyond() -> FiniteSum:
    """The same with ``g = (8, 15)``: at x = 11/5, ``<...> = -51/5``, and the lemma promises ``37/10``."""
    return quadratic(((Fraction(-8, 17), Fraction(-15, 17)), (Fraction(-15, 17), Fraction(8, 17))), (8, 15), beta=1)


def theorem_c_attained(whole: bool = False) -> FiniteSum:
    r"""``L = g^T w + |w|^2 / 2 - max(0, m^T w)^2`` with m the unit bisector of g and ``P g``, ``g = (3, 4)``.

    Where ``m^T w > 0`` the Hessian is the reflection that sends ``P g / |P g|`` to ``-g / |g|``, elsewhere the
    identity: the ascent sees the one, the descent the other, each the worst that ``beta = 1`` allows. Both agree
    where ``m^T w = 0``, so L is smooth. ``m = (2, 1) / sqrt(5)`` if layer ``a`` is selected, ``g / 5`` if both are.
    """
    g, n = fractions(3, 4), fractions(3, 4) if whole else fractions(2, 1)
    share = 1 / (n @ n)  # m m^T = share n n^T

    def beyond(w: Array) -> Any:
        return max(Fraction(0), n @ w)

    return FiniteSum(
        LayeredVector(PLANE, fractions(0, 0)),
        1,
        Fraction(1),
        lambda i, w: g @ w + w @ w / 2 - share * beyond(w) ** 2,
        lambda i, w: g + w - 2 * share * beyond(w) * n,
    )


def step(f: FiniteSum, selected: tuple[str, ...] = ("a",), **sizes: Any) -> Expected:
    """The step that perturbs layer ``a``, on the full batch."""
    return Expected(f, [f.all], selected, **sizes)


def first_break(z: Any, bits: int = 30) -> tuple[Fraction, Fraction]:
    """Between which x a step of SAM (all layers, full batch) first breaks Eq. 15, by halving, in fractions.

    On the worst instance there is; the true border is where ``q (2 - z q) = 1/2``, q = 1 - x: for z = 1/2 at
    ``sqrt(3) - 1``.
    """
    low, high = Fraction(0), Fraction(1)
    for _ in range(bits):
        x = (low + high) / 2
        if lemma_a4(step(theorem_c_attained(whole=True), ("a", "b"), x=x, z=z)).holds:
            low = x
        else:
            high = x
    return low, high
