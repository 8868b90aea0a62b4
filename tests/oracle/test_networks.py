"""Whole networks at random weights: loss, every gradient, running statistics, logits; against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nets
from lwsam_ref.algorithms.sparse_sam import fisher
from lwsam_ref.autodiff.layers import Dropout
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device
from lwsam_ref.training.losses import CrossEntropy
from lwsam_ref.training.objective import NetworkEvaluation, NetworkObjective
from oracle import methods, reference
from oracle.agreement import agree, by_name, by_our_name, copy, names, nchw
from support.strategies import batch, plain_tape, randomise

NETWORKS: dict[str, tuple[Callable[..., Network], dict[str, Any]]] = {
    "mlp": (nets.mlp, {}),
    "resnet20": (nets.resnet20, {}),
    "wrn16-2": (nets.wrn16_2, {}),
    "wrn16-2 post": (nets.wrn16_2, {"post_activation": True}),
}
SMOOTHING = 0.1
sizes = pytest.mark.parametrize("shape", [(8, 8, 1), (7, 10, 2), (32, 32, 3)], ids=str)
networks = pytest.mark.parametrize("name", NETWORKS)


class Pair(NamedTuple):
    """An evaluation of our network, and PyTorch's network at the same weights with the same batch."""

    at_w: NetworkEvaluation
    model: nn.Module
    x: Tensor
    labels: Tensor

    def loss(self) -> Tensor:
        return F.cross_entropy(self.model(self.x), self.labels, label_smoothing=SMOOTHING)

    def gradients(self) -> dict[str, Any]:
        """PyTorch's, by our names."""
        p = dict(self.model.named_parameters())
        g = torch.autograd.grad(self.loss(), list(p.values()))
        return by_our_name(self.model, dict(zip(p, g, strict=True)))


def pair(name: str, shape: tuple[int, int, int], perturb: str = "all", **options: Any) -> Pair:
    make, fixed = NETWORKS[name]
    network = randomise(make(shape, device=Device.of("cpu", "float64"), seed=1, **fixed, **options), seed=2)
    model = reference.model(name.split()[0], shape, "post" in name)
    copy(network, model)
    sample = batch(network, 4, 3, classes=10)
    f = NetworkObjective(network, CrossEntropy(SMOOTHING), perturb)
    return Pair(f.forward(sample), model, nchw(torch.tensor(sample.x)), torch.tensor(sample.targets))


@networks
@sizes
def test_loss_gradients_running_statistics_and_logits(name: str, shape: tuple[int, int, int]) -> None:
    at_w, model, x, _ = both = pair(name, shape)
    agree({"loss": at_w.loss} | by_name(at_w.backward()), {"loss": both.loss().detach()} | both.gradients())
    network = at_w.f.network
    copy(network, model)  # the two passes above moved PyTorch's statistics
    for _ in range(2):
        at_w.commit()
        both.loss()
    agree(by_name(network.buffers), by_our_name(model, dict(model.named_buffers())))
    agree({"logits": at_w.f.output(at_w.batch.x)}, {"logits": model.eval()(x).detach()})


@networks
@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_a_partial_gradient_is_that_part_of_the_whole(name: str, perturb: str) -> None:
    """Each layer alone, and random sets; what belongs to a layer is the reference's word."""
    at_w, model, _, _ = both = pair(name, (8, 8, 2), perturb)
    layers, rng, whole = at_w.f.weights.layers, np.random.default_rng(0), both.gradients()
    members, ours = methods.members(model, perturb), names(model)
    assert layers == tuple(members)
    for only in [[layer] for layer in layers] + [rng.choice(layers, 3, replace=False).tolist() for _ in range(5)]:
        part = {ours[n] for layer in only for n in members[layer]}
        agree(by_name(at_w.backward(only)), {n: whole[n] for n in part})


