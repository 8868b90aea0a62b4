"""What a step of every method costs, side by side: in operations and in time, and PyTorch's beside it if asked.

    python scripts/benchmark.py --model resnet20 --batch-size 64
    python scripts/benchmark.py --model wrn16-2 --k 4,all --against torch

Every row takes one step in turn, round after round, so that all rows see the same machine; a row's ratio is the
median over the rounds of its time by the SGD step of the same round. ``operations`` are those that the step executed,
counted, by those of SGD; ``predicted`` is what the ratio would be if a step cost the time of its nodes: one SGD step,
and the cone's forward and backward times on top. Selections are on the output side: the last k layers. LookSAM is the
mean over one interval; sparse SAM keeps the mask that it has. Steps start from images on the device; the learning
rate is 0, so every step starts at the same weights. Memory is the peak of one step above what lay there before
(``tracemalloc``, CPU only). Last, how long it takes to choose layers by a budget.
"""

from __future__ import annotations

import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from lwsam_ref.algorithms import ESAM, LookSAM, Method, Raw, SparseSAM, Step, layerwise_sam, sgd
from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.autodiff.layer import Layer
from lwsam_ref.autodiff.network import Network
from lwsam_ref.autodiff.tape import Afresh, Plain
from lwsam_ref.device import Device
from lwsam_ref.training.budget import Budget
from lwsam_ref.training.models import MODELS
from lwsam_ref.training.objective import Batch, NetworkObjective
from networks import build

Seconds = list[float]

OTHERS: list[tuple[str, Method, int]] = [
    ("LookSAM, interval 3", LookSAM(Raw(0.1), 3), 3),
    ("ESAM, beta 0.6, gamma 0.5", ESAM(Raw(0.1), 0.6, 0.5), 1),
    ("sparse SAM, half of the weights", SparseSAM(Raw(0.1), 0.5, 100, 16), 1),
]


@dataclass
class Row:
    """One way to take a step, or ``steps`` of them."""

    name: str
    step: Callable[[], Any]
    predicted: float | None = None
    operations: float | None = None
    steps: int = 1
    traced: bool = True
    seconds: Seconds = field(default_factory=list)
    peak: int | None = None


