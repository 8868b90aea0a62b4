"""Networks and training methods as their papers print them: modules, autograd, full passes, clone and restore.

Images are (N, C, H, W). Nothing here is taken from the code under test but the names of layers, so that weights can
be copied, and their order within a block, which ties are broken by.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# -- networks ------------------------------------------------------------------------------------------------


class PostActivation(nn.Module):
    """He et al. 2016, Fig. 2: the ReLU stands behind the sum; a projection has its own norm (section 4.1, B)."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, norm: Any) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.dropout = nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = norm(width)
        if project:
            self.projection = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.bn3 = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(F.relu(self.bn1(self.conv1(x))))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.bn3(self.projection(x)) if hasattr(self, "projection") else x))


class PreActivation(nn.Module):
    """Zagoruyko and Komodakis 2016: norm, ReLU, convolution, twice; a projection reads what the first ReLU gives."""

    def __init__(self, channels: int, width: int, stride: int, project: bool, norm: Any) -> None:
        super().__init__()
        self.bn1 = norm(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.dropout = nn.Identity()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        if project:
            self.projection = nn.Conv2d(channels, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        o = F.relu(self.bn1(x))
        y = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(o)))))
        return y + (self.projection(o) if hasattr(self, "projection") else x)


class Residual(nn.Module):
    """Three stages of blocks, each but the first halving the image, the first block of each with a projection."""

    def __init__(self, block: Any, widths: Any, blocks: int, channels: int, eps: float, momentum: float) -> None:
        super().__init__()

        def norm(width: int) -> nn.Module:
            return nn.BatchNorm2d(width, eps, 1 - momentum)

        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        if block is PostActivation:
            self.bn1 = norm(16)
        before = 16
        for stage, width in enumerate(widths, 1):
            members = OrderedDict()
            for i in range(1, blocks + 1):
                members[f"block{i}"] = block(before, width, 2 if stage > 1 and i == 1 else 1, i == 1, norm)
                before = width
            self.add_module(f"stage{stage}", nn.Sequential(members))
        if block is PreActivation:
            self.bn = norm(before)
        self.fc = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if hasattr(self, "bn1"):
            x = F.relu(self.bn1(x))
        x = self.stage3(self.stage2(self.stage1(x)))
        if hasattr(self, "bn"):
            x = F.relu(self.bn(x))
        return self.fc(x.mean(dim=(2, 3)))


class MLP(nn.Module):
    """Two hidden layers; pixels are flattened channel by channel within a pixel."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(features, hidden)
        self.hidden2 = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.output(F.relu(self.hidden2(F.relu(self.hidden1(x)))))


def model(name: str, shape: tuple[int, int, int], post_activation: bool = False, momentum: float = 0.99) -> nn.Module:
    """``resnet20``, ``wrn16-2`` or ``mlp`` for images of ``shape`` (H, W, C), in float64."""
    height, width, channels = shape
    if name == "mlp":
        return MLP(height * width * channels, 128).double()
    if name == "resnet20":
        return Residual(PostActivation, (16, 32, 64), 3, channels, 1e-3, momentum).double()
    block = PostActivation if post_activation else PreActivation
    return Residual(block, (32, 64, 128), 2, channels, 1e-5, momentum).double()


# -- methods -------------------------------------------------------------------------------------------------


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


class Training:
    """SGD, SAM (Foret et al. 2021), generalized SAM (Zhao et al. 2022), layer-wise SAM (Lee 2024, Algorithm 1).

    ``options`` has the options by attribute. ``step`` is one step; what it found is a dictionary.
    """

    def __init__(self, model: nn.Module, options: Any) -> None:
        self.model, self.o = model, options
        self.p = dict(model.named_parameters())
        norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
        self.decayed = [name for name, p in self.p.items() if id(p) not in norms]
        self.members = members(model, options.perturb)
        self.layers = list(self.members)
        self.last = dict.fromkeys(self.layers, 0.0)  # line 2
        decay = options.weight_decay if options.decay_in == "optimizer" else 0.0
        groups = [
            {"params": [self.p[name] for name in self.decayed], "weight_decay": decay},
            {"params": [p for name, p in self.p.items() if name not in self.decayed], "weight_decay": 0.0},
        ]
        self.sgd = torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum)

    def gradient(self, x: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = F.cross_entropy(self.model(x), labels, label_smoothing=self.o.label_smoothing)
        if self.o.decay_in == "loss":
            loss = loss + self.o.weight_decay / 2 * sum(self.p[name].square().sum() for name in self.decayed)
        return loss.detach(), dict(zip(self.p, torch.autograd.grad(loss, list(self.p.values())), strict=True))

    def select(self) -> list[str]:
        """Line 4: the k layers of largest (or smallest) norm; among equals the later one."""
        if self.o.method != "layerwise-sam":
            return self.layers
        sign = -1 if self.o.criterion == "high" else 1
        order = sorted(range(len(self.layers)), key=lambda i: (sign * self.last[self.layers[i]], -i))
        return [self.layers[i] for i in sorted(order[: self.o.k])]

    def step(self, x: Tensor, labels: Tensor, selected: list[str] | None = None) -> dict[str, Any]:
        """One step, on the layers ``selected`` if given; losses, effective radius, selection, squared norms."""
        loss, g = self.gradient(x, labels)
        found: dict[str, Any] = {"loss": loss}
        update = h = g
        if self.o.method != "sgd":
            selected = self.select() if selected is None else selected
            climbing = [name for layer in selected for name in self.members[layer]]
            at_w = deepcopy(self.model.state_dict())
            r = self.o.r
            if self.o.rho:
                r = self.o.rho / torch.cat([g[name].flatten() for name in climbing]).norm()
            with torch.no_grad():
                for name in climbing:
                    self.p[name] += r * g[name]
            perturbed, h = self.gradient(x, labels)
            moved = dict(self.model.named_buffers()) if self.o.bn_moves == "twice" else {}
            self.model.load_state_dict(at_w | deepcopy(moved))
            update = {n: (1 - self.o.alpha) * g[n] + self.o.alpha * h[n] if n in climbing else h[n] for n in h}
            found |= {"loss_perturbed": perturbed, "r_effective": torch.as_tensor(r), "selected": tuple(selected)}
        self.last = {layer: sum(h[n].square().sum().item() for n in names) for layer, names in self.members.items()}
        for name, p in self.p.items():
            p.grad = update[name]
        self.sgd.step()
        return found | {"norms": self.last}

    def velocity(self) -> dict[str, Tensor]:
        return {name: self.sgd.state[p]["momentum_buffer"] for name, p in self.p.items()}
