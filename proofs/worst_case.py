r"""The worst smooth loss for layer-wise SAM at full batch: formulas, and a semidefinite program beside them.

The program (PEPit) runs :func:`lwsam_ref.algorithms.layerwise_sam` itself on symbolic weights, two layers of unknown
size, and looks among *all* beta-smooth losses for the one on which the steps help least. Notation: ``x = beta r``,
``z = eta beta``, ``G = |grad L(w)|``, ``kappa = |P grad L(w)|^2 / G^2``, ``R = x sqrt(kappa)``, ``q = 1 - R``. A
constant is the smallest C with ``|grad L(w)|^2 <= C beta (L(w) - L(w+))`` for every loss; infinite if there is none.

Theorem C. ``C <= 2 / (z q (2 - z q))``, for every alpha; equality for alpha = 1.

Theorem D. For ``0 <= lambda <= 1`` and mu with ``z mu >= lambda`` and ``p_1, p_2 > 0``, at any alpha and step sizes::

    L(w) - L(w+) >= (v_1 - q_1^2 / (4 p_1) + v_2 - q_2^2 / (4 p_2) - z mu R^2 / 2) G^2 / beta

    p_i = z mu / 2 - (z a_i - lambda)^2 / 2 + lambda^2 / 4
    q_i = z g_i (a_i - z a_i + lambda) - lambda w_i (z a_i - lambda / 2)      g_1^2 = kappa, g_2^2 = 1 - kappa
    v_i = z g_i^2 (1 - z / 2) - lambda w_i (z g_i + lambda w_i / 4)           a = (alpha, 1), w = (R, 0)

and the best lambda and mu give the smallest constant, if the model is more than the selected layers. (If it is not, it
is Theorem C's with alpha x in the place of x, for z <= 1.) For ``z, R <= 1`` lambda = 0 is best, which leaves::

    z/2 (2 - z - (1-z)^2 (kappa alpha^2 / (mu - z alpha^2) + (1-kappa) / (mu - z)) - mu R^2) G^2 / beta

Theorem E. The smallest constant whatever share of the gradient the selected layers have, in closed form.

The solver is imported when it is needed (``pip install 'lwsam-ref[proofs]'``).

>>> [round(tight_constant(0.5, 0.5, alpha, kappa=1.0), 4) for alpha in (1.0, 0.5, 0.0)]
[4.5714, 3.2821, 2.9091]
>>> round(any_share_constant(0.5, 0.5, alpha=0.5), 4)
3.5022
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from math import hypot, inf, sqrt
from typing import Any, Literal

import numpy as np

from lwsam_ref.algorithms import Raw, layerwise_sam
from lwsam_ref.vector import LayeredVector, Layout
from proofs.row import Row

SOLVER = "CLARABEL"
"""An interior-point method, exact to about 1e-8; cvxpy's other open solver for such programs stops at 1e-5."""

Share = Literal["equal", "at most", "whole"]
"""What is known of ``|P grad L|^2``: it is kappa G^2 (kappa is defined so), at most that, or P = I."""

NOTHING = 1e-6
"""A decrease below it, of G = beta = 1, is none: the constant is infinite."""


# -- formulas ------------------------------------------------------------------------------------------------


def theorem_c(z: float, x: float, kappa: float) -> float:
    """The constant of Theorem C.

    >>> theorem_c(0.5, 0.5, 1.0) == 2 / (0.25 * 1.75)
    True
    """
    q = 1 - x * sqrt(kappa)
    return 2 / (z * q * (2 - z * q)) if q > 0 else inf


@dataclass(frozen=True)
class _Block:
    """What the selected layers, or the others, add to the decrease: at least ``p u^2 + q u + v``, p without mu."""

    p: float
    q: float
    v: float

    @classmethod
    def of(cls, z: float, a: float, g: float, w: float, mix: float) -> _Block:
        p = mix**2 / 4 - (z * a - mix) ** 2 / 2
        q = z * g * (a * (1 - z) + mix) - mix * w * (z * a - mix / 2)
        return cls(p, q, z * g**2 * (1 - z / 2) - mix * w * (z * g + mix * w / 4))


def _blocks(z: float, x: float, alpha: float, kappa: float, mix: float) -> tuple[_Block, _Block]:
    g = sqrt(kappa)
    return _Block.of(z, alpha, g, x * g, mix), _Block.of(z, 1.0, sqrt(1 - kappa), 0.0, mix)


