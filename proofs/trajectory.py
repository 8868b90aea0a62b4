"""Several steps of the optimiser that trains, along every path that batches can take: expectations in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lwsam_ref.algorithms import LayerwiseSAM, Normalised, Raw, State
from lwsam_ref.algorithms.optimizer import Momentum
from proofs.draw import Draw
from proofs.expected import Expected
from proofs.problems import Batch, FiniteSum
from proofs.sample import problem
from proofs.statement import Claim, claim


@dataclass(frozen=True)
class Trajectory:
    """``steps`` steps of layer-wise SAM, each with the k layers that had the largest norm in the step before.

    ``selections`` are made by the method itself, from its state: predictable, and different from path to path.
    """

    f: FiniteSum
    batches: Sequence[Batch]
    steps: int
    k: int
    x: Any = 0
    z: Any = 1
    alpha: Any = 1
    rho: float | None = None

    @property
    def eta(self) -> Any:
        return self.z / self.f.beta

    def sums(self) -> Sums:
        """Walk every path; each batch of a step is as likely as the other."""
        radius = Raw(self.x / self.f.beta) if self.rho is None else Normalised(self.rho)
        method = LayerwiseSAM(self.k, radius, self.alpha)
        found = Sums(self.f.forward(self.f.all).loss)
        one: Any = Fraction(1) if self.f.weights.data.dtype == object else 1.0
        self._walk(method, method.initial(self.f), 0, one, found)
        return found

    def _walk(self, method: LayerwiseSAM, state: State, number: int, weight: Any, found: Sums) -> None:
        f = self.f
        if number == self.steps:
            found.last += weight * f.forward(f.all).loss
            return
        layers = method.criterion(f.weights.layers, state["descent_norms"].tolist(), self.k, (0, number))
        found.add(weight, Expected(f, self.batches, layers, x=self.x, z=self.z))
        before = f.weights.copy()
        for batch in self.batches:
            step, after = method.step(f, batch, state, number)
            Momentum(f.weights, 0).step(step.update, self.eta)
            self._walk(method, after, number + 1, weight / len(self.batches), found)
            f.weights.assign(before)


@dataclass
class Sums:
    """Sums over the steps of expectations over the paths; ``last`` is ``E L(w_T)``, ``promised`` Theorem C's sum."""

    first: Any
    last: Any = 0
    g2: Any = 0
    s2: Any = 0
    sp2: Any = 0
    promised: Any = 0

    def add(self, weight: Any, e: Expected) -> None:
        gradients = [e.f.forward(batch).backward() - e.gradient for batch in e.batches]
        part = e.gradient.layout.only(e.layers(e.batches[0]))
        self.g2 += weight * e.g2
        self.s2 += weight * sum(g.squared_norm() for g in gradients) / len(gradients)
        self.sp2 += weight * sum(g.only(part).squared_norm() for g in gradients) / len(gradients)
        q = 1 - float(e.x) * float(np.sqrt(float(e.kappa)))
        self.promised += float(weight) * float(e.z) * q * (2 - float(e.z) * q) / (2 * float(e.f.beta)) * float(e.g2)


def _telescoped(t: Trajectory, share: Any, allowed: Any, sums: Sums) -> Claim:
    """``L(w_0) - E L(w_T) + allowed >= share sum E G^2``."""
    left, right = sums.first - sums.last + allowed, share * sums.g2
    return claim(left, right, sums.first, sums.last, allowed, scale=right + allowed)


def theorem_1(t: Trajectory) -> Claim:
    """Eq. 7: ``(1/T) sum E G^2 <= (4 / (T eta)) (L(w_0) - E L(w_T)) + 4 (z + x^2) s2``, alpha = 1."""
    sums = t.sums()
    return _telescoped(t, t.eta / 4, t.eta * (t.z + t.x * t.x) * sums.s2, sums)


def remark_1(t: Trajectory) -> Claim:
    """Eq. 7 with ``eta = 1 / (beta sqrt(T))`` and ``r = 1 / (beta T^(1/4))``, where ``z + x^2 = 2 / sqrt(T)``."""
    return theorem_1(t)


def remark_2(t: Trajectory) -> Claim:
    """Eq. 7 with the noise of the ascent counted inside the selected layers: never more than Eq. 7 allows."""
    return theorem_a(t)


def theorem_a(t: Trajectory) -> Claim:
    """The same for any alpha, with ``z s2 + x^2 sP2``."""
    sums = t.sums()
    return _telescoped(t, t.eta / 4, t.eta * (t.z * sums.s2 + t.x * t.x * sums.sp2), sums)


def theorem_b(t: Trajectory) -> Claim:
    """``(1/T) sum E G^2 <= 2 (L(w_0) - E L(w_T)) / (eta T) + (1 + z) beta^2 rho^2 + 2 z s2``."""
    sums, climbed = t.sums(), t.f.beta * (t.rho or 0.0)
    allowed = t.eta * (t.steps * (1 + t.z) * climbed * climbed / 2 + t.z * sums.s2)
    return _telescoped(t, t.eta / 2, allowed, sums)


def theorem_c(t: Trajectory) -> Claim:
    """``L(w_0) - L(w_T) >= sum z q_t (2 - z q_t) G_t^2 / (2 beta)``."""
    sums = t.sums()
    left, right = sums.first - sums.last, sums.promised
    return claim(left, right, sums.first, sums.last, scale=right)


def random_trajectory(statement: str, draw: Draw) -> Trajectory:
    """Inside the conditions of one of the functions above, by its name: 3 steps, or more on the full batch."""
    full = statement == "theorem_c"
    # two terms have 2^7 paths in Remark 1, where T is at least 7
    f = problem(draw, draw.choice((*(1,) * 9, 2)) if statement == "remark_1" else None)
    size, replacement = draw.choice(((1, True), (2, False)))
    batches = [f.all] if full else list(f.batches(min(size, f.terms), replacement))
    k, steps = draw.choice(range(1, len(f.weights.layers) + 1)), 8 if len(batches) == 1 else 3
    small, alpha = 1 / 64, draw.number(0, 1)
    if statement == "remark_1":
        steps = draw.choice((7, 8, 12)) if len(batches) == 1 else 7
        return Trajectory(f, batches, steps, k, x=steps**-0.25, z=steps**-0.5)
    if statement == "theorem_b":
        return Trajectory(f, batches, steps, k, z=draw.number(small, 1.0), alpha=alpha, rho=draw.number(0.0, 2.0))
    if statement in ("theorem_1", "remark_2"):
        return Trajectory(f, batches, steps, k, x=draw.number(0.0, 0.5), z=draw.number(small, 0.5))
    z = draw.number(small, 1.0)
    most = 0.98 if full else float(np.sqrt(0.5 - z / 4))
    return Trajectory(f, batches, steps, k, x=draw.number(0.0, most), z=z, alpha=alpha)
