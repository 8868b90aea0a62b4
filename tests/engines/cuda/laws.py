"""What an engine owes the plain walk, on any device: the same numbers, and the exact claims within itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from lwsam_ref.algorithms import Normalised, layerwise_sam
from lwsam_ref.autodiff.builder import Builder
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Plain
from lwsam_ref.device import Device
from lwsam_ref.training.objective import Batch, NetworkObjective
from support.strategies import every_method, randomise

SELECTIONS = ((0,), (-1,), (1, 3), (0, 1, 2, 3, 4))


def small(device: Device, dropout: float = 0.0) -> Network:
    """A norm with a ReLU and one without, a sum with a ReLU, a shortcut; ReLUs that nothing can be merged with."""
    b = Builder((6, 5, 3))
    x = b.relu("relu0", b.batch_norm("norm0", b.convolution("conv0", b.input, 4)))
    y = b.relu("relu1", b.batch_norm("norm1", b.convolution("conv1", x, 8, 3, 2)))
    y = b.batch_norm("norm2", b.convolution("conv2", b.dropout("dropout", y, dropout), 8))
    x = b.relu("relu2", b.sum("add", y, b.convolution("projection", x, 8, 1, 2)))
    shared = b.batch_norm("norm3", x)
    x = b.sum("last", b.relu("relu3", shared), b.relu("relu4", b.sum("twice", shared, x)))
    b.linear("fc", b.average_pool("pool", x), 5)
    on_host = randomise(b.network(Device.of("cpu", device.dtype.name)), 0)
    network = b.network(device)
    network.weights.data[...] = device.put(on_host.weights.data)
    return network


def batch(device: Device, images: int = 8, step: int = 0) -> Batch:
    draw = np.random.default_rng(step)
    x, labels = draw.normal(size=(images, 6, 5, 3)), draw.integers(0, 5, images)
    return Batch(device.put(x), device.put(labels), step)


def near(a: Any, b: Any, tolerance: float) -> None:
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


def agrees_with_the_plain_walk(engine: Any, device: Device, tolerance: float, dropout: float = 0.0) -> None:
    """Loss, gradients of all and of some layers, running statistics, what was visited, and the output at test time."""
    get, found = device.get, []
    for walk in (engine, Plain):
        f = NetworkObjective(small(device, dropout), engine=walk)
        with f.watched() as passes:
            evaluation = f.forward(batch(device))
            parts = [evaluation.backward(only=[f.weights.layers[i] for i in s]) for s in SELECTIONS]
            whole = evaluation.backward()
            evaluation.commit()
        numbers = [get(evaluation.losses), get(whole.data), *(get(part.data) for part in parts)]
        numbers += [get(f.network.buffers.data), get(f.output(batch(device, step=1).x))]
        found.append((numbers, passes))
        for part in parts:  # a part of the gradient has the bits that it has in the whole
            np.testing.assert_array_equal(get(part.data), get(whole.only(part.layout).data))
    for a, b in zip(found[0][0], found[1][0], strict=True):
        near(a, b, tolerance)
    assert found[0][1] == found[1][1]


def resumes_with_the_bits_of_a_fresh_pass(engine: Any, device: Device) -> None:
    """Whatever was selected; the weights are restored."""
    f = NetworkObjective(small(device), engine=engine)
    get, sample = device.get, batch(device)
    for selection in SELECTIONS:
        layers = [f.weights.layers[i] for i in selection]
        before = get(f.weights.data).copy()
        at_w = f.forward(sample)
        ascent = at_w.backward(only=layers)
        f.weights.add(0.1 * ascent)
        resumed = at_w.resume(layers)
        fresh = f.forward(sample)
        assert device.number(resumed.loss) == device.number(fresh.loss)
        np.testing.assert_array_equal(get(resumed.backward().data), get(fresh.backward().data))
        f.weights.data[...] = device.put(before)
        layerwise_sam(f, sample, layers, Normalised(0.1), 0.8)
        np.testing.assert_array_equal(get(f.weights.data), before)


def every_method_steps_as_on_the_plain_walk(engine: Any, device: Device, tolerance: float, steps: int = 3) -> None:
    """Update, loss and state of each method, for some steps of a fixed rate."""
    get = device.get
    for name in every_method(NetworkObjective(small(device)), Normalised(0.1)):
        found = []
        for walk in (engine, Plain):
            f = NetworkObjective(small(device), engine=walk)
            method = every_method(f, Normalised(0.1))[name]
            state, numbers = method.initial(f), []
            for number in range(steps):
                step, state = method.step(f, batch(device, step=number), state, number)
                f.weights.data[...] -= 0.05 * step.update.data
                numbers += [get(step.update.data), np.array(device.number(step.loss)), get(step.descent_norms)]
            found.append([*numbers, get(f.weights.data), get(f.network.buffers.data)])
        for a, b in zip(*found, strict=True):
            near(a, b, tolerance)


def repeats_bit_for_bit(engine: Any, device: Device) -> None:
    f = NetworkObjective(small(device), engine=engine)
    first, again = (device.get(f.forward(batch(device)).backward().data).copy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
