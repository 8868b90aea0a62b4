"""Friendly SAM: what it climbs along, what it keeps, and the methods that it becomes at the ends."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms import SGD, Adaptive, GeneralizedSAM, Method, Normalised, Radius, Raw, Step, perturbed
from lwsam_ref.algorithms.friendly_sam import FriendlySAM
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.training.config import Config
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.vector import LayeredVector
from nets import mlp
from support.strategies import Problem, batch, objectives, problems, toys

RADII: list[Radius] = [Raw(0.1), Normalised(0.5), Adaptive(Normalised(0.5), 0.01), Adaptive(Raw(1.0), 0.0)]
fractions = st.fractions(0, 2, max_denominator=9)


def descend(p: Problem, method: Method, steps: int) -> list[Step]:
    """Steps of plain descent; then the weights are put back."""
    before, state, found = p.f.weights.copy(), method.initial(p.f), []
    for number in range(steps):
        step, state = method.step(p.f, p.batch, state, number)
        p.f.weights.add(-0.1 * step.update)
        found.append(step)
    p.f.weights.assign(before)
    return found


@settings(max_examples=40)
@given(problems, st.sampled_from(RADII), st.sampled_from([0, 0.6, 1]))
def test_with_sigma_0_it_is_sam(p: Problem, radius: Radius, memory: float) -> None:
    ours, sam = descend(p, FriendlySAM(radius, 0, memory), 3), descend(p, GeneralizedSAM(radius, 1), 3)
    for a, b in zip(ours, sam, strict=True):
        assert np.array_equal(a.update.data, b.update.data)
        assert np.array_equal(a.descent_norms, b.descent_norms)
        assert (a.loss, a.loss_perturbed) == (b.loss, b.loss_perturbed)
        assert (a.selected, a.r_effective) == (b.selected, b.r_effective)


@settings(max_examples=40)
@given(problems, st.sampled_from(RADII))
def test_without_its_own_gradient_it_is_sgd(p: Problem, radius: Radius) -> None:
    """With sigma 1 and lambda 0 m is g, and nothing is left to climb along."""
    for a, b in zip(descend(p, FriendlySAM(radius, 1, 0), 3), descend(p, SGD(), 3), strict=True):
        assert np.array_equal(a.update.data, b.update.data)
        assert a.loss == a.loss_perturbed == b.loss


@given(toys(st.just(object)), fractions, fractions, fractions)
def test_it_climbs_along_the_gradient_less_sigma_times_its_moving_average(
    p: Problem, r: Fraction, sigma: Fraction, memory: Fraction
) -> None:
    """In exact arithmetic; the average as a sum over all steps, the newest gradient in it."""
    f, method = p.f, FriendlySAM(Raw(r), sigma, memory)
    state, gradients = method.initial(f), list[Any]()
    for number in range(3):
        gradients.insert(0, f.forward(p.batch).backward().data)
        m = sum((1 - memory) * memory**age * g for age, g in enumerate(gradients))
        step, state = method.step(f, p.batch, state, number)
        assert np.array_equal(state["m"], m)
        with perturbed(f.weights, LayeredVector(f.weights.layout, r * (gradients[0] - sigma * m))):
            there = f.forward(p.batch)
            assert step.loss_perturbed == there.loss
            assert np.array_equal(step.update.data, there.backward().data)
        f.weights.add(Fraction(-1, 8) * step.update)


@settings(max_examples=40)
@given(objectives())
def test_it_moves_running_statistics_once_as_sam_does(p: Problem) -> None:
    buffers, start, ends = p.f.network.buffers.data, p.f.network.buffers.data.copy(), []
    for method in (FriendlySAM(Raw(0.1), 1, 0.6), GeneralizedSAM(Raw(0.1), 1)):
        buffers[...] = start
        method.step(p.f, p.batch, method.initial(p.f), 0)
        ends.append(buffers.copy())
    assert np.array_equal(*ends)


@settings(max_examples=40)
@given(objectives())
def test_what_it_keeps_spans_what_is_perturbed_and_is_left_as_it_is(p: Problem) -> None:
    method, part = FriendlySAM(Raw(0.1)), p.f.weights.layout.only(p.f.weights.layers)
    first = method.initial(p.f)
    _, second = method.step(p.f, p.batch, first, 0)
    kept = second["m"].copy()
    method.step(p.f, p.batch, second, 1)
    assert not first["m"].any()
    assert np.array_equal(second["m"], kept)
    assert kept.shape == first["m"].shape == (part.size,)
    assert kept.dtype == first["m"].dtype == p.f.weights.data.dtype


@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_it_costs_what_its_formula_says(perturb: str) -> None:
    network = mlp((4,), 3, hidden=(5, 6))
    f = NetworkObjective(network, perturb=perturb)
    costs, method = Costs(network, f.weights.layout), FriendlySAM(Raw(0.1))
    with f.watched() as passes:
        method.step(f, batch(network, 8, 0), method.initial(f), 0)
    (formula,) = METHODS["friendly-sam"].costs(Config.of({"method": "friendly-sam"}), costs)
    assert costs.executed(passes) == 8 * formula.flops


def test_it_has_the_values_of_its_options() -> None:
    network = mlp((4,), 3, hidden=(5,))
    config = Config.of({"method": "friendly-sam", "friendly_sigma": 0.5, "friendly_lambda": 0.9, "rho": 0.2})
    method = METHODS[config.method].make(config, Costs(network, network.weights.layout))
    assert method == FriendlySAM(Normalised(0.2), 0.5, 0.9)
