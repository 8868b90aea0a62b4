"""``lwsam train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.comm import same, world
from lwsam_ref.config import Config
from lwsam_ref.errors import UserError


@click.command()
@options.run_options()
@options.data_dir
@click.option("--out", type=Path, help="folder for config.toml, metrics.jsonl, summary.json, checkpoint.npz")
@click.option("--resume", type=Path, help="go on with the run in this folder, or from this checkpoint of it")
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
    from lwsam_ref.analysis.runs import resumable
    from lwsam_ref.data import load
    from lwsam_ref.training.interrupt import Interrupted
    from lwsam_ref.training.loop import run
    from lwsam_ref.training.trainer import Trainer

    comm, saved, given = world(cuda_aware), None, options.given(preset, config_file, asked)
    if resume is None:
        config = Config.of(given)
    else:
        if given or out:
            raise UserError(
                f"asked to resume {resume} with other options besides, but a run goes on as it began: give none"
            )
        config, out, saved = resumable(resume)
        finished = (out / "summary.json").exists()
        same(comm, {"whether the run is finished": lambda: str(finished)})
        if finished:
            if comm.rank == 0:
                click.echo(f"{out} is finished: nothing is left to do")
            return 0
    trainer = Trainer.of(config, options.models(), load(config.dataset, data_dir), comm)
    try:
        summary = run(trainer, out, Console(stderr=True), saved, begun=resume is not None)
    except Interrupted as signal:
        if comm.rank == 0:
            where = f" --data-dir {data_dir}" if data_dir else ""
            click.echo(f"lwsam: {signal}{where}", err=True)
        return 128 + signal.number
    if comm.rank > 0:
        return 0
    click.echo(
        f"{config.method} on {config.dataset} with {config.model}: accuracy {summary['final_accuracy']:.2%}"
        f" (best {summary['best_accuracy']:.2%}), {summary['images_per_second']:.0f} images/s,"
        f" {summary['cost']:.2f} times the operations of SGD, ascent {summary['ascent_nodes']:.1f} of"
        f" {summary['nodes']} nodes"
    )
    return 0
