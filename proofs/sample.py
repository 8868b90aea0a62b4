"""A random step of a random problem inside a statement's conditions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.vector import Layout
from proofs.draw import Draw
from proofs.expected import Expected
from proofs.problems import RIDGES, Batch, FiniteSum, Layers, bent, network, quadratic, ridge
from proofs.statement import Statement

SHAPES: tuple[Layers, ...] = (
    {"a": (1,), "b": (1,)},
    {"a": (1,), "b": (2,)},
    {"a": (2,), "b": (1, 2), "c": (1,)},
    {"a": (3,)},
)
BATCHES = ((1, True), (2, False), (2, True))
"""Size of a batch, and whether its images are drawn with replacement."""


def problem(draw: Draw, terms: int | None = None) -> FiniteSum:
    """Quadratics, indefinite and convex; in floats also logistic, log-cosh, sines and the small network."""
    layers, terms = draw.choice(SHAPES), terms or draw.choice((1, 2, 3))
    kind = draw.choice(("indefinite", "convex") if draw.exact else ("indefinite", "convex", *RIDGES, "network"))
    if kind == "network":
        return network(draw.seed(), terms=terms)
    if kind in RIDGES:
        return ridge(kind, layers, draw.seed(), terms=terms)
    beta = draw.choice((1, 2, 3))
    return quadratic(layers, draw.seed(), terms=terms, convex=kind == "convex", exact=draw.exact, beta=beta)


def planar(draw: Draw, terms: int) -> FiniteSum:
    """Bent quadratics of two layers with one weight each, every number drawn: what a search moves. ``beta`` is 1."""
    parts = [
        (
            draw.number(0.0, 2 * np.pi),
            *(draw.number(-1.0, 1.0) for _ in range(3)),
            np.array([draw.number(-1.0, 1.0), draw.number(-1.0, 1.0)]),
        )
        for _ in range(terms)
    ]
    return bent(Layout.of({"a": (1,), "b": (1,)}), parts)


def step(statement: Statement, draw: Draw, f: FiniteSum, batches: list[Batch] | None = None) -> Expected:
    """A step of ``f`` inside the conditions of ``statement``."""
    layers = f.weights.layers
    if statement.full:
        batches = [f.all]
    elif batches is None:
        size, replacement = draw.choice(BATCHES)
        batches = list(f.batches(min(size, f.terms), replacement))
    sets = [tuple(n for j, n in enumerate(layers) if i >> j & 1) for i in range(1, 2 ** len(layers))]
    kept = {batch: draw.choice(sets) for batch in batches} if statement.sees else {}
    selected = draw.choice(sets)
    kappa = Expected(f, batches, selected).kappa
    options: dict[str, Any] = dict(statement.steps(draw, kappa))
    return Expected(f, batches, kept.__getitem__ if statement.sees else selected, **options)


def sample(statement: Statement, draw: Draw) -> Expected:
    return step(statement, draw, problem(draw))