def sure_decrease(z: float, x: float, alpha: float, kappa: float, mu: float, mix: float = 0.0) -> float:
    """The right-hand side of Theorem D for G = beta = 1 (``mix`` is lambda); minus infinity where it says nothing."""
    blocks = _blocks(z, x, alpha, kappa, mix)
    if min(z * mu - mix, *(b.p + z * mu / 2 for b in blocks)) < -1e-12:
        return -inf
    return sum(b.v - _ratio(b.q**2, 4 * (b.p + z * mu / 2)) for b in blocks) - z * mu * x**2 * kappa / 2


def best_mu(z: float, x: float, alpha: float, kappa: float, mix: float = 0.0) -> float:
    """Where :func:`sure_decrease`, concave in mu, is largest; infinite if nothing is perturbed."""
    blocks, radius = _blocks(z, x, alpha, kappa, mix), x * sqrt(kappa)
    if radius == 0:
        return inf
    least = max(mix / z, *(-2 * b.p / z for b in blocks))

    def falls(y: float) -> bool:
        return sum(_ratio(b.q**2, 4 * (b.p + z * (least + y) / 2) ** 2) for b in blocks) <= radius**2

    low, high = 0.0, hypot(*(b.q for b in blocks)) / (z * radius)  # p_i >= z y / 2: it falls from `high` on
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if falls(middle) else (middle, high)
    return least + high


def best_mix(z: float, x: float, alpha: float, kappa: float) -> float:
    """The best lambda: 0 for ``z, x sqrt(kappa) <= 1``, else by golden section, since the decrease is concave in it."""
    if x**2 * kappa <= 1 and z <= 1:
        return 0.0

    def value(mix: float) -> float:
        return sure_decrease(z, x, alpha, kappa, best_mu(z, x, alpha, kappa, mix), mix)

    low, high, golden = 0.0, 1.0, (sqrt(5) - 1) / 2
    while high - low > 1e-8:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if value(left) >= value(right) else (left, high)
    return max(0.0, (low + high) / 2, key=value)


def tight_constant(z: float, x: float, alpha: float, kappa: float) -> float:
    """The constant of Theorem D, at the best lambda and mu; with lambda = 0, mu is a root of degree four."""
    if x**2 * kappa == 0:
        return _constant(z / 2 * (2 - z))
    mix = best_mix(z, x, alpha, kappa)
    return _constant(sure_decrease(z, x, alpha, kappa, best_mu(z, x, alpha, kappa, mix), mix))


def any_share_constant(z: float, x: float, alpha: float, kappa: float = 1.0) -> float:
    """The constant of Theorem E, for every share up to ``kappa``: smallest for ``z, x sqrt(kappa) <= 1``."""
    if x**2 * kappa == 0:
        return tight_constant(z, x, alpha, kappa)
    gap, mu = z * (1 - alpha**2), best_mu(z, x, alpha, kappa)
    crossing = z + sqrt(gap**2 / 4 + (1 - z) ** 2 * (1 - alpha**2) / x**2) - gap / 2
    if mu >= crossing:
        return _constant(sure_decrease(z, x, alpha, kappa, mu))
    return _constant(z / 2 * (2 - z - (1 - z) ** 2 / (crossing - z)))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else inf if a else 0.0


def _constant(decrease: float) -> float:
    return 1 / decrease if decrease > NOTHING else inf


# -- the semidefinite program --------------------------------------------------------------------------------


def available() -> bool:
    """Whether the solver is installed."""
    return all(importlib.util.find_spec(name) for name in ("PEPit", "cvxpy"))


