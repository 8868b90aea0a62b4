"""Loss and gradient at w on fixed images: the same measure for every method (the paper's Figs. 1 and 4).

Layer-wise SAM never computes the full gradient at w, so it is measured apart: batch statistics as in training,
nothing committed, nothing timed, in chunks of equal size that are averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.data import Dataset
from lwsam_ref.training.objective import Batch, NetworkObjective
from lwsam_ref.vector import LayeredVector

IMAGES = 1024
CHUNK = 128


def fixed_batches(f: NetworkObjective, data: Dataset, images: int = IMAGES) -> list[Batch]:
    """The first (at most) ``images`` training images, as they are, in chunks of at most 128; a rest is left out."""
    device, train = f.network.device, data.train
    count = min(images, len(train.targets))
    size = min(CHUNK, count)
    chunks = [slice(start, start + size) for start in range(0, count - size + 1, size)]
    found = [Batch(device.put(data.prepared(train.inputs[c])), device.put(train.targets[c])) for c in chunks]
    return [f.prepared(batch) for batch in found]


def full_gradient(f: NetworkObjective, batches: list[Batch]) -> tuple[Any, LayeredVector]:
    """The means over the batches of loss and gradient at w."""
    total = None
    for batch in batches:
        at_w = f.forward(batch)
        found = at_w.loss, at_w.backward()
        total = found if total is None else (total[0] + found[0], total[1] + found[1])
    if total is None:
        raise ValueError("no images to probe")
    return total[0] / len(batches), (1.0 / len(batches)) * total[1]


def gradient_norms(f: NetworkObjective, data: Dataset) -> tuple[dict[str, float], float]:
    """The norm of each layer's gradient, and of all of it, on the first 1,024 training images."""
    device = f.network.device
    _, mean = full_gradient(f, fixed_batches(f, data))
    norms = np.sqrt(device.get(mean.squared_norms())).tolist()
    return dict(zip(mean.layers, norms, strict=True)), float(np.sqrt(device.get(mean.squared_norm())))
