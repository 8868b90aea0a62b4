"""Gradient norms at w on fixed images: the same measure for every method (the paper's Figs. 1 and 4).

Layer-wise SAM never computes the full gradient at w, so it is measured apart: batch statistics as in training,
nothing committed, nothing timed, in chunks of equal size whose gradients are averaged.
"""

from __future__ import annotations

import numpy as np

from lwsam_ref.data import Dataset
from lwsam_ref.objective import Batch, NetworkObjective

IMAGES = 1024
CHUNK = 128


def gradient_norms(f: NetworkObjective, data: Dataset) -> tuple[dict[str, float], float]:
    """The norm of each layer's gradient, and of all of it, on the first (at most) 1,024 training images."""
    device, train = f.network.device, data.train
    count = min(IMAGES, len(train.labels))
    size = min(CHUNK, count)
    starts = range(0, count - size + 1, size)
    mean = None
    for start in starts:
        chunk = slice(start, start + size)
        batch = Batch(device.put(data.standardised(train.images[chunk])), device.put(train.labels[chunk]))
        gradient = f.forward(batch).backward()
        mean = gradient if mean is None else mean + gradient
    if mean is None:
        raise ValueError("no images to probe")
    mean = (1.0 / len(starts)) * mean
    norms = np.sqrt(device.get(mean.squared_norms())).tolist()
    return dict(zip(mean.layers, norms, strict=True)), float(np.sqrt(device.get(mean.squared_norm())))
