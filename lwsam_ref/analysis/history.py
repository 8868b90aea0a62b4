"""What the records of a run tell, as far as it is: values by step and by epoch, norms by layer, perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.errors import UserError
from lwsam_ref.training.config import Config, read
from lwsam_ref.training.records import EpochRecord, Record, StepRecord, parsed

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class History:
    """What a run's folder tells: values a step (NaN for none), its epochs, how often each layer was chosen."""

    name: str
    config: Config
    finished: bool
    layers: tuple[str, ...]
    values: dict[str, Array]
    norms: Array
    epoch_of: Array
    epochs: list[EpochRecord]
    counts: dict[str, int]

    @property
    def metric(self) -> str:
        return self.epochs[-1].metric if self.epochs else "accuracy"

    @property
    def steps(self) -> int:
        return len(self.epoch_of)

    def by_epoch(self, name: str) -> tuple[list[float], list[float]]:
        """The middle step and the mean of each epoch that is over."""
        over = [np.flatnonzero(self.epoch_of == record.epoch) for record in self.epochs]
        return [float(steps.mean()) + 1 for steps in over], [float(self.values[name][steps].mean()) for steps in over]


def histories(folders: Sequence[Path]) -> list[History]:
    """The runs, each by the name of its folder; where two are alike, by the whole path."""
    runs = [history(folder) for folder in folders]
    if len({run.layers for run in runs}) > 1:
        raise UserError("asked to plot runs of several networks, but their layers differ: plot those of one network")
    if len({run.name for run in runs}) < len(runs):
        runs = [replace(run, name=str(folder)) for run, folder in zip(runs, folders, strict=True)]
    return runs


def history(folder: Path) -> History:
    """The run in ``folder``; of one that is at work, or was killed, a last line that is cut off does not count."""
    metrics = folder / "metrics.jsonl"
    if not (folder / "config.toml").exists() or not metrics.exists():
        raise UserError(f"asked to plot {folder}, but there is no run: name the --out of one")
    config, content = Config.of(read(folder / "config.toml", python=True)), metrics.read_bytes()
    try:
        records = parsed(content[: content.rfind(b"\n") + 1])
        if not records:
            raise UserError(f"asked to plot {folder}, but it has no record of a step yet: wait for one, or train")
        return _history(folder, config, records)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(
            f"asked to plot {folder}, but its metrics.jsonl is damaged ({error}): restore it, or train anew"
        ) from None


def _history(folder: Path, config: Config, records: Sequence[Record]) -> History:
    steps = [record for record in records if isinstance(record, StepRecord)]
    epochs = [record for record in records if isinstance(record, EpochRecord)]
    layers = tuple(steps[0].descent_norms) if steps else ()
    if not layers or not {epoch.epoch for epoch in epochs} <= {step.epoch for step in steps}:
        raise ValueError("an epoch without steps, or a step without layers")
    return History(
        folder.resolve().name,
        config,
        bool(epochs) and (folder / "summary.json").exists(),
        layers,
        {
            name: _numbers([getattr(step, name) for step in steps])
            for name in ("loss", "loss_perturbed", "cost", "captured")
        },
        np.stack([_numbers([step.descent_norms[layer] for step in steps]) for layer in layers], axis=1),
        _numbers([step.epoch for step in steps]),
        epochs,
        {layer: sum(layer in step.selected for step in steps) for layer in layers},
    )


def _numbers(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else float(value) for value in values])


def smoothed(values: Array, window: int) -> tuple[Array, Array]:
    """Steps, counted from 1, and running means over ``window`` of the values that are numbers."""
    places = np.flatnonzero(np.isfinite(values))
    window = min(window, len(places))
    if not window:
        return np.empty(0), np.empty(0)
    kernel = np.full(window, 1 / window)
    return np.convolve(places + 1.0, kernel, "valid"), np.convolve(values[places], kernel, "valid")
