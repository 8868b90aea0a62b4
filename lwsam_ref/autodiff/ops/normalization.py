r"""Batch normalisation over all axes but the last (Ioffe and Szegedy 2015).

.. math:: \hat x = (x - \mu)\, \sigma^{-1}, \quad y = \gamma \hat x + \beta, \quad \sigma^2 = \mathrm{var} + \epsilon

With mean and variance of the batch itself, over the M entries of a channel, the gradients are

.. math:: g_\beta = \sum g_y, \quad g_\gamma = \sum g_y \hat x, \quad
          g_x = \gamma \sigma^{-1} \left( g_y - g_\beta / M - \hat x\, g_\gamma / M \right).

Where ``x`` is one of several ``parts`` of the batch, ``total`` sums an array over all of them, and the batch is the
whole; parameters' gradients stay each part's own share.
Statistics are kept in float64. Sums of squares and products are those of values centred in the entries' own dtype,
and what that centre misses of the mean is corrected for, so nothing cancels however far from zero the mean lies.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lwsam_ref.autodiff.ops.blocks import as_rows, blocks, channel_sum, tiled
from lwsam_ref.vector import Array

Total = Callable[[Array], Array]


def alone(array: Array) -> Array:
    """The total over a single part."""
    return array


def batch_statistics(x: Array, total: Total = alone, parts: int = 1) -> tuple[Array, Array]:
    """Mean and (biased) variance per channel, float64."""
    rows, channels = as_rows(x), x.shape[-1]
    count = x.size // channels * parts
    near = (total(channel_sum(rows, channels)) / count).astype(x.dtype)
    row = tiled(near, x)
    missed = np.zeros_like(near, dtype=np.float64)
    squares = np.zeros_like(missed)
    for block in blocks(rows, rows.shape[1] * x.dtype.itemsize * 4):
        centred = rows[block] - row
        missed += channel_sum(centred, channels)
        squares += channel_sum(np.square(centred, out=centred), channels)
    missed, squares = total(np.stack([missed, squares]))
    shift = missed / count
    return near + shift, np.maximum(squares / count - shift * shift, 0.0)


def standardise(x: Array, mean: Array, variance: Array, eps: float, gamma: Array, beta: Array) -> Array:
    """``gamma (x - mean) / sqrt(variance + eps) + beta``."""
    scale = gamma / np.sqrt(variance + eps)
    y = as_rows(x) - tiled(mean.astype(x.dtype), x)
    y *= tiled(scale.astype(x.dtype), x)
    y += tiled(beta, x)
    return y.reshape(x.shape)


def standardise_gradient(
    x: Array,
    mean: Array,
    variance: Array,
    eps: float,
    gamma: Array,
    gy: Array,
    want_gx: bool,
    ggamma: Array | None,
    gbeta: Array | None,
) -> Array | None:
    """With mean and variance constant: ``gx = gamma gy / sqrt(variance + eps)`` if wanted; the others are written."""
    inverse = 1.0 / np.sqrt(variance + eps)
    if ggamma is not None:
        centred = as_rows(x) - tiled(mean.astype(x.dtype), x)
        ggamma[...] = channel_sum(centred * as_rows(gy), x.shape[-1]) * inverse
    if gbeta is not None:
        gbeta[...] = channel_sum(as_rows(gy), x.shape[-1])
    return gy * (gamma * inverse).astype(x.dtype) if want_gx else None


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, total: Total = alone, parts: int = 1
) -> tuple[Array, tuple[Array, Array]]:
    """``y`` and the batch's (mean, variance)."""
    mean, variance = batch_statistics(x, total, parts)
    return standardise(x, mean, variance, eps, gamma, beta), (mean, variance)


def batch_norm_gradient(
    x: Array,
    gamma: Array,
    eps: float,
    mean: Array,
    variance: Array,
    gy: Array,
    want_gx: bool,
    total: Total = alone,
    parts: int = 1,
) -> tuple[Array | None, Array, Array]:
    """The gradients with respect to ``x`` (if wanted), ``gamma`` and ``beta``."""
    rows, g, channels = as_rows(x), as_rows(gy), x.shape[-1]
    count = x.size // channels * parts
    inverse = 1.0 / np.sqrt(variance + eps)
    near = tiled(mean.astype(x.dtype), x)
    beta_sum = channel_sum(g, channels)
    product_sum = np.zeros_like(beta_sum)
    for block in blocks(rows, rows.shape[1] * x.dtype.itemsize * 4):
        centred = rows[block] - near
        product_sum += channel_sum(np.multiply(centred, g[block], out=centred), channels)
    product_sum -= (mean - mean.astype(x.dtype)) * beta_sum
    ggamma = product_sum * inverse
    if not want_gx:
        return None, ggamma, beta_sum
    all_gamma, all_beta = total(np.stack([ggamma, beta_sum]))
    scale = gamma * inverse
    slope = -scale * inverse * all_gamma / count
    offset = -scale * all_beta / count
    gx = rows - near
    gx *= tiled(slope.astype(x.dtype), x)
    gx += tiled(offset.astype(x.dtype), x)
    gx += g * tiled(scale.astype(x.dtype), x)
    return gx.reshape(x.shape), ggamma, beta_sum
