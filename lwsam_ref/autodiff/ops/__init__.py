"""Kernels in forward/gradient pairs: pure functions of arrays, images as (N, H, W, C).

``name(...)`` computes a value, ``name_gradient(...)`` its exact transpose-Jacobian product. Which gradients are
computed is asked for by name; nothing else is.
"""

from lwsam_ref.autodiff.ops.activation import dropout, dropout_gradient, relu, relu_gradient
from lwsam_ref.autodiff.ops.convolution import convolution, convolution_gradient
from lwsam_ref.autodiff.ops.cross_entropy import cross_entropy, cross_entropy_gradient
from lwsam_ref.autodiff.ops.linear import linear, linear_gradient
from lwsam_ref.autodiff.ops.normalization import (
    batch_norm,
    batch_norm_gradient,
    batch_statistics,
    standardise,
    standardise_gradient,
)
from lwsam_ref.autodiff.ops.pooling import average_pool, average_pool_gradient

__all__ = [
    "average_pool",
    "average_pool_gradient",
    "batch_norm",
    "batch_norm_gradient",
    "batch_statistics",
    "convolution",
    "convolution_gradient",
    "cross_entropy",
    "cross_entropy_gradient",
    "dropout",
    "dropout_gradient",
    "linear",
    "linear_gradient",
    "relu",
    "relu_gradient",
    "standardise",
    "standardise_gradient",
]
