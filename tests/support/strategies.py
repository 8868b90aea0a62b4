"""Random networks, objectives, batches, selections: structure is drawn, entries come from a drawn seed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from lwsam_ref.algorithms import Method, Radius
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import PlainTape
from lwsam_ref.device import Device
from lwsam_ref.training.config import OPTIONS
from lwsam_ref.training.losses import CrossEntropy
from lwsam_ref.training.methods import CLIMB, METHODS
from lwsam_ref.training.objective import Batch, NetworkObjective
from lwsam_ref.vector import PERTURBED
from nets import wide_resnet
from support import toy
from support.tables import another

CLASSES = 3
DTYPES = st.sampled_from(["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)
alphas = st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])
radii = st.sampled_from([0.0, 0.01, 0.1, 1.0])
widths = st.integers(2, 5)


class Problem(NamedTuple):
    """An objective, one of its batches, and layers to perturb."""

    f: Any
    batch: Any
    selected: tuple[str, ...]


def randomise(network: Network, seed: int) -> Network:
    """Gamma of either sign and away from 0, beta and biases small but not 0: no gradient vanishes by structure."""
    rng = np.random.default_rng(seed)
    for t in network.weights.layout.tensors:
        if t.name.endswith("gamma"):
            network.weights[t.name][...] = rng.choice([-1, 1], t.shape) * rng.uniform(0.5, 1.5, t.shape)
        elif t.name.endswith(("beta", "bias")):
            network.weights[t.name][...] = rng.normal(0, 0.2, t.shape)
    return network


def plain_tape(evaluation: Any) -> PlainTape:
    """Of the plain engine, whose tape has every node's value."""
    assert isinstance(evaluation.tape, PlainTape)
    return evaluation.tape


@st.composite
def wide_networks(draw: st.DrawFn, dtypes: st.SearchStrategy[str] = DTYPES) -> Network:
    """The smallest of the wide residual networks, both kinds of block, with and without dropout."""
    seed = draw(seeds)
    network = wide_resnet(
        (4, 4, 1),
        CLASSES,
        depth=10,
        width=1,
        dropout=draw(st.sampled_from([0.0, 0.3])),
        post_activation=draw(st.booleans()),
        bn_eps=1e-3,  # with 1e-5 and two samples the curvature drowns the difference quotients
        device=Device.of("cpu", draw(dtypes)),
        seed=seed,
    )
    return randomise(network, seed)


@st.composite
def residual_networks(draw: st.DrawFn, dtypes: st.SearchStrategy[str] = DTYPES) -> Network:
    """Residual networks of one to three blocks; in a block also a bare branch, a stride, a projection."""
    size = draw(st.integers(4, 5))
    b = Builder((size, size, draw(st.integers(1, 2))), bn_momentum=0.9)

    def conv(name: str, x: int, width: int, kernel: int = 3, stride: int = 1) -> int:
        y = b.convolution(name, x, width, kernel, stride)
        return b.batch_norm(f"{name}.bn", y) if draw(st.booleans()) else y

    x = b.relu("relu", conv("conv", b.input, draw(widths)))
    for i in range(draw(st.integers(1, 3))):
        before, stride = b.channels(x), draw(st.integers(1, 2))
        width = draw(widths | st.just(before))
        y = b.relu(f"{i}.relu", conv(f"{i}.conv1", x, width, draw(st.sampled_from([1, 3])), stride))
        if draw(st.booleans()):
            y = conv(f"{i}.conv2", y, width)
        if draw(st.integers(0, 3)) == 0:
            y = b.dropout(f"{i}.dropout", y, 0.3)
        identity = stride == 1 and width == before and draw(st.booleans())
        x = b.sum(f"{i}.add", y, x if identity else conv(f"{i}.projection", x, width, 1, stride))
        x = b.relu(f"{i}.out", x)
    x = b.flatten("flatten", x) if draw(st.booleans()) else b.average_pool("pool", x)
    b.linear("fc", x, CLASSES)
    seed = draw(seeds)
    return randomise(b.network(Device.of("cpu", draw(dtypes)), seed), seed)


@st.composite
def chains(draw: st.DrawFn, dtypes: st.SearchStrategy[str] = DTYPES) -> Network:
    """Convolutions (two at most), then linear layers, a ReLU between each two layers: no norm, no branch."""
    b = Builder((3, 3, draw(st.integers(1, 2))))
    x = b.input
    for i in range(draw(st.integers(0, 2))):
        x = b.relu(f"relu{i}", b.convolution(f"conv{i}", x, draw(widths), 3, draw(st.integers(1, 2))))
    x = b.flatten("flatten", x)
    for i in range(draw(st.integers(1, 3))):
        x = b.relu(f"{i}.relu", b.linear(f"{i}.linear", x, draw(widths)))
    b.linear("fc", x, CLASSES)
    seed = draw(seeds)
    return randomise(b.network(Device.of("cpu", draw(dtypes)), seed), seed)


