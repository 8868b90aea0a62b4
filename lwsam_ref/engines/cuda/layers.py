"""The layers that have kernels of their own: each stands for a plain layer, with its contract.

What a plain layer says of itself (parameters, buffers, shape, work) is asked of it; only how it is computed differs.
A ReLU that alone reads a batch norm or a sum is computed with it (see ``twin.py``): the norm's output is then that
of the ReLU, and the ReLU's own node passes on what it gets.
"""

from __future__ import annotations

from collections.abc import Mapping

from lwsam_ref.autodiff import layers as plain
from lwsam_ref.autodiff import ops
from lwsam_ref.autodiff.layer import Cache, Context, Layer, ParameterSpec, Shape, Tensors, Work
from lwsam_ref.engines.cuda import convolution, elementwise, normalise
from lwsam_ref.engines.cuda.kernels import Kernels
from lwsam_ref.vector import Array


class Own(Layer):
    """In the place of the plain ``layer``."""

    def __init__(self, layer: Layer, kernels: Kernels) -> None:
        self.layer, self.kernels, self.inputs = layer, kernels, layer.inputs

    def parameters(self) -> Mapping[str, ParameterSpec]:
        return self.layer.parameters()

    def buffers(self) -> Mapping[str, ParameterSpec]:
        return self.layer.buffers()

    def shape(self, *inputs: Shape) -> Shape:
        return self.layer.shape(*inputs)

    def work(self, shapes: tuple[Shape, ...], training: bool) -> Work:
        return self.layer.work(shapes, training)


class Convolution(Own):
    """Cached: the input."""

    def __init__(self, layer: plain.Convolution, kernels: Kernels) -> None:
        super().__init__(layer, kernels)
        self.stride = layer.stride

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return convolution.convolution(self.kernels, xs[0], t["kernel"], self.stride), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        given = cache, t["kernel"], gy, self.stride, want[0], gw.get("kernel")
        return (convolution.convolution_gradient(self.kernels, *given),)


class Linear(Own):
    """Cached: the input."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return convolution.linear(self.kernels, xs[0], t["kernel"], t["bias"]), xs[0]

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        given = cache, t["kernel"], gy, want[0], gw.get("kernel"), gw.get("bias")
        return (convolution.linear_gradient(self.kernels, *given),)


class BatchNorm(Own):
    """With ``relu``, the ReLU after it as well. Cached: the input and the batch's statistics.

    The plain layer does what these kernels do not: norms with the running statistics, and with those of several
    processes together. Cached then: its cache, and its output.
    """

    def __init__(self, layer: plain.BatchNorm, kernels: Kernels, relu: bool) -> None:
        super().__init__(layer, kernels)
        self.norm, self.relu = layer, relu

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        if not context.training or context.batch.size > 1:
            y, cache = self.norm.forward(t, xs, context)
            y = ops.relu(y) if self.relu else y
            return y, (cache, y)
        y, statistics = normalise.batch_norm(self.kernels, xs[0], t["gamma"], t["beta"], self.norm.eps, self.relu)
        return y, (xs[0], statistics)

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        x, statistics = cache
        if not isinstance(statistics, normalise.Statistics):
            arriving = ops.relu_gradient(statistics, gy) if self.relu else gy
            return self.norm.backward(t, arriving, x, want, gw)
        given = x, t["gamma"], t["beta"], self.norm.eps, statistics, gy, self.relu
        wanted = want[0], gw.get("gamma"), gw.get("beta")
        return (normalise.batch_norm_gradient(self.kernels, *given, *wanted),)

    def commit(self, t: Tensors, cache: Cache) -> None:
        x, statistics = cache
        if not isinstance(statistics, normalise.Statistics):
            self.norm.commit(t, x)
            return
        count = x.size // self.norm.channels
        unbiased = count / max(1, count - 1)
        moved = t["mean"], t["variance"], statistics
        normalise.move_running(self.kernels, *moved, self.norm.momentum, unbiased)


class ReLU(Own):
    """Cached: the output."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        y = elementwise.relu(self.kernels, xs[0])
        return y, y

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (elementwise.relu_gradient(self.kernels, cache, gy) if want[0] else None,)


class Add(Own):
    """With ``relu``, the ReLU after it as well; cached then: the output."""

    def __init__(self, layer: plain.Add, kernels: Kernels, relu: bool) -> None:
        super().__init__(layer, kernels)
        self.relu = relu

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        y = elementwise.add(self.kernels, xs[0], xs[1], self.relu)
        return y, y if self.relu else None

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        if self.relu:
            gy = elementwise.relu_gradient(self.kernels, cache, gy)
        return tuple(gy if w else None for w in want)


class Passed(Own):
    """A ReLU that was computed with the node before it. Nothing is cached."""

    def forward(self, t: Tensors, xs: tuple[Array, ...], context: Context) -> tuple[Array, Cache]:
        return xs[0], None

    def backward(
        self, t: Tensors, gy: Array, cache: Cache, want: tuple[bool, ...], gw: Tensors
    ) -> tuple[Array | None, ...]:
        return (gy if want[0] else None,)
