"""How long each kernel of a step takes, and how near that is to what the card can do.

    python -m gpu.table --model resnet20,wrn28-10          # from scripts/

Compared with the card's specified multiply-adds (``--tflops``), and with the bandwidth of a copy, measured here: a
kernel cannot be faster than either allows, but for what it finds in the cache.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import click
import cupy
from rich.console import Console
from rich.table import Table

from gpu.cases import Case, problems
from gpu.timing import card, copy_bandwidth, milliseconds
from lwsam_ref.autodiff.layers import BatchNorm
from lwsam_ref.device import Device
from lwsam_ref.engines.cuda import elementwise, normalise
from lwsam_ref.engines.cuda.kernels import Kernels, gpu_kernels
from lwsam_ref.engines.cuda.tiles import chosen
from networks import build


class Line(NamedTuple):
    """A kernel on arrays of one shape: how often a step has it, milliseconds each, operations and bytes each."""

    name: str
    times: int
    ms: float
    flops: int
    bytes: int


def products(model: str, images: int, image: int, kernels: Kernels) -> list[Line]:
    found = []
    for problem, times in Counter(problems(model, image)).items():
        case = Case.of(problem, images)
        ms = milliseconds(lambda case=case: case.run(kernels, chosen))  # type: ignore[misc]
        found.append(Line(problem.name.replace("float32 ", ""), times, ms, case.flops, case.bytes))
    return found


def norms(model: str, images: int, image: int, kernels: Kernels) -> list[Line]:
    """Batch norm with its ReLU, forward and backward, and the sum of two branches, at the shapes of the norms."""
    network = build(model, (image, image, 3), Device.of("cpu"))
    shapes = Counter(s for n, s in zip(network.nodes, network.shapes, strict=True) if isinstance(n.layer, BatchNorm))
    found = []
    for shape, times in shapes.items():
        x, gy = (cupy.random.default_rng(i).standard_normal((images, *shape), dtype="float32") for i in (0, 1))
        gamma, beta = cupy.ones(shape[-1], "float32"), cupy.zeros(shape[-1], "float32")
        _, statistics = normalise.batch_norm(kernels, x, gamma, beta, 1e-3, True)
        back = kernels, x, gamma, beta, 1e-3, statistics, gy, True, True, gamma.copy(), beta.copy()
        rows: list[tuple[str, Callable[[], Any], int]] = [
            ("batch norm + ReLU", partial(normalise.batch_norm, kernels, x, gamma, beta, 1e-3, True), 3),
            ("batch norm + ReLU, gradient", partial(normalise.batch_norm_gradient, *back), 5),
            ("sum + ReLU", partial(elementwise.add, kernels, x, gy, True), 3),
        ]
        for name, function, passes in rows:
            label = f"{name} {'x'.join(map(str, shape))}"
            found.append(Line(label, times, milliseconds(function), 0, passes * x.nbytes))
    return found


@click.command()
@click.option("--model", "models", default="resnet20")
@click.option("--batch-size", default=128)
@click.option("--image", default=32)
@click.option("--tflops", default=67.0, help="of the card, float32")
@click.option("--out", type=click.Path(dir_okay=False), help="JSON")
def main(models: str, batch_size: int, image: int, tflops: float, out: str | None) -> None:
    """Print a table for each model."""
    bandwidth, name, written = copy_bandwidth(), card(), {}
    for model in models.split(","):
        lines = products(model, batch_size, image, gpu_kernels()) + norms(model, batch_size, image, gpu_kernels())
        table = Table(title=f"{model}, batch {batch_size}, {name}, copy {bandwidth / 1e12:.2f} TB/s")
        for heading in ("kernel", "times", "us", "ms a step", "TF/s", "of peak", "GB/s", "of copy"):
            table.add_column(heading, justify="left" if heading == "kernel" else "right")
        for line in lines:
            rate, moved = line.flops / line.ms / 1e9, line.bytes / line.ms / 1e6
            cells = [str(line.times), f"{line.ms * 1e3:.1f}", f"{line.ms * line.times:.3f}", f"{rate:.1f}"]
            cells += [f"{rate / tflops:.0%}", f"{moved:.0f}", f"{moved * 1e9 / bandwidth:.0%}"]
            table.add_row(line.name, *cells)
        Console(width=140).print(table)
        print(f"together {sum(line.ms * line.times for line in lines):.3f} ms a step")
        written[model] = [line._asdict() for line in lines]
    if out:
        with open(out, "w") as file:
            json.dump({"card": name, "batch": batch_size, "copy_bandwidth": bandwidth, "kernels": written}, file)


if __name__ == "__main__":
    main()
