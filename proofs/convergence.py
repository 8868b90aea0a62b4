"""Convergence seen: the average squared gradient norm that the training code reaches, beside the bounds, over T.

Left, Remark 1: ``eta = 1 / (beta sqrt(T))``, ``r = 1 / (beta T^(1/4))``, batches of one drawn anew at each step, for
several k: measured, the paper's bound (Eq. 7), and Theorem A's, which counts the ascent's noise in the selected layers
only; sigma^2 is the largest seen on the way, and the expectations are means over ``RUNS`` runs. Right, Theorem C: the
full batch at fixed step sizes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.algorithms import LayerwiseSAM, Raw
from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.vector import LayeredVector
from proofs.problems import FiniteSum, quadratic

LAYERS = {f"layer{i}": (2,) for i in range(4)}
HORIZONS = tuple(2**i for i in range(3, 12))
RUNS = 16
Z, X = 0.5, 0.5


@dataclass(frozen=True)
class Point:
    """One horizon T: what was measured, and what was promised."""

    horizon: int
    measured: float
    paper: float
    theorem_a: float


def landscape() -> FiniteSum:
    """Eight convex quadratics with Hessians and slopes of their own over four layers, started away from the minimum."""
    f = quadratic(LAYERS, seed=4, terms=8, convex=True)
    f.weights.data[...] = 3 * np.random.default_rng(1).normal(size=f.weights.layout.size)
    return f


def remark_1(k: int, horizons: Sequence[int] = HORIZONS, runs: int = RUNS) -> list[Point]:
    """Measured and promised for each T, the k layers of largest norm being perturbed."""
    return [_horizon(k, t, runs) for t in horizons]


def _horizon(k: int, horizon: int, runs: int) -> Point:
    f = landscape()
    start, singles = f.weights.data.copy(), list(f.batches(1, True))
    x, z = horizon**-0.25, horizon**-0.5
    method, squared, losses, noise, inside = LayerwiseSAM(k, Raw(x / f.beta), 1), [], [], 0.0, 0.0
    for run in range(runs):
        rng, state = np.random.default_rng([run, horizon]), method.initial(f)
        f.weights.data[...] = start
        for number in range(horizon):
            at_w = f.forward(f.all).backward()
            squared.append(float(at_w.squared_norm()))
            step, after = method.step(f, singles[int(rng.integers(f.terms))], state, number)
            if run == 0 and number % max(1, horizon // 16) == 0:
                apart = [f.forward(batch).backward() - at_w for batch in singles]
                part = at_w.layout.only(step.selected)
                noise = max(noise, _mean_square(apart))
                inside = max(inside, _mean_square([g.only(part) for g in apart]))
            Momentum(f.weights, 0).step(step.update, z / f.beta)
            state = after
        losses.append(float(f.forward(f.all).loss))
    f.weights.data[...] = start
    fallen = 4 * f.beta / (z * horizon) * (float(f.forward(f.all).loss) - float(np.mean(losses)))
    return Point(
        horizon,
        float(np.mean(squared)),
        fallen + 4 * (z + x * x) * noise,
        fallen + 4 * (z * noise + x * x * inside),
    )


def _mean_square(vectors: Sequence[LayeredVector]) -> float:
    return float(np.mean([v.squared_norm() for v in vectors]))


def theorem_c(k: int, horizons: Sequence[int] = HORIZONS) -> list[tuple[int, float, float]]:
    """(T, measured average, what Theorem C allows with kappa = 1) on the full batch."""
    f, found, squared = landscape(), [], []
    method, q = LayerwiseSAM(k, Raw(X / f.beta), 1), 1 - X
    state, first = method.initial(f), float(f.forward(f.all).loss)
    for number in range(max(horizons)):
        squared.append(float(f.forward(f.all).backward().squared_norm()))
        step, state = method.step(f, f.all, state, number)
        Momentum(f.weights, 0).step(step.update, Z / f.beta)
        if number + 1 in horizons:
            fallen = first - float(f.forward(f.all).loss)
            found.append(
                (number + 1, float(np.mean(squared)), 2 * f.beta * fallen / (Z * q * (2 - Z * q) * (number + 1)))
            )
    return found


def slope(points: Sequence[Point], value: Callable[[Point], float]) -> float:
    """Of the logarithm of ``value`` over the logarithm of T, fitted by least squares."""
    logs = np.log([[p.horizon, value(p)] for p in points])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def draw(path: Path) -> None:
    """The picture, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    panels: Any = (left, right)
    for k, colour in ((1, "C0"), (2, "C1"), (4, "C2")):
        points = remark_1(k)
        t = [p.horizon for p in points]
        fitted = slope(points, lambda p: p.measured)
        left.plot(t, [p.measured for p in points], "o-", color=colour, label=f"k = {k}, measured (slope {fitted:.2f})")
        left.plot(t, [p.theorem_a for p in points], "--", color=colour, label=f"k = {k}, Theorem A")
        if k == 4:
            bound = slope(points, lambda p: p.paper)
            left.plot(t, [p.paper for p in points], ":", color="black", label=f"Eq. 7 (slope {bound:.2f})")
        curve = theorem_c(k)
        right.plot([c[0] for c in curve], [c[1] for c in curve], "o-", color=colour, label=f"k = {k}, measured")
        if k == 4:
            right.plot([c[0] for c in curve], [c[2] for c in curve], ":", color="black", label="Theorem C, kappa = 1")
    left.set_title("Remark 1: step sizes shrink with the horizon T, batch 1")
    right.set_title(f"full batch, z = {Z}, x = {X}")
    for panel in panels:
        panel.set(xscale="log", yscale="log", xlabel="T", ylabel="average of $|\\nabla L(w_t)|^2$")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    path.write_bytes(content.getvalue())
