"""What a step visits, recomputes, reuses and moves: the cone, the tape, the running statistics."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwsam_ref.algorithms import Raw, layerwise_sam, sgd
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.layers import BatchNorm, Linear
from lwsam_ref.autodiff.network import INPUT
from lwsam_ref.device import Device
from lwsam_ref.errors import Consumed
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.vector import LayeredVector
from support.oracles import reachable
from support.strategies import Problem, objectives, problems, radii

networks_once, networks_twice = objectives(bn_update="once"), objectives(bn_update="twice")


def climb(p: Problem, r: float) -> LayeredVector:
    """``r g`` over the selected layers."""
    return r * p.f.forward(p.batch).backward(p.selected)


@given(objectives())
def test_the_cone_is_what_the_selected_tensors_reach(p: Problem) -> None:
    part = p.f.weights.layout.only(p.selected)
    cone = p.f.network.cone(part)
    assert cone == reachable(p.f.network, part)
    if p.selected:
        owners = {t.name.rpartition(".")[0] for t in part.tensors}
        first = next(i for i, node in enumerate(p.f.network.nodes) if node.name in owners)
        assert p.f.network.frontier(part) == first


@given(problems)
def test_the_ascent_is_the_same_entries_of_the_full_gradient(p: Problem) -> None:
    at_w = p.f.forward(p.batch)
    ascent, full = at_w.backward(p.selected), at_w.backward()
    assert ascent.layout == p.f.weights.layout.only(p.selected)
    assert np.array_equal(ascent.data, full.only(ascent.layout).data)
    assert np.array_equal(at_w.backward(p.selected).data, ascent.data)  # a backward pass leaves the tape as it is


@given(objectives(), radii)
def test_a_step_visits_the_cone_and_no_other_node(p: Problem, r: float) -> None:
    everything = range(len(p.f.network.nodes))
    cone = sorted(reachable(p.f.network, p.f.weights.layout.only(p.selected)))
    all_owned = sorted(reachable(p.f.network, p.f.weights.layout), reverse=True)
    with p.f.watched() as passes:
        layerwise_sam(p.f, p.batch, p.selected, Raw(r), 0.5)
    assert [(walk.kind, list(walk.nodes)) for walk in passes] == [
        ("forward", list(everything)),
        ("backward", cone[::-1]),
        ("forward", cone),
        ("backward", all_owned),
    ]


@given(objectives(), radii)
def test_a_resumed_pass_is_a_fresh_one_bit_for_bit(p: Problem, r: float) -> None:
    at_w, e = p.f.forward(p.batch), climb(p, r)
    old = [at_w.tape.value(i) for i in range(len(p.f.network.nodes))]
    copies = [value.copy() for value in old]
    p.f.weights.add(e)
    resumed, fresh = at_w.resume(p.selected), p.f.forward(p.batch)
    cone = p.f.network.cone(e.layout)
    for i, value in enumerate(old):
        assert np.array_equal(resumed.tape.value(i), fresh.tape.value(i))
        assert np.array_equal(value, copies[i])  # nothing writes into an array of the tape
        assert i in cone or resumed.tape.value(i) is value  # outside the cone: the very array
    assert np.array_equal(resumed.losses, fresh.losses)
    assert resumed.loss == fresh.loss
    assert np.array_equal(resumed.backward().data, fresh.backward().data)
    assert np.array_equal(resumed.backward(p.selected).data, fresh.backward(p.selected).data)


@given(problems)
def test_a_consumed_evaluation_refuses(p: Problem) -> None:
    at_w = p.f.forward(p.batch)
    after = at_w.resume(p.selected)
    uses = [at_w.backward, at_w.commit, lambda: at_w.resume(p.selected)]
    if isinstance(p.f, NetworkObjective):
        uses.append(lambda: at_w.tape.value(0))
    for use in uses:
        with pytest.raises(Consumed):
            use()
    after.backward()


# -- running statistics --------------------------------------------------------------------------------------


@given(networks_once, radii)
def test_running_statistics_move_once_from_the_plain_pass(p: Problem, r: float) -> None:
    buffers, tape = p.f.network.buffers, p.f.forward(p.batch).tape
    buffers.data[...] = np.random.default_rng(0).uniform(size=buffers.data.shape)
    before = buffers.copy()
    assert np.array_equal(before.data, buffers.data)  # forward and backward moved nothing
    layerwise_sam(p.f, p.batch, p.selected, Raw(r), 0.5)
    after = buffers.copy()
    tight = {"rtol": 8 * np.finfo(buffers.data.dtype).eps, "atol": 8 * np.finfo(buffers.data.dtype).eps}
    for node in p.f.network.nodes:
        if isinstance(node.layer, BatchNorm):
            seen = tape.value(node.inputs[0]).astype(np.float64).reshape(-1, node.layer.channels)
            for name, batch in (("mean", seen.mean(axis=0)), ("variance", seen.var(axis=0, ddof=1))):
                tensor, m = f"{node.name}.{name}", node.layer.momentum
                # the statistics are rounded to the buffers' dtype, and summed in another order
                np.testing.assert_allclose(after[tensor], m * before[tensor] + (1 - m) * batch, **tight)
    buffers.assign(before)
    sgd(p.f, p.batch)
    assert np.array_equal(buffers.data, after.data)  # exactly what plain descent does


@given(networks_twice, radii)
def test_running_statistics_move_twice_if_asked(p: Problem, r: float) -> None:
    buffers = p.f.network.buffers
    before, w, e = buffers.copy(), p.f.weights.copy(), climb(p, r)
    layerwise_sam(p.f, p.batch, p.selected, Raw(r), 0.5)
    after = buffers.copy()
    buffers.assign(before)
    p.f.forward(p.batch).commit()
    once = buffers.copy()
    p.f.weights.add(e)
    p.f.forward(p.batch).commit()
    p.f.weights.assign(w)
    assert np.array_equal(buffers.data, after.data)
    assert not buffers.data.size or not np.array_equal(once.data, after.data)


@given(st.one_of(networks_once, networks_twice))
def test_evaluating_moves_nothing(p: Problem) -> None:
    buffers, w = p.f.network.buffers.copy(), p.f.weights.copy()
    at_w = p.f.forward(p.batch)
    at_w.backward()
    at_w.backward(p.selected)
    p.f.output(p.batch.x)
    assert np.array_equal(p.f.network.buffers.data, buffers.data)
    assert np.array_equal(p.f.weights.data, w.data)
    assert at_w.tape.value(INPUT) is p.batch.x


@pytest.mark.parametrize(
    ("ties", "frozen", "sentence"),
    [
        ({"kernel": "a.kernel"}, True, "is frozen, but tied to a tensor that is not"),
        ({"kernel": "a.kernel", "bias": "a.kernel"}, False, "ties two parameters to one tensor"),
        ({"kernel": "b.kernel"}, False, "no tensor of an earlier node"),
    ],
)
def test_ties_that_have_no_meaning_are_refused(ties: dict[str, str], frozen: bool, sentence: str) -> None:
    b = Builder((5,))
    x = b.linear("a", b.input, 5)
    with b.frozen() if frozen else nullcontext():
        x = b.add("c", Linear(5, 5), x, tied=ties)
    b.linear("d", x, 2)
    with pytest.raises(ValueError, match=sentence):
        b.network(Device.of())


def test_a_network_that_is_all_frozen_is_refused() -> None:
    b = Builder((5,))
    with b.frozen():
        b.linear("a", b.input, 2)
    with pytest.raises(ValueError, match="nothing is left to train"):
        b.network(Device.of())
