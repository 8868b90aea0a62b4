"""Which layers to perturb, from the squared gradient norms of the last step (Algorithm 1 line 4, and Table 3).

A criterion is a function ``(layers, squared_norms, k, key) -> selected``, with the layers in forward order both
ways. Ties go to the layer nearest the output, the cheapest to reach: so the first step, with all norms 0, selects
the last k layers.

>>> high(("a", "b", "c", "d"), [1.0, 9.0, 4.0, 4.0], 2, (0, 0))
('b', 'd')
>>> low(("a", "b", "c", "d"), [1.0, 1.0, 1.0, 1.0], 2, (0, 0))
('c', 'd')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwsam_ref.rng import generator

Criterion = Callable[[tuple[str, ...], Sequence[Any], int, tuple[int, ...]], tuple[str, ...]]


def high(layers: tuple[str, ...], squared_norms: Sequence[Any], k: int, key: tuple[int, ...]) -> tuple[str, ...]:
    """The k layers with the largest norm (the paper's)."""
    return _first(layers, [-n for n in checked(layers, squared_norms)], k)


def low(layers: tuple[str, ...], squared_norms: Sequence[Any], k: int, key: tuple[int, ...]) -> tuple[str, ...]:
    """The k layers with the smallest norm."""
    return _first(layers, checked(layers, squared_norms), k)


def random(layers: tuple[str, ...], squared_norms: Sequence[Any], k: int, key: tuple[int, ...]) -> tuple[str, ...]:
    """Any k layers, drawn anew at every step: a function of ``key`` = (seed, step)."""
    checked(layers, squared_norms)
    draw = generator("selection", *key).permutation(len(layers))
    return _first(layers, draw.tolist(), k)


CRITERIA: dict[str, Criterion] = {"high": high, "low": low, "random": random}


def _first(layers: tuple[str, ...], rank: Sequence[Any], k: int) -> tuple[str, ...]:
    """The k layers of smallest rank, the later one first among equals; in forward order."""
    if not 0 <= k <= len(layers):
        raise ValueError(f"asked to select {k} of {len(layers)} layers")
    chosen = sorted(range(len(layers)), key=lambda i: (rank[i], -i))[:k]
    return tuple(layers[i] for i in sorted(chosen))


def checked(layers: tuple[str, ...], squared_norms: Sequence[Any]) -> list[Any]:
    """The norms, if all are finite."""
    norms = list(squared_norms)
    for layer, norm in zip(layers, norms, strict=True):
        if not np.isfinite(float(norm)):
            raise FloatingPointError(f"the gradient norm of layer {layer!r} is {float(norm)}")
    return norms
