"""Every kernel's own source, on the host, against the plain ops: odd shapes, and several orders of the threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engines.cuda import cases
from engines.cuda.emulator import FORWARD, REVERSED, emulated
from lwsam_ref.engines.cuda import normalise
from lwsam_ref.engines.cuda.kernels import Kernels

ORDERS = (FORWARD, REVERSED, 2)
DTYPES = ("float64", "float32")


def held(run: Callable[[Kernels], list[Any]], expected: list[Any], dtype: str) -> None:
    """Near the plain results, and the same bits in every order of the threads."""
    first, *others = (run(emulated(order)) for order in ORDERS)
    assert cases.error(first, expected) <= cases.TOLERANCE[dtype]
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", cases.CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_convolution_and_its_gradients(name: str, dtype: str) -> None:
    shape = cases.CONVOLUTIONS[name]
    given = cases.convolution_arrays(shape, dtype)
    expected = cases.plain_convolution(shape, *given)
    held(lambda kernels: cases.own_convolution(kernels, shape, *given), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_and_its_gradients(dtype: str) -> None:
    given = cases.draw(2, dtype, (13, 20), (20, 10), (10,), (13, 10))
    held(lambda kernels: cases.own_linear(kernels, *given), cases.plain_linear(*given), dtype)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", cases.NORMS)
def test_batch_norm_and_its_gradients(name: str, relu: bool) -> None:
    given = cases.norm_arrays(name, "float64")
    held(lambda kernels: cases.own_norm(kernels, relu, *given), cases.plain_norm(relu, *given), "float64")


def test_batch_norm_in_float32() -> None:
    given = cases.norm_arrays("images", "float32")
    held(lambda kernels: cases.own_norm(kernels, False, *given), cases.plain_norm(False, *given), "float32")


@pytest.mark.parametrize("size", [12, 13])
def test_elementwise_is_exact(size: int) -> None:
    a, b = cases.draw(3, "float32", (7, size), (7, size))
    for order in ORDERS:
        for found, expected in zip(
            cases.own_elementwise(emulated(order), a, b), cases.plain_elementwise(a, b), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_running_statistics_move_as_the_plain_layer_moves_them() -> None:
    x, mean, variance = cases.draw(4, "float32", (40, 12), (12,), (12,))
    variance = np.abs(variance)
    kernels = emulated()
    _, s = normalise.batch_norm(kernels, x, np.ones_like(mean), np.zeros_like(mean), cases.EPS, False)
    expected = [
        running * 0.9 + (1.0 - 0.9) * batch for running, batch in ((mean, s.mean), (variance, s.variance * (40 / 39)))
    ]
    normalise.move_running(kernels, mean, variance, s, 0.9, 40 / 39)
    assert cases.error([mean, variance], expected) <= 2e-7


def test_weights_may_lie_at_any_address() -> None:
    """A tensor's place in the flat vector is that of its layout: here one entry past a multiple of 16 bytes."""
    shape = cases.CONVOLUTIONS["one tile"]
    x, w, gy = cases.convolution_arrays(shape, "float32")
    flat, gflat = np.empty((2, w.size + 1), np.float32)
    moved, gmoved = flat[1:].reshape(w.shape), gflat[1:].reshape(w.shape)
    moved[...] = w
    kernels, choice = emulated(), shape._replace(parts=1)
    cases.convolution.convolution_gradient(kernels, x, moved, gy, 1, False, gmoved, choice.choose)
    y = cases.convolution.convolution(kernels, x, moved, 1, choice.choose)
    expected, _, gw = cases.plain_convolution(shape, x, w, gy)
    assert cases.error([y, gmoved], [expected, gw]) <= cases.TOLERANCE["float32"]


def test_gradients_that_nobody_wants_are_not_computed() -> None:
    launched: list[str] = []

    def noting(text: str) -> Any:
        return lambda name, *arguments: launched.append(name)

    shape = cases.CONVOLUTIONS["one tile"]
    x, w, gy = cases.convolution_arrays(shape, "float64")
    assert cases.convolution.convolution_gradient(Kernels(noting), x, w, gy, 1, False, None) is None
    assert launched == []
