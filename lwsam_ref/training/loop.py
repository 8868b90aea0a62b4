"""Train to the end: the loop over epochs, and what it leaves on disk."""

from __future__ import annotations

import hashlib
import platform
import signal
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from lwsam_ref import __version__
from lwsam_ref.comm import same
from lwsam_ref.data import batches
from lwsam_ref.training import checkpoint
from lwsam_ref.training.interrupt import Interrupted, listening
from lwsam_ref.training.probe import gradient_norms
from lwsam_ref.training.progress import bar
from lwsam_ref.training.record import Record
from lwsam_ref.training.tally import Line, Tally
from lwsam_ref.training.trainer import Saved, Trainer


def run(
    trainer: Trainer,
    out: Path | None = None,
    console: Console | None = None,
    saved: Saved | None = None,
    begun: bool = False,
) -> Line:
    """Train to the end, writing to ``out`` if given; the summary, on rank 0.

    ``begun``: the run in ``out`` goes on from ``saved``, or from its start if it did not get to a checkpoint.
    With an ``out``, SIGTERM, SIGINT and SIGUSR1 end the run behind the next step, with a checkpoint, whatever is due.
    """
    config, comm, data = trainer.config, trainer.comm, trainer.data
    leader, epoch_steps = comm.rank == 0, trainer.steps_per_epoch
    if saved is not None:
        trainer.restore(saved)
    kept = int(saved["metrics"]) if saved is not None else 0 if begun else None
    same(comm, {"the config": config.lines, "the data set": data.digest, "the state": trainer.digest})
    if comm.size > 1:
        places = comm.texts(trainer.place())
        if console is not None and leader:
            console.print("\n".join(places), highlight=False)
    with (
        np.errstate(all="ignore"),  # what is not finite is looked for, and reported
        threadpool_limits(trainer.threads),
        Record(out if leader else None, config.toml(), kept) as record,
        listening(out is not None) as asked,
        bar(console if leader else None, config.epochs * epoch_steps) as tick,
    ):
        tally = Tally(trainer.network.layers, record.before)
        if saved is not None and record.out is not None:
            checkpoint.replace(record.out, saved)  # before any line behind it is cut off
        record.begin()
        if saved is None:
            _save(trainer, record, 0)
        for epoch in range(int(saved["epochs"]) if saved is not None else 0, config.epochs):
            order = batches(len(data.train.labels), config.batch_size, seed=config.seed, epoch=epoch)
            for indices in list(order)[trainer.number - epoch * epoch_steps :]:
                line, ending = trainer.step(indices, asked)
                record.line(**line)
                tally.add(line)
                tick(f"{config.method} loss {line['loss']:.3f}")
                if ending:  # at once, an evaluation can be long: what is due is made up for by the run that goes on
                    _save(trainer, record, epoch)
                    raise _interrupted(trainer, out, asked())
            line = _epoch(trainer, epoch, tally)
            record.line(**line)
            tally.add(line)
            _save(trainer, record, epoch + 1)
        summary = _summary(trainer, tally) if leader else {}
        record.summary(summary)
        return summary


def _epoch(trainer: Trainer, epoch: int, tally: Tally) -> Line:
    """The record of an epoch that is over."""
    steps = trainer.steps_per_epoch
    seconds = tally.total("seconds", steps)
    return {
        "kind": "epoch",
        "epoch": epoch,
        "loss": tally.mean("loss", steps),
        "accuracy": trainer.accuracy(trainer.data.test),
        "lr": trainer.lr(epoch),
        "seconds": seconds,
        "images_per_second": steps * trainer.config.batch_size / seconds if seconds else 0.0,  # no records: not rank 0
        **(_probe(trainer) if trainer.config.probe else {}),
    }


def _probe(trainer: Trainer) -> dict[str, Any]:
    layers, full = gradient_norms(trainer.f, trainer.data)
    if not np.isfinite([full, *layers.values()]).all():
        raise trainer.diverged("a probed gradient norm is not finite", trainer.number)
    return {"gradient_norms": layers, "gradient_norm": full}


def _save(trainer: Trainer, record: Record, epochs: int) -> None:
    """The next checkpoint, of a run of which so many epochs are over, evaluation included; of replicas that agree."""
    same(trainer.comm, {"the state": trainer.digest})
    if record.out is not None:
        config = np.frombuffer(trainer.config.toml().encode(), np.uint8)
        beside = {"config": config, "metrics": np.array(record.mark()), "epochs": np.array(epochs)}
        checkpoint.write(record.out, trainer.snapshot() | beside)


def _interrupted(trainer: Trainer, out: Path | None, number: int) -> Interrupted:
    """What to raise because this rank, or another, was asked to end; the checkpoint is written."""
    trainer.comm.total(np.zeros(1))  # none ends before the first one has written it
    return Interrupted(
        number or signal.SIGTERM, f"interrupted after {trainer.number} steps: go on with lwsam train --resume {out}"
    )


def _summary(trainer: Trainer, tally: Tally) -> Line:
    config, network = trainer.config, trainer.network
    return {
        "method": config.method,
        "dataset": config.dataset,
        "model": config.model,
        **tally.summary(config.batch_size),
        "nodes": len(network.nodes),
        "layers": list(network.layers),
        "weights_sha256": hashlib.sha256(network.device.get(trainer.f.weights.data).tobytes()).hexdigest(),
        "seed": config.seed,
        "ranks": trainer.comm.size,
        "device": network.device.name,
        "versions": {"lwsam-ref": __version__, "numpy": np.__version__, "python": platform.python_version()},
    }
