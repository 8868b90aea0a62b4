"""Five steps of every method with its options, step by step, against PyTorch in float64: everything that moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import nets
from lwsam_ref.config import Config
from lwsam_ref.data import Dataset, Split
from lwsam_ref.train import trainer
from oracle import reference
from oracle.agreement import agree, by_name, by_our_name, copy, nchw
from strategies import randomise

STEPS, BATCH, SHAPE = 5, 8, (6, 5, 2)
BASE = Config(
    batch_size=BATCH, lr=0.02, weight_decay=0.01, label_smoothing=0.1, bn_momentum=0.9, dtype="float64", augment=False
)
MODELS = {"mlp": nets.mlp, "resnet20": nets.resnet20, "wrn16-2": nets.wrn16_2}
NETWORKS: dict[str, dict[str, Any]] = {name: {"model": name} for name in MODELS}
NETWORKS["wrn16-2 post"] = {"model": "wrn16-2", "post_activation": True}
METHODS: dict[str, dict[str, Any]] = {"sgd": {"method": "sgd"}}
for radius in ("r", "rho"):
    METHODS[f"sam {radius}"] = {"method": "sam", "alpha": 1.0, radius: 0.05}
    METHODS[f"generalized-sam {radius}"] = {"method": "generalized-sam", "alpha": 0.7, radius: 0.05}
    for criterion in ("high", "low", "random"):
        METHODS[f"{criterion} {radius}"] = {"method": "layerwise-sam", "criterion": criterion, radius: 0.05, "k": 2}
SWITCHES = list(product(("kernels", "all"), ("optimizer", "loss"), ("once", "twice")))
CASES = [  # each network has half of the eight settings, every pair of values among them; the next one has the others
    (network, method, *switches)
    for i, network in enumerate(NETWORKS)
    for method, switches in product(METHODS, SWITCHES)
    if (i + sum(value in switches for value in ("all", "loss", "twice"))) % 2 == 0
]


def data() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, *SHAPE), np.uint8)
    split = Split(images, rng.integers(0, 10, STEPS * BATCH))
    return Dataset("noise", split, split, classes=10, pad=0, flip=False)


def train(ours: Config, theirs: Config, fresh: bool = False) -> None:
    """Both sides in step; after each, all that the step found and all that it moved agree."""
    t = trainer(ours, MODELS, data())
    if not fresh:
        randomise(t.network, seed=2)
    model = reference.model(theirs.model, SHAPE, theirs.post_activation, theirs.bn_momentum)
    copy(t.network, model)
    training, state = reference.Training(model, theirs), t.state
    for number in range(STEPS):
        batch = t.batch(np.arange(number * BATCH, (number + 1) * BATCH), number)
        step, state = t.method.step(t.f, batch, state, number)
        t.optimizer.step(step.update, ours.lr)
        drawn = step.selected if theirs.criterion == "random" else None
        found = training.step(nchw(torch.tensor(batch.x)), torch.tensor(batch.labels), drawn)
        wanted = found.pop("selected", ())
        assert step.selected == wanted, f"selected {step.selected}, not {wanted}"
        norms = dict(zip(t.network.layers, step.descent_norms, strict=True))
        agree(norms, found.pop("norms"))
        agree({name: getattr(step, name) for name in found}, found)
        agree(by_name(t.f.weights), by_our_name(model, training.p))
        agree(by_name(t.optimizer.velocity), by_our_name(model, training.velocity()))
        agree(by_name(t.network.buffers), by_our_name(model, dict(model.named_buffers())))


@pytest.mark.parametrize(("network", "method", "perturb", "decay_in", "bn_moves"), CASES)
def test_five_steps(network: str, method: str, perturb: str, decay_in: str, bn_moves: str) -> None:
    switches = {"perturb": perturb, "decay_in": decay_in, "bn_moves": bn_moves}
    config = replace(BASE, **NETWORKS[network], **METHODS[method], **switches)
    train(config, config)


@pytest.mark.parametrize("options", [{"criterion": c, "k": k} for c in ("high", "low") for k in (0, 2, 17)], ids=str)
@pytest.mark.parametrize("network", ["resnet20", "wrn16-2 post"])
def test_five_steps_from_the_initial_weights(network: str, options: dict[str, Any]) -> None:
    """Gammas are 0 there, so norms are, exactly, and who is selected is a matter of ties."""
    config = replace(BASE, **NETWORKS[network], **options)
    train(config, config, fresh=True)


SLIGHT = ["alpha", "r", "lr", "momentum", "bn_momentum", "weight_decay", "label_smoothing"]
OTHER = {"alpha": 0.2, "rho": 0.1, "k": 3, "criterion": "low", "method": "sgd"}
OTHER |= {"perturb": "all", "decay_in": "loss", "bn_moves": "twice"}


@pytest.mark.parametrize("change", [{n: getattr(BASE, n) + 1e-8} for n in SLIGHT] + [{n: OTHER[n]} for n in OTHER])
def test_a_training_that_differs_is_seen(change: dict[str, Any]) -> None:
    config = replace(BASE, model="wrn16-2", k=2)
    with pytest.raises(AssertionError, match=r"is off by|selected"):
        train(replace(config, **change), config)
