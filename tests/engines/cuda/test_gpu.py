"""The kernels on a GPU, at the shapes of the host's tests and as they are chosen there, against the plain ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from engines.cuda import cases, laws
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.device import Device
from lwsam_ref.engines.cuda import cuda
from lwsam_ref.engines.cuda.kernels import gpu_kernels
from lwsam_ref.engines.cuda.tiles import chosen
from lwsam_ref.training.objective import Batch, NetworkObjective
from support.strategies import randomise

pytestmark = pytest.mark.cuda


def held(own: Callable[..., list[Any]], given: list[Any], expected: list[Any], dtype: str) -> None:
    """Near the plain results on the host, and twice the same bits."""
    device = Device.of("cuda", dtype)
    runs = [[device.get(a) for a in own(gpu_kernels(), *map(device.put, given))] for _ in range(2)]
    assert cases.error(runs[0], expected) <= cases.TOLERANCE[dtype]
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", cases.CONVOLUTIONS)
def test_convolution_and_its_gradients(name: str, dtype: str) -> None:
    shape = cases.CONVOLUTIONS[name]
    given = cases.convolution_arrays(shape, dtype)
    expected = cases.plain_convolution(shape, *given)
    held(lambda kernels, *a: cases.own_convolution(kernels, shape, *a), given, expected, dtype)


@pytest.mark.parametrize(
    ("channels", "filters", "image", "size", "stride"),
    [
        (16, 16, 32, 3, 1),
        (16, 32, 32, 3, 2),
        (16, 32, 32, 1, 2),
        (32, 32, 16, 3, 1),
        (64, 64, 8, 3, 1),
        (3, 16, 32, 3, 1),
    ],
)
def test_the_tiles_that_are_chosen(channels: int, filters: int, image: int, size: int, stride: int) -> None:
    """At the shapes of ResNet-20; sums over 8,192 pixels in float32."""
    shape = cases.Shape(8, image, image, channels, filters, size, stride, cases.Tile(1, 1, 1, 1, 1))
    given = cases.convolution_arrays(shape, "float32")

    def own(kernels: Any, x: Any, w: Any, gy: Any) -> list[Any]:
        gw = cases.np.empty_like(w)
        y = cases.convolution.convolution(kernels, x, w, stride, chosen)
        return [y, cases.convolution.convolution_gradient(kernels, x, w, gy, stride, True, gw, chosen), gw]

    held(own, given, cases.plain_convolution(shape, *given), "float32")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_linear_and_its_gradients(dtype: str) -> None:
    given = cases.draw(2, dtype, (128, 64), (64, 10), (10,), (128, 10))
    held(cases.own_linear, given, cases.plain_linear(*given), dtype)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", cases.NORMS)
def test_batch_norm_and_its_gradients(name: str, relu: bool) -> None:
    given = cases.norm_arrays(name, "float64")
    held(lambda k, *a: cases.own_norm(k, relu, *a), given, cases.plain_norm(relu, *given), "float64")


def test_elementwise_is_exact() -> None:
    device = Device.of("cuda", "float32")
    a, b = cases.draw(3, "float32", (7, 13), (7, 13))
    for found, expected in zip(
        cases.own_elementwise(gpu_kernels(), device.put(a), device.put(b)), cases.plain_elementwise(a, b), strict=True
    ):
        np.testing.assert_array_equal(device.get(found), expected)


def test_the_engine_agrees_with_the_plain_walk() -> None:
    for dropout in (0.0, 0.3):
        laws.agrees_with_the_plain_walk(cuda, Device.of("cuda", "float64"), 1e-12, dropout)


def test_the_engine_resumes_exactly() -> None:
    laws.resumes_with_the_bits_of_a_fresh_pass(cuda, Device.of("cuda", "float32"))


def test_every_method_steps_as_on_the_plain_walk() -> None:
    laws.every_method_steps_as_on_the_plain_walk(cuda, Device.of("cuda", "float64"), 1e-10)


def test_the_engine_repeats_bit_for_bit() -> None:
    laws.repeats_bit_for_bit(cuda, Device.of("cuda", "float32"))


@pytest.mark.parametrize("net", ["resnet20", "wrn16_2"])
def test_a_whole_network_in_float64_is_that_of_the_cpu(net: str) -> None:
    """1e-10 leaves room for the rounding of twenty layers, and for nothing else."""
    found = []
    for device, walk in ((Device.of("cuda", "float64"), cuda), (Device.of("cpu", "float64"), Plain)):
        network = getattr(nets, net)((16, 16, 3), 10, device=device)
        network.weights.data[...] = device.put(randomise(getattr(nets, net)((16, 16, 3), 10), 0).weights.data)
        f = NetworkObjective(network, engine=walk)
        x, labels = np.random.default_rng(1).normal(size=(16, 16, 16, 3)), np.arange(16) % 10
        evaluation = f.forward(Batch(device.put(x), device.put(labels)))
        found.append([device.get(evaluation.losses), device.get(evaluation.backward().data)])
    assert cases.error(*found) <= 1e-10
