"""Smooth finite sums with known layers and known smoothness, behind the protocol that networks implement.

``L = (1/N) sum_i l_i``; a batch is a tuple of indices i, and layers are blocks of coordinates. ``beta`` is such that
``|grad l_i(u) - grad l_i(v)| <= beta |u - v|`` for every i, everywhere. Entries are float64, for quadratics also
fractions.

>>> from fractions import Fraction
>>> f = quadratic({"a": (1,), "b": (1,)}, seed=0, exact=True)
>>> f.forward((0, 1)).loss.__class__
<class 'fractions.Fraction'>
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np

from lwsam_ref.algorithms.function import Smooth, SmoothEvaluation
from lwsam_ref.vector import Array, LayeredVector, Layout

Batch = tuple[int, ...]
Layers = Mapping[str, Sequence[int]]


@dataclass(eq=False)
class FiniteSum(Smooth):
    """``L_B(w) = (1/b) sum_{i in B} l_i(w)``, from value and gradient of one term at a flat array."""

    weights: LayeredVector
    terms: int
    beta: Any
    term: Callable[[int, Array], Any]
    gradient: Callable[[int, Array], Array]
    hessian: Callable[[int, Array], Array] | None = None

    def loss_at(self, w: Array, batch: Batch) -> Any:
        return sum(self.term(i, w) for i in batch) / len(batch)

    def gradient_at(self, w: Array, batch: Batch) -> Array:
        return sum(self.gradient(i, w) for i in batch) / len(batch)

    def forward(self, batch: Batch) -> Evaluation:
        return Evaluation(self, batch)

    def hardest(self, batch: Batch, scores: Array, share: Any) -> Batch:
        count = max(1, round(share * len(batch)))
        first = sorted(range(len(batch)), key=lambda i: (-scores[i], i))[:count]
        return tuple(batch[i] for i in sorted(first))

    def per_sample(self, batch: Batch, samples: int) -> Iterator[Evaluation]:
        return (self.forward((i,)) for i in batch[:samples])

    def hessian_of(self, batch: Batch) -> Array:
        """The batch's Hessian at the present weights, where it is known."""
        if self.hessian is None:
            raise ValueError("this problem has no Hessian in closed form")
        return sum(self.hessian(i, self.weights.data) for i in batch) / len(batch)

    @property
    def all(self) -> Batch:
        """The full batch."""
        return tuple(range(self.terms))

    def batches(self, size: int, replacement: bool) -> Iterator[Batch]:
        """Every batch of that size, each as likely as the other."""
        return product(self.all, repeat=size) if replacement else combinations(self.all, size)


class Evaluation(SmoothEvaluation):
    """One batch at a copy of the weights, its terms told apart."""

    f: FiniteSum

    @property
    def losses(self) -> Array:
        self.alive()
        return np.array([self.f.term(i, self.w) for i in self.batch])

    def resume(self, changed: Iterable[str]) -> Evaluation:
        after: Evaluation = super().resume(changed)
        return after


def vector(rng: np.random.Generator, size: int, exact: bool) -> Array:
    """Small random entries: fractions with denominators 1, 2, 4, or normal floats."""
    if not exact:
        return rng.normal(size=size)
    tops, bottoms = rng.integers(-8, 9, size).tolist(), (2 ** rng.integers(0, 3, size)).tolist()
    return np.array([Fraction(p, q) for p, q in zip(tops, bottoms, strict=True)], object)


def symmetric(rng: np.random.Generator, size: int, convex: bool, exact: bool) -> Array:
    """A matrix of spectral norm 1, exactly: a diagonal with an entry of magnitude 1, between two reflections.

    The reflection ``Q = 1 - 2 u u^T / u^T u`` is orthogonal, and rational where u is.
    """
    d: Array = rng.integers(-4, 5, size) if exact else rng.uniform(-4, 4, size)
    d[rng.integers(size)] = rng.choice([-4, 4])
    d = np.abs(d) if convex else d
    u: Array = rng.integers(-3, 4, size)
    u[0] = u[0] or 1  # not the zero vector
    one: Array = np.eye(size, dtype=int)
    if exact:
        d, u, one = (np.array([Fraction(v) for v in m.ravel().tolist()], object).reshape(m.shape) for m in (d, u, one))
    q = one - 2 * np.outer(u, u) / (u @ u)
    return q @ (d[:, None] * q) / 4


def quadratic(
    layers: Layers, seed: int, *, terms: int = 3, convex: bool = False, exact: bool = False, beta: Any = 1
) -> FiniteSum:
    """``l_i(w) = w^T A_i w / 2 + b_i^T w`` with matrices of spectral norm ``beta``, all alike or all different."""
    layout, rng = Layout.of(layers), np.random.default_rng(seed)
    alike = bool(rng.integers(0, 2))
    a = [beta * symmetric(rng, layout.size, convex, exact) for _ in range(terms)]
    b = [vector(rng, layout.size, exact) for _ in range(terms)]
    return of_matrices(layout, [a[0]] * terms if alike else a, b, vector(rng, layout.size, exact), beta)


