"""What a step takes on this GPU: SGD, SAM and layer-wise SAM on the engine ``cuda``, beside PyTorch in the same run.

    python -m gpu.steps --model resnet20,wrn16-2,wrn28-10          # from scripts/

Rows as in ``benchmark.py``: one step of each in turn, round after round; a step ends when the GPU has done it. The
line below the table is the forward and the backward pass as one graph, replayed: what remains of a step's walk when
no launch is waited for.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial

import click
import numpy as np

from benchmark import Row, measure, show
from gpu.timing import card, milliseconds
from lwsam_ref.algorithms import Raw, Step, layerwise_sam, sgd
from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.device import Device
from lwsam_ref.engines import ENGINES
from lwsam_ref.training.objective import Batch, NetworkObjective
from networks import build
from rival import steps


def _row(engine: str, device: Device, optimizer: Momentum, name: str, take: Callable[[], Step]) -> Row:
    def step() -> None:
        optimizer.step(take().update, 0.0)
        device.synchronize()

    return Row(f"{engine}, {name}", step, traced=False)


@click.command()
@click.option("--model", "models", default="resnet20")
@click.option("--batch-size", default=128)
@click.option("--image", default=32)
@click.option("--engine", default="cuda", type=click.Choice(tuple(ENGINES)))
@click.option("--k", default=4, help="layers on the output side")
@click.option("--rounds", default=15)
@click.option("--out", type=click.Path(dir_okay=False), help="JSON")
def main(models: str, batch_size: int, image: int, engine: str, k: int, rounds: int, out: str | None) -> None:
    """Print a table for each model."""
    written = {}
    for model in models.split(","):
        device = Device.of("cuda")
        network = build(model, (image, image, 3), device)
        draw = np.random.default_rng(1)
        images, labels = draw.normal(size=(batch_size, image, image, 3)), draw.integers(0, 10, batch_size)
        batch = Batch(device.put(images), device.put(labels))
        f = NetworkObjective(network, engine=ENGINES[engine])

        made = partial(_row, engine, device, Momentum(f.weights, 0.9))
        last, every = network.layers[-k:], network.layers
        rows = [
            made("SGD", partial(sgd, f, batch)),
            made(f"layer-wise SAM, k = {k}", partial(layerwise_sam, f, batch, last, Raw(0.1), 0.8)),
            made("SAM", partial(layerwise_sam, f, batch, every, Raw(0.1), 0.8)),
        ]
        rows += [Row(name, step, traced=False) for name, step in steps(network, images, labels, 1, "cuda", "float32")]
        measure(rows, rounds, False)
        show(rows, batch_size, f"{model}, batch {batch_size}, {image} x {image}, float32, {card()}")
        walk = milliseconds(lambda f=f, b=batch: f.forward(b).backward())  # type: ignore[misc]
        print(f"{engine}, forward and backward pass as one graph: {walk:.2f} ms")
        written[model] = {r.name: statistics.median(r.seconds) * 1e3 for r in rows} | {"walk as one graph": walk}
    if out:
        with open(out, "w") as file:
            json.dump({"card": card(), "batch": batch_size, "milliseconds": written}, file, indent=1)


if __name__ == "__main__":
    main()
