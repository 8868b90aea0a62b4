"""The engine with a clock at every node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings

from lwsam_ref.algorithms import Raw, layerwise_sam
from lwsam_ref.autodiff.layer import Context
from lwsam_ref.engines import timed
from lwsam_ref.engines.timed import Timed
from lwsam_ref.errors import Consumed
from lwsam_ref.training.objective import NetworkObjective
from nets import resnet20
from support.strategies import Problem, batch, objectives


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A clock that goes on by 1 whenever it is looked at: a call of a layer takes a second."""
    clock = count()
    monkeypatch.setattr(timed, "perf_counter", lambda: float(next(clock)))
    return clock


def timed_resnet() -> tuple[Timed, NetworkObjective]:
    network = resnet20((4, 4, 1))
    engine = Timed(network)
    return engine, NetworkObjective(network, engine=lambda _: engine)


@settings(max_examples=50)
@given(objectives())
def test_it_computes_what_the_plain_engine_computes(p: Problem) -> None:
    """Gradient, loss, running statistics, and the passes that are noted."""
    found, buffers = [], p.f.network.buffers.data
    start = buffers.copy()
    for f in (p.f, replace(p.f, engine=Timed)):
        buffers[...] = start
        with f.watched() as passes:
            step = layerwise_sam(f, p.batch, p.selected, Raw(0.1), 0.8)
        found.append((step, buffers.copy(), passes))
    (plain, moved, noted), (step, moved_too, noted_too) = found
    assert np.array_equal(step.update.data, plain.update.data)
    assert (step.loss, step.loss_perturbed) == (plain.loss, plain.loss_perturbed)
    assert np.array_equal(moved_too, moved)
    assert noted_too == noted


def test_every_visit_of_a_node_is_timed_and_nothing_else(ticks: Iterator[int]) -> None:
    engine, f = timed_resnet()
    with f.watched() as passes:
        for _ in range(2):
            layerwise_sam(f, batch(f.network, 2, 0), f.weights.layers[-3:], Raw(0.1), 0.8)
    for kind in ("forward", "backward"):
        visits = Counter(f.network.nodes[i].name for each in passes if each.kind == kind for i in each.nodes)
        assert engine.seconds[kind] == {node.name: visits[node.name] for node in f.network.nodes}
        assert set(visits.values()) == {2, 4}  # the cone's nodes twice a step


def test_the_seconds_add_up_to_no_more_than_went_by() -> None:
    network = resnet20((16, 16, 1))
    engine, start = Timed(network), perf_counter()
    tape = engine.forward(batch(network, 16, 0).x, Context(network.device, training=True))
    tape.backward(tape.output, network.weights.layout)
    whole = perf_counter() - start
    assert 0 < sum(sum(nodes.values()) for nodes in engine.seconds.values()) <= whole


def test_a_device_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    engine, _ = timed_resnet()
    monkeypatch.setattr(type(engine.network.device), "synchronize", lambda self: said.append("waited"))
    monkeypatch.setattr(timed, "perf_counter", lambda: float(said.append("read") or 0))
    with engine.clock("forward", "fc"):
        said.append("worked")
    assert said == ["waited", "read", "worked", "waited", "read"]


def test_a_resumed_tape_is_consumed() -> None:
    _, f = timed_resnet()
    at_w = f.forward(batch(f.network, 2, 0))
    at_w.resume(("fc",))
    with pytest.raises(Consumed):
        at_w.backward()
