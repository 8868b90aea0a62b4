"""The layers, a file a family. Each keeps nothing: parameters and buffers live in the network, caches on the tape."""

from lwsam_ref.autodiff.layers.activation import Dropout, ReLU
from lwsam_ref.autodiff.layers.convolution import Convolution
from lwsam_ref.autodiff.layers.group_norm import GroupNorm
from lwsam_ref.autodiff.layers.linear import Linear
from lwsam_ref.autodiff.layers.normalization import BatchNorm
from lwsam_ref.autodiff.layers.pooling import AveragePool
from lwsam_ref.autodiff.layers.shape import Add, Flatten

__all__ = [
    "Add",
    "AveragePool",
    "BatchNorm",
    "Convolution",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "Linear",
    "ReLU",
]
