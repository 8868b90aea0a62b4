"""``lwsam train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.comm import require_equal, world
from lwsam_ref.errors import UserError


@click.command()
@options.run_options()
@options.data_dir
@click.option("--out", type=Path, help="folder for config.toml, metrics.jsonl, summary.json, checkpoint.npz")
@click.option("--resume", type=Path, help="continue the run in this folder, or from this checkpoint of it")
@click.option("--cuda-aware", is_flag=True, help="the MPI takes arrays on a GPU as they are")
def train(
    preset: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    out: Path | None,
    resume: Path | None,
    cuda_aware: bool,
    **asked: Any,
) -> int:
    """Train one network by one method; under mpirun, with the ranks sharing every batch.

    lwsam train --preset digits --out runs/one

    mpirun -n 2 lwsam train --preset digits --out runs/two

    lwsam train --resume runs/two
    """
    from lwsam_ref.data import load
    from lwsam_ref.training.interrupt import Interrupted
    from lwsam_ref.training.loop import run
    from lwsam_ref.training.losses import METRICS
    from lwsam_ref.training.run_folder import resumable
    from lwsam_ref.training.trainer import Trainer

    comm, saved = world(cuda_aware), None
    if resume is None:
        config = options.resolved(preset, config_file, asked)
    else:
        if options.by_hand(asked) or preset or config_file or out:
            raise UserError(
                f"asked to resume {resume} with other options besides, but a run continues as it began: give none"
            )
        config, out, saved = resumable(resume)
        finished = (out / "summary.json").exists()
        require_equal(comm, {"whether the run is finished": lambda: str(finished)})
        if finished:
            if comm.rank == 0:
                click.echo(f"{out} is finished: nothing is left to do")
            return 0
    trainer = Trainer.of(config, load(config.dataset, data_dir, config), comm, begins=saved is None)
    try:
        summary = run(trainer, out, Console(stderr=True), saved, begun=resume is not None)
    except Interrupted as signal:
        if comm.rank == 0:
            where = f" --data-dir {data_dir}" if data_dir else ""
            click.echo(f"lwsam: {signal}{where}", err=True)
        return 128 + signal.number
    if summary is not None:  # rank 0
        s, metric = summary, METRICS[summary.metric]
        click.echo(
            f"{s.method} on {s.dataset} with {s.model}: {metric.words} {metric.shown(s.final)}"
            f" (best {metric.shown(s.best)}), {s.images_per_second:.0f} images/s,"
            f" {s.cost:.2f} times the operations of SGD, ascent {s.ascent_nodes:.1f} of {s.nodes} nodes"
        )
    return 0
