"""What the records of a run add up to: its summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Line = dict[str, Any]


class Tally:
    """The step and epoch records so far, as much of them as a summary needs."""

    def __init__(self, layers: tuple[str, ...], lines: Iterable[Line] = ()) -> None:
        self.counts = dict.fromkeys(layers, 0)
        self.steps: list[Line] = []
        self.accuracies: list[float] = []
        for line in lines:
            self.add(line)

    def add(self, line: Line) -> None:
        """One record."""
        if line["kind"] == "epoch":
            self.accuracies.append(line["accuracy"])
            return
        self.steps.append({name: line[name] for name in ("loss", "seconds", "ascent_nodes", "cost", "captured")})
        for layer in line["selected"]:
            self.counts[layer] += 1

    def total(self, name: str, last: int = 0) -> float:
        """Over the last so many steps, or all."""
        return float(sum(line[name] for line in self.steps[-last:]))

    def mean(self, name: str, last: int = 0) -> float | None:
        """Over the last so many steps, or all, that have a value."""
        known = [line[name] for line in self.steps[-last:] if line[name] is not None]
        return float(np.mean(known)) if known else None

    def summary(self, batch_size: int) -> Line:
        """Accuracies, speed, cost, and how often each layer was perturbed."""
        step_seconds = self.total("seconds") / len(self.steps)
        return {
            "final_accuracy": self.accuracies[-1],
            "best_accuracy": max(self.accuracies),
            "images_per_second": batch_size / step_seconds,
            "step_seconds": step_seconds,
            "ascent_nodes": self.mean("ascent_nodes"),
            "cost": self.mean("cost"),
            "captured": self.mean("captured"),
            "perturbation_counts": self.counts,
        }
