"""Train to the end: the loop over epochs, and what it leaves on disk."""

from __future__ import annotations

import platform
import signal
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from lwsam_ref import __version__
from lwsam_ref.comm import require_equal
from lwsam_ref.data import batches
from lwsam_ref.errors import UserError
from lwsam_ref.training import checkpoint
from lwsam_ref.training.interrupt import Interrupted, listening
from lwsam_ref.training.journal import Journal
from lwsam_ref.training.probe import gradient_norms
from lwsam_ref.training.progress import bar
from lwsam_ref.training.records import PYTHON, EpochRecord, Position, Record, Summary
from lwsam_ref.training.tally import Tally
from lwsam_ref.training.trainer import Saved, Trainer


def run(
    trainer: Trainer,
    out: Path | None = None,
    console: Console | None = None,
    saved: Saved | None = None,
    begun: bool = False,
    records: list[Record] | None = None,
) -> Summary | None:
    """Train to the end, writing to ``out`` if given; the summary, on rank 0; ``records``, if given, gets them all.

    ``begun``: the run in ``out`` continues from ``saved``, or from its start if it did not get to a checkpoint.
    With an ``out``, SIGTERM, SIGINT and SIGUSR1 end the run after the next step, with a checkpoint, whatever is due.
    """
    config, comm, data = trainer.config, trainer.comm, trainer.data
    leader, epoch_steps = comm.rank == 0, trainer.steps_per_epoch
    if saved is not None:
        trainer.restore(saved)
    position = Position.of(saved) if saved is not None else None
    if position is not None and position.data not in ("", trainer.data_sha256):
        raise UserError(f"asked to continue {out}, but the data set {data.name} is not what it was: restore it")
    kept = position.metrics if position is not None else 0 if begun else None
    require_equal(
        comm, {"the config": trainer.lines, "the data set": lambda: trainer.data_sha256, "the state": trainer.digest}
    )
    if comm.size > 1:
        places = comm.gather_text(trainer.place())
        if console is not None and leader:
            console.print("\n".join(places), highlight=False)
    with (
        np.errstate(all="ignore"),  # what is not finite is looked for, and reported
        threadpool_limits(trainer.threads),
        Journal(out if leader else None, trainer.text, kept) as journal,
        listening(out is not None) as asked,
        bar(console if leader else None, config.epochs * epoch_steps) as tick,
    ):
        try:
            tally = Tally(trainer.f.weights.layers, trainer.metric, journal.before)
        except ValueError as error:
            raise UserError(
                f"asked to continue {out}, but its metrics.jsonl is damaged ({error}): restore it"
            ) from None
        records = [] if records is None else records
        records += journal.before
        if saved is not None and journal.out is not None:
            checkpoint.replace(journal.out, saved)  # before any line after it is cut off
        journal.begin()
        if saved is None:
            _save(trainer, journal, 0)
        for epoch in range(position.epochs if position is not None else 0, config.epochs):
            order = batches(len(data.train.targets), config.batch_size, seed=config.seed, epoch=epoch)
            for indices in list(order)[trainer.number - epoch * epoch_steps :]:
                step, ending = trainer.step(indices, asked)
                journal.write(step)
                tally.add(step)
                records.append(step)
                tick(f"{config.method} loss {step.loss:.3f}")
                if ending:  # at once: an evaluation can be long, and the run that continues makes up for it
                    _save(trainer, journal, epoch)
                    raise _interrupted(trainer, out, asked())
            record = _epoch(trainer, epoch, tally)
            journal.write(record)
            tally.add(record)
            records.append(record)
            _save(trainer, journal, epoch + 1)
        if not leader:
            return None
        summary = _summary(trainer, tally)
        journal.summary(summary)
        return summary


def _epoch(trainer: Trainer, epoch: int, tally: Tally) -> EpochRecord:
    """The record of an epoch that is over."""
    steps = trainer.steps_per_epoch
    seconds = tally.sum("seconds", steps)
    return EpochRecord(
        epoch=epoch,
        loss=tally.mean("loss", steps) or 0.0,
        metric=trainer.metric.name,
        value=trainer.measured(trainer.data.test),
        lr=trainer.lr(epoch),
        seconds=seconds,
        images_per_second=steps * trainer.config.batch_size / seconds if seconds else 0.0,  # no records: not rank 0
        **(_probe(trainer) if trainer.config.probe else {}),
    )


def _probe(trainer: Trainer) -> dict[str, Any]:
    layers, full = gradient_norms(trainer.f, trainer.data)
    if not np.isfinite([full, *layers.values()]).all():
        raise trainer.diverged("a probed gradient norm is not finite", trainer.number)
    return {"gradient_norms": layers, "gradient_norm": full}


def _save(trainer: Trainer, journal: Journal, epochs: int) -> None:
    """The next checkpoint, of a run of which so many epochs are over, evaluation included; of replicas that agree."""
    require_equal(trainer.comm, {"the state": trainer.digest})
    if journal.out is not None:
        position = Position(trainer.text.encode(), journal.mark(), epochs, trainer.data_sha256)
        checkpoint.write(journal.out, trainer.snapshot() | position.arrays())


def _interrupted(trainer: Trainer, out: Path | None, number: int) -> Interrupted:
    """What to raise because this rank, or another, was asked to end; the checkpoint is written."""
    trainer.comm.sum(np.zeros(1))  # none ends before the first one has written it
    again = "fit(..., resume=True)" if trainer.made_in == PYTHON else f"lwsam train --resume {out}"
    return Interrupted(number or signal.SIGTERM, f"interrupted after {trainer.number} steps: go on with {again}")


def _summary(trainer: Trainer, tally: Tally) -> Summary:
    config, network = trainer.config, trainer.network
    return Summary(
        method=config.method,
        dataset=trainer.data.name,
        model=trainer.model,
        **tally.summary(config.batch_size),
        nodes=len(network.nodes),
        layers=list(trainer.f.weights.layers),
        weights_sha256=trainer.weights_sha256(),
        seed=config.seed,
        ranks=trainer.comm.size,
        device=network.device.name,
        engine=config.engine,
        made_in=trainer.made_in,
        versions={"lwsam-ref": __version__, "numpy": np.__version__, "python": platform.python_version()},
    )
