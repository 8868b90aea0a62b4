"""The command ``lwsam`` as ranks, one of which meets a fault: RANK FAULT STAMP ARGUMENTS.

STAMP becomes a file that holds the time at which the fault struck; until then, that at which the rank had started.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref import data
from lwsam_ref.cli import main as cli
from lwsam_ref.comm import world
from lwsam_ref.data import Split
from lwsam_ref.training.trainer import Trainer

STEP = 3
"""In this one it happens."""


def in_step(what: Callable[[Trainer], None]) -> None:
    original = Trainer.step

    def step(self: Trainer, *args: Any) -> Any:
        if self.number == STEP:
            what(self)
        return original(self, *args)

    Trainer.step = step  # type: ignore[assignment]


def raises(mark: Callable[[], None]) -> None:
    def what(trainer: Trainer) -> None:
        mark()
        raise RuntimeError("a fault of this rank alone")

    in_step(what)


def killed(mark: Callable[[], None]) -> None:
    def what(trainer: Trainer) -> None:
        mark()
        os.kill(os.getpid(), signal.SIGKILL)

    in_step(what)


def nan(mark: Callable[[], None]) -> None:
    """In its images, thus in its loss."""
    original = Trainer.batch

    def batch(self: Trainer, indices: Any, number: int) -> Any:
        found = original(self, indices, number)
        if number == STEP:
            mark()
            return found._replace(x=found.x * np.nan)
        return found

    Trainer.batch = batch


def drifts(mark: Callable[[], None]) -> None:
    """One of its weights becomes another; nothing that the ranks tell each other shows it but their hashes."""

    def what(trainer: Trainer) -> None:
        mark()
        trainer.f.weights.data[-1] += 1

    in_step(what)


def drifts_and_is_asked_to_end(mark: Callable[[], None]) -> None:
    """Before the epoch is over."""

    def what(trainer: Trainer) -> None:
        mark()
        trainer.f.weights.data[-1] += 1
        os.kill(os.getpid(), signal.SIGTERM)

    in_step(what)


def other_data(mark: Callable[[], None]) -> None:
    """One label is another."""
    digits = data.load("digits")
    labels = digits.train.targets.copy()
    labels[0] = (labels[0] + 1) % 10

    def load(*_: Any) -> Any:
        mark()
        return replace(digits, train=Split(digits.train.inputs, labels))

    data.DATASETS["digits"] = replace(data.DATASETS["digits"], load=load)


def none(mark: Callable[[], None]) -> None:
    """The arguments are fault enough."""


def main() -> None:
    rank, fault, stamp = int(sys.argv[1]), globals()[sys.argv[2]], Path(sys.argv[3])
    sys.argv = ["lwsam", *sys.argv[4:]]

    def mark() -> None:
        stamp.write_text(repr(time.time()))

    if world().rank == rank:
        mark()
        fault(mark)
    cli.main()


if __name__ == "__main__":
    main()
