"""Convolution and its gradients by the tiled product: the launch code of forward.cu and its two companions.

The signatures are those of ``ops.convolution`` and ``ops.linear``, with the kernels in front. A linear map is the
convolution of images of one pixel with a kernel of one tap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lwsam_ref.engines.cuda.kernels import Kernels, Program, dense, whole, width
from lwsam_ref.engines.cuda.tiles import Choice, Problem, chosen
from lwsam_ref.vector import Array

Choose = Callable[[Problem], Choice]

SUM_ENTRIES, SUM_THREADS = 32, 256  # kernel_gradient.cu: sum_parts


def convolution(kernels: Kernels, x: Array, w: Array, stride: int = 1, choose: Choose = chosen) -> Array:
    """``y`` of shape (N, ceil(H / s), ceil(W / s), K), from x (N, H, W, C) and w (k, k, C, K)."""
    n, height, wide, c = x.shape
    k, _, _, q = w.shape
    x, y = dense(x), np.empty_like(x, order="C", shape=(n, whole(height, stride), whole(wide, stride), q))
    problem = Problem("forward", x.dtype.name, k, stride, height, wide, c, q)
    tile, _ = choose(problem)
    run = _program(kernels, problem, tile, x, y, w)
    grid = whole(y.size // q, tile.BM), whole(q, tile.BN)
    run("forward", grid, tile.threads, x, w, dense(y), np.int32(n))
    return y


def convolution_gradient(
    kernels: Kernels,
    x: Array,
    w: Array,
    gy: Array,
    stride: int,
    want_gx: bool,
    gw: Array | None,
    choose: Choose = chosen,
) -> Array | None:
    """The gradient with respect to ``x`` if wanted; that with respect to ``w`` is written into ``gw`` if given."""
    x, gy = dense(x), dense(gy)
    if gw is not None:
        _kernel_gradient(kernels, x, gy, stride, gw, choose)
    return _input_gradient(kernels, x, w, gy, stride, choose) if want_gx else None


def linear(kernels: Kernels, x: Array, w: Array, b: Array, choose: Choose = chosen) -> Array:
    """``x w + b`` of x (N, C) and w (C, K)."""
    y = convolution(kernels, x[:, None, None, :], w[None, None], 1, choose)[:, 0, 0, :]
    y += b
    return y


def linear_gradient(
    kernels: Kernels,
    x: Array,
    w: Array,
    gy: Array,
    want_gx: bool,
    gw: Array | None,
    gb: Array | None,
    choose: Choose = chosen,
) -> Array | None:
    """The gradient with respect to ``x`` if wanted; the others are written into ``gw`` and ``gb`` if given."""
    image, weights, arriving = x[:, None, None, :], w[None, None], gy[:, None, None, :]
    wanted = None if gw is None else gw[None, None]
    gx = convolution_gradient(kernels, image, weights, arriving, 1, want_gx, wanted, choose)
    if gb is not None:
        gb[...] = gy.sum(axis=0)
    return None if gx is None else gx[:, 0, 0, :]


def _input_gradient(kernels: Kernels, x: Array, w: Array, gy: Array, stride: int, choose: Choose) -> Array:
    """A grid for each pair of rows and columns modulo the stride; all of them as large as the largest, the first."""
    n, height, wide, c = x.shape
    gx = dense(np.empty_like(x, order="C"))
    problem = Problem("input_gradient", x.dtype.name, len(w), stride, height, wide, c, w.shape[3])
    tile, _ = choose(problem)
    run = _program(kernels, problem, tile, gx, gy, w)
    pixels = n * whole(height, stride) * whole(wide, stride)
    grid = whole(pixels, tile.BM), whole(c, tile.BN), stride * stride
    run("input_gradient", grid, tile.threads, gy, w, gx, np.int32(n))
    return gx


def _kernel_gradient(kernels: Kernels, x: Array, gy: Array, stride: int, gw: Array, choose: Choose) -> None:
    n, height, wide, c = x.shape
    k, _, _, q = gw.shape
    problem = Problem("kernel_gradient", x.dtype.name, k, stride, height, wide, c, q)
    tile, parts = choose(problem)
    pixels = gy.size // q
    each = whole(whole(pixels, parts), tile.BK) * tile.BK
    parts = whole(pixels, each)
    partial = np.empty_like(x, order="C", shape=(parts, *gw.shape)) if parts > 1 else gw
    run = _program(kernels, problem, tile, x, gy, partial)
    grid = whole(problem.rows, tile.BM), whole(q, tile.BN), parts
    run("kernel_gradient", grid, tile.threads, x, gy, dense(partial), np.int32(n), np.int32(each))
    if parts > 1:
        run("sum_parts", (whole(gw.size, SUM_ENTRIES),), SUM_THREADS, partial, gw, np.int32(parts))


def _program(kernels: Kernels, problem: Problem, tile: Any, x: Array, y: Array, w: Array) -> Program:
    """``x``, ``y``, ``w``: the arrays that are as wide as the input, the output and the kernel."""
    return kernels.program(
        x.dtype,
        "product.cu",
        f"{problem.product}.cu",
        K=problem.size,
        S=problem.stride,
        H=problem.height,
        W=problem.width,
        C=problem.channels,
        Q=problem.filters,
        VX=width(x),
        VY=width(y),
        VW=width(w),
        **tile._asdict(),
    )
