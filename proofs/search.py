"""Hard problems: random ones are easy, so the margin of a statement is made as small as a search can make it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from proofs.draw import Searched
from proofs.sample import planar, step
from proofs.statement import Claim, Statement

SIZE = 24
"""Entries of a searched vector: as many numbers as the largest planar problem and its step sizes draw."""


def planar_claim(statement: Statement, vector: np.ndarray) -> Claim:
    """The statement on the planar problem and the step that ``vector`` describes."""
    draw = Searched(vector)
    f = planar(draw, terms=1 if statement.full else 2)
    return statement.claim(step(statement, draw, f, list(f.batches(1, True))))


def smallest(
    margin: Callable[[np.ndarray], float], seed: int, evaluations: int, size: int = SIZE
) -> tuple[float, np.ndarray]:
    """The smallest margin found, and where: random starts, then steps that shrink when they fail and grow when not."""
    rng = np.random.default_rng(seed)
    best, where, start = np.inf, np.zeros(size), max(20, evaluations // 10)
    for _ in range(start):
        vector = rng.uniform(-np.pi, np.pi, size)
        if (found := margin(vector)) < best:
            best, where = found, vector
    scale = 0.5
    for _ in range(evaluations - start):
        moved = where + scale * rng.normal(size=size) * (rng.random(size) < 0.3)
        if (found := margin(moved)) < best:
            best, where, scale = found, moved, min(1.0, 1.5 * scale)
        else:
            scale = max(1e-4, 0.97 * scale)
    return best, where
