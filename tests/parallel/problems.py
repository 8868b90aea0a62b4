"""What the ranks train: small smooth networks with every kind of node, in float64; every method, by its options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.layer import Cache, Context, Layer, Tensors
from lwsam_ref.autodiff.network import Network
from lwsam_ref.comm import Communicator
from lwsam_ref.data import Dataset, Images, Split, batches
from lwsam_ref.device import Device
from lwsam_ref.training.config import Config
from lwsam_ref.training.trainer import Trainer
from lwsam_ref.vector import Array
from support.rich import LENGTH, WORDS, rich

IMAGES, TEST_IMAGES, BATCH, SIDE, CLASSES = 240, 600, 120, 4, 3


@dataclass(frozen=True)
class Tanh(Layer):
    """Smooth: where weights agree to rounding, gradients do."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        y = np.tanh(xs[0])
        return y, y

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (gy * (1 - cache * cache) if want[0] else None,)


def plain(device: Device) -> Network:
    """No batch norm; dropout, twice."""
    b = Builder((SIDE, SIDE, 1))
    x = b.dropout("dropout1", b.add("tanh1", Tanh(), b.convolution("conv1", b.input, 3)), 0.2)
    x = b.add("tanh2", Tanh(), b.convolution("conv2", x, 3, stride=2))
    x = b.add("tanh3", Tanh(), b.linear("hidden", b.flatten("flatten", x), 8))
    b.linear("output", b.dropout("dropout2", x, 0.3), CLASSES)
    return b.network(device, seed=1)


def normed(device: Device) -> Network:
    """Batch norm behind every convolution, a sum, and dropout."""
    b = Builder((SIDE, SIDE, 1), bn_momentum=0.9)
    x = b.add("tanh1", Tanh(), b.batch_norm("norm1", b.convolution("conv1", b.input, 3)))
    y = b.add("tanh2", Tanh(), b.batch_norm("norm2", b.convolution("conv2", x, 3)))
    x = b.dropout("dropout", b.sum("sum", x, y), 0.2)
    x = b.add("tanh3", Tanh(), b.batch_norm("norm3", b.convolution("conv3", x, 4, stride=2)))
    b.linear("output", b.average_pool("pool", x), CLASSES)
    return b.network(device, seed=2)


NETWORKS = {"plain": plain, "normed": normed, "rich": rich}

METHODS: dict[str, dict[str, Any]] = {
    "sgd": {"method": "sgd"},
    "sam": {"method": "sam", "r": 0.3},
    "sam, statistics twice moved": {"method": "sam", "rho": 0.1, "bn_update": "twice"},
    "generalized": {"method": "generalized-sam", "rho": 0.1, "perturb": "all", "decay_in": "loss"},
    "looksam": {"method": "looksam", "looksam_interval": 3},
    "looksam by layer": {"method": "looksam", "looksam_interval": 2, "look_per_layer": True, "rho": 0.1},
    "layerwise": {"k": 2},
    "layerwise, all parameters": {"k": 2, "perturb": "all", "criterion": "low"},
    "layerwise at random": {"k": 2, "criterion": "random", "decay_in": "loss"},
    "budget": {"budget": 0.4},
    "esam": {"method": "esam", "rho": 0.1},
    "esam by tensor": {"method": "esam", "esam_by": "tensor", "esam_gamma": 0.3},
    "sparse": {"method": "sparse-sam", "sparse_refresh": 6, "fisher_samples": 7},
    "sparse, of every sample": {"method": "sparse-sam", "sparse_refresh": 20, "fisher_samples": 999, "sparsity": 0.8},
    "friendly": {"method": "friendly-sam", "friendly_sigma": 0.8, "rho": 0.1},
    "adaptive": {"method": "sam", "adaptive": True, "rho": 0.5},
    "adaptive, layerwise": {"k": 2, "adaptive": True, "perturb": "all"},
}
"""Of each method one or two, with the options that make them differ."""

LEFT_OUT = {
    "plain": ("sam, statistics twice moved",),
    "normed": ("looksam by layer", "layerwise, all parameters", "sparse, of every sample", "adaptive, layerwise"),
    "rich": ("sam, statistics twice moved", "looksam by layer", "budget", "adaptive"),
}
"""Variants that are tried on the other network alone."""

CASES = {network: tuple(name for name in METHODS if name not in LEFT_OUT[network]) for network in NETWORKS}

CLIMBING = ("sam", "looksam", "layerwise", "esam")
"""By each of the ways to climb that there are in the code."""

COMMON = {
    "batch_size": BATCH,
    "epochs": 10,
    "lr": 0.05,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "dtype": "float64",
}


def toy() -> Dataset:
    """Noise; any crop and any flip will do."""
    draw = np.random.default_rng(3)
    train, test = (
        Split(draw.integers(0, 256, (n, SIDE, SIDE, 1), np.uint8), draw.integers(0, CLASSES, n))
        for n in (IMAGES, TEST_IMAGES)
    )
    return Images("toy", train, test, outputs=CLASSES, pad=1, flip=True)


def words() -> Dataset:
    """Tokens, and one to be predicted at each position."""
    draw = np.random.default_rng(4)
    train, test = (Split(*draw.integers(0, WORDS, (2, n, LENGTH))) for n in (IMAGES, TEST_IMAGES))
    return Dataset("words", train, test, outputs=WORDS)


def made(network: str, comm: Communicator, device: Device | None = None, **options: Any) -> Trainer:
    config = Config.of(COMMON | options)
    data = words() if network == "rich" else toy()
    return Trainer(config, NETWORKS[network](device or Device.of("cpu", config.dtype)), data, comm)


def indices(trainer: Trainer, number: int) -> np.ndarray:
    """The images of step ``number`` of the run."""
    epoch, place = divmod(number, trainer.steps_per_epoch)
    n, config = len(trainer.data.train.targets), trainer.config
    return list(batches(n, config.batch_size, seed=config.seed, epoch=epoch))[place]


def steps(trainer: Trainer, count: int) -> list[dict[str, Any]]:
    """The next steps of the run: their records, without times."""
    lines = [trainer.step(indices(trainer, trainer.number))[0].json() for _ in range(count)]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def outcome(trainer: Trainer, lines: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """All that the steps left: weights, velocity, running statistics, the method's state, the records."""
    yield from trainer.snapshot().items()
    yield "lines", np.array(json.dumps(lines))
