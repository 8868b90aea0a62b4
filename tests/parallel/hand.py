"""Steps of several ranks made by hand, on one: from the parts of a batch, each by itself, averaged in plain sight."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from lwsam_ref.training.objective import Batch
from lwsam_ref.training.trainer import Trainer
from parallel.problems import indices


def mean(arrays: list[Any]) -> Any:
    return reduce(np.add, arrays) / len(arrays)


class Hand:
    """What a run that shares its batches among ``parts`` does, with SGD or Algorithm 1; batch norm part by part.

    ``trainer`` gives the network, whole batches and the initial values; of its own steps none is made.
    """

    def __init__(self, trainer: Trainer, parts: int) -> None:
        self.trainer, self.parts = trainer, parts
        self.config, self.layout = trainer.config, trainer.f.weights.layout
        self.w, self.buffers = trainer.f.weights.data, trainer.network.buffers.data
        self.velocity, self.number = np.zeros_like(self.w), 0
        self.norms = np.zeros(len(self.layout.layers))
        self.decay = np.zeros_like(self.w)
        for t in self.layout.tensors:
            if t.decayed:
                self.decay[self.layout.slices[t.name]] = self.config.weight_decay

    def step(self) -> None:
        c, parts = self.config, self.share()
        start = self.buffers.copy()
        at_w: list[Any] = [self.gradient(part, start) for part in parts]
        losses, gradients, moved = ([found[i] for found in at_w] for i in range(3))
        self.loss, self.buffers[...] = mean(losses), mean(moved)
        g = h = mean(gradients)
        if c.method != "sgd":
            inside = self.inside()
            self.factors = [self.factor(own[inside]) for own in gradients]
            climbs = [r * own for r, own in zip(self.factors, gradients, strict=True)]
            if c.ascent_from == "all":
                climbs = [self.factor(g[inside]) * g] * self.parts
            found = [self.perturbed(*each, inside) for each in zip(parts, climbs, strict=True)]
            self.loss_perturbed, h = (mean([each[i] for each in found]) for i in range(2))
            self.update = h.copy()
            alpha = c.used().get("alpha", 1.0)
            self.update[inside] = ((1 - alpha) * g + alpha * h)[inside]
        else:
            self.update = g
        self.norms = np.array([(h[place].astype(float) ** 2).sum() for place in map(self.place, self.layout.layers)])
        self.velocity *= c.momentum
        self.velocity += self.update
        self.velocity += self.decay * self.w
        self.w -= c.lr * self.velocity
        self.number += 1

    def share(self) -> list[Batch]:
        """Sample i of the whole batch, with the draws that it has there, is part i modulo ``parts``'s."""
        whole, rows = (
            self.trainer.batch(indices(self.trainer, self.number), self.number),
            np.arange(self.config.batch_size),
        )
        places = [slice(r, None, self.parts) for r in range(self.parts)]
        return [Batch(whole.x[p], whole.targets[p], self.number, (rows[p], len(rows))) for p in places]

    def gradient(self, part: Batch, buffers: Any) -> tuple[float, Any, Any]:
        """Loss and gradient at w, and where the running statistics move to from ``buffers``."""
        self.buffers[...] = buffers
        at_w = self.trainer.f.forward(part)
        found = float(at_w.loss), at_w.backward().data
        at_w.commit()
        return *found, self.buffers.copy()

    def perturbed(self, part: Batch, climb: Any, inside: Any) -> tuple[float, Any]:
        """Loss and gradient at w + climb."""
        before = self.w.copy()
        self.w[inside] += climb[inside]
        there = self.trainer.f.forward(part)
        found = float(there.loss), there.backward().data
        self.w[...] = before
        return found

    def factor(self, g: Any) -> float:
        return self.config.rho / float(np.linalg.norm(g)) if self.config.rho else self.config.r

    def place(self, layer: str) -> Any:
        inside = np.zeros(self.layout.size, bool)
        for t in self.layout.tensors:
            inside[self.layout.slices[t.name]] = t.layer == layer
        return inside

    def inside(self) -> Any:
        """The entries of the layers that are perturbed: all, or the k of largest norm, the last ones among equals."""
        layers = self.layout.layers
        k = self.config.k if self.config.method == "layerwise-sam" else len(layers)
        self.selected = sorted(range(len(layers)), key=lambda i: (-self.norms[i], -i))[:k]
        return np.any([self.place(layers[i]) for i in self.selected], axis=0)