@networks
@pytest.mark.parametrize("perturb", ["kernels", "all"])
def test_samples_one_by_one_as_at_test_time(name: str, perturb: str) -> None:
    """The likelihood's gradient alone: smoothing, decay, dropout are there but have no say; nothing moves."""
    at_w, model, x, labels = pair(name, (8, 8, 2), perturb, **({"dropout": 0.3} if name.startswith("wrn") else {}))
    network, rng = at_w.f.network, np.random.default_rng(5)
    for t in network.buffers.layout.tensors:
        network.buffers[t.name][...] = (
            rng.normal(0, 0.3, t.shape) if t.name.endswith("mean") else rng.uniform(0.5, 2, t.shape)
        )
    copy(network, model)
    before, f, p = network.buffers.copy(), replace(at_w.f, decay=0.01), dict(model.named_parameters())
    for i, sample in enumerate(f.per_sample(at_w.batch, 3)):
        loss = -model.eval()(x[i : i + 1]).log_softmax(1)[0, labels[i]]
        g = torch.autograd.grad(loss, list(p.values()))
        agree({"loss": sample.loss}, {"loss": loss.detach()})
        agree(by_name(sample.backward()), by_our_name(model, dict(zip(p, g, strict=True))))
    assert [sum(1 for _ in f.per_sample(at_w.batch, n)) for n in (3, 9)] == [3, 4]
    perturbable = [n for names in methods.members(model, perturb).values() for n in names]
    information = methods.fisher(model, x[:3], labels[:3], perturbable)
    agree(by_name(fisher(f, at_w.batch, 3)), by_our_name(model, information))
    assert np.array_equal(network.buffers.data, before.data)


def drop(both: Pair, rate: float, rows: Any) -> list[Any]:
    """Hooks that do dropout in PyTorch's network, with our masks for the samples ``rows`` of the batch."""
    tape, hooks = plain_tape(both.at_w), []
    for i, node in enumerate(both.at_w.f.network.nodes):
        if isinstance(node.layer, Dropout):
            keep = torch.tensor(replace(tape.context, key=(*tape.context.key, i)).mask(tape.value(i).shape, rate))
            scale = nchw(keep)[rows] / (1 - rate)
            module = both.model.get_submodule(node.name)
            hooks.append(module.register_forward_hook(lambda m, xs, y, scale=scale: y * scale if m.training else y))
    return hooks


@pytest.mark.parametrize("name", ["wrn16-2", "wrn16-2 post"])
def test_dropout_with_the_same_masks(name: str) -> None:
    """Also for some samples of the batch: their masks are those that they had in it."""
    at_w, model, x, labels = both = pair(name, (8, 8, 2), dropout=0.3)
    hooks = drop(both, 0.3, slice(None))
    agree({"loss": at_w.loss} | by_name(at_w.backward()), {"loss": both.loss().detach()} | both.gradients())
    copy(at_w.f.network, model)
    agree({"logits": at_w.f.output(at_w.batch.x)}, {"logits": model.eval()(x).detach()})
    for hook in hooks:
        hook.remove()
    rows = [1, 3]
    drop(both, 0.3, rows)
    some = both._replace(model=model.train(), x=x[rows], labels=labels[rows])
    at_w = at_w.f.forward(at_w.f.hardest(at_w.batch, np.array([0.2, 0.5, 0.2, 0.3]), 0.5))
    agree({"loss": at_w.loss} | by_name(at_w.backward()), {"loss": some.loss().detach()} | some.gradients())


@pytest.mark.parametrize("tensor", ["stage2.block1.bn2.gamma", "stage1.block1.bn1.beta", "fc.kernel"])
def test_a_network_disturbed_by_a_millionth_is_seen(tensor: str) -> None:
    both = pair("wrn16-2", (8, 8, 1))
    f = both.at_w.f
    f.weights[tensor][...] *= 1 + 1e-6
    agree({"loss": both.at_w.loss}, {"loss": both.loss().detach()})
    disturbed = f.forward(both.at_w.batch)
    with pytest.raises(AssertionError, match="loss is off by"):
        agree({"loss": disturbed.loss}, {"loss": both.loss().detach()})
    with pytest.raises(AssertionError, match="is off by"):
        agree(by_name(disturbed.backward()), both.gradients())
