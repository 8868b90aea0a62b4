"""Every op, its value and all its gradients for random cotangents, against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from lwsam_ref.autodiff import ops
from lwsam_ref.vector import Array
from oracle.agreement import TOLERANCE, agree, nchw, nhwc
from support.strategies import seeds

EPS = 1e-3
sizes, few = st.integers(1, 9), st.integers(1, 5)
shapes = st.tuples(few, few, few, few)


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def check(ours: dict[str, Array], f: Callable[..., Tensor], gy: Array, *inputs: Array, **how: Any) -> None:
    """``ours`` has the value and then the gradient with respect to each input; ``f`` is PyTorch's function."""
    leaves = [torch.tensor(a, requires_grad=True) for a in inputs]
    y = f(*leaves)
    agree(ours, dict(zip(ours, (y.detach(), *torch.autograd.grad(y, leaves, torch.tensor(gy))), strict=True)), **how)


def test_every_op_is_called_in_this_file() -> None:
    source = Path(__file__).read_text()
    assert [name for name in ops.__all__ if f"ops.{name}(" not in source] == []


@given(few, sizes, sizes, few, few, st.sampled_from([1, 3, 5, 7]), st.integers(1, 4), seeds)
def test_convolution(n: int, height: int, width: int, c: int, q: int, k: int, stride: int, seed: int) -> None:
    x, w = normal(seed, (n, height, width, c), (k, k, c, q))
    y, gw = ops.convolution(x, w, stride), np.empty_like(w)
    gy = normal(seed + 1, y.shape)[0]
    gx = ops.convolution_gradient(x, w, gy, stride, True, gw)

    def f(x: Tensor, w: Tensor) -> Tensor:
        return nhwc(F.conv2d(nchw(x), w.permute(3, 2, 0, 1).contiguous(), stride=stride, padding=k // 2))

    check({"y": y, "gx": gx, "gw": gw}, f, gy, x, w)


@given(sizes, sizes, sizes, seeds)
def test_linear(n: int, c: int, q: int, seed: int) -> None:
    x, w, b, gy = normal(seed, (n, c), (c, q), (q,), (n, q))
    gw, gb = np.empty_like(w), np.empty_like(b)
    ours = {"y": ops.linear(x, w, b), "gx": ops.linear_gradient(x, w, gy, True, gw, gb), "gw": gw, "gb": gb}
    check(ours, lambda x, w, b: F.linear(x, w.T, b), gy, x, w, b)


@given(shapes, st.sampled_from([0.0, 1e3, 1e6]), seeds)
def test_batch_norm(shape: tuple[int, ...], far: float, seed: int) -> None:
    """Entries of size ``far`` are rounded by 1e-16 far, so centred entries of size 1 differ by a few times that.

    The sum of a few products may cancel, and of two entries ``gx`` is nothing else.
    """
    shape = (shape[0] + 1, *shape[1:])  # PyTorch refuses a single entry
    c = shape[-1]
    x, gy, gamma, beta = normal(seed, shape, shape, (c,), (c,))
    x += far
    y, (mean, variance) = ops.batch_norm(x, gamma, beta, EPS)
    gradients = ops.batch_norm_gradient(x, gamma, EPS, mean, variance, gy, True)
    running = torch.zeros(c), torch.zeros(c)

    def f(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return nhwc(F.batch_norm(nchw(x), *running, gamma, beta, training=True, momentum=1.0, eps=EPS))

    inverse, tolerance = 1 / np.sqrt(variance + EPS), max(TOLERANCE, 1e-14 * far)
    terms = {"gx": np.abs(gamma * inverse * gy).max(), "ggamma": np.abs((x - mean) * inverse * gy).max()}
    ours = dict(zip(("y", "gx", "ggamma", "gbeta"), (y, *gradients), strict=True))
    check(ours, f, gy, x, gamma, beta, tolerance=tolerance, terms=terms)
    assert all(np.array_equal(a, b) for a, b in zip((mean, variance), ops.batch_statistics(x), strict=True))
    unbiased = variance * x.size / (x.size - c)
    agree(
        {"mean": mean, "variance": unbiased}, dict(zip(("mean", "variance"), running, strict=True)), terms={"mean": 1}
    )


@given(shapes, st.sampled_from([0.0, 1e3, 1e6]), seeds)
def test_standardise(shape: tuple[int, ...], far: float, seed: int) -> None:
    """Batch norm in evaluation mode: mean and variance are constants, and only what is asked for is computed."""
    c = shape[-1]
    x, gy, mean, variance, gamma, beta = normal(seed, shape, shape, *[(c,)] * 4)
    x, mean, variance = x + far, mean + far, variance**2
    ggamma, gbeta = np.empty(c), np.empty(c)
    y = ops.standardise(x, mean, variance, EPS, gamma, beta)
    gx = ops.standardise_gradient(x, mean, variance, EPS, gamma, gy, True, ggamma, gbeta)

    def f(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return nhwc(F.batch_norm(nchw(x), torch.tensor(mean), torch.tensor(variance), gamma, beta, eps=EPS))

    inverse, tolerance = 1 / np.sqrt(variance + EPS), max(TOLERANCE, 1e-14 * far)
    terms = {"ggamma": np.abs((x - mean) * inverse * gy).max(), "gbeta": np.abs(gy).max()}
    terms["y"] = np.abs((x - mean) * inverse * gamma).max()
    ours = {"y": y, "gx": gx, "ggamma": ggamma, "gbeta": gbeta}
    check(ours, f, gy, x, gamma, beta, tolerance=tolerance, terms=terms)
    alone = np.empty(c)
    assert ops.standardise_gradient(x, mean, variance, EPS, gamma, gy, False, None, alone) is None
    assert np.array_equal(alone, gbeta)


@given(shapes, seeds)
def test_relu_dropout_and_average_pool(shape: tuple[int, ...], seed: int) -> None:
    x, gy, gp, keep = normal(seed, shape, shape, (shape[0], shape[3]), shape)
    x[x < -1] = 0  # at the kink both say 0
    check({"y": ops.relu(x), "gx": ops.relu_gradient(ops.relu(x), gy)}, F.relu, gy, x)
    keep, rate = (keep > -0.5).astype(float), 0.3
    ours = {"y": ops.dropout(x, keep, rate), "gx": ops.dropout_gradient(gy, keep, rate)}
    check(ours, lambda x: x * torch.tensor(keep) / (1 - rate), gy, x)
    ours = {"y": ops.average_pool(x), "gx": ops.average_pool_gradient(gp, shape)}
    check(ours, lambda x: F.adaptive_avg_pool2d(nchw(x), 1).flatten(1), gp, x, terms={"y": 1})


@given(sizes, st.integers(2, 9), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([1.0, 30.0, 1e3]), seeds)
def test_cross_entropy(n: int, k: int, smoothing: float, scale: float, seed: int) -> None:
    """Logits of any size: where p is near 1, the loss and ``p - t`` are small differences of numbers near 1."""
    z, labels = scale * normal(seed, (n, k))[0], np.random.default_rng(seed).integers(0, k, n)
    losses, p = ops.cross_entropy(z, labels, smoothing)
    ours = {"losses": losses, "gz": ops.cross_entropy_gradient(p, labels, smoothing)}

    def f(z: Tensor) -> Tensor:
        return F.cross_entropy(z, torch.tensor(labels), reduction="none", label_smoothing=smoothing)

    check(ours, f, np.full(n, 1 / n), z, terms={"losses": 1, "gz": 1 / n})
    agree({"p": p}, {"p": torch.tensor(z).softmax(1)})


def test_one_wrong_entry_is_seen() -> None:
    a = normal(0, (3, 2))[0]
    ours = {"y": np.sin(a), "gx": a * np.cos(a)}
    check(ours, torch.sin, a, a)
    for name, array in ours.items():
        wrong = array.copy()
        wrong[2, 1] *= 1 + 1e-8
        with pytest.raises(AssertionError, match=f"{name} is off by"):
            check(ours | {name: wrong}, torch.sin, a, a)
