"""What the records of a run add up to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.training.losses import Metric
from lwsam_ref.training.records import EpochRecord, Record, StepRecord


class Numbers(NamedTuple):
    """Of one step, as much as a summary needs."""

    loss: float
    seconds: float
    ascent_nodes: int
    cost: float
    captured: float | None


class Tally:
    """The step and epoch records so far, as much of them as a summary needs."""

    def __init__(self, layers: tuple[str, ...], metric: Metric, records: Iterable[Record] = ()) -> None:
        self.metric = metric
        self.counts = dict.fromkeys(layers, 0)
        self.steps: list[Numbers] = []
        self.values: list[float] = []
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """One record."""
        if isinstance(record, EpochRecord):
            self.values.append(record.value)
        else:
            self.add_step(record)

    def add_step(self, r: StepRecord) -> None:
        self.steps.append(Numbers(r.loss, r.seconds, r.ascent_nodes, r.cost, r.captured))
        if unknown := set(r.selected) - self.counts.keys():
            raise ValueError(f"a step that selected {min(unknown)!r}, which is no layer")
        for layer in r.selected:
            self.counts[layer] += 1

    def sum(self, name: str, last: int = 0) -> float:
        """Over the last so many steps, or all."""
        return float(sum(getattr(step, name) for step in self.steps[-last:]))

    def mean(self, name: str, last: int = 0) -> float | None:
        """Over the last so many steps, or all, that have a value."""
        known = [value for step in self.steps[-last:] if (value := getattr(step, name)) is not None]
        return float(np.mean(known)) if known else None

    def summary(self, batch_size: int) -> dict[str, Any]:
        """The metric, speed, cost, and how often each layer was perturbed: their part of a summary."""
        step_seconds = self.sum("seconds") / len(self.steps)
        return {
            "metric": self.metric.name,
            "final": self.values[-1],
            "best": self.metric.best(self.values),
            "images_per_second": batch_size / step_seconds,
            "step_seconds": step_seconds,
            "ascent_nodes": self.mean("ascent_nodes"),
            "cost": self.mean("cost"),
            "captured": self.mean("captured"),
            "perturbation_counts": self.counts,
        }
