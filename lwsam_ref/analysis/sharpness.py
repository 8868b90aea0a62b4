r"""How sharp the loss is at the weights: the top eigenvalue of its Hessian, and how far it rises in a ball.

Both are made of gradients alone, so they hold for whatever has weights and a gradient: a network, a toy problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.algorithms import perturbed
from lwsam_ref.rng import generator
from lwsam_ref.vector import LayeredVector

Gradient = Callable[[], tuple[Any, LayeredVector]]
"""Loss and gradient at the present weights."""


class Eigenvalue(NamedTuple):
    """``residual`` is ``|H v - value v| / |value|`` for the unit v that was found; it took ``products`` with H."""

    value: float
    residual: float
    products: int


class Rise(NamedTuple):
    """The loss at w, and the largest increase found at distance rho: a lower bound of the true one."""

    loss: float
    value: float


def top_eigenvalue(
    weights: LayeredVector,
    gradient: Gradient,
    *,
    products: int = 40,
    tolerance: float = 1e-3,
    step: float = 1e-4,
    seed: int = 0,
) -> Eigenvalue:
    r"""The largest eigenvalue of the Hessian, from its products with vectors; weights in float64.

    .. math:: H v \approx \frac{g(w + h v) - g(w - h v)}{2 h}

    By the Lanczos iteration: the largest eigenvalue of H on the space that the powers of H span, from a random vector
    on. (The power iteration, which looks at the last power alone, does not end where an eigenvalue of almost the same
    magnitude has the other sign, and networks have such.) It stops at a residual below ``tolerance``, or after so
    many ``products``; every vector is kept, and made orthogonal to those before.
    """
    limit = min(products, weights.layout.size)
    basis, diagonal, beside = [_unit(_random(weights, seed))], np.empty(0), np.empty(0)
    while True:
        v = basis[-1]
        with perturbed(weights, step * v):
            _, ahead = gradient()
        with perturbed(weights, -step * v):
            _, behind = gradient()
        rest = (0.5 / step) * (ahead - behind)
        diagonal = np.append(diagonal, float(rest.dot(v)))
        for _ in range(2):  # once is not enough in floating point (Parlett 1998, section 6.9)
            for other in basis:
                rest = rest - float(rest.dot(other)) * other
        length = float(np.sqrt(rest.squared_norm()))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        value, residual = float(values[-1]), length * abs(float(vectors[-1, -1]))
        if residual <= tolerance * abs(value) or len(basis) == limit:
            return Eigenvalue(value, residual / abs(value) if value else residual, len(basis))
        basis.append(_unit(rest))
        beside = np.append(beside, length)


def rise(weights: LayeredVector, gradient: Gradient, rho: float, *, iterations: int = 10) -> Rise:
    """``max L(w + e) - L(w)`` over ``|e| = rho``, by ``e <- rho g(w + e) / |g(w + e)|`` from SAM's own ``e`` on."""
    loss, g = gradient()
    best = float(loss)
    for _ in range(iterations):
        norm = float(np.sqrt(g.squared_norm()))
        if norm == 0:
            break
        with perturbed(weights, (rho / norm) * g):
            there, g = gradient()
        best = max(best, float(there))
    return Rise(float(loss), best - float(loss))


def _random(weights: LayeredVector, seed: int) -> LayeredVector:
    draw = generator("sharpness", seed).normal(size=weights.layout.size)
    return LayeredVector(weights.layout, np.asarray(draw, weights.data.dtype, like=weights.data))


def _unit(v: LayeredVector) -> LayeredVector:
    return (1.0 / float(np.sqrt(v.squared_norm()))) * v
