"""Batch norm, if asked with the ReLU that follows it: the launch code of normalise.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.engines.cuda.kernels import Kernels, dense, whole, width
from lwsam_ref.vector import Array

FOLD = 128  # normalise.cu
THREADS = 256
PARTS = 528  # that a channel's sums are made in: four blocks for each of an H100's multiprocessors, on every card
ROWS_A_THREAD = 8  # of the kernels that make no sums: enough to hide what a thread prepares


class Statistics(NamedTuple):
    """Of the batch: mean and biased variance (C, float64), and the rows of what entries are computed from."""

    mean: Array
    variance: Array
    table: Array


class _Plan:
    """How (rows, C) is dealt out to threads: COLS x V channels and LINES rows a block at a time."""

    def __init__(self, kernels: Kernels, relu: bool, x: Array, *others: Array) -> None:
        c = x.shape[-1]
        v = width(x, *others)
        cols = max(d for d in range(1, 33) if c // v % d == 0)
        lines = THREADS // cols
        self.threads, self.rows = cols * lines, x.size // c
        self.chunks = c // (v * cols)
        self.run = kernels.program(x.dtype, "normalise.cu", C=c, RELU=int(relu), V=v, COLS=cols, LINES=lines)
        self.summing = whole(self.rows, max(1, PARTS // self.chunks))
        self.writing = ROWS_A_THREAD * lines

    def over_rows(self, name: str, each: int, *arguments: Any) -> int:
        """Launch with ``each`` rows a block; the number of blocks."""
        blocks = whole(self.rows, each)
        self.run(name, (blocks, self.chunks), self.threads, *arguments, np.int32(self.rows), np.int32(each))
        return blocks


def batch_norm(
    kernels: Kernels, x: Array, gamma: Array, beta: Array, eps: float, relu: bool
) -> tuple[Array, Statistics]:
    """``y`` and the batch's statistics; with ``relu``, ``max(y, 0)``."""
    x, c = dense(x), x.shape[-1]
    y = dense(np.empty_like(x, order="C"))
    plan = _Plan(kernels, relu, x, y)
    parts = _doubles(x, PARTS, 2, c)
    s = Statistics(_doubles(x, c), _doubles(x, c), np.empty_like(x, order="C", shape=(2, c)))
    count = np.int32(plan.over_rows("moments", plan.summing, x, parts))
    plan.run("statistics", (c,), FOLD, parts, x, gamma, *s, count, np.int32(plan.rows), np.float64(eps))
    plan.over_rows("normalise", plan.writing, x, s.table, beta, y)
    return y, s


def batch_norm_gradient(
    kernels: Kernels,
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    statistics: Statistics,
    gy: Array,
    relu: bool,
    want_gx: bool,
    ggamma: Array | None,
    gbeta: Array | None,
) -> Array | None:
    """The gradient with respect to ``x`` if wanted; the others are written where given."""
    x, gy, c = dense(x), dense(gy), x.shape[-1]
    plan = _Plan(kernels, relu, x, gy)
    parts, table = _doubles(x, PARTS, 2, c), np.empty_like(x, order="C", shape=(4, c))
    table[:2] = statistics.table
    count = np.int32(plan.over_rows("slopes", plan.summing, x, gy, table, beta, parts))
    given = parts, gamma, statistics.mean, statistics.variance, table, ggamma, gbeta
    plan.run("parameter_gradients", (c,), FOLD, *given, count, np.int32(plan.rows), np.float64(eps))
    if not want_gx:
        return None
    gx = dense(np.empty_like(x, order="C"))
    plan.over_rows("centred", plan.writing, x, gy, table, beta, gx)
    return gx


def move_running(
    kernels: Kernels, mean: Array, variance: Array, statistics: Statistics, momentum: float, unbiased: float
) -> None:
    """In place: the running statistics by the batch's, the variance times ``unbiased``."""
    c = mean.size
    run = kernels.program(mean.dtype, "normalise.cu", C=c, RELU=0, V=1, COLS=1, LINES=1)
    batch = statistics.mean, statistics.variance
    run("move_running", (whole(c, FOLD),), FOLD, mean, variance, *batch, np.float64(momentum), np.float64(unbiased))


def _doubles(like: Array, *shape: int) -> Array:
    return np.empty_like(like, order="C", shape=shape, dtype=np.float64)
