"""How far to climb (Eqs. 2 and 3), the way back, and the mix of both gradients (Eq. 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lwsam_ref.vector import LayeredVector


class Radius(Protocol):
    """The factor that turns an ascent gradient into a perturbation."""

    def factor(self, ascent: LayeredVector) -> Any: ...


@dataclass(frozen=True)
class Raw:
    """Eq. 3 and Algorithm 1: ``e = r g``."""

    r: Any

    def factor(self, ascent: LayeredVector) -> Any:
        return self.r


@dataclass(frozen=True)
class Normalised:
    """Eq. 2: ``e = rho g / |g|``, the norm over the perturbed entries; 0 where it is too small to divide by."""

    rho: float

    def factor(self, ascent: LayeredVector) -> Any:
        norm = np.sqrt(ascent.squared_norm())
        limits = np.finfo(ascent.data.dtype)
        usable = norm >= max(float(limits.tiny), self.rho / float(limits.max))
        return usable * (self.rho / (norm + ~usable))


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