class Timed(Layer):
    """A layer that notes how long it takes."""

    def __init__(self, layer: Layer, device: Device) -> None:
        self.layer, self.device, self.inputs = layer, device, layer.inputs
        self.parameters, self.buffers, self.shape = layer.parameters, layer.buffers, layer.shape
        self.forwards: Seconds = []
        self.backwards: Seconds = []

    def forward(self, *arguments: Any) -> Any:
        return self._timed(self.forwards, self.layer.forward, arguments)

    def backward(self, *arguments: Any) -> Any:
        return self._timed(self.backwards, self.layer.backward, arguments)

    def _timed(self, notes: Seconds, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        self.device.synchronize()
        start = time.perf_counter()
        result = function(*arguments)
        self.device.synchronize()
        notes.append(time.perf_counter() - start)
        return result


def node_times(network: Network, batch: Batch, rounds: int) -> list[tuple[float, float]]:
    """Median forward and backward seconds of each node."""
    layers = [Timed(node.layer, network.device) for node in network.nodes]
    nodes = [replace(node, layer=layer) for node, layer in zip(network.nodes, layers, strict=True)]
    timed = Network(nodes, network.input_shape, network.device)
    timed.weights.data[...] = network.weights.data
    for _ in range(rounds + 1):
        NetworkObjective(timed).forward(batch).backward()
    median = lambda notes: statistics.median(notes[1:] or [0.0])  # noqa: E731  (a node in no cone goes nowhere back)
    return [(median(layer.forwards), median(layer.backwards)) for layer in layers]


def rows(network: Network, batch: Batch, ks: list[int], rounds: int, others: bool = False) -> list[Row]:
    """SGD, then layer-wise SAM on the last k layers without and with resume (all layers are SAM), then the others."""
    times = node_times(network, batch, rounds)
    total = sum(forward + backward for forward, backward in times)
    optimizer = Momentum(NetworkObjective(network).weights, 0.9)
    costs = Costs(network, NetworkObjective(network).weights.layout)

    def row(
        name: str, f: NetworkObjective, take: Callable[[int], Step], predicted: float | None, steps: int = 1
    ) -> Row:
        def all_steps() -> None:
            for number in range(steps):
                optimizer.step(take(number).update, 0.0)
            network.device.synchronize()

        with f.watched() as passes:
            all_steps()
        operations = costs.executed(passes) / (costs.sgd * len(batch.targets) * steps)
        return Row(name, all_steps, predicted, operations, steps)

    f = NetworkObjective(network)
    found = [row("SGD", f, lambda number: sgd(f, batch), 1.0)]
    for k in ks:
        selected = network.layers[len(network.layers) - k :]
        name = "SAM (all layers)" if k == len(network.layers) else f"layer-wise SAM, k = {k}"
        cone = network.cone(selected)
        back = sum(times[i][1] for i in cone)
        for engine, label, again in ((Afresh, "afresh", range(len(times))), (Plain, "resumed", cone)):
            above = sum(times[i][0] for i in again) + back
            g = NetworkObjective(network, engine=engine)
            take = lambda number, g=g, s=selected: layerwise_sam(g, batch, s, Raw(0.1), 0.8)  # noqa: E731
            found.append(row(f"{name}, {label}", g, take, 1 + above / total))
    if others:
        for name, method, steps in OTHERS:
            state, first = method.step(f, batch, method.initial(f), 0)[1], int(steps == 1)
            take = lambda number, m=method, s=state, first=first: m.step(f, batch, s, first + number)[0]  # type: ignore[misc]  # noqa: E731
            found.append(row(name, f, take, None, steps))
    return found


def choosing(network: Network, share: float, rounds: int) -> float:
    """Median seconds to choose by a budget, the norms being random."""
    budget, draw = Budget(Costs(network, NetworkObjective(network).weights.layout), share), np.random.default_rng(0)
    seconds = []
    for _ in range(rounds):
        norms = draw.lognormal(0, 3, len(network.layers)).tolist()
        start = time.perf_counter()
        budget(network.layers, norms, 0, (0, 0))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure(all_rows: list[Row], rounds: int, memory: bool) -> None:
    """One unmeasured round, then ``rounds`` rounds in alternating order; memory in a round of its own."""
    for row in all_rows:
        row.step()
    for i in range(rounds):
        for row in all_rows if i % 2 == 0 else reversed(all_rows):
            start = time.perf_counter()
            row.step()
            row.seconds.append((time.perf_counter() - start) / row.steps)
    for row in all_rows:
        row.peak = peak(row.step) if memory and row.traced else None


def peak(step: Callable[[], Any]) -> int:
    """Bytes at the highest point of ``step``, above what lay there before."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def show(all_rows: list[Row], batch_size: int, title: str) -> None:
    table = Table(title=title)
    for heading in ("step", "images/s", "ms", "time / SGD", "predicted", "operations", "peak MB", "peak / SGD"):
        table.add_column(heading, justify="left" if heading == "step" else "right")
    base = all_rows[0]
    for row in all_rows:
        seconds = statistics.median(row.seconds)
        cells = [f"{batch_size / seconds:.1f}", f"{seconds * 1e3:.2f}"]
        cells.append(f"{statistics.median(a / b for a, b in zip(row.seconds, base.seconds, strict=True)):.3f}")
        cells += ["" if ratio is None else f"{ratio:.3f}" for ratio in (row.predicted, row.operations)]
        if row.peak is not None and base.peak is not None:
            cells += [f"{row.peak / 1e6:.1f}", f"{row.peak / base.peak:.3f}"]
        table.add_row(row.name, *cells)
    Console(width=140).print(table)


@click.command(context_settings={"show_default": True})
@click.option("--model", type=click.Choice(MODELS), default="resnet20")
@click.option("--batch-size", type=click.IntRange(min=1), default=64)
@click.option("--image", type=click.IntRange(min=4), default=32, help="height and width")
@click.option("--k", "ks", default="1,2,4,8,all", help="how many layers on the output side")
@click.option("--rounds", type=click.IntRange(min=1), default=7)
@click.option("--threads", type=click.IntRange(min=1), default=1, help="BLAS threads (and PyTorch's)")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@click.option("--against", type=click.Choice(["torch"]), help="PyTorch, eager and channels_last, in the same run")
@click.option("--ranks", help="instead: the same global batch on so many ranks, e.g. 1,2")
@click.option("--others/--no-others", default=True, help="the other methods of the paper's comparison")
@click.option("--memory/--no-memory", default=True, help="measure peak memory (CPU)")
def main(
    model: str,
    batch_size: int,
    image: int,
    ks: str,
    rounds: int,
    threads: int,
    device: str,
    dtype: str,
    against: str | None,
    ranks: str | None,
    others: bool,
    memory: bool,
) -> None:
    """Print a table of what a step costs."""
    if ranks:
        from ranks import show as show_ranks  # beside this file

        k = ks.split(",")[0]
        if not k.isdigit():
            raise click.BadParameter(
                f"asked for {k}, but with --ranks it is a number of layers: give one", param_hint="--k"
            )
        show_ranks(model, batch_size, image, int(k), [int(n) for n in ranks.split(",")], rounds)
        return
    place = Device.of(device, dtype)
    network = build(model, (image, image, 3), place)
    draw = np.random.default_rng(1)
    images, labels = draw.normal(size=(batch_size, image, image, 3)), draw.integers(0, 10, batch_size)
    batch = Batch(place.put(images), place.put(labels))
    counts = sorted({len(network.layers) if k == "all" else int(k) for k in ks.split(",")})
    with threadpool_limits(threads):
        found = rows(network, batch, [k for k in counts if 0 < k <= len(network.layers)], rounds, others)
        if against:
            from rival import steps  # beside this file

            found += [
                Row(name, step, traced=False) for name, step in steps(network, images, labels, threads, device, dtype)
            ]
        measure(found, rounds, memory and device == "cpu")
    where = platform.processor() or platform.machine()
    if device == "cuda":
        where = place.xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    title = (
        f"{model}, batch {batch_size}, {image} x {image}, {dtype}, {threads} thread(s), {where}, NumPy {np.__version__}"
    )
    show(found, batch_size, title)
    step = statistics.median(found[0].seconds)
    for share in (0.05, 0.1, 0.2, 0.5, 1.0):
        seconds = choosing(network, share, 25)
        print(f"to choose by a budget of {share:4.0%}: {seconds * 1e3:.3f} ms, {seconds / step:.3%} of a step of SGD")
    print(f"last layers, the output last: {', '.join(network.layers[-8:])}")


if __name__ == "__main__":
    main()
