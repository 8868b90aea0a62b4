"""Gradients against central differences: random direction, random cotangent, float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lwsam_ref.vector import Array

STEP, TOLERANCE = 1e-5, 1e-6
"""Truncation is about STEP^2, rounding about 1e-16 / STEP: both under TOLERANCE for functions of order 1."""


def unit(rng: np.random.Generator, x: Array) -> Array:
    d = rng.normal(size=x.shape)
    return d / np.sqrt((d * d).sum())


def check(f: Callable[[], Array], x: Array, gx: Array, cotangent: Array, seed: int, step: float = STEP) -> None:
    """``d/dt <cotangent, f(x + t d)> == <gx, d>`` at t = 0; ``f`` reads ``x``, which is moved in place and put back.

    One direction is random; the other is ``gx`` itself, where nothing can hide, and none is used where ``gx`` is 0.
    """
    rng, before = np.random.default_rng(seed), x.copy()
    length = np.sqrt((gx * gx).sum())
    assert length > 0, "a gradient that is all zero proves nothing"
    for d in (unit(rng, x), gx / length):
        moved = []
        for t in (step, -step):
            x[...] = before + t * d
            moved.append((cotangent * f()).sum())
        x[...] = before
        numeric = (moved[0] - moved[1]) / (2 * step)
        assert abs(numeric - (gx * d).sum()) <= TOLERANCE * (1 + length), (numeric, (gx * d).sum(), length)


def check_all(
    f: Callable[[], Array], pairs: Sequence[tuple[Array, Array]], cotangent: Array, seed: int, step: float = STEP
) -> None:
    """:func:`check` for each (argument, gradient)."""
    for x, gx in pairs:
        check(f, x, gx, cotangent, seed, step)
