r"""Convolution of images (N, H, W, C) with an odd square kernel (k, k, C, K), zero padding k // 2, stride s.

.. math:: y_{nhwq} = \sum_{ijc} x_{n,\, sh+i-k//2,\, sw+j-k//2,\, c}\; w_{ijcq}

Each block of images is unrolled into columns (images * H' * W', k * k * C) that stay in the cache, and one matrix
product gives the result. The three gradients reuse the same columns:

* kernel: ``columns(x)^T gy``;
* input, stride 1: the convolution of ``gy`` with the kernel turned by 180 degrees, C and K exchanged;
* input, larger stride: ``gy w^T``, each tap added to the pixels that it was read from.
"""

from __future__ import annotations

import numpy as np

from lwsam_ref.autodiff.ops.blocks import blocks
from lwsam_ref.vector import Array


def convolution(x: Array, w: Array, stride: int = 1) -> Array:
    """``y`` of shape (N, ceil(H / s), ceil(W / s), K)."""
    k, _, c, q = w.shape
    n, height, width, _ = x.shape
    y = np.empty_like(x, order="C", shape=(n, -(-height // stride), -(-width // stride), q))
    flat = w.reshape(k * k * c, q)
    columns = _Columns(x, k, stride)
    for block in columns.blocks():
        np.matmul(columns.of(block), flat, out=y[block].reshape(-1, q))
    return y


def convolution_gradient(x: Array, w: Array, gy: Array, stride: int, want_gx: bool, gw: Array | None) -> Array | None:
    """The gradient with respect to ``x`` if wanted; that with respect to ``w`` is written into ``gw`` if given."""
    k, _, c, q = w.shape
    if gw is not None:
        total = np.zeros_like(w, shape=(k * k * c, q))
        columns = _Columns(x, k, stride)
        for block in columns.blocks():
            total += columns.of(block).T @ _rows(gy[block])
        gw[...] = total.reshape(w.shape)
    if not want_gx:
        return None
    if stride == 1:
        turned = w[::-1, ::-1].transpose(0, 1, 3, 2).copy()
        return convolution(gy, turned)
    return _scatter(x, w, gy, stride)


def _rows(x: Array) -> Array:
    """One pixel a row, in C order: BLAS sums in another order where an operand lies transposed in memory."""
    rows = x.reshape(-1, x.shape[-1])
    return rows if rows.flags.c_contiguous else rows.copy()


class _Columns:
    """Columns of one block of images at a time, in buffers that the blocks share."""

    def __init__(self, x: Array, k: int, stride: int) -> None:
        self.x, self.k, self.stride = x, k, stride
        _, height, width, c = x.shape
        self.per_image = k * k * c * -(-height // stride) * -(-width // stride)
        self.plain = k == 1 and stride == 1
        if not self.plain:
            most = max((b.stop - b.start for b in self.blocks()), default=0)
            pad = k // 2
            self.padded = np.zeros_like(x, shape=(most, height + 2 * pad, width + 2 * pad, c))
            self.inside = self.padded[:, pad : pad + height, pad : pad + width]
            windows = np.lib.stride_tricks.sliding_window_view(self.padded, (k, k), axis=(1, 2))
            self.windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)  # (n, H', W', k, k, C)
            self.buffer = np.empty_like(x, shape=self.windows.shape)

    def blocks(self) -> list[slice]:
        return list(blocks(self.x, self.per_image * self.x.dtype.itemsize))

    def of(self, block: slice) -> Array:
        if self.plain:
            return _rows(self.x[block])
        n = block.stop - block.start
        self.inside[:n] = self.x[block]
        self.buffer[:n] = self.windows[:n]
        return self.buffer[:n].reshape(-1, self.k * self.k * self.x.shape[-1])


def _scatter(x: Array, w: Array, gy: Array, stride: int) -> Array:
    """The input gradient for any stride: the transpose of taking columns."""
    k, _, c, q = w.shape
    _, height, width, _ = x.shape
    _, out_h, out_w, _ = gy.shape
    pad = k // 2
    taps = w.reshape(k * k, c, q).transpose(0, 2, 1).copy()
    gx = np.empty_like(x, order="C")
    for block in blocks(x, k * k * c * out_h * out_w * x.dtype.itemsize):
        g = _rows(gy[block])
        padded = np.zeros_like(x, shape=(block.stop - block.start, height + 2 * pad, width + 2 * pad, c))
        for tap in range(k * k):
            i, j = divmod(tap, k)
            place = padded[:, i : i + stride * out_h : stride, j : j + stride * out_w : stride]
            place += (g @ taps[tap]).reshape(place.shape)
        gx[block] = padded[:, pad : pad + height, pad : pad + width]
    return gx