def of_matrices(layout: Layout, a: Sequence[Array], b: Sequence[Array], w: Array, beta: Any) -> FiniteSum:
    """The quadratics of given matrices, slopes and starting point."""
    return FiniteSum(
        LayeredVector(layout, w),
        len(a),
        beta,
        lambda i, w: w @ (a[i] @ w) / 2 + b[i] @ w,
        lambda i, w: a[i] @ w + b[i],
        lambda i, w: a[i],
    )


def bent(layout: Layout, parts: Sequence[tuple[float, float, float, float, Array]]) -> FiniteSum:
    """Two weights: ``b^T w + h (d^T w)^2 / 2 + h' (n^T w)^2 / 2``, where h' differs on the two sides of ``n^T w = 0``.

    A part is (angle of n, h, h' where ``n^T w > 0``, h' elsewhere, b), d at a right angle to n. Value and gradient
    agree on the line, so beta is the largest magnitude of the curvatures: at most 1 here. The weights start at 0.
    """
    n = [np.array([np.cos(angle), np.sin(angle)]) for angle, *_ in parts]
    d = [np.array([-v[1], v[0]]) for v in n]

    def sides(i: int, w: Array) -> tuple[Any, Any, float]:
        s, t = d[i] @ w, n[i] @ w
        return s, t, parts[i][2] if t > 0 else parts[i][3]

    def term(i: int, w: Array) -> Any:
        s, t, bend = sides(i, w)
        return parts[i][4] @ w + parts[i][1] * s * s / 2 + bend * t * t / 2

    def gradient(i: int, w: Array) -> Array:
        s, t, bend = sides(i, w)
        return parts[i][4] + parts[i][1] * s * d[i] + bend * t * n[i]

    return FiniteSum(LayeredVector(layout, np.zeros(2)), len(parts), 1.0, term, gradient)


RIDGES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any], float]] = {
    "logistic": (
        lambda s: np.logaddexp(0, s),
        lambda s: 1 / (1 + np.exp(-s)),
        lambda s: 0.25 / np.cosh(s / 2) ** 2,
        0.25,
    ),
    "log-cosh": (lambda s: np.logaddexp(s, -s), np.tanh, lambda s: 1 / np.cosh(s) ** 2, 1.0),
    "sine": (np.sin, np.cos, lambda s: -np.sin(s), 1.0),
}
"""A function, its two derivatives, and the largest magnitude of the second."""


def ridge(kind: str, layers: Layers, seed: int, *, terms: int = 3) -> FiniteSum:
    """``l_i(w) = phi(a_i^T w + c_i)``, so ``beta = max |phi''| max |a_i|^2``: logistic regression, log-cosh, sines."""
    layout, rng = Layout.of(layers), np.random.default_rng(seed)
    phi, slope, bend, most = RIDGES[kind]
    a, c = rng.normal(size=(terms, layout.size)), rng.normal(size=terms)
    return FiniteSum(
        LayeredVector(layout, rng.normal(size=layout.size)),
        terms,
        most * float((a * a).sum(axis=1).max()),
        lambda i, w: phi(a[i] @ w + c[i]),
        lambda i, w: slope(a[i] @ w + c[i]) * a[i],
        lambda i, w: bend(a[i] @ w + c[i]) * np.outer(a[i], a[i]),
    )


def network(seed: int, *, inputs: int = 2, hidden: int = 2, terms: int = 3) -> FiniteSum:
    r"""Two layers, ``o(w) = sum_j tanh(v_j) tanh(u_j^T x_i)``, and the loss ``log cosh(o - y_i)``.

    With ``|tanh'| <= 1`` and ``|tanh''| <= c = 4 / sqrt(27)``: ``|grad o|^2 <= m (1 + |x|^2)``, and the Hessian of o
    has a block per j bounded by that of ``[[c, |x|], [|x|, c |x|^2]]``. The loss has slope and curvature at most 1,
    so beta is at most the sum of both bounds, taken at the largest input.
    """
    layout, rng = Layout.of({"u": (hidden, inputs), "v": (hidden,)}), np.random.default_rng(seed)
    x, y, cut = rng.normal(size=(terms, inputs)), rng.normal(size=terms), hidden * inputs
    length, c = float(np.sqrt((x * x).sum(axis=1).max())), 4 / np.sqrt(27)
    block = float(np.linalg.eigvalsh([[c, length], [length, c * length**2]])[-1])

    def parts(i: int, w: Array) -> tuple[Array, Array, Any]:
        inner, outer = np.tanh(w[:cut].reshape(hidden, inputs) @ x[i]), np.tanh(w[cut:])
        return inner, outer, inner @ outer - y[i]

    def gradient(i: int, w: Array) -> Array:
        inner, outer, off = parts(i, w)
        gu = np.outer(outer * (1 - inner * inner), x[i]).ravel()
        return np.tanh(off) * np.concatenate([gu, inner * (1 - outer * outer)])

    return FiniteSum(
        LayeredVector(layout, rng.normal(size=layout.size)),
        terms,
        hidden * (1 + length**2) + block,
        lambda i, w: np.logaddexp(parts(i, w)[2], -parts(i, w)[2]),
        gradient,
    )
