"""The networks by name: the one file that knows ``nets``. A new one is an entry here (docs/extending.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nets
from lwsam_ref.autodiff.network import Network
from lwsam_ref.options import Option, Options


@dataclass(frozen=True)
class ModelKind:
    """``make(input_shape, outputs, device=..., seed=..., **options)``, the options by their own names."""

    make: Callable[..., Network]
    options: Options


NORM: Options = {
    "bn_momentum": Option(0.99, "momentum of batch norm's running statistics", at_least=0, at_most=1),
}
WIDE: Options = {
    **NORM,
    "dropout": Option(0.0, "dropout in every block (wrn)", at_least=0, at_most=0.9),
    "post_activation": Option(False, "blocks with ReLU after the sum, as in ResNet-20 (wrn)"),
}

MODELS: dict[str, ModelKind] = {
    "mlp": ModelKind(nets.mlp, {}),
    "resnet20": ModelKind(nets.resnet20, NORM),
    "wrn16-2": ModelKind(nets.wrn16_2, WIDE),
    "wrn28-10": ModelKind(nets.wrn28_10, WIDE),
}
