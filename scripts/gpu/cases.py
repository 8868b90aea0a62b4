"""The matrix products of a network's convolutions and linear maps, with arrays to time them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import cupy

from lwsam_ref.autodiff.layers import Convolution, Linear
from lwsam_ref.autodiff.network import INPUT
from lwsam_ref.device import Device
from lwsam_ref.engines.cuda import convolution
from lwsam_ref.engines.cuda.kernels import Kernels
from lwsam_ref.engines.cuda.tiles import Choice, Problem
from networks import build


class Case(NamedTuple):
    """A product at a batch size."""

    problem: Problem
    x: Any
    w: Any
    gy: Any

    @classmethod
    def of(cls, problem: Problem, images: int) -> Case:
        _, dtype, k, s, h, w, c, q = problem
        shapes = (images, h, w, c), (k, k, c, q), (images, -(-h // s), -(-w // s), q)
        draw = cupy.random.default_rng(0)
        return cls(problem, *(draw.standard_normal(shape, dtype=dtype) for shape in shapes))

    def run(self, kernels: Kernels, choose: Callable[[Problem], Choice]) -> Any:
        given, stride = (self.x, self.w), self.problem.stride
        if self.problem.product == "forward":
            return convolution.convolution(kernels, *given, stride, choose)
        gw = None if self.problem.product == "input_gradient" else cupy.empty_like(self.w)
        return convolution.convolution_gradient(kernels, *given, self.gy, stride, gw is None, gw, choose), gw

    @property
    def flops(self) -> int:
        """Two a multiplication, those with the zero padding included."""
        return 2 * self.gy.size * prod(self.w.shape[:3])

    @property
    def bytes(self) -> int:
        """Each array once."""
        return sum(a.nbytes for a in (self.x, self.w, self.gy))


def problems(model: str, image: int) -> Iterator[Problem]:
    """One for each time that a step of the model meets it."""
    network = build(model, (image, image, 3), Device.of("cpu"))
    shapes = {INPUT: network.input_shape, **dict(enumerate(network.shapes))}
    for node in network.nodes:
        layer, shape = node.layer, shapes[node.inputs[0]]
        if isinstance(layer, Convolution):
            rest = layer.size, layer.stride, *shape[:2], layer.channels, layer.filters
        elif isinstance(layer, Linear):
            rest = 1, 1, 1, 1, layer.channels, layer.units
        else:
            continue
        for name in ("forward", "input_gradient", "kernel_gradient"):
            if name != "input_gradient" or node.inputs[0] != INPUT:
                yield Problem(name, "float32", *rest)
