"""What faults made on purpose (`scripts/mutate.py`) got past: masks, testing, initial weights, crops, options."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lwsam_ref import data
from lwsam_ref.algorithms import (
    ESAM,
    SGD,
    Adaptive,
    GeneralizedSAM,
    LayerwiseSAM,
    LookSAM,
    Method,
    Normalised,
    Raw,
    SparseSAM,
    low,
    random,
)
from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.layer import Context
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device
from lwsam_ref.errors import UserError
from lwsam_ref.training import checkpoint
from lwsam_ref.training.config import OPTIONS, Config
from lwsam_ref.training.loop import run as to_the_end
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.objective import Batch, NetworkObjective
from lwsam_ref.training.trainer import Trainer
from nets import mlp, resnet20, wide_resnet
from proofs import problems
from proofs.search import smallest
from support.strategies import batch, plain_tape, randomise
from support.tables import another

DEVICE = Device.of("cpu", "float64")


# -- masks ---------------------------------------------------------------------------------------------------


def test_the_mean_over_masks_is_the_input() -> None:
    x, rate = np.random.default_rng(0).normal(size=7), 0.3
    mean = (1 - rate) * ops.dropout(x, np.ones(7), rate) + rate * ops.dropout(x, np.zeros(7), rate)
    np.testing.assert_allclose(mean, x, rtol=1e-15)
    keep = Context(DEVICE, training=True, key=(0, 0)).mask((10_000,), rate)
    assert abs(keep.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 10_000)  # five deviations


def test_masks_differ_between_nodes_steps_and_seeds() -> None:
    b = Builder((64,))
    b.linear("fc", b.sum("sum", b.dropout("a", b.input, 0.5), b.dropout("b", b.input, 0.5)), 2)
    network, x, labels = b.network(DEVICE), np.ones((1, 64)), np.zeros(1, int)
    masks = []
    for seed in (0, 1):
        f = NetworkObjective(network, seed=seed)
        for step in (0, 1, 1):
            tape = plain_tape(f.forward(Batch(x, labels, step)))
            masks.append((tape.value(0).tobytes(), tape.value(1).tobytes()))
        assert masks[-1] == masks.pop()  # the step again
    assert len({mask for pair in masks for mask in pair}) == 8


# -- a cone through the shortcut alone -----------------------------------------------------------------------


def test_the_cone_of_a_projection_goes_through_the_sum() -> None:
    network = resnet20((4, 4, 1), device=DEVICE)
    names = [network.nodes[i].name for i in sorted(network.cone(["stage3.block1.projection"]))]
    assert "stage3.block1.add" in names
    assert "stage3.block1.conv2" not in names
    assert names[-1] == "fc"


# -- as at test time -----------------------------------------------------------------------------------------


def small(dropout: float) -> Network:
    return wide_resnet((4, 4, 1), 3, depth=10, width=1, dropout=dropout, device=DEVICE)


def test_logits_are_those_of_the_running_statistics_without_dropout() -> None:
    dropped, plain = randomise(small(0.3), seed=0), small(0.0)
    plain.weights.data[...] = dropped.weights.data
    for network in (dropped, plain):
        network.buffers.data[...] = np.random.default_rng(1).uniform(0.5, 2, network.buffers.data.shape)
    x = batch(plain, 5, 0).x
    logits = NetworkObjective(dropped).output(x)
    assert np.array_equal(logits, NetworkObjective(plain).output(x))
    # the matrix products of one image are summed in another order
    np.testing.assert_allclose(NetworkObjective(dropped).output(x[:1]), logits[:1], rtol=1e-10)
    plain.buffers.data[...] *= 2
    assert not np.allclose(NetworkObjective(plain).output(x), logits)


# -- initial weights -----------------------------------------------------------------------------------------


def test_initial_weights_are_uniform_within_glorots_limit() -> None:
    """``sqrt(6 / (fan in + fan out))``, fans with the receptive field; drawn anew for each node and seed."""
    network, other = resnet20((8, 8, 1), device=DEVICE), resnet20((8, 8, 1), device=DEVICE, seed=1)
    kernels = {t.name: network.weights[t.name] for t in network.weights.layout.tensors if t.ranked}
    for name, kernel in kernels.items():
        *receptive, c, k = kernel.shape
        limit = np.sqrt(6 / (np.prod(receptive) * (c + k)))
        assert 0.9 * limit < np.abs(kernel).max() <= limit, name
        assert abs(kernel.mean()) < 5 * limit / np.sqrt(3 * kernel.size), name  # five deviations
        assert abs((kernel**2).mean() / (limit**2 / 3) - 1) < 5 / np.sqrt(kernel.size), name
        assert not np.array_equal(kernel, other.weights[name]), name
    assert len({kernel.tobytes() for kernel in kernels.values()}) == len(kernels)
    assert not network.weights["fc.bias"].any()


# -- crops ---------------------------------------------------------------------------------------------------


def test_every_crop_is_as_likely_as_the_others() -> None:
    x = np.broadcast_to(np.arange(1.0, 10).reshape(3, 3, 1), (2500, 3, 3, 1))
    moved = data.crop_and_flip(x, 2, False, (0, 0))
    counts = np.unique(moved.reshape(2500, -1), axis=0, return_counts=True)[1]
    assert len(counts) == 25
    assert 50 < counts.min() <= counts.max() < 150  # 100 each, five deviations


def test_a_step_augments_by_its_number() -> None:
    images = {(a, n): run("mlp", digits(), augment=a).batch(range(8), n).x for a in (True, False) for n in (0, 1)}
    assert not np.array_equal(images[True, 0], images[True, 1])
    assert np.array_equal(images[True, 1], run("mlp", digits()).batch(range(8), 1).x)
    assert np.array_equal(images[False, 0], images[False, 1])
    assert not np.array_equal(images[False, 0], images[True, 0])


# -- from the options to the run -----------------------------------------------------------------------------

SMALL = {
    "mlp": partial(mlp, hidden=(8, 8)),
    "wrn16-2": partial(wide_resnet, depth=10, width=1),  # the smallest, under a name that takes its options
}


def digits(images: int = 32) -> data.Dataset:
    whole = data.load("digits")
    train, test = (data.Split(s.inputs[:images], s.targets[:images]) for s in (whole.train, whole.test))
    return data.Images("digits", train, test, outputs=10, pad=1, flip=False)


def run(model: str, images: data.Dataset, **options: Any) -> Trainer:
    config = Config.of({"model": model, "batch_size": 16, "k": 2, **options})
    own = {name: getattr(config, name) for name in MODELS[model].options}
    device = Device.of(config.device, config.dtype)
    return Trainer(config, SMALL[model](images.shape, images.outputs, device=device, seed=config.seed, **own), images)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "sgd"}, SGD()),
        ({"method": "sam", "r": 0.2}, GeneralizedSAM(Raw(0.2), 1.0)),
        ({"method": "generalized-sam", "rho": 0.05, "alpha": 0.6}, GeneralizedSAM(Normalised(0.05), 0.6)),
        ({"k": 2, "criterion": "low", "rho": 0.05}, LayerwiseSAM(2, Normalised(0.05), 0.8, low, 0)),
        ({"k": 1, "criterion": "random", "r": 0.2, "seed": 3}, LayerwiseSAM(1, Raw(0.2), 0.8, random, 3)),
        ({"method": "sam", "adaptive": True, "stabiliser": 0.2}, GeneralizedSAM(Adaptive(Raw(0.1), 0.2), 1.0)),
        ({"method": "looksam", "looksam_interval": 4, "looksam_reuse": 0.5}, LookSAM(Raw(0.1), 4, 0.5, False)),
        ({"method": "looksam", "look_per_layer": True, "rho": 0.05}, LookSAM(Normalised(0.05), 3, 0.7, True)),
        (
            {"method": "esam", "esam_beta": 0.5, "esam_gamma": 0.25, "seed": 2},
            ESAM(Raw(0.1), 0.5, 0.25, "parameter", 2),
        ),
        ({"method": "esam", "esam_by": "tensor"}, ESAM(Raw(0.1), 0.6, 0.5, "tensor", 0)),
        (
            {"method": "sparse-sam", "sparsity": 0.9, "sparse_refresh": 7, "fisher_samples": 5},
            SparseSAM(Raw(0.1), 0.9, 7, 5),
        ),
    ],
)
def test_a_method_has_the_values_of_its_options(options: dict[str, Any], expected: Method) -> None:
    network = mlp(hidden=(2, 2))
    config = Config.of(options)
    assert METHODS[config.method].make(config, Costs(network, network.weights.layout)) == expected


BASE = {"epochs": 2, "momentum": 0.9, "lr": 0.05, "weight_decay": 0.01}
STILL = ("probe", "bn_batch", "ascent_from", "engine")
"""They say how a run is done, or tell ranks apart."""
ELSEWHERE = ("dataset", "model", "device", "threads", "start", "folder")
"""Device and threads may move roundings; where a run starts from is tested in test_fit.py."""
BESIDE = {"stabiliser": {"adaptive": True}}
"""What makes an option act that does not by itself."""


def moved_to(**options: Any) -> tuple[bytes, bytes]:
    """Weights and running statistics at the end."""
    t = run("wrn16-2", digits(), **BASE | options)
    to_the_end(t)
    return t.f.weights.data.tobytes(), t.network.buffers.data.tobytes()


@pytest.fixture(scope="module")
def base() -> tuple[bytes, bytes]:
    return moved_to()


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in ELSEWHERE])
def test_an_option_moves_what_a_run_ends_with_or_has_no_effect(name: str, base: tuple[bytes, bytes]) -> None:
    """Each by itself, with a method that has it; with the default method, if that has not, nothing moves."""
    value = another(OPTIONS[name])
    owner = next((m for m, kind in METHODS.items() if name in kind.options), "layerwise-sam")
    owner = "layerwise-sam" if name in METHODS["layerwise-sam"].options else owner
    beside = {"method": owner, **BESIDE.get(name, {})}
    assert (moved_to(**{**beside, name: value}) == moved_to(**beside)) == (name in STILL)
    if owner != "layerwise-sam":
        assert moved_to(**{name: value}) == base
        with pytest.raises(UserError, match=rf"asked for {name} = "):
            Config.of({name: value}).require_used([name])


def test_for_sgd_decay_in_the_loss_is_decay_in_the_optimiser() -> None:
    options = {"method": "sgd", "dtype": "float64", "epochs": 2, "weight_decay": 0.1, "lr": 0.01}
    a, b = (run("wrn16-2", digits(), decay_in=place, **options) for place in ("optimizer", "loss"))
    start = a.f.weights.data.copy()
    for t in (a, b):
        to_the_end(t)
    # some roundings in another order, four steps
    np.testing.assert_allclose(a.f.weights.data, b.f.weights.data, atol=1e-12)
    assert np.abs(a.f.weights.data - start).max() > 1e-3


def test_a_checkpoint_holds_all_that_the_next_step_depends_on(tmp_path: Path) -> None:
    t = run("wrn16-2", digits(), epochs=1)
    to_the_end(t, tmp_path / "run")
    saved = checkpoint.read(tmp_path / "run" / "checkpoint.npz")
    assert np.array_equal(saved["weights"], t.f.weights.data)
    assert np.array_equal(saved["buffers"], t.network.buffers.data)
    assert np.array_equal(saved["velocity"], t.optimizer.velocity.data)
    assert np.array_equal(saved["state.descent_norms"], t.state["descent_norms"])
    assert all(saved[name].any() for name in ("weights", "buffers", "velocity", "state.descent_norms"))


# -- a bound that is not attained ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2, 4, 8])
def test_the_sharpest_point_of_the_small_network_is_below_beta_and_not_far_below(seed: int) -> None:
    """The largest curvature that a search finds; random points alone would let a third of beta pass."""
    f = problems.network(seed)

    def curvature(w: np.ndarray) -> float:
        h = 1e-5
        columns = [(f.gradient(i, w + h * e) - f.gradient(i, w - h * e)) / (2 * h) for i in f.all for e in np.eye(6)]
        return float(np.linalg.norm(np.reshape(columns, (-1, 6, 6)), 2, axis=(1, 2)).max())

    found = -smallest(lambda w: -curvature(w), 0, 1500, size=6)[0]
    assert 0.4 * f.beta < found <= f.beta
