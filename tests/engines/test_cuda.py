"""CuPy held to NumPy: every op, every method, and the exact claims on the GPU itself. Run by `make test-cuda`.

Left out of `make test`, which needs no GPU; where there is none these tests fail, they do not pass by skipping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from lwsam_ref import data
from lwsam_ref.algorithms import Raw, layerwise_sam
from lwsam_ref.autodiff import ops
from lwsam_ref.device import Device
from lwsam_ref.training.config import Config
from lwsam_ref.training.loop import run as to_the_end
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.training.records import Summary
from lwsam_ref.training.trainer import Trainer
from support.strategies import batch, randomise

pytestmark = pytest.mark.cuda

ULP = 2.0**-52


def arrays(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def convolution(x: Any, w: Any, gy: Any, stride: int) -> tuple[Any, ...]:
    gw = np.empty_like(w)
    return ops.convolution(x, w, stride), ops.convolution_gradient(x, w, gy, stride, True, gw), gw


def batch_norm(x: Any, gamma: Any, beta: Any, gy: Any) -> tuple[Any, ...]:
    y, (mean, variance) = ops.batch_norm(x, gamma, beta, 1e-3)
    gradients = ops.batch_norm_gradient(x, gamma, 1e-3, mean, variance, gy, True)
    return y, mean, variance, *gradients, ops.standardise(x, mean, variance, 1e-3, gamma, beta)


def linear(x: Any, w: Any, b: Any, gy: Any) -> tuple[Any, ...]:
    gw, gb = np.empty_like(w), np.empty_like(b)
    return ops.linear(x, w, b), ops.linear_gradient(x, w, gy, True, gw, gb), gw, gb


def loss(z: Any, labels: Any) -> tuple[Any, ...]:
    losses, p = ops.cross_entropy(z, labels, 0.1)
    return losses, p, ops.cross_entropy_gradient(p, labels, 0.1)


def rest(x: Any, gy: Any, pooled: Any) -> tuple[Any, ...]:
    y = ops.relu(x)
    keep = ops.relu_gradient(y, np.ones_like(y))
    return (
        y,
        ops.relu_gradient(y, gy),
        ops.average_pool(x),
        ops.average_pool_gradient(pooled, x.shape),
        ops.dropout(x, keep, 0.3),
        ops.dropout_gradient(gy, keep, 0.3),
    )


CASES: dict[str, tuple[Callable[..., tuple[Any, ...]], list[Any]]] = {
    **{
        f"convolution {k}x{k} stride {s}": (
            lambda x, w, gy, s=s: convolution(x, w, gy, s),
            arrays(0, (5, 7, 6, 3), (k, k, 3, 4), (5, -(-7 // s), -(-6 // s), 4)),
        )
        for k in (1, 3, 5)
        for s in (1, 2)
    },
    "batch norm": (batch_norm, arrays(1, (5, 7, 6, 3), (3,), (3,), (5, 7, 6, 3))),
    "batch norm of rows": (batch_norm, arrays(2, (700, 3), (3,), (3,), (700, 3))),
    "linear": (linear, arrays(3, (5, 7), (7, 4), (4,), (5, 4))),
    "loss": (loss, [*arrays(4, (6, 5)), np.array([0, 1, 2, 3, 4, 0])]),
    "rest": (rest, arrays(5, (5, 4, 3, 2), (5, 4, 3, 2), (5, 2))),
}


@pytest.mark.parametrize("name", CASES)
def test_an_op_gives_on_the_gpu_what_it_gives_on_the_cpu(name: str) -> None:
    """Sums of some hundred terms in another order: 1000 units in the last place."""
    device = Device.of("cuda", "float64")
    op, given = CASES[name]
    for on_cpu, on_gpu in zip(op(*given), op(*map(device.put, given)), strict=True):
        assert isinstance(on_gpu, device.xp.ndarray)
        np.testing.assert_allclose(device.get(on_gpu), on_cpu, rtol=0, atol=1000 * ULP * np.abs(on_cpu).max())


@pytest.mark.parametrize("net", ["resnet20", "wrn16_2", "mlp"])
@pytest.mark.parametrize("selected", [(0,), (-1,), (-1, -3), (0, 1, 2)])
def test_a_step_resumed_on_the_gpu_has_the_bits_of_a_fresh_one(net: str, selected: tuple[int, ...]) -> None:
    f = NetworkObjective(drawn(net))
    device = f.network.device
    host = batch(f.network, 16, seed=3, classes=10)
    sample = host._replace(targets=device.put(host.targets))
    layers = tuple(f.weights.layers[i] for i in selected)
    resumed, before = f.forward(sample), device.get(f.weights.data)
    ascent = resumed.backward(only=layers)
    whole = f.forward(sample).backward()
    assert (device.get(whole.only(ascent.layout).data) == device.get(ascent.data)).all()
    f.weights.add(0.1 * ascent)
    resumed, fresh = resumed.resume(layers), f.forward(sample)
    assert device.number(resumed.loss) == device.number(fresh.loss)
    assert (device.get(resumed.backward().data) == device.get(fresh.backward().data)).all()
    f.weights.data[...] = device.put(before)
    layerwise_sam(f, sample, layers, Raw(0.1), 0.8)
    assert (device.get(f.weights.data) == before).all()


def drawn(net: str) -> Any:
    """On the GPU, with the weights that `randomise` draws on the host."""
    network = getattr(nets, net)((8, 8, 1), 10, device=Device.of("cuda", "float32"))
    network.weights.data[...] = network.device.put(randomise(getattr(nets, net)((8, 8, 1), 10), 0).weights.data)
    return network


def run(device: Device, **options: Any) -> tuple[Summary, np.ndarray]:
    digits = data.load("digits")
    small = data.Images("digits", data.Split(*(a[:160] for a in digits.train)), digits.test, 10, pad=1, flip=False)
    config = Config.of({"epochs": 1, "batch_size": 32, "decay_in": "loss", "probe": True, "lr": 0.01, **options})
    network = nets.resnet20((8, 8, 1), 10, device=device)
    summary = to_the_end(Trainer(config, network, small))
    assert summary is not None
    return summary, device.get(network.weights.data)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_five_steps_on_the_gpu_are_those_of_the_cpu(method: str, rho: float) -> None:
    """Float64: rounding grows with the steps, 1e-10 leaves room for that and for nothing else."""
    cpu, w = run(Device.of("cpu", "float64"), method=method, rho=rho, criterion="random")
    gpu, v = run(Device.of("cuda", "float64"), method=method, rho=rho, criterion="random")
    assert cpu.perturbation_counts == gpu.perturbation_counts
    assert np.abs(w - v).max() <= 1e-10 * np.abs(w).max()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_on_the_gpu_repeats_bit_for_bit(method: str) -> None:
    first, again = (run(Device.of("cuda", "float32"), method=method)[0] for _ in range(2))
    assert first.device == "cuda"
    assert first.weights_sha256 == again.weights_sha256
