"""Five steps of every method with its options, step by step, against PyTorch in float64: everything that moves."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import nets
from lwsam_ref.algorithms import ESAM
from lwsam_ref.data import Dataset, Images, Split
from lwsam_ref.training.config import Config
from lwsam_ref.training.methods import METHODS as KINDS
from lwsam_ref.training.trainer import Trainer
from lwsam_ref.vector import LayeredVector
from oracle import methods, reference
from oracle.agreement import agree, by_name, by_our_name, by_their_name, copy, nchw
from support.strategies import randomise

STEPS, BATCH, SHAPE = 5, 8, (6, 5, 2)
BASE = Config.of(
    {"k": 2, "batch_size": BATCH, "lr": 0.02, "weight_decay": 0.01, "label_smoothing": 0.1, "bn_momentum": 0.9}
    | {"dtype": "float64", "augment": False}
)
WHOLE = {name for name, kind in KINDS.items() if "alpha" not in kind.options} - {"sgd"}
"""Their alpha is 1."""
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
HALVES = [[s for s in SWITCHES if sum(v in s for v in ("all", "loss", "twice")) % 2 == half] for half in (0, 1)]
"""Half of the eight settings, every pair of values among them; and the other half, of which the same is true."""
CASES = [  # each network has half of the settings, the next one the others
    (network, name, *switches)
    for i, network in enumerate(NETWORKS)
    for name, switches in product(METHODS, HALVES[i % 2])
]
OTHERS: dict[str, dict[str, Any]] = {
    "looksam 1 r": {"looksam_interval": 1, "r": 0.05},
    "looksam 2 rho": {"looksam_interval": 2, "rho": 0.5, "looksam_reuse": 0.4},
    "looksam 3 r": {"looksam_interval": 3, "r": 0.05},
    "looksam 1 rho by layer": {"looksam_interval": 1, "rho": 0.5, "look_per_layer": True},
    "looksam 2 r by layer": {"looksam_interval": 2, "r": 0.05, "look_per_layer": True},
    "looksam 3 rho by layer": {"looksam_interval": 3, "rho": 0.5, "looksam_reuse": 1.2, "look_per_layer": True},
    "esam 1 r": {"esam_gamma": 1.0, "r": 0.05},
    "esam 1/2 rho": {"esam_gamma": 0.5, "rho": 0.5},
    "esam 1/4 r": {"esam_gamma": 0.25, "r": 0.05, "esam_beta": 0.3},
    "esam 1 rho by tensor": {"esam_gamma": 1.0, "rho": 0.5, "esam_by": "tensor"},
    "esam 1/2 r by tensor": {"esam_gamma": 0.5, "r": 0.05, "esam_beta": 0.3, "esam_by": "tensor"},
    "esam 1/4 rho by tensor": {"esam_gamma": 0.25, "rho": 0.5, "esam_beta": 1.0, "esam_by": "tensor"},
    "sparse-sam 1 rho": {"sparse_refresh": 1, "rho": 0.5, "fisher_samples": 3},
    "sparse-sam 2 r": {"sparse_refresh": 2, "r": 0.05, "fisher_samples": 1, "sparsity": 0.1},
    "sparse-sam 100 rho": {"sparse_refresh": 100, "rho": 0.5, "sparsity": 0.9},
    "friendly-sam 1 r": {"r": 0.05},
    "friendly-sam 1/2 rho": {"rho": 0.5, "friendly_sigma": 0.5, "friendly_lambda": 0.9},
    "budget r": {"method": "layerwise-sam", "budget": 0.1, "r": 0.05},
    "budget rho": {"method": "layerwise-sam", "budget": 0.5, "rho": 0.05},
}
for name in (
    "sam",
    "layerwise-sam",
    "looksam",
    "esam",
    "sparse-sam",
    "friendly-sam",
):  # as far as the others, though T is small
    OTHERS[f"{name} adaptive r"] = {"adaptive": True, "r": 2.0}
    OTHERS[f"{name} adaptive rho"] = {"adaptive": True, "rho": 0.5, "stabiliser": 0.3}
for name, options in OTHERS.items():
    options.setdefault("method", name.split()[0])
    options.setdefault("alpha", 1.0 if options["method"] in WHOLE else 0.7)
CASES += [  # each method has half of the settings, one a network
    (network, name, *HALVES[j % 2][(i + j // 2) % 4])
    for i, network in enumerate(NETWORKS)
    for j, name in enumerate(OTHERS)
]


def data() -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, *SHAPE), np.uint8)
    split = Split(images, rng.integers(0, 10, STEPS * BATCH))
    return Images("noise", split, split, outputs=10, pad=0, flip=False)


def drawn(t: Trainer, model: nn.Module, selected: tuple[str, ...], theirs: Config, number: int) -> Any:
    """What ``theirs`` leaves to chance, or to prices, is data to the reference: a selection, or a mask."""
    if theirs.method == "layerwise-sam" and (theirs.criterion == "random" or theirs.budget >= 0):
        return selected
    if theirs.method == "esam":
        part = t.f.weights.layout.only(t.f.weights.layers)
        esam = KINDS[theirs.method].make(theirs, t.costs)
        assert isinstance(esam, ESAM)
        mask = esam.mask(part, number)
        return by_their_name(model, by_name(LayeredVector(part, mask.astype(float))))
    return None


def train(ours: Config, theirs: Config, fresh: bool = False) -> None:
    """Both sides in step; after each, all that the step found and all that it moved agree."""
    t = Trainer.of(ours, data())
    if not fresh:
        randomise(t.network, seed=2)
    model = reference.model(theirs.model, SHAPE, theirs.post_activation, theirs.bn_momentum)
    copy(t.network, model)
    training, state, layout = methods.training(model, theirs), t.state, t.f.weights.layout
    for number in range(STEPS):
        batch = t.batch(np.arange(number * BATCH, (number + 1) * BATCH), number)
        step, state = t.method.step(t.f, batch, state, number)
        t.optimizer.step(step.update, ours.lr)
        given = drawn(t, model, step.selected, theirs, number)
        found = training.step(nchw(torch.tensor(batch.x)), torch.tensor(batch.targets), given)
        wanted = found.pop("selected", ())
        assert step.selected == wanted, f"selected {step.selected}, not {wanted}"
        assert [step.loss_perturbed, step.r_effective].count(None) == 2 * ("loss_perturbed" not in found)
        norms = dict(zip(t.network.layers, step.descent_norms, strict=True))
        agree(norms, found.pop("norms"))
        agree({name: getattr(step, name) for name in found}, found)
        agree(by_name(t.f.weights), by_our_name(model, training.p))
        agree(by_name(t.optimizer.velocity), by_our_name(model, training.velocity()))
        agree(by_name(t.network.buffers), by_our_name(model, dict(model.named_buffers())))
        assert state.keys() - {"descent_norms"} == training.state.keys(), "what is kept"
        for name, kept in training.state.items():
            part = layout if name == "g_v" else layout.only(layout.layers)
            agree(by_name(LayeredVector(part, state[name].astype(float))), by_our_name(model, kept))


@pytest.mark.parametrize(("network", "name", "perturb", "decay_in", "bn_update"), CASES)
def test_five_steps(network: str, name: str, perturb: str, decay_in: str, bn_update: str) -> None:
    switches = {"perturb": perturb, "decay_in": decay_in, "bn_update": bn_update}
    config = BASE.but(**NETWORKS[network], **(METHODS | OTHERS)[name], **switches)
    train(config, config)


FRESH: list[dict[str, Any]] = [{"criterion": c, "k": k} for c in ("high", "low") for k in (0, 2, 17)]
FRESH += [
    {"method": "looksam", "looksam_interval": 2, "look_per_layer": True, "perturb": p} for p in ("kernels", "all")
]
FRESH += [{"method": "sparse-sam", "sparse_refresh": 2, "fisher_samples": 2, "sparsity": s} for s in (0.1, 0.5)]
FRESH += [{"method": "sam", "adaptive": True, "stabiliser": 0.0, "rho": 0.5, "perturb": "all"}]


@pytest.mark.parametrize("options", FRESH, ids=str)
@pytest.mark.parametrize("network", ["resnet20", "wrn16-2 post"])
def test_five_steps_from_the_initial_weights(network: str, options: dict[str, Any]) -> None:
    """Gammas are 0 there, so norms are, exactly; who is selected, and which entries, is a matter of ties."""
    alpha = 1.0 if options.get("method") in WHOLE else BASE.alpha
    config = BASE.but(**NETWORKS[network], **options, alpha=alpha)
    train(config, config, fresh=True)


SLIGHT = ["alpha", "r", "lr", "momentum", "bn_momentum", "weight_decay", "label_smoothing"]
OTHER = {"alpha": 0.2, "rho": 0.1, "k": 3, "criterion": "low", "budget": 0.5, "method": "sgd"}
OTHER |= {"perturb": "all", "decay_in": "loss", "bn_update": "twice"}
CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {n: getattr(BASE, n) + 1e-8}) for n in SLIGHT]
CHANGES += [({}, {n: OTHER[n]}) for n in OTHER]
CHANGES += [({"adaptive": True}, change) for change in ({"adaptive": False}, {"stabiliser": 0.01 + 1e-8})]
OF_ONE: dict[str, dict[str, Any]] = {
    "looksam": {"looksam_interval": 2, "looksam_reuse": 0.7 + 1e-8, "look_per_layer": True},
    "esam": {"esam_beta": 0.6 + 1e-8, "esam_gamma": 0.6, "esam_by": "tensor", "seed": 1},
    "sparse-sam": {"sparsity": 0.5 + 1e-5, "sparse_refresh": 4, "fisher_samples": BATCH - 1},
    "friendly-sam": {"friendly_sigma": 1 + 1e-8, "friendly_lambda": 0.6 + 1e-8},
}
for name, options in OF_ONE.items():  # each differs from its neighbours as well, and has the options of all
    options |= {"method": "sam", "r": 0.1 + 1e-8, "adaptive": True, "bn_update": "twice"}
    CHANGES += [({"method": name, "alpha": 1.0}, {n: options[n]}) for n in options]


@pytest.mark.parametrize(("base", "change"), CHANGES, ids=str)
def test_a_training_that_differs_is_seen(base: dict[str, Any], change: dict[str, Any]) -> None:
    config = BASE.but(model="wrn16-2", **base)
    with pytest.raises(AssertionError, match=r"is off by|selected|what is kept"):
        train(config.but(**change), config)