class _Symbolic:
    """An unknown smooth loss, behind the protocol that networks implement: an entry of the weights is a layer.

    It keeps the squared norm of the gradient at each point where a step started, and the share's constraints.
    """

    def __init__(self, kappa: float, share: Share) -> None:
        pep: Any = importlib.import_module("PEPit")
        self.problem = pep.PEP()
        self.loss = self.problem.declare_function(
            importlib.import_module("PEPit.functions").SmoothFunction, L=1.0, name="L"
        )
        self.kappa, self.share = kappa, share
        layers = ("selected",) if share == "whole" else ("selected", "others")
        self.partition = self.problem.declare_block_partition(d=len(layers))
        origin = self.problem.set_initial_point()
        self.weights = LayeredVector(Layout.of(dict.fromkeys(layers, (1,))), self.split(origin))
        self.starts: list[Any] = []

    def split(self, point: Any) -> Any:
        d = self.partition.get_nb_blocks()
        blocks = np.empty(d, object)
        blocks[:] = [self.partition.get_block(point, i) for i in range(d)]
        return blocks

    def forward(self, batch: None) -> _SymbolicEvaluation:
        """Where a step starts, so that here the share is kappa."""
        total = self.loss.gradient(self.weights.data.sum())
        if self.share == "equal" and self.kappa == 1:  # said by the blocks: as a constraint it leaves no interior
            self.partition.blocks_dict[total] = [total, 0 * total]
        evaluation, norm = _SymbolicEvaluation(self), total**2
        selected = evaluation.gradient["selected"][0] ** 2
        if self.share == "equal" and self.kappa < 1:
            self.problem.add_constraint(selected == self.kappa * norm)
        elif self.share == "at most":
            self.problem.add_constraint(selected <= self.kappa * norm)
        self.starts.append(norm)
        return evaluation

    def mean(self, gradient: LayeredVector) -> LayeredVector:
        return gradient

    def uphill(self, own: LayeredVector, mean: LayeredVector) -> LayeredVector:
        return mean

    def put(self, host: Any) -> Any:
        return host

    def get(self, array: Any) -> Any:
        return array


class _SymbolicEvaluation:
    def __init__(self, f: _Symbolic) -> None:
        self.f, point = f, f.weights.data.sum()
        self.loss = f.loss(point)
        self.gradient = LayeredVector(f.weights.layout, f.split(f.loss.gradient(point)))

    def backward(self, only: Iterable[str] | None = None) -> LayeredVector:
        layout = self.f.weights.layout
        return self.gradient.only(layout if only is None else layout.only(only))

    def resume(self, changed: Iterable[str]) -> _SymbolicEvaluation:
        return _SymbolicEvaluation(self.f)

    def commit(self) -> None:
        pass


def worst_case(
    z: float,
    x: float,
    alpha: float,
    kappa: float,
    *,
    steps: int = 1,
    share: Share = "equal",
    smallest: bool = False,
) -> float:
    """The smallest C with ``mean_t |grad L(w_t)|^2 <= C beta (L(w_0) - L(w_steps))`` for every loss.

    ``smallest``: of the smallest of the gradients in the place of the mean. Solved for the least decrease at given
    gradients, which is finite also where C is not. Where the solver cannot reach its own tolerance (several steps, and
    blocks that the constraints make vanish) it gets a wider one.
    """
    for tolerance in (1e-8, 1e-7, 1e-6):
        f = _Symbolic(kappa, share)
        before = None
        for _ in range(steps):
            step = layerwise_sam(f, None, ["selected"], Raw(x), alpha)
            before = step.loss if before is None else before
            f.weights.data -= z * step.update.data
        after = f.loss(f.weights.data.sum())
        if smallest:
            for norm in f.starts:
                f.problem.add_constraint(norm >= 1)
        else:
            f.problem.add_constraint(sum(f.starts[1:], start=f.starts[0]) == steps)
        f.problem.set_performance_metric(after - before)
        settings = {f"tol_{kind}": tolerance for kind in ("gap_abs", "gap_rel", "feas")}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            increase = f.problem.solve(wrapper="cvxpy", solver=SOLVER, verbose=0, **settings)
        if f.problem.wrapper.prob.status == "optimal":
            return _constant(-increase)
    raise ArithmeticError(f"{SOLVER} found no answer at z = {z}, x = {x}, alpha = {alpha}, kappa = {kappa}")


# -- the table -----------------------------------------------------------------------------------------------

TOLERANCE = 1e-4
"""Relative, between a formula and the solver: what the solver leaves, magnified where the decrease is small."""


