"""The networks that the benchmarks time."""

from __future__ import annotations

import numpy as np

import nets
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device


def build(model: str, shape: tuple[int, ...], device: Device) -> Network:
    """The network with its gammas away from 0, so that every gradient is at work."""
    network: Network = getattr(nets, model.replace("-", "_"))(shape, 10, device=device)
    draw = np.random.default_rng(0)
    for t in network.weights.layout.tensors:
        if t.name.endswith("gamma"):
            network.weights[t.name][...] = device.put(draw.uniform(0.5, 1.5, t.shape))
    return network
