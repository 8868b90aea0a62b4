"""The multilayer perceptron: flatten, then linear and ReLU in turn, then a linear classifier."""

from __future__ import annotations

from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.network import Network
from lwsam_ref.device import Device


def mlp(
    input_shape: tuple[int, ...] = (8, 8, 1),
    num_classes: int = 10,
    *,
    hidden: tuple[int, ...] = (128, 128),
    device: Device | None = None,
    seed: int = 0,
) -> Network:
    """Layers ``hidden1``, ``hidden2``, ..., ``output``."""
    b = Builder(input_shape)
    x = b.input if len(input_shape) == 1 else b.flatten("flatten", b.input)
    for i, units in enumerate(hidden, 1):
        x = b.relu(f"relu{i}", b.linear(f"hidden{i}", x, units))
    b.linear("output", x, num_classes)
    return b.network(device or Device.of(), seed)
