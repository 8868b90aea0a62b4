"""What a step costs on several ranks: the same global batch, one BLAS thread a rank, jobs of 1, 2, ... in turn.

``scripts/benchmark.py --ranks 1,2`` starts this file by ``mpirun``; as a rank it takes steps of SGD and of layer-wise
SAM on the last k layers, and rank 0 writes down what they took. Communication includes waiting for the slower rank.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from lwsam_ref.algorithms import Raw, layerwise_sam, sgd
from lwsam_ref.algorithms.optimizer import Momentum
from lwsam_ref.comm import world
from lwsam_ref.device import Device
from lwsam_ref.training.objective import Batch, NetworkObjective
from networks import build

STEPS = 3
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Open MPI alone knows these names: root, and more ranks than cores
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def bytes_sent(f: NetworkObjective, selected: tuple[str, ...] | None) -> int:
    """By the formula: the gradients of the selected layers, then all gradients, and the running statistics once."""
    sent = f.weights.data.nbytes + f.network.buffers.data.nbytes
    return sent if selected is None else sent + f.weights.layout.only(selected).size * f.weights.data.itemsize


def measure(model: str, batch_size: int, image: int, k: int) -> dict[str, Any]:
    """As one rank: seconds, seconds in communication and bytes sent, a step, of either method."""
    comm = world()
    network = build(model, (image, image, 3), Device.of())
    draw, part = np.random.default_rng(1), slice(comm.rank, None, comm.size)
    images, labels = draw.normal(size=(batch_size, image, image, 3)), draw.integers(0, 10, batch_size)
    batch = Batch(network.device.put(images[part]), labels[part])
    f = NetworkObjective(network, comm=comm)
    optimizer, found = Momentum(f.weights, 0.9), {}
    last = network.layers[len(network.layers) - k :]
    with threadpool_limits(1):
        for name, selected in (("SGD", None), (f"layer-wise SAM, last {k}", last)):
            for step in range(STEPS + 1):
                if step == 1:  # the first is to warm up
                    start, sent, waited = time.perf_counter(), comm.sent, comm.seconds
                taken = sgd(f, batch) if selected is None else layerwise_sam(f, batch, selected, Raw(0.1), 0.8)
                optimizer.step(taken.update, 0.0)
            comm.mean(np.zeros(1))  # all have ended
            seconds = time.perf_counter() - start
            found[name] = {
                "seconds": seconds / STEPS,
                "communication": (comm.seconds - waited) / seconds,
                "bytes": (comm.sent - sent - (8 if comm.size > 1 else 0)) // STEPS,
                "formula": bytes_sent(f, selected) if comm.size > 1 else 0,
            }
    return found if comm.rank == 0 else {}


def jobs(counts: list[int], rounds: int, options: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """Every count of ranks in turn, ``rounds`` times."""
    found = []
    for _ in range(rounds):
        for count in counts:
            launcher = [] if count == 1 else [_mpirun(), "-n", str(count)]
            command = [*launcher, sys.executable, __file__, *options]
            environment = os.environ | ENVIRONMENT
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603
            if done.returncode:
                raise click.ClickException(f"{' '.join(command)} failed: {done.stderr.strip()}")
            found.append((count, json.loads(done.stdout)))
    return found


def _mpirun() -> str:
    """The one that was installed beside this Python, or else the machine's."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise click.ClickException("asked for several ranks, but there is no mpirun: pip install 'lwsam-ref[mpi]'")
    return found


def show(model: str, batch_size: int, image: int, k: int, counts: list[int], rounds: int) -> None:
    """The table, medians over the rounds."""
    found = jobs(counts, rounds, [model, str(batch_size), str(image), str(k)])
    table = Table(title=f"{model}, global batch {batch_size}, {image} x {image}, one BLAS thread a rank")
    headings = ("step", "ranks", "images/s", f"/ {counts[0]} rank", "communication", "kB sent a step", "by the formula")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "step" else "right")
    for name in found[0][1]:
        speeds: dict[int, float] = {}
        for count in counts:
            runs = [run[name] for ranks, run in found if ranks == count]
            speeds[count] = batch_size / statistics.median(run["seconds"] for run in runs)
            table.add_row(
                name,
                str(count),
                f"{speeds[count]:.1f}",
                f"{speeds[count] / speeds[counts[0]]:.2f}",
                f"{statistics.median(run['communication'] for run in runs):.2%}",
                f"{runs[0]['bytes'] / 1000:.1f}",
                f"{runs[0]['formula'] / 1000:.1f}",
            )
    Console(width=140).print(table)


if __name__ == "__main__":
    model, *numbers = sys.argv[1:]
    try:
        found = measure(model, *map(int, numbers))
    except Exception:
        traceback.print_exc()
        world().abort(1)  # the others wait for this one
        sys.exit(1)
    if found:
        print(json.dumps(found))
