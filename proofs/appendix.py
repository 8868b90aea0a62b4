r"""The statements of Appendix A.1, as printed and repaired, and Theorems A, B and C: one function each.

Notation as in ``README.md``: ``x = beta r``, ``z = eta beta``, ``G = |grad L(w)|``, ``kappa = |P grad L|^2 / G^2``,
``s2 = E |g - grad L|^2``, ``sP2`` the same inside the selected layers; ``e`` has all of them, from enumerated batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from proofs.draw import Draw
from proofs.expected import Expected
from proofs.statement import Claim, Statement, claim


def lemma_a1(e: Expected) -> Claim:
    """``<grad L(u) - grad L(w), u - w> >= -beta |u - w|^2`` at ``u = w + r P grad L(w)``."""
    (o,) = e.outcomes
    part = e.gradient.layout.only(e.layers(e.batches[0]))
    left = e.r * (o.gt - e.gradient).only(part).dot(e.gradient.only(part))
    right = -e.f.beta * e.r * e.r * e.pg2
    return claim(left, right, e.r * e.g2, scale=-right)


def lemma_a2_as_printed(e: Expected) -> Claim:
    """``<grad L(w + r P grad L), grad L> >= (1 - x kappa) G^2``."""
    return claim(e.alignment, e.g2 - e.x * e.pg2, e.g2, e.x * e.pg2, scale=e.g2)


def lemma_a2(e: Expected) -> Claim:
    """``... >= (1 - x sqrt(kappa)) G^2``, both sides squared: ``x^2 |P grad L|^2 G^2 >= (G^2 - <...>)^2``."""
    lost = e.g2 - e.alignment
    lost = max(lost, 0 * lost)
    left = e.x * e.x * e.pg2 * e.g2
    return claim(left, lost * lost, e.g2 * e.g2, e.alignment * e.alignment, scale=left)


def lemma_a3(e: Expected) -> Claim:
    """``E <gt, grad L> >= (1/2 - x kappa) G^2 - x^2 s2 / 2``."""
    right = e.g2 / 2 - e.x * e.pg2 - e.x * e.x * e.s2 / 2
    return claim(e.alignment, right, e.g2, e.x * e.pg2, e.x * e.x * e.s2, scale=e.g2 + e.x * e.x * e.s2)


def lemma_a4(e: Expected) -> Claim:
    """Eq. 15: ``E L(w+) <= L(w) - (eta / 4) G^2 + eta beta (eta + beta r^2) s2``; alpha is 1."""
    allowed = e.eta * (e.z + e.x * e.x) * e.s2
    left = e.loss - e.eta * e.g2 / 4 + allowed
    return claim(left, e.loss_after, e.loss, e.eta * e.g2, allowed, scale=e.eta * e.g2 + allowed)


def theorem_a(e: Expected) -> Claim:
    """``E L(w+) <= L(w) - (eta / 4) G^2 + eta (z s2 + x^2 sP2)``."""
    allowed = e.eta * (e.z * e.s2 + e.x * e.x * e.sp2)
    left = e.loss - e.eta * e.g2 / 4 + allowed
    return claim(left, e.loss_after, e.loss, e.eta * e.g2, allowed, scale=e.eta * e.g2 + allowed)


def theorem_a_seeing(e: Expected) -> Claim:
    """The same with kappa = 1 and ``sP2 = s2``: the layers may be chosen by looking at the batch."""
    allowed = e.eta * (e.z + e.x * e.x) * e.s2
    left = e.loss - e.eta * e.g2 / 4 + allowed
    return claim(left, e.loss_after, e.loss, e.eta * e.g2, allowed, scale=e.eta * e.g2 + allowed)


def theorem_b(e: Expected) -> Claim:
    """One step: ``E L(w+) <= L(w) - (eta / 2) G^2 + (eta / 2) (1 + z) beta^2 rho^2 + eta z s2``."""
    climbed = e.f.beta * (e.rho or 0.0)
    allowed = e.eta * ((1 + e.z) * climbed * climbed / 2 + e.z * e.s2)
    left = e.loss - e.eta * e.g2 / 2 + allowed
    return claim(left, e.loss_after, e.loss, e.eta * e.g2, allowed, scale=e.eta * e.g2 + allowed)


def theorem_c(e: Expected) -> Claim:
    """``L(w) - L(w+) >= z q (2 - z q) / (2 beta) G^2`` with ``q = 1 - x sqrt(kappa)``."""
    q = 1 - e.x * np.sqrt(e.kappa)
    promised = e.z * q * (2 - e.z * q) / (2 * e.f.beta) * e.g2
    return claim(e.loss - e.loss_after, promised, e.loss, e.loss_after, scale=promised)


# -- step sizes inside the conditions --------------------------------------------------------------------------------


def _up_to(x: Any, z: Any, alpha: tuple[Any, Any] = (1, 1)) -> Any:
    """Fixed ranges: ``0 <= x``, ``0 < z``."""

    def steps(draw: Draw, kappa: Any) -> Mapping[str, Any]:
        small = z * Fraction(1, 64) if draw.exact else z / 64
        return {"x": draw.number(0, x), "z": draw.number(small, z), "alpha": draw.number(*alpha)}

    return steps


def _beyond_2(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    """``2 < x <= 3``."""
    return {"x": 3 - draw.number(0, 0.95), "z": 1, "alpha": 1}


def _theorem_a(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    """``z <= 1`` and ``x^2 kappa <= 1/2 - z/4``, x up to 8; in fractions the root is rounded down."""
    z = draw.number(Fraction(1, 64) if draw.exact else 1 / 64, 1)
    most = 8.0 if kappa == 0 else min(8.0, float(np.sqrt((0.5 - float(z) / 4) / float(kappa))))
    bound = Fraction(int(most * 64), 64) if draw.exact else most * (1 - 1e-12)
    return {"x": draw.number(0, bound), "z": z, "alpha": draw.number(0, 1)}


def _theorem_a_seeing(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    return _theorem_a(draw, 1)


def _theorem_b(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    return {"rho": draw.number(0.0, 4.0), "z": draw.number(1 / 64, 1), "alpha": draw.number(0, 1)}


def _theorem_c(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    """``z <= 1`` and ``x sqrt(kappa) <= 0.98 < 1``, x up to 8."""
    most = 8.0 if kappa == 0 else min(8.0, 0.98 / float(np.sqrt(kappa)))
    return {"x": draw.number(0, most), "z": draw.number(1 / 64, 1), "alpha": draw.number(0, 1)}


def _theorem_c_sam(draw: Draw, kappa: Any) -> Mapping[str, Any]:
    return {**_theorem_c(draw, kappa), "alpha": 1}


HALF = Fraction(1, 2)

STATEMENTS = (
    Statement("Lemma A.1", "<dg, dw> >= -beta |dw|^2", "tight", lemma_a1, _up_to(4, 1), full=True),
    Statement("Lemma A.2", "as printed: factor 1 - x kappa", "false", lemma_a2_as_printed, _up_to(2, 1), full=True),
    Statement("Lemma A.2, repaired", "factor 1 - x sqrt(kappa)", "tight", lemma_a2, _up_to(4, 1), full=True),
    Statement("Lemma A.3", "for x <= 2", "true", lemma_a3, _up_to(2, 1)),
    Statement("Lemma A.3", "as printed, beyond x = 2", "false", lemma_a3, _beyond_2, full=True),
    Statement("Lemma A.4, Eq. 15", "x, z <= 1/2, alpha = 1", "true", lemma_a4, _up_to(HALF, HALF)),
    Statement("Theorem A", "one step, layers chosen before the batch", "true", theorem_a, _theorem_a),
    Statement(
        "Theorem A", "kappa = 1: layers chosen by the batch", "true", theorem_a_seeing, _theorem_a_seeing, sees=True
    ),
    Statement("Theorem B", "one step, normalised, any layers", "true", theorem_b, _theorem_b, sees=True, exact=False),
    Statement("Theorem C", "full batch, any alpha", "true", theorem_c, _theorem_c, full=True, exact=False),
    Statement("Theorem C", "full batch, alpha = 1", "tight", theorem_c, _theorem_c_sam, full=True, exact=False),
)
