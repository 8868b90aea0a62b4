"""The laws of Algorithm 1, by equality, over random networks and the toy, in float32 and float64."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.algorithms import (
    SGD,
    GeneralizedSAM,
    LayerwiseSAM,
    Normalised,
    Raw,
    generalized_sam,
    layerwise_sam,
    random,
    sgd,
)
from lwsam_ref.device import Device
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.vector import LayeredVector
from nets import resnet20
from support import toy
from support.oracles import algorithm_1, as_dict, equation_3, gradient_at
from support.strategies import Problem, alphas, batch, objectives, problems, radii, randomise, seeds, toys

EXACT = toys(st.just(object))


def equal(v: LayeredVector, expected: dict[str, Any]) -> bool:
    return list(v.layout.slices) == list(expected) and all(np.array_equal(v[name], expected[name]) for name in expected)


def example(perturb: str = "kernels", dtype: str = "float64") -> Problem:
    """A small ResNet-20 with random gammas, two of its layers, one batch."""
    network = randomise(resnet20((4, 4, 1), device=Device.of("cpu", dtype)), seed=0)
    f = NetworkObjective(network, perturb=perturb)
    return Problem(f, batch(network, 4, 0, 10), ("stage1.block1.conv1", "stage3.block1.projection"))


# -- Algorithm 1, Eq. 3, Eq. 6 -------------------------------------------------------------------------------


@given(problems, radii, alphas)
def test_a_step_is_the_plain_arithmetic_of_two_full_passes(p: Problem, r: float, alpha: float) -> None:
    """Selected entries get (1 - alpha) g + alpha h, everything else h."""
    expected, descent, loss = algorithm_1(p.f, p.batch, p.selected, r, alpha)
    step = layerwise_sam(p.f, p.batch, p.selected, Raw(r), alpha)
    assert equal(step.update, expected)
    assert step.loss == p.f.forward(p.batch).loss
    assert step.loss_perturbed == loss
    assert step.selected == p.selected
    whole = LayeredVector(p.f.weights.layout, np.concatenate([x.ravel() for x in descent.values()]))
    assert np.array_equal(step.descent_norms, whole.squared_norms())


@given(EXACT, st.fractions(-2, 2, max_denominator=9), st.fractions(0, 1, max_denominator=9))
def test_the_same_in_fractions(p: Problem, r: Fraction, alpha: Fraction) -> None:
    step = layerwise_sam(p.f, p.batch, p.selected, Raw(r), alpha)
    assert equal(step.update, algorithm_1(p.f, p.batch, p.selected, r, alpha)[0])
    assert all(isinstance(x, Fraction) for x in step.update.data)


@given(problems, alphas)
def test_without_a_climb_the_descent_is_the_ascent(p: Problem, alpha: float) -> None:
    g = sgd(p.f, p.batch)
    for a in (0.0, 1.0):
        still = layerwise_sam(p.f, p.batch, p.selected, Raw(0.0), a)
        assert np.array_equal(still.update.data, g.update.data)
        assert np.array_equal(still.descent_norms, g.descent_norms)
        assert still.loss == still.loss_perturbed == g.loss
    mixed = layerwise_sam(p.f, p.batch, p.selected, Raw(0.0), alpha).update.data
    # 1 - alpha, alpha, two products and a sum are rounded: 2 ulp
    assert np.all(np.abs(mixed - g.update.data) <= 2 * np.spacing(np.abs(g.update.data)))


@given(problems, radii)
def test_alpha_1_is_the_descent_gradient_and_alpha_0_the_ascent(p: Problem, r: float) -> None:
    _, descent, _ = algorithm_1(p.f, p.batch, p.selected, r, 1.0)
    assert equal(layerwise_sam(p.f, p.batch, p.selected, Raw(r), 1.0).update, descent)
    g = p.f.forward(p.batch).backward()
    all_layers = p.f.weights.layout.only(p.f.weights.layers)
    update = layerwise_sam(p.f, p.batch, p.f.weights.layers, Raw(r), 0.0).update
    assert np.array_equal(update.only(all_layers).data, g.only(all_layers).data)


@given(problems, radii, alphas)
def test_no_layers_is_sgd(p: Problem, r: float, alpha: float) -> None:
    g = sgd(p.f, p.batch)
    for radius in (Raw(r), Normalised(r)):
        step = layerwise_sam(p.f, p.batch, (), radius, alpha)
        assert np.array_equal(step.update.data, g.update.data)
        assert np.array_equal(step.descent_norms, g.descent_norms)


@given(problems, radii, alphas)
def test_all_layers_is_generalized_sam(p: Problem, r: float, alpha: float) -> None:
    for radius in (Raw(r), Normalised(r)):
        a, _ = LayerwiseSAM(len(p.f.weights.layers), radius, alpha).step(p.f, p.batch, zeros(p), 0)
        b, _ = GeneralizedSAM(radius, alpha).step(p.f, p.batch, {}, 0)
        assert np.array_equal(a.update.data, b.update.data)
        assert a.selected == b.selected == p.f.weights.layers


@given(objectives(perturb="all") | toys(), radii, alphas)
def test_generalized_sam_is_equation_3(p: Problem, r: float, alpha: float) -> None:
    assert equal(generalized_sam(p.f, p.batch, Raw(r), alpha).update, equation_3(p.f, p.batch, r, alpha))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_generalized_sam_over_kernels_is_not_equation_3(alpha: float) -> None:
    """Biases, gammas and betas are then neither perturbed nor mixed."""
    for perturb, same in (("kernels", False), ("all", True)):
        p = example(perturb)
        update = generalized_sam(p.f, p.batch, Raw(0.1), alpha).update
        assert equal(update, equation_3(p.f, p.batch, 0.1, alpha)) is same


@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_alpha_0_is_not_sgd_for_some_layers(perturb: str) -> None:
    """Layers outside take the perturbed gradient."""
    p = example(perturb)
    g, update = sgd(p.f, p.batch).update, layerwise_sam(p.f, p.batch, p.selected, Raw(0.1), 0.0).update
    inside = p.f.weights.layout.only(p.selected)
    assert np.array_equal(update.only(inside).data, g.only(inside).data)
    assert not np.array_equal(update["fc.kernel"], g["fc.kernel"])


# -- to first order, v = g + r D H P g -----------------------------------------------------------------------


def first_order(f: toy.FiniteSum, sample: Any, selected: Any, alpha: Any) -> Any:
    """``D H P g`` with D = I - (1 - alpha) P."""
    g, inside = f.forward(sample).backward().data, np.zeros(f.weights.data.size, int)
    for t in f.weights.layout.tensors:
        inside[f.weights.layout.slices[t.name]] = t.layer in selected
    bent = f.hessian_of(sample) @ (inside * g)
    return bent - (1 - alpha) * (inside * bent)


@given(EXACT, st.fractions(max_denominator=9).filter(bool), st.fractions(0, 1, max_denominator=9))
def test_on_a_quadratic_the_penalty_is_exact(p: Problem, r: Fraction, alpha: Fraction) -> None:
    g = p.f.forward(p.batch).backward().data
    v = layerwise_sam(p.f, p.batch, p.selected, Raw(r), alpha).update.data
    assert np.array_equal((v - g) / r, first_order(p.f, p.batch, p.selected, alpha))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_on_a_smooth_function_the_penalty_is_met_linearly_in_r(alpha: float) -> None:
    f, sample, selected = toy.waves({"a": (2,), "b": (3,), "c": (1,)}, seed=3), (0, 1, 3), ("a", "c")
    g, limit = f.forward(sample).backward().data, first_order(f, sample, selected, alpha)
    errors = []
    for r in (1e-3, 5e-4, 2.5e-4):
        v = layerwise_sam(f, sample, selected, Raw(r), alpha).update.data
        errors.append(np.linalg.norm((v - g) / r - limit))
    assert np.linalg.norm(limit) > 0.1
    np.testing.assert_allclose([errors[1] / errors[0], errors[2] / errors[1]], 0.5, atol=0.01)  # the next order in r


# -- weights, dtypes, radii ----------------------------------------------------------------------------------


@given(problems, radii, alphas)
def test_weights_are_as_before_bit_for_bit(p: Problem, r: float, alpha: float) -> None:
    before = p.f.weights.data.tobytes()
    for radius in (Raw(r), Normalised(r)):
        layerwise_sam(p.f, p.batch, p.selected, radius, alpha)
        assert p.f.weights.data.tobytes() == before
    with np.errstate(all="ignore"):
        step = layerwise_sam(p.f, p.batch, p.selected, Raw(np.inf), alpha)
    assert np.isfinite(step.update.data).all() == (not p.selected)
    assert p.f.weights.data.tobytes() == before


@given(problems)
def test_weights_are_as_before_when_the_second_pass_raises(p: Problem) -> None:
    before, moved = p.f.weights.data.copy(), []

    def broken(self: Any, *args: Any) -> Any:
        moved.append(not np.array_equal(self.f.weights.data, before))
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(p.f.forward(p.batch)), "resume", broken)
        with pytest.raises(ZeroDivisionError):
            layerwise_sam(p.f, p.batch, p.selected, Raw(1.0), 0.5)
    assert moved == [bool(p.selected)]
    assert p.f.weights.data.tobytes() == before.tobytes()


@given(problems, radii, alphas)
def test_the_dtype_is_kept_everywhere(p: Problem, r: float, alpha: float) -> None:
    dtype = p.f.weights.data.dtype
    for radius in (Raw(r), Normalised(r), Raw(np.float64(r))):
        step = layerwise_sam(p.f, p.batch, p.selected, radius, alpha)
        assert step.update.data.dtype == step.loss.dtype == step.loss_perturbed.dtype == p.f.weights.data.dtype == dtype
        assert step.descent_norms.dtype == np.float64
    at_w = p.f.forward(p.batch)
    assert at_w.backward(p.selected).data.dtype == dtype
    if isinstance(p.f, NetworkObjective):
        tape = at_w.tape
        assert {tape.value(i).dtype for i in range(len(p.f.network.nodes))} == {dtype}
        assert p.f.network.buffers.data.dtype == p.f.output(p.batch.x).dtype == dtype


@given(problems, st.sampled_from([0.01, 1.0, 7.0]), alphas)
def test_a_normalised_perturbation_has_length_rho(p: Problem, rho: float, alpha: float) -> None:
    ascent = p.f.forward(p.batch).backward(p.selected)
    step = layerwise_sam(p.f, p.batch, p.selected, Normalised(rho), alpha)
    length = float(np.sqrt((step.r_effective * ascent).squared_norm()))
    expected = rho if ascent.data.any() else 0.0
    # the product is rounded in the entries' dtype: half an ulp of each
    assert length == pytest.approx(expected, rel=4 * float(np.finfo(ascent.data.dtype).eps))
    assert np.isfinite(step.update.data).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tiny", [0.0, 1e-44])
def test_a_gradient_of_zero_gives_no_perturbation_and_no_nan(dtype: str, tiny: float) -> None:
    ascent = toy.quadratic({"a": (2,), "b": (1,)}, 0, dtype).weights
    ascent.data[...] = tiny
    radius = Normalised(0.5).factor(ascent)
    assert np.isfinite((radius * ascent).data).all()
    f = toy.quadratic({"a": (2,), "b": (1,)}, 0, dtype)
    f.gradient = lambda i, w: np.zeros_like(w)
    step = layerwise_sam(f, (0,), ("a", "b"), Normalised(0.5), 0.5)
    assert step.r_effective == 0
    assert not step.update.data.any()


# -- methods as functions of their state ---------------------------------------------------------------------


def zeros(p: Problem) -> dict[str, Any]:
    return {"descent_norms": np.zeros(len(p.f.weights.layers))}


@given(problems, seeds, st.data())
def test_a_step_is_a_function_of_weights_batch_state_seed_and_number(p: Problem, seed: int, data: Any) -> None:
    layers = p.f.weights.layers
    k = data.draw(st.integers(0, len(layers)))
    states = [{"descent_norms": np.random.default_rng(i).uniform(size=len(layers))} for i in range(3)]
    for criterion in ("high", "random"):
        options = {"criterion": random} if criterion == "random" else {}
        method = LayerwiseSAM(k, Raw(0.1), 0.5, seed=seed, **options)
        forwards = [method.step(p.f, p.batch, s, i) for i, s in enumerate(states)]
        if isinstance(p.f, NetworkObjective):  # the running statistics have no say
            p.f.network.buffers.data[...] = 7
        backwards = [method.step(p.f, p.batch, s, i) for i, s in reversed(list(enumerate(states)))][::-1]
        for (a, s), (b, t) in zip(forwards, backwards, strict=True):
            assert a.selected == b.selected
            assert len(a.selected) == k
            assert np.array_equal(a.update.data, b.update.data)
            assert np.array_equal(s["descent_norms"], t["descent_norms"])
            assert np.array_equal(s["descent_norms"], a.descent_norms)
        if criterion == "random":
            chosen = [random(layers, [0.0] * len(layers), k, (seed, i)) for i in range(3)]
            assert [a.selected for a, _ in forwards] == chosen


def test_the_first_step_takes_the_last_layers_and_the_next_the_steepest() -> None:
    p = example()
    method = LayerwiseSAM(2, Raw(0.1), 0.5)
    first, state = method.step(p.f, p.batch, method.initial(p.f), 0)
    second, _ = method.step(p.f, p.batch, state, 1)
    assert first.selected == p.f.weights.layers[-2:]
    steepest = sorted(
        p.f.weights.layers, key=dict(zip(p.f.weights.layers, first.descent_norms, strict=True)).__getitem__
    )[-2:]
    assert set(second.selected) == set(steepest)


@given(problems)
def test_methods_without_state_keep_none(p: Problem) -> None:
    for method in (SGD(), GeneralizedSAM(Raw(0.1), 0.5)):
        step, state = method.step(p.f, p.batch, method.initial(p.f), 3)
        assert state == method.initial(p.f) == {}
        assert np.array_equal(step.loss, gradient_at(p.f, p.batch, {})[1])
    assert equal(SGD().step(p.f, p.batch, {}, 0)[0].update, as_dict(p.f.forward(p.batch).backward()))
