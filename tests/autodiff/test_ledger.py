"""What a step costs: the formulas against the noted walks, the notes against the calls, FLOPs against real products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwsam_ref.algorithms import (
    ESAM,
    SGD,
    GeneralizedSAM,
    LayerwiseSAM,
    LookSAM,
    Method,
    Normalised,
    Raw,
    SparseSAM,
    Step,
    layerwise_sam,
)
from lwsam_ref.autodiff import layers
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.engine import Pass
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work
from lwsam_ref.autodiff.network import Network, Node
from lwsam_ref.autodiff.tape import Afresh, Plain
from lwsam_ref.device import Device
from lwsam_ref.training.budget import Budget
from lwsam_ref.training.config import Config
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.objective import NetworkObjective
from nets import resnet20
from support.strategies import Problem, batch, every_method, objectives, randomise

DEAR = settings(max_examples=12)
FEW = settings(max_examples=20)


def costs_of(f: NetworkObjective) -> Costs:
    return Costs(f.network, f.weights.layout)


def steps(p: Problem, method: Method, count: int) -> tuple[list[Step], list[Pass]]:
    """So many steps from number 0 on, and the walks that they made."""
    state, found = method.initial(p.f), []
    with p.f.watched() as walks:
        for number in range(count):
            step, state = method.step(p.f, p.batch, state, number)
            found.append(step)
    return found, walks


def executed(p: Problem, method: Method, count: int = 1) -> int:
    return costs_of(p.f).executed(steps(p, method, count)[1])


# -- the formulas against the walks --------------------------------------------------------------------------


@FEW
@given(objectives())
def test_sgd_and_generalized_sam_cost_what_the_formulas_say(p: Problem) -> None:
    costs, n = costs_of(p.f), len(p.batch.x)
    assert executed(p, SGD()) == n * costs.sgd == n * (costs.forward + costs.backward)
    sam = n * (costs.sgd + costs.extra(p.f.weights.layers))
    assert [executed(p, GeneralizedSAM(radius, 0.5)) for radius in (Raw(0.1), Normalised(0.1))] == [sam, sam]


@FEW
@given(objectives(), st.data())
def test_layerwise_sam_costs_what_the_formulas_say(p: Problem, data: Any) -> None:
    n, afresh = len(p.batch.x), replace(p.f, engine=Afresh)
    k = data.draw(st.integers(0, len(p.f.weights.layers)))
    for selected in (p.selected, p.f.weights.layers[len(p.f.weights.layers) - k :]):
        for f, again in ((p.f, False), (afresh, True)):
            costs = costs_of(f)
            with f.watched() as walks:
                layerwise_sam(f, p.batch, selected, Raw(0.1), 0.5)
            assert costs.executed(walks) == n * (costs.sgd + costs.extra(selected, afresh=again))
    assert executed(p, LayerwiseSAM(k, Raw(0.1), 0.5)) == n * (costs.sgd + costs.extra(selected))


def looksam(costs: Costs, interval: Any) -> Any:
    """Eq. 9, above SGD."""
    return (costs.backward + costs.resume(costs.layout.layers)) / interval


def esam(costs: Costs, share: Any) -> Any:
    """Above SGD, so many of the samples being selected."""
    return costs.extra(costs.layout.layers) + share * (costs.again + costs.backward) + costs.forward - costs.sgd


@FEW
@given(objectives(), st.integers(1, 4), st.booleans())
def test_looksam_costs_what_the_formula_says_over_one_interval(p: Problem, interval: int, per_layer: bool) -> None:
    costs, n = costs_of(p.f), len(p.batch.x)
    above = looksam(costs, Fraction(interval))
    found = executed(p, LookSAM(Raw(0.1), interval, per_layer=per_layer), interval)
    assert found == n * interval * (costs.sgd + above)


@FEW
@given(objectives(), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.sampled_from(["parameter", "tensor"]))
def test_esam_costs_what_the_formula_says(p: Problem, gamma: float, by: str) -> None:
    costs, n = costs_of(p.f), len(p.batch.x)
    share = Fraction(max(1, round(gamma * n)), n)
    assert executed(p, ESAM(Raw(0.1), 0.5, gamma, by)) == n * (costs.sgd + esam(costs, share))


@FEW
@given(objectives(), st.integers(1, 3), st.integers(1, 9))
def test_sparse_sam_costs_what_the_formulas_say(p: Problem, refresh: int, samples: int) -> None:
    costs, n, method = costs_of(p.f), len(p.batch.x), SparseSAM(Raw(0.1), 0.5, refresh, samples)
    sam, masked = n * (costs.sgd + costs.extra(p.f.weights.layers)), min(n, samples) * costs.fisher()
    assert executed(p, method, refresh) == refresh * sam + masked
    assert executed(p, method, 2 * refresh + 1) == (2 * refresh + 1) * sam + 3 * masked


@FEW
@given(objectives(), st.sampled_from([0.0, 0.1, 0.3, 0.8, 1000.0]))
def test_a_budget_is_kept_in_what_is_executed(p: Problem, share: float) -> None:
    costs, n = costs_of(p.f), len(p.batch.x)
    found, walks = steps(p, LayerwiseSAM(0, Raw(0.1), 0.5, Budget(costs, share)), 2)
    assert costs.executed(walks) == n * sum(costs.sgd + costs.extra(step.selected) for step in found)
    assert costs.executed(walks) <= 2 * n * costs.sgd * (1 + share)


@FEW
@given(objectives())
def test_the_parts_of_a_set_of_layers_add_up(p: Problem) -> None:
    """``above`` is ``B_S + F_S``: the way through the cone, and the gradients of each layer of its own."""
    costs = costs_of(p.f)
    assert costs.extra(p.selected) == costs.ascent(p.selected) + costs.resume(p.selected)
    own = sum(costs.gradients(layer) for layer in p.selected)
    assert costs.extra(p.selected) == costs.cone_cost(costs.network.cone(p.f.weights.layout.only(p.selected))) + own
    assert costs.extra(()) == 0
    assert costs.extra(p.selected, afresh=True) == costs.ascent(p.selected) + costs.forward
    assert costs.resume(p.selected) <= costs.forward
    assert costs.ascent(p.selected) <= costs.backward


def test_a_batch_costs_its_samples() -> None:
    p = small()
    (_, few), (_, many) = (steps(p._replace(batch=batch(p.f.network, n, 0, 10)), SGD(), 1) for n in (3, 6))
    costs = costs_of(p.f)
    assert 2 * costs.executed(few) == costs.executed(many)
    assert costs.executed([]) == 0
    assert [sum(costs.visited(walk)) for walk in few] == [costs.forward, costs.backward]


# -- the table -----------------------------------------------------------------------------------------------


def small(perturb: str = "kernels") -> Problem:
    network = randomise(resnet20((4, 4, 1), device=Device.of("cpu", "float64")), seed=0)
    return Problem(NetworkObjective(network, perturb=perturb), batch(network, 8, 0, 10), ())


@pytest.mark.parametrize("perturb", ["kernels", "all"])
@pytest.mark.parametrize(("gamma", "samples"), [(0.5, 3), (0.0, 16)])
def test_the_table_has_what_steps_cost(perturb: str, gamma: float, samples: int) -> None:
    p = small(perturb)
    names, n = p.f.weights.layers, len(p.batch.x)
    own = {"esam_gamma": gamma, "looksam_interval": 2, "sparse_refresh": 3, "fisher_samples": samples, "k": 5}
    config, r = Config.of({"batch_size": n, **own}), Raw(0.1)
    order = ("sgd", "sam", "looksam", "esam", "sparse-sam", "layerwise-sam")
    table = [cost for name in order for cost in METHODS[name].costs(config, costs_of(p.f))]
    found: list[float] = [executed(p, SGD()), executed(p, GeneralizedSAM(r, 1))]
    found += [executed(p, LookSAM(r, 2), 2) / 2, executed(p, ESAM(r, 0.5, gamma))]
    found += [executed(p, SparseSAM(r, 0.5, 3, samples), 3) / 3]
    for k in (1, 2, 4, 5, 8):
        for engine in (Afresh, Plain):
            q = p._replace(f=replace(p.f, engine=engine))
            found.append(executed(q, LayerwiseSAM(k, r, 0.5)))  # at the first step the last k
    assert [line.flops for line in table] == pytest.approx([total / n for total in found], rel=1e-14)
    exact = [line.flops == total / n for line, total in zip(table, found, strict=True)]
    assert [line.name.split(",")[0] for line in table[:5]] == list(order[:5])
    assert all(exact[i] for i in (0, 1, *range(5, len(table))))  # whole numbers
    assert len(names) >= 8


# -- the notes against the calls -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Watched(Layer):
    """A layer that notes its calls, each with the size of the arrays that came, in ``calls``.

    Its ``work`` has what the inner layer spends in matrix products of a convolution or a linear layer, no more.
    """

    inner: Layer
    number: int
    calls: list[tuple[Any, ...]]

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return self.inner.inputs

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return self.inner.parameters()

    def buffers(self) -> Mapping[str, ParameterSpec]:
        return self.inner.buffers()

    def shape(self, *inputs: Shape) -> Shape:
        return self.inner.shape(*inputs)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        work = self.inner.work(shapes, training)
        if isinstance(self.inner, layers.Convolution):
            return work
        if isinstance(self.inner, layers.Linear):
            return Work(work.forward - self.inner.units, 0, work.inputs, {**work.parameters, "bias": 0})
        return Work(0, 0, (0,) * self.inner.inputs, dict.fromkeys(work.parameters, 0))

    def forward(self, t: Tensors, xs: tuple[Any, ...], context: Context) -> tuple[Any, Cache]:
        self.calls.append(("forward", self.number, {len(x) for x in xs}, context.training, (), ()))
        return self.inner.forward(t, xs, context)

    def backward(
        self, t: Tensors, gy: Any, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Any | None, ...]:
        self.calls.append(("backward", self.number, {len(gy)}, None, want, tuple(gw)))
        return self.inner.backward(t, gy, cache, want, gw)

    def commit(self, t: Tensors, cache: Cache) -> None:
        self.inner.commit(t, cache)


def watched(p: Problem) -> tuple[Problem, list[tuple[Any, ...]]]:
    """The same problem on watched layers; the list of their calls."""
    calls: list[tuple[Any, ...]] = []
    old = p.f.network
    nodes = [Node(node.name, Watched(node.layer, i, calls), node.inputs) for i, node in enumerate(old.nodes)]
    network = Network(nodes, old.input_shape, old.device)
    network.weights.data[...] = old.weights.data
    return p._replace(f=replace(p.f, network=network)), calls


@DEAR
@given(objectives())
def test_what_is_noted_is_what_was_called(p: Problem) -> None:
    """Of every method: the layers in their order, on how many samples, in training or not, and what was asked."""
    q, calls = watched(p)
    for name, method in every_method(q.f, Raw(0.1)).items():
        calls.clear()
        _, walks = steps(q, method, 2)
        noted = [
            (walk.kind, v.node, {walk.samples}, walk.training if walk.kind == "forward" else None, v.want, v.wanted)
            for walk in walks
            for v in walk.visits
        ]
        assert noted == calls, name
        kinds = [walk.training for walk in walks if walk.kind == "forward"]
        backwards = [walk.training for walk in walks if walk.kind == "backward"]
        assert kinds.count(False) == backwards.count(False) == (min(3, len(p.batch.x)) if name == "sparse-sam" else 0)


# -- FLOPs against the products that are computed ------------------------------------------------------------


class Counted(np.ndarray):
    """An array that counts what is done to it, and to what is computed from it.

    ``products``: twice the multiplications of matrix products. ``entries``: an operation an entry of the result of
    sums, products, maxima; an entry of what is added up; an entry that a product with a row of ones adds up. What is
    done to vectors, once a channel, is left out.
    """

    products: ClassVar[int] = 0
    entries: ClassVar[int] = 0
    COUNTED: ClassVar[tuple[str, ...]] = ("add", "subtract", "multiply", "divide", "maximum", "square")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) if isinstance(x, Counted) else x for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul and min(np.ndim(x) for x in plain) == 2:
            Counted.products += 2 * plain[0].shape[0] * plain[0].shape[1] * plain[1].shape[1]
        elif ufunc is np.matmul or method == "reduce":
            Counted.entries += max(np.size(x) for x in plain)
        elif ufunc.__name__ in self.COUNTED and np.ndim(result) > 1:
            Counted.entries += result.size
        if out is not None:
            return out[0]
        return result.view(Counted) if isinstance(result, np.ndarray) else result


@DEAR
@given(objectives(), st.sampled_from([0, 1, 3, 8]))
def test_the_products_that_are_computed_are_those_of_the_formulas(p: Problem, last: int) -> None:
    """Of convolutions and linear layers, blocks and all, for every method; the others are not counted here."""
    q, _ = watched(p)
    costs, n, names = costs_of(q.f), len(q.batch.x), q.f.weights.layers
    counted = q._replace(batch=q.batch._replace(x=q.batch.x.view(Counted)))
    sam, k = costs.sgd + costs.extra(names), min(last, len(names))
    m = max(1, round(0.4 * n))
    expected: dict[str, tuple[Method, int, Any]] = {
        "sgd": (SGD(), 1, n * costs.sgd),
        "generalized": (GeneralizedSAM(Raw(0.1), 0.5), 1, n * sam),
        "looksam": (LookSAM(Raw(0.1), 3), 3, 3 * n * (costs.sgd + looksam(costs, Fraction(3)))),
        "esam": (ESAM(Raw(0.1), 0.5, 0.4), 1, n * (costs.sgd + esam(costs, Fraction(m, n)))),
        "sparse": (SparseSAM(Raw(0.1), 0.5, 2, 3), 2, 2 * n * sam + min(3, n) * costs.fisher()),
        "layerwise": (LayerwiseSAM(k, Raw(0.1), 0.5), 1, n * (costs.sgd + costs.extra(names[len(names) - k :]))),
    }
    for name, (method, count, flops) in expected.items():
        Counted.products = 0
        found, walks = steps(counted, method, count)
        assert Counted.products == costs.executed(walks) == flops, name
        plain, _ = steps(p, method, count)  # and to count changes nothing
        assert all(np.array_equal(a.update.data, b.update.data) for a, b in zip(found, plain, strict=True)), name
    Counted.products = 0
    with counted.f.watched() as walks:
        layerwise_sam(replace(counted.f, engine=Afresh), counted.batch, q.selected, Raw(0.1), 0.5)
    assert Counted.products == n * (costs.sgd + costs.extra(q.selected, afresh=True))


BY_ENTRY: list[Any] = [
    (layers.ReLU(), (4, 3, 2), True),
    (layers.Add(), (4, 3, 2), True),
    (layers.Linear(5, 3), (5,), True),
    (layers.BatchNorm(3), (4, 2, 3), True),
    (layers.BatchNorm(3), (4, 2, 3), False),
    (layers.Flatten(), (4, 3, 2), True),
    (layers.Dropout(0.3), (4, 3, 2), True),
    (layers.Dropout(0.3), (4, 3, 2), False),
]


def spent(layer: Layer, shape: tuple[int, ...], training: bool, want: bool, names: set[str]) -> tuple[int, int]:
    """Operations a sample: forward, backward. What does not grow with the samples falls out of the difference."""
    rng, found = np.random.default_rng(0), []
    t = {name: rng.uniform(1, 2, spec.shape) for name, spec in {**layer.parameters(), **layer.buffers()}.items()}
    for n in (3, 4):
        xs = tuple(rng.normal(size=(n, *shape)).view(Counted) for _ in range(layer.inputs))
        Counted.products = Counted.entries = 0
        y, cache = layer.forward(t, xs, Context(Device.of("cpu", "float64"), training, (0,)))
        found.append(Counted.products + Counted.entries)
        Counted.products = Counted.entries = 0
        gw = {name: np.empty(t[name].shape) for name in names}
        layer.backward(t, rng.normal(size=y.shape).view(Counted), cache, (want,) * layer.inputs, gw)
        found.append(Counted.products + Counted.entries)
    return found[2] - found[0], found[3] - found[1]


@pytest.mark.parametrize(("layer", "shape", "training"), BY_ENTRY, ids=str)
def test_a_layers_work_is_what_it_does(layer: Layer, shape: tuple[int, ...], training: bool) -> None:
    work = layer.work((shape,) * layer.inputs, training)
    for want in (False, True):
        for name in (None, *work.parameters):
            forward, backward = spent(layer, shape, training, want, set() if name is None else {name})
            assert forward == work.forward
            asked = (sum(work.inputs) if want else 0) + (work.parameters[name] if name else 0)
            assert backward == work.backward + asked, (want, name)


def test_every_shape_in_the_formulas_is_that_of_the_arrays() -> None:
    p = small()
    tape, costs = p.f.forward(p.batch).tape, costs_of(p.f)
    for i, node in enumerate(p.f.network.nodes):
        if isinstance(node.layer, layers.Convolution):
            filters, size = prod(tape.value(i).shape[1:]), node.layer.size**2 * node.layer.channels
            assert costs.work[True][i].forward == 2 * filters * size
