"""The laws that an engine has to keep (``autodiff/engine.py``), each with every engine of the table that needs no GPU.

On random residual networks, and on the rich toy: tokens, a label a position, tied weights, two layers in a node, a
frozen part. The engine ``cuda`` is held to them in tests/engines/cuda, on an emulator and on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms import Adaptive, Normalised, Raw
from lwsam_ref.algorithms.sparse_sam import fisher
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.engine import Engine
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Afresh
from lwsam_ref.engines import ENGINES
from lwsam_ref.errors import Consumed
from lwsam_ref.training.config import OPTIONS
from lwsam_ref.training.losses import CrossEntropy
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.objective import NetworkObjective
from support.rich import rich, tokens
from support.strategies import Problem, every_method, objectives, selections

HERE = {name: engine for name, engine in ENGINES.items() if name != "cuda"}
few = settings(max_examples=15)
Make = Callable[[Network], Engine]


@st.composite
def rich_objectives(draw: st.DrawFn) -> Problem:
    f = NetworkObjective(
        rich(seed=draw(st.integers(0, 99))),
        CrossEntropy(draw(st.sampled_from([0.0, 0.1]))),
        perturb=draw(st.sampled_from(["kernels", "all"])),
        decay=draw(st.sampled_from([0.0, 0.01])),
    )
    sample = tokens(f.network, draw(st.integers(2, 5)), draw(st.integers(0, 99)))
    return Problem(f, sample, draw(selections(f.weights.layers)))


problems = objectives() | rich_objectives()


@pytest.fixture(params=HERE)
def engine(request: pytest.FixtureRequest) -> Make:
    return HERE[request.param]


def test_every_engine_is_held_to_the_laws() -> None:
    assert HERE.keys() | {"cuda"} == ENGINES.keys()


@few
@given(problems)
def _laws(engine: Make, p: Problem) -> None:
    f = replace(p.f, engine=engine)
    network, layout = f.network, f.weights.layout
    part = layout.only(p.selected)
    batch = f.prepared(p.batch)
    buffers = network.buffers.data.copy()
    whole = f.forward(batch).backward()
    with f.watched() as passes:
        at_w = f.forward(batch)
        ascent = at_w.backward(only=p.selected)
        f.weights.add(0.1 * ascent)
        resumed = at_w.resume(p.selected)
        descent = resumed.backward()
    forward, back, again, last = passes
    everything = set(range(len(network.nodes))) - network.constant
    assert set(forward.nodes) == everything
    assert sorted(back.nodes) == sorted(network.cone(part))
    assert np.array_equal(whole.only(part).data, ascent.data)
    assert set(again.nodes) == (everything if engine is Afresh else set(network.cone(part)))
    assert sorted(last.nodes) == sorted(network.cone(layout))
    fresh = f.forward(batch)
    assert resumed.loss == fresh.loss
    assert np.array_equal(resumed.losses, fresh.losses)
    assert np.array_equal(descent.data, fresh.backward().data)
    for use in (lambda: at_w.loss, at_w.backward, at_w.commit, lambda: at_w.resume(p.selected)):
        with pytest.raises(Consumed):
            use()
    assert np.array_equal(network.buffers.data, buffers)
    plain = NetworkObjective(network, loss=f.loss, perturb=f.perturb, decay=f.decay, seed=f.seed)
    fresh.commit()
    moved = network.buffers.data.copy()
    network.buffers.data[...] = buffers
    plain.forward(batch).commit()
    assert np.array_equal(moved, network.buffers.data)
    assert np.array_equal(plain.forward(batch).backward().data, descent.data)


def test_visits_resume_consumption_and_commit(engine: Make) -> None:
    _laws(engine)


# -- the rich toy --------------------------------------------------------------------------------------------


def test_layers_lie_where_parameters_say() -> None:
    network = rich()
    assert network.layers == ("embedding", "mix.inner", "mix.outer")
    owners = {t.name: t.layer for t in network.weights.layout.tensors}
    assert owners == {
        "embedding.kernel": "embedding",
        "mix.inner": "mix.inner",
        "mix.bias": "mix.outer",
        "mix.outer": "mix.outer",
    }
    named = [node.name for node in network.nodes]
    assert [named[i] for i in sorted(network.cone(["embedding"]))] == [
        "embedding",
        "sum",
        "again",
        "both",
        "mix",
        "output",
    ]
    assert [named[i] for i in sorted(network.cone(["mix.outer"]))] == ["mix", "output"]
    assert {named[i] for i in network.constant} == {"features", "beside"}
    assert {named[i] for i in network.border} == {"beside"}
    assert {t.name for t in network.frozen.layout.tensors} == {
        "features.kernel",
        "beside.inner",
        "beside.bias",
        "beside.outer",
    }


@few
@given(rich_objectives(), st.integers(0, 9))
def test_the_gradient_of_tied_weights_is_the_difference_quotient(p: Problem, seed: int) -> None:
    f, w = p.f, p.f.weights
    g, before, step = f.forward(p.batch).backward(), w.data.copy(), 1e-5
    direction = np.random.default_rng(seed).normal(size=w.data.shape)
    values = []
    for sign in (1, -1):
        w.data[...] = before + sign * step * direction
        values.append(float(f.forward(p.batch).loss))
    w.data[...] = before
    quotient = (values[0] - values[1]) / (2 * step)
    assert g.data @ direction == pytest.approx(quotient, rel=1e-6, abs=1e-8)  # of order step^2


@few
@given(rich_objectives())
def test_a_sample_s_loss_is_the_mean_over_its_positions(p: Problem) -> None:
    at_w = p.f.forward(p.batch)
    z = at_w.tape.output
    logp = z - np.log(np.exp(z).sum(axis=2, keepdims=True))
    s = p.f.loss.smoothing
    at_label = np.take_along_axis(logp, p.batch.targets[..., None], axis=2)[..., 0]
    expected = (-(1 - s) * at_label - s * logp.mean(axis=2)).mean(axis=1)
    np.testing.assert_allclose(at_w.losses, expected, rtol=1e-12)


@pytest.mark.parametrize("radius", [Raw(0.3), Normalised(0.2), Adaptive(Normalised(0.5))], ids=str)
def test_every_method_does_the_same_by_every_engine_and_never_visits_what_is_frozen(radius: Any) -> None:
    results: dict[str, list[np.ndarray]] = {}
    for name, engine in HERE.items():
        f = NetworkObjective(rich(), engine=engine)
        batch, w = f.prepared(tokens(f.network, 4, 1)), f.weights.data.copy()
        frozen = {i for i, node in enumerate(f.network.nodes) if node.frozen}
        for variant, method in every_method(f, radius).items():
            state = method.initial(f)
            for number in range(3):
                with f.watched() as passes:
                    step, state = method.step(f, batch, state, number)
                assert not frozen & {i for walk in passes for i in walk.nodes}, variant
                results.setdefault(f"{variant} {number}", []).append(step.update.data)
            assert np.array_equal(f.weights.data, w), variant
        assert f.network.frozen.data.any(), name
    for variant, (first, *others) in results.items():
        assert all(np.array_equal(first, other) for other in others), variant


def test_steps_of_every_method_cost_what_the_table_says() -> None:
    """Operations executed with the batch unprepared: the frozen part is computed once a step, and counted."""
    n, steps = 4, 6
    values: Any = type("Values", (), {name: option.default for name, option in OPTIONS.items()})()
    values.batch_size, values.k, values.sparse_refresh, values.fisher_samples = n, 2, steps, 3
    for name, kind in METHODS.items():
        f = NetworkObjective(rich())
        costs = Costs(f.network, f.weights.layout)
        method, batch = kind.make(values, costs), tokens(f.network, n, 1)
        state, total = method.initial(f), 0
        for number in range(steps):
            with f.watched() as passes:
                prepared = f.prepared(batch)
                _, state = method.step(f, prepared, state, number)
            total += costs.executed(passes)
            if name == "layerwise-sam":
                break  # at the first step it is the last k layers
        flops = {line.name: line.flops for line in kind.costs(values, costs)}
        last = "layerwise-sam, last 2, resumed"
        expected = flops[last] if last in flops else next(iter(flops.values())) * steps
        assert total / n == pytest.approx(expected, rel=1e-12), name


@few
@given(rich_objectives(), st.integers(1, 4))
def test_sparse_sam_pairs_each_sample_with_its_own_labels(p: Problem, samples: int) -> None:
    f = p.f
    inside = f.weights.layout.only(f.weights.layers)
    expected = np.zeros(inside.size)
    alone = NetworkObjective(f.network, perturb=f.perturb)
    for i in range(min(samples, len(p.batch.x))):
        one = p.batch._replace(x=p.batch.x[i : i + 1], targets=p.batch.targets[i : i + 1])
        expected += alone.forward(one).backward(only=f.weights.layers).data ** 2
    np.testing.assert_allclose(fisher(f, p.batch, samples).data, expected, rtol=1e-12, atol=1e-15)


@few
@given(rich_objectives(), st.integers(0, 9), st.sampled_from([0.3, 0.5, 1.0]))
def test_esam_s_chosen_samples_keep_their_labels_and_their_frozen_values(p: Problem, seed: int, share: float) -> None:
    f = p.f
    scores = np.random.default_rng(seed).permutation(len(p.batch.x)).astype(float)
    chosen = f.hardest(p.batch, scores, share)
    assert chosen.rows is not None
    kept = chosen.rows[0]
    assert sorted(scores[kept]) == sorted(scores)[len(scores) - len(kept) :]
    assert np.array_equal(chosen.x, p.batch.x[kept])
    assert np.array_equal(chosen.targets, p.batch.targets[kept])
    fresh = f.forward(chosen._replace(constants=None))
    np.testing.assert_allclose(f.forward(chosen).losses, fresh.losses, rtol=1e-12)
