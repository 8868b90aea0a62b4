r"""Group normalisation: each sample by itself, in groups of channels (Wu and He 2018).

The channels lie in G groups of C / G neighbours. With mean and variance over the M entries that a sample has in a
group,

.. math:: \hat x = (x - \mu)\, \sigma^{-1}, \quad y = \gamma \hat x + \beta, \quad \sigma^2 = \mathrm{var} + \epsilon,

and with gamma and beta a channel, sums of the first line over samples and places, means over the M entries,

.. math:: g_\beta = \sum g_y, \quad g_\gamma = \sum g_y \hat x, \qquad
          g_x = \sigma^{-1} \left( \gamma g_y - \overline{\gamma g_y} - \hat x\, \overline{\gamma g_y \hat x} \right).

Statistics are kept in float64; squares and products are those of values centred in the entries' own dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work, ones, zeros
from lwsam_ref.vector import Array


def group_norm(x: Array, gamma: Array, beta: Array, eps: float, groups: int) -> tuple[Array, Cache]:
    """``y``, and for the gradient ``x``, mean and 1 / sigma, both (N, 1, G, 1)."""
    u = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    mean = u.mean(axis=(1, 3), keepdims=True, dtype=np.float64)
    y = u - mean.astype(x.dtype)
    inverse = 1.0 / np.sqrt(np.square(y).mean(axis=(1, 3), keepdims=True, dtype=np.float64) + eps)
    y *= (gamma.reshape(groups, -1) * inverse).astype(x.dtype)
    y += beta.reshape(groups, -1)
    return y.reshape(x.shape), (x, mean, inverse)


def group_norm_gradient(cache: Cache, gamma: Array, gy: Array, want_gx: bool, gw: Tensors) -> Array | None:
    """``gx`` if wanted; the gradients of gamma and beta are written where ``gw`` names them."""
    x, mean, inverse = cache
    gamma = gamma.reshape(mean.shape[2], -1)
    u, g = (a.reshape(len(x), -1, *gamma.shape) for a in (x, gy))
    if want_gx or "beta" in gw:
        total = g.sum(axis=1, keepdims=True, dtype=np.float64)
    if "beta" in gw:
        gw["beta"][...] = total.sum(axis=0).reshape(-1)
    if want_gx or "gamma" in gw:
        gx = u - mean.astype(x.dtype)
        product = (gx * g).sum(axis=1, keepdims=True, dtype=np.float64) * inverse
    if "gamma" in gw:
        gw["gamma"][...] = product.sum(axis=0).reshape(-1)
    if not want_gx:
        return None
    scale = gamma * inverse
    slope, offset = (-(scale * s).mean(axis=3, keepdims=True) / u.shape[1] for s in (product, total))
    gx *= (slope * inverse).astype(x.dtype)
    gx += g * scale.astype(x.dtype) + offset.astype(x.dtype)
    return gx.reshape(x.shape)


@dataclass(frozen=True)
class GroupNorm(Layer):
    """``group_norm`` of inputs (N, ..., C), the same in training and not. Tensors: gamma (C), beta (C).

    Cached: the input; mean and 1 / sigma of each sample's groups.
    """

    channels: int
    groups: int
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.groups < 1 or self.channels % self.groups:
            raise ValueError(f"{self.channels} channels in {self.groups} groups: the groups must divide the channels")

    def parameters(self) -> Mapping[str, ParameterSpec]:
        c = (self.channels,)
        return {"gamma": ParameterSpec(c, ones, normalises=True), "beta": ParameterSpec(c, zeros, normalises=True)}

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        """An entry: 4 for the statistics, 2 to scale and shift; 4 for both sums of the way back, 4 for the input's.

        Both sums are stated where the input's gradient needs them: gamma's or beta's alone costs 3 or 1 of the 4.
        """
        n = prod(shapes[0])
        return Work(6 * n, backward=4 * n, inputs=(4 * n,))

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return group_norm(xs[0], t["gamma"], t["beta"], self.eps, self.groups)

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (group_norm_gradient(cache, t["gamma"], gy, want[0], gw),)
