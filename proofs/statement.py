"""A statement of the theory as something that can be asked: for a step, is left at least right, and by how much?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from proofs.draw import Draw
from proofs.expected import Expected

ROUNDING = 100 * 2.0**-52
"""Of the summed magnitudes: sums of some ten products each, a few of them in a row."""


@dataclass(frozen=True)
class Claim:
    """``left >= right``. ``magnitude`` is what was added up on both sides, ``scale`` what the margin is measured by."""

    left: Any
    right: Any
    magnitude: Any
    scale: Any

    @property
    def exact(self) -> bool:
        return isinstance(self.left - self.right, (int, Fraction))

    @property
    def holds(self) -> bool:
        """Without any slack in fractions; in floats up to rounding."""
        slack = 0 if self.exact else ROUNDING * float(self.magnitude)
        return bool(self.left - self.right >= -slack)

    @property
    def margin(self) -> float:
        """``(left - right) / scale``; infinite where the scale is next to nothing, for then nothing was at stake."""
        at_stake = self.scale if self.exact else float(self.scale) > 1e-6 * float(self.magnitude)
        return float((self.left - self.right) / self.scale) if at_stake else np.inf


Steps = Callable[[Draw, Any], Mapping[str, Any]]
"""From a draw and kappa: step sizes x, z, alpha (or rho) inside the statement's conditions."""


@dataclass(frozen=True)
class Statement:
    """What is claimed of a step, and for which steps.

    ``full``: for the full batch only. ``sees``: the selection may depend on the batch. ``exact``: all its terms are
    rational, so it is also checked in fractions.
    """

    source: str
    says: str
    verdict: str
    claim: Callable[[Expected], Claim]
    steps: Steps
    full: bool = False
    sees: bool = False
    exact: bool = True


def claim(left: Any, right: Any, *terms: Any, scale: Any) -> Claim:
    """``left >= right``, with the ``terms`` that either is a sum of."""
    return Claim(left, right, sum(map(abs, terms), start=abs(left) + abs(right)), scale)