@dataclass(frozen=True)
class Point:
    """One comparison: the step sizes, and how the program is posed."""

    z: float
    radius: float
    """``R = x sqrt(kappa)``."""
    alpha: float
    kappa: float
    share: Share = "equal"
    steps: int = 1

    @property
    def x(self) -> float:
        return self.radius / sqrt(self.kappa)

    def solved(self) -> float:
        return worst_case(self.z, self.x, self.alpha, self.kappa, steps=self.steps, share=self.share)

    def theorem_c(self) -> float:
        return theorem_c(self.z, self.x, self.kappa) / self.steps

    def theorem_c_scaled(self) -> float:
        return theorem_c(self.z, self.alpha * self.x, self.kappa)

    def theorem_d(self) -> float:
        return tight_constant(self.z, self.x, self.alpha, self.kappa)

    def theorem_e(self) -> float:
        return any_share_constant(self.z, self.x, self.alpha, self.kappa)

    def unbounded(self) -> float:
        return inf


@dataclass(frozen=True)
class Claim:
    """At every point the worst case is at most ``bound``; ``tight``: equal to it."""

    source: str
    statement: str
    tight: bool
    bound: Callable[[Point], float]
    points: tuple[Point, ...]

    def row(self) -> Row:
        slacks = [_slack(point.solved(), self.bound(point)) for point in self.points]
        smallest, largest = min(slacks), max(slacks)
        as_declared = smallest >= -TOLERANCE and (not self.tight or largest <= TOLERANCE)
        note = f"{SOLVER}; relative distances from {smallest:.1e} to {largest:.1e}"
        verdict = "tight" if self.tight else "true"
        return Row(self.source, self.statement, verdict, "SDP", len(slacks), as_declared, smallest, note)


def _slack(solved: float, bound: float) -> float:
    """How far the worst case stays below the bound, as a part of the bound."""
    if solved == bound:  # also where both are infinite
        return 0.0
    return 1.0 if bound == inf else 1 - solved / bound


def claims(exhaustive: bool) -> tuple[Claim, ...]:
    """Few points of each claim, or the whole grid."""
    z: tuple[float, ...] = (0.1, 0.5, 1.0)
    radius: tuple[float, ...] = (0.25, 0.9)
    alpha: tuple[float, ...] = (0.0, 0.5, 0.9)
    kappa: tuple[float, ...] = (0.05, 0.5, 1.0)
    if exhaustive:
        z, radius = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0), (0.0, 0.1, 0.25, 0.5, 0.7, 0.9)
        alpha, kappa = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9), (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

    def grid(*axes: Iterable[Any]) -> tuple[Point, ...]:
        return tuple(Point(*values) for values in product(*axes))

    below = grid(z, radius, alpha, kappa)
    wholly = grid(z, radius, (*alpha, 1.0), (1.0,), ("whole",))
    return (
        Claim(
            "Theorem C",
            "2 / (z q (2 - z q)) is the worst case of one step for alpha = 1",
            True,
            Point.theorem_c,
            grid(z, radius, (1.0,), kappa),
        ),
        Claim(
            "Theorem C",
            "no bound for alpha = 1 where x sqrt(kappa) >= 1",
            True,
            Point.unbounded,
            grid(z, (1.0, 1.2), (1.0,), kappa),
        ),
        Claim(
            "Theorem C",
            "1/T of it bounds the mean of T = 2 and 3 steps",
            False,
            Point.theorem_c,
            grid(z, radius, (1.0,), kappa, ("equal",), (2, 3)),
        ),
        Claim(
            "Theorem C",
            "and is their worst case for z = 1",
            True,
            Point.theorem_c,
            grid((1.0,), radius, (1.0,), kappa, ("equal",), (2, 3)),
        ),
        Claim("Theorem C", "a bound for alpha < 1, not tight", False, Point.theorem_c, below),
        Claim("Theorem C", "tight for SAM of all layers, with alpha x for x", True, Point.theorem_c_scaled, wholly),
        Claim("Theorem D", "the worst case of one step for alpha < 1", True, Point.theorem_d, below),
        Claim(
            "Theorem D",
            "and for x sqrt(kappa) > 1 or z > 1",
            True,
            Point.theorem_d,
            grid(z, (1.2, 1.5), alpha, kappa) + grid((1.5,), radius, alpha, kappa),
        ),
        Claim(
            "Theorem E",
            "the worst case over every share up to kappa",
            True,
            Point.theorem_e,
            grid(z, radius, alpha, kappa, ("at most",)),
        ),
    )


def rows(exhaustive: bool) -> list[Row]:
    """The table's lines: about a quarter of a minute, or minutes for the whole grid."""
    return [claim.row() for claim in claims(exhaustive)]
