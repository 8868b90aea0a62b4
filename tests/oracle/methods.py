"""Training methods as their papers print them: autograd, full passes, clone and restore.

Nothing is taken from the code under test but the order of a network's parameters, which ties are broken by. What chance
decides there (a selection, a mask) is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oracle.agreement import by_our_name, by_their_name

Tensors = dict[str, Tensor]
Found = dict[str, Any]
"""Losses, effective radius, selection, squared norms."""


def members(model: nn.Module, perturb: str) -> dict[str, list[str]]:
    """What is ranked, perturbed and mixed as each layer: its kernel, or (``all``) bias and norms as well.

    A norm belongs to the convolution before it: ``bn3`` to the projection, any other to the last 3x3 convolution.
    """
    p = dict(model.named_parameters())
    layers = {name.removesuffix(".weight"): [name] for name in p if p[name].ndim > 1}
    last = ""
    for name in p:
        owner = module = name.rpartition(".")[0]
        if module not in layers:
            owner = module.replace("bn3", "projection") if module.endswith("bn3") else last
        elif not module.endswith("projection"):
            last = module
        if perturb == "all" and name not in layers[owner]:
            layers[owner].append(name)
    return layers


def flat(v: Tensors, names: Iterable[str]) -> Tensor:
    return torch.cat([v[name].flatten() for name in names])


class Training:
    """What the methods share. ``options`` has the options by attribute; ``state`` is what a method keeps."""

    def __init__(self, model: nn.Module, options: Any) -> None:
        self.model, self.o, self.number = model, options, 0
        self.p = dict(model.named_parameters())
        norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
        self.decayed = [name for name, p in self.p.items() if id(p) not in norms]
        self.members = members(model, options.perturb)
        self.layers = list(self.members)
        self.perturbable = [name for name in self.p if any(name in names for names in self.members.values())]
        self.last = dict.fromkeys(self.layers, 0.0)
        self.state: dict[str, Tensors] = {}
        decay = options.weight_decay if options.decay_in == "optimizer" else 0.0
        groups = [
            {"params": [self.p[name] for name in self.decayed], "weight_decay": decay},
            {"params": [p for name, p in self.p.items() if name not in self.decayed], "weight_decay": 0.0},
        ]
        self.sgd = torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        """What the optimiser takes in the place of the gradient; the last gradient; what was found."""
        raise NotImplementedError

    def step(self, x: Tensor, labels: Tensor, drawn: Any = None) -> Found:
        """One step; ``drawn`` is what chance, or a price, decides."""
        update, last, found = self.direction(x, labels, drawn)
        self.last = {layer: flat(last, names).square().sum().item() for layer, names in self.members.items()}
        for name, p in self.p.items():
            p.grad = update[name]
        self.sgd.step()
        self.number += 1
        return found | {"norms": self.last}

    def velocity(self) -> Tensors:
        return {name: self.sgd.state[p]["momentum_buffer"] for name, p in self.p.items()}

    def gradient(self, x: Tensor, labels: Tensor, moves: bool = True) -> tuple[Tensor, Tensors, Tensor]:
        """Loss, gradient, and each sample's loss without decay; ``moves``: running statistics do, by this pass."""
        statistics = {} if moves else deepcopy(dict(self.model.named_buffers()))
        losses = F.cross_entropy(self.model(x), labels, reduction="none", label_smoothing=self.o.label_smoothing)
        loss = losses.mean()
        if self.o.decay_in == "loss":
            loss = loss + self.o.weight_decay / 2 * sum(self.p[name].square().sum() for name in self.decayed)
        g = torch.autograd.grad(loss, list(self.p.values()))
        if not moves:
            self.model.load_state_dict(statistics, strict=False)
        return loss.detach(), dict(zip(self.p, g, strict=True)), losses.detach()

    def climb(self, g: Tensors, names: list[str]) -> tuple[Tensors, Tensor]:
        """The perturbation e of ``names``, and the factor in it: ``r g``, or ``rho g / |g|``.

        Adaptive SAM (Kwon et al. 2021, Algorithm 1): ``r T^2 g``, or ``rho T^2 g / |T g|``, with T = |w| + eta.
        """
        t = {name: torch.ones_like(g[name]) for name in names}
        if self.o.adaptive:
            t = {name: self.p[name].detach().abs() + self.o.stabiliser for name in names}
        r = torch.tensor(self.o.r)
        if self.o.rho:
            r = self.o.rho / flat({name: t[name] * g[name] for name in names}, names).norm()
        return {name: r * t[name] ** 2 * g[name] for name in names}, r

    @contextmanager
    def at(self, e: Tensors) -> Iterator[None]:
        """At w + e inside, at w behind."""
        w = {name: self.p[name].detach().clone() for name in e}
        with torch.no_grad():
            for name in e:
                self.p[name] += e[name]
        yield
        with torch.no_grad():
            for name in e:
                self.p[name].copy_(w[name])

    def sam(
        self, x: Tensor, labels: Tensor, layers: list[str], mask: Tensors | None = None
    ) -> tuple[Tensors, Tensors, Found]:
        """The gradients at w and, e being that of ``layers``, at w + e (Foret et al. 2021, Algorithm 1)."""
        loss, g, _ = self.gradient(x, labels)
        e, r = self.climb(g, [name for layer in layers for name in self.members[layer]])
        with self.at({name: e[name] * mask[name] for name in e} if mask else e):
            perturbed, h, _ = self.gradient(x, labels, moves=self.o.bn_update == "twice")
        return g, h, {"loss": loss, "loss_perturbed": perturbed, "r_effective": r, "selected": tuple(layers)}


