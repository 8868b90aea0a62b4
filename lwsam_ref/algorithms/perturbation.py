"""How far to climb (Eqs. 2 and 3, and variants), the way back, and the mix of both gradients (Eq. 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lwsam_ref.vector import Array, LayeredVector


class Radius(Protocol):
    """How far to climb, given the weights (all of them) and the ascent gradient (of a part of them)."""

    def climb(self, weights: LayeredVector, ascent: LayeredVector) -> tuple[LayeredVector, Any]:
        """The perturbation, and the factor in it: r, or rho over a norm."""


@dataclass(frozen=True)
class Raw:
    """Eq. 3 and Algorithm 1: ``e = r g``."""

    r: Any

    def factor(self, ascent: LayeredVector) -> Any:
        return self.r

    def climb(self, weights: LayeredVector, ascent: LayeredVector) -> tuple[LayeredVector, Any]:
        return self.r * ascent, self.r


@dataclass(frozen=True)
class Normalised:
    """Eq. 2: ``e = rho g / |g|``, the norm over the perturbed entries; 0 where it is too small to divide by."""

    rho: float

    def factor(self, ascent: LayeredVector) -> Any:
        norm = np.sqrt(ascent.squared_norm())
        limits = np.finfo(ascent.data.dtype)
        usable = norm >= max(float(limits.tiny), self.rho / float(limits.max))
        return usable * (self.rho / (norm + ~usable))

    def climb(self, weights: LayeredVector, ascent: LayeredVector) -> tuple[LayeredVector, Any]:
        r = self.factor(ascent)
        return r * ascent, r


@dataclass(frozen=True)
class Adaptive:
    """Adaptive SAM (Kwon et al. 2021), entry by entry: with ``T = |w| + stabiliser``, ``e = r T^2 g``.

    r is the plain radius' factor for ``T g``: the constant r, or ``rho / |T g|``, as Kwon et al. have it. With
    stabiliser 0 a rescaling of the weights that leaves the loss as it is leaves ``loss(w + e)`` as it is.
    """

    plain: Raw | Normalised
    stabiliser: Any = 0.01

    def climb(self, weights: LayeredVector, ascent: LayeredVector) -> tuple[LayeredVector, Any]:
        t = np.abs(weights.only(ascent.layout).data) + self.stabiliser
        scaled = ascent.scaled(t)
        r = self.plain.factor(scaled)
        return (r * scaled).scaled(t), r


@dataclass(frozen=True)
class Masked:
    """Of the perturbation ``e`` of another radius the entries where ``mask`` is true, over ``beta``."""

    radius: Radius
    mask: Array
    beta: Any = 1

    def climb(self, weights: LayeredVector, ascent: LayeredVector) -> tuple[LayeredVector, Any]:
        e, r = self.radius.climb(weights, ascent)
        kept = e.scaled(self.mask)
        return (kept if self.beta == 1 else (1 / self.beta) * kept), r


@contextmanager
def perturbed(weights: LayeredVector, perturbation: LayeredVector) -> Iterator[None]:
    """``weights + perturbation`` inside, and the very bits of before outside, whatever happens in between.

    Restored from a copy, since in floating point ``(w + e) - e`` is not ``w``.
    """
    before = weights.only(perturbation.layout)
    try:
        weights.add(perturbation)
        yield
    finally:
        weights.assign(before)


def blend(ascent: LayeredVector, descent: LayeredVector, alpha: Any) -> LayeredVector:
    """Eq. 6: ``(1 - alpha) g + alpha h`` where the ascent has entries, the descent ``h`` elsewhere."""
    update = descent.copy()
    update.assign((1 - alpha) * ascent + alpha * descent.only(ascent.layout))
    return update
