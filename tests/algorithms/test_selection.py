"""Which layers: order matters and size does not, ties go to the output, chance is a function of its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.algorithms import CRITERIA, high, low, random
from support.strategies import seeds

NORMS = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=9)
INCREASING = st.sampled_from([np.exp, np.sqrt, lambda x: 3 * x + 1, lambda x: x**3, lambda x: x * 1e-300])


def names(n: int) -> tuple[str, ...]:
    return tuple(f"layer{i}" for i in range(n))


@given(NORMS, INCREASING, st.data())
def test_only_the_order_of_the_norms_matters(
    norms: list[float], rise: Callable[[Any], Any], data: st.DataObject
) -> None:
    layers, k = names(len(norms)), data.draw(st.integers(0, len(norms)))
    for criterion in (high, low):
        chosen = criterion(layers, norms, k, (0, 0))
        assert criterion(layers, [rise(x) for x in norms], k, (1, 1)) == chosen
        assert chosen == tuple(x for x in layers if x in chosen)  # forward order
        assert len(chosen) == k


@given(NORMS, st.data())
def test_nothing_left_out_beats_what_was_taken(norms: list[float], data: st.DataObject) -> None:
    layers, k = names(len(norms)), data.draw(st.integers(0, len(norms)))
    rank = {layer: (norm, i) for i, (layer, norm) in enumerate(zip(layers, norms, strict=True))}
    for criterion, sign in ((high, 1), (low, -1)):
        chosen = set(criterion(layers, norms, k, (0, 0)))
        for taken in chosen:
            for left in set(layers) - chosen:
                (a, i), (b, j) = rank[taken], rank[left]
                assert (sign * a, i) > (sign * b, j)


@given(st.integers(1, 9), st.floats(0, 1e300), st.data())
def test_a_tie_goes_to_the_last_layers(n: int, norm: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    for criterion in (high, low):
        assert criterion(names(n), [norm] * n, k, (0, 0)) == names(n)[n - k :]


@given(NORMS, NORMS, seeds, st.integers(0, 99), st.data())
def test_chance_depends_on_the_key_alone(
    a: list[float], b: list[float], seed: int, step: int, data: st.DataObject
) -> None:
    n = min(len(a), len(b))
    k = data.draw(st.integers(0, n))
    assert random(names(n), a[:n], k, (seed, step)) == random(names(n), b[:n], k, (seed, step))


def test_chance_differs_between_steps_and_seeds_and_is_even() -> None:
    draws = [random(names(6), [0.0] * 6, 2, (seed, step)) for seed in range(30) for step in range(30)]
    assert len(set(draws)) == 15
    counts = [sum(layer in d for d in draws) for layer in names(6)]
    assert min(counts) > 225  # 300 expected, deviation 14


@pytest.mark.parametrize("criterion", CRITERIA.values(), ids=list(CRITERIA))
def test_what_cannot_be_ranked_is_refused(criterion: Callable[..., Any]) -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match="layer1"):
            criterion(names(3), [1.0, bad, 0.0], 1, (0, 0))
    for k in (-1, 4):
        with pytest.raises(ValueError, match="of 3 layers"):
            criterion(names(3), [1.0, 2.0, 0.0], k, (0, 0))