class SGD(Training):
    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        loss, g, _ = self.gradient(x, labels)
        return g, g, {"loss": loss}


class LayerwiseSAM(Training):
    """SAM (Foret et al. 2021), generalized SAM (Zhao et al. 2022), layer-wise SAM (Lee 2024, Algorithm 1)."""

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        selected = self.select() if drawn is None else drawn
        g, h, found = self.sam(x, labels, selected)
        mixed = [name for layer in selected for name in self.members[layer]]
        update = {n: (1 - self.o.alpha) * g[n] + self.o.alpha * h[n] if n in mixed else h[n] for n in h}
        return update, h, found

    def select(self) -> list[str]:
        """Line 4: the k layers of largest (or smallest) norm; among equals the later one."""
        if self.o.method != "layerwise-sam":
            return self.layers
        sign = -1 if self.o.criterion == "high" else 1
        order = sorted(range(len(self.layers)), key=lambda i: (sign * self.last[self.layers[i]], -i))
        return [self.layers[i] for i in sorted(order[: self.o.k])]


class LookSAM(Training):
    """Liu et al. 2022, Algorithm 1: g_s is SAM's gradient, g_v what of it is at right angles to g."""

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        if self.number % self.o.looksam_interval == 0:
            g, g_s, found = self.sam(x, labels, self.layers)
            self.state["g_v"] = {}
            for part in self.parts():
                a, b = flat(g, part), flat(g_s, part)
                along = a @ b / (a @ a) if a.any() else 0.0  # |g_s| cos(theta) / |g|
                self.state["g_v"] |= {name: g_s[name] - along * g[name] for name in part}
            return g_s, g_s, found
        loss, g, _ = self.gradient(x, labels)
        g_v, update = self.state["g_v"], dict(g)
        for part in self.parts():
            if flat(g_v, part).any():
                ratio = flat(g, part).norm() / flat(g_v, part).norm()
                update |= {name: g[name] + self.o.looksam_reuse * ratio * g_v[name] for name in part}
        return update, g, {"loss": loss}

    def parts(self) -> list[list[str]]:
        """All parameters in one vector, or one a layer and one of those without a layer."""
        if not self.o.look_per_layer:
            return [list(self.p)]
        rest = [name for name in self.p if name not in self.perturbable]
        return [*self.members.values(), *([rest] if rest else [])]


