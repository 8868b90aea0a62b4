"""Networks as functions of the number of classes and the input shape; each returns a ``Network``."""

from nets.mlp import mlp
from nets.resnet import resnet20

__all__ = ["mlp", "resnet20"]
