"""Networks as functions of the input shape and the number of classes; each returns a ``Network``."""

from nets.mlp import mlp
from nets.resnet import resnet20
from nets.wide_resnet import wide_resnet, wrn16_2, wrn28_10

__all__ = ["mlp", "resnet20", "wide_resnet", "wrn16_2", "wrn28_10"]