class ESAM(Training):
    """Du et al. 2022, Algorithm 1; ``drawn`` is the mask of the stochastic weight perturbation, 0 or 1 an entry."""

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        loss, g, before = self.gradient(x, labels)
        e, r = self.climb(g, self.perturbable)
        mask = drawn if self.o.esam_by == "parameter" else {name: drawn[name].flatten()[0] for name in e}
        with self.at({name: mask[name] * e[name] / self.o.esam_beta for name in e}):
            perturbed, _, after = self.gradient(x, labels, moves=self.o.bn_update == "twice")
            order = torch.argsort(after - before, descending=True, stable=True)
            sharpest = order[: max(1, round(self.o.esam_gamma * len(labels)))]
            _, h, _ = self.gradient(x[sharpest], labels[sharpest], moves=False)
        found = {"loss": loss, "loss_perturbed": perturbed, "r_effective": r, "selected": tuple(self.layers)}
        return h, h, found


class SparseSAM(Training):
    """Mi et al. 2022, SSAM-F: the perturbation of the entries of largest Fisher information."""

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        if self.number % self.o.sparse_refresh == 0:
            self.state["mask"] = self.mask(x, labels)
        _, h, found = self.sam(x, labels, self.layers, self.state["mask"])
        return h, h, found

    def mask(self, x: Tensor, labels: Tensor) -> Tensors:
        """1 for the share 1 - sparsity of largest information; among equals the first, in our order of axes."""
        ours = by_our_name(self.model, fisher(self.model, x[: self.o.fisher_samples], labels, self.perturbable))
        information = torch.cat([torch.tensor(f).flatten() for f in ours.values()])
        mask = torch.zeros_like(information)
        mask[information.argsort(descending=True, stable=True)[: round((1 - self.o.sparsity) * len(mask))]] = 1
        parts = zip(ours.items(), mask.split([f.size for f in ours.values()]), strict=True)
        return by_their_name(self.model, {name: part.numpy().reshape(f.shape) for (name, f), part in parts})


class FriendlySAM(Training):
    """Li et al. 2024, Algorithm 1: along what of g is not in m, the moving average of all g."""

    def direction(self, x: Tensor, labels: Tensor, drawn: Any) -> tuple[Tensors, Tensors, Found]:
        loss, g, _ = self.gradient(x, labels)
        m = self.state.get("m", {name: torch.zeros_like(g[name]) for name in self.perturbable})
        self.state["m"] = m = {name: g[name].lerp(m[name], self.o.friendly_lambda) for name in m}
        e, r = self.climb({name: g[name] - self.o.friendly_sigma * m[name] for name in m}, self.perturbable)
        with self.at(e):
            perturbed, h, _ = self.gradient(x, labels, moves=self.o.bn_update == "twice")
        return h, h, {"loss": loss, "loss_perturbed": perturbed, "r_effective": r, "selected": tuple(self.layers)}


def fisher(model: nn.Module, x: Tensor, labels: Tensor, names: list[str]) -> Tensors:
    """Of each image the squared gradient of log p(y | x), as at test time, summed (Mi et al. 2022, SSAM-F)."""
    p = dict(model.named_parameters())
    information = {name: torch.zeros_like(p[name]) for name in names}
    model.eval()
    for image, label in zip(x, labels, strict=False):
        log_likelihood = model(image[None]).log_softmax(1)[0, label]
        for name, g in zip(names, torch.autograd.grad(log_likelihood, [p[name] for name in names]), strict=True):
            information[name] += g**2
    model.train()
    return information


METHODS: dict[str, type[Training]] = {
    "sgd": SGD,
    "sam": LayerwiseSAM,
    "generalized-sam": LayerwiseSAM,
    "layerwise-sam": LayerwiseSAM,
    "looksam": LookSAM,
    "esam": ESAM,
    "sparse-sam": SparseSAM,
    "friendly-sam": FriendlySAM,
}


def training(model: nn.Module, options: Any) -> Training:
    """The method that ``options`` name."""
    return METHODS[options.method](model, options)