def networks(dtypes: st.SearchStrategy[str] = DTYPES) -> st.SearchStrategy[Network]:
    """Any of both, small random ones three times as often."""
    return st.integers(0, 3).flatmap(lambda i: wide_networks(dtypes) if i == 3 else residual_networks(dtypes))


def batch(network: Network, size: int, seed: int, classes: int = CLASSES) -> Batch:
    """Images of normal entries."""
    rng = np.random.default_rng(seed)
    x = network.device.put(rng.normal(size=(size, *network.input_shape)))
    return Batch(x, rng.integers(0, classes, size), step=seed % 7)


@st.composite
def batches(draw: st.DrawFn, network: Network) -> Batch:
    return batch(network, draw(st.integers(2, 6)), draw(seeds))


@st.composite
def selections(draw: st.DrawFn, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Any set of layers, of any size alike; the empty and the full one more often."""
    k = draw(st.sampled_from([*range(len(layers) + 1), 1, 2, len(layers)]))
    order = np.random.default_rng(draw(seeds)).permutation(len(layers))
    return tuple(layers[i] for i in sorted(order[: min(k, len(layers))]))


@st.composite
def objectives(draw: st.DrawFn, dtypes: st.SearchStrategy[str] = DTYPES, **fixed: Any) -> Problem:
    """A network with a loss; no tensor's gradient is all zero (dead units are drawn anew)."""
    network = draw(networks(dtypes))
    layout = network.weights.layout
    options: dict[str, Any] = {
        "loss": CrossEntropy(draw(st.sampled_from([0.0, 0.1]))),
        "perturb": draw(st.sampled_from([rule for rule in sorted(PERTURBED) if layout.perturbing(rule).layers])),
        "decay": draw(st.sampled_from([0.0, 0.01])),
        "seed": draw(st.integers(0, 9)),
    } | fixed
    sample = draw(batches(network))
    gradient = NetworkObjective(network, **options | {"decay": 0.0}).forward(sample).backward()
    assume(all(gradient[t.name].any() for t in gradient.layout.tensors))
    f = NetworkObjective(network, **options)
    return Problem(f, sample, draw(selections(f.weights.layers)))


@st.composite
def toys(draw: st.DrawFn, dtypes: st.SearchStrategy[Any] = DTYPES) -> Problem:
    """Quadratic finite sums over one to four layers."""
    shapes = draw(st.lists(st.sampled_from([(1,), (2,), (1, 2)]), min_size=1, max_size=4))
    f = toy.quadratic({f"w{i}": s for i, s in enumerate(shapes)}, draw(seeds), draw(dtypes))
    sample = draw(st.lists(st.integers(0, toy.TERMS - 1), min_size=1, max_size=4))
    return Problem(f, tuple(sample), draw(selections(f.weights.layers)))


problems = objectives() | toys()


TUNED = {"alpha": 0.7, "looksam_interval": 3, "sparse_refresh": 2, "fisher_samples": 3, "esam_gamma": 0.5, "seed": 1}
"""Values that act within a few steps on a few samples, where the defaults would not."""


def every_method(f: Any, radius: Radius) -> dict[str, Method]:
    """Each method of the table as it is by default, and with each of its own switches and choices turned."""
    defaults = {name: option.default for name, option in OPTIONS.items()} | TUNED
    defaults |= {"k": (len(f.weights.layers) + 1) // 2}
    known = isinstance(f, NetworkObjective)
    costs: Any = Costs(f.network, f.weights.layout) if known else SimpleNamespace(layout=f.weights.layout)
    methods: dict[str, Method] = {}
    for name, kind in METHODS.items():
        variants: dict[str, dict[str, Any]] = {name: {}}
        for own, option in kind.options.items():
            if own not in CLIMB and (option.choices or option.kind is bool):
                variants[f"{name} {own}"] = {own: another(option)}
        if known and "budget" in kind.options:
            variants[f"{name} budget"] = {"budget": 0.5}
        for variant, changes in variants.items():
            values: Any = SimpleNamespace(**defaults | changes)
            method: Any = kind.make(values, costs)
            methods[variant] = replace(method, radius=radius) if hasattr(method, "radius") else method
    return methods
