"""The picture of a comparison: gradient norms over the epochs, accuracy and its cost, perturbation counts.

The norms, per layer and full, and the counts are the paper's Figs. 1, 4 and 5, measured on whatever was compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.analysis import drawing
from lwsam_ref.analysis.compare import epochs
from lwsam_ref.training.losses import METRICS
from lwsam_ref.training.records import EpochRecord

BELOW: dict[str, Any] = {"fontsize": "small", "loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2}
"""Where a legend hides no point and no bar."""


def draw(rows: Sequence[dict[str, Any]], out: Path) -> Path:
    """``comparison.png`` in ``out``, from the epoch records of the runs, as means over seeds."""
    records = [[epochs(out / run) for run in row["runs"]] for row in rows]
    words = METRICS[rows[0]["metric"]].words
    probed = all(epoch.gradient_norm is not None for runs in records for run in runs for epoch in run)
    width, height = (4.6 * max(4, len(rows)), 8.6) if probed else (15, 4.8)
    figure = drawing.figure(width, height, layout="constrained")
    panels: Any = figure.subfigures(2 if probed else 1, 1, squeeze=False)
    bottom = panels[-1, 0]
    if probed:
        _layer_norms(panels[0, 0], rows, records)
    *curves, accuracy, cost, counts = bottom.subplots(1, 4 if probed else 3)
    for full in curves:
        for row, runs in zip(rows, records, strict=True):
            full.plot(
                _x(runs), np.mean([[e.gradient_norm or 0.0 for e in run] for run in runs], axis=0), label=row["name"]
            )
        full.set(title="Full gradient norm at w, mean over seeds", xlabel="epoch", ylabel="gradient norm")
        full.legend()
    for row, runs in zip(rows, records, strict=True):
        accuracy.plot(
            _x(runs), np.mean([[e.value for e in run] for run in runs], axis=0), label=row["name"], marker="."
        )
    accuracy.set(title=f"Test {words}, mean over seeds", xlabel="epoch", ylabel=words)
    accuracy.xaxis.get_major_locator().set_params(integer=True)
    accuracy.legend()
    _cost(cost, rows)
    _counts(counts, rows)
    drawing.save(figure, out / "comparison.png")
    return out / "comparison.png"


def _layer_norms(figure: Any, rows: Sequence[dict[str, Any]], records: list[list[list[EpochRecord]]]) -> None:
    panels = np.atleast_1d(figure.subplots(1, len(rows), sharey=True))
    for panel, row, runs in zip(panels, rows, records, strict=True):
        layers, colours = row["layers"], drawing.by_depth(len(row["layers"]))
        for i, layer in enumerate(layers):
            norms = np.mean([[(e.gradient_norms or {})[layer] for e in run] for run in runs], axis=0)
            named = i in (0, len(layers) // 2, len(layers) - 1)
            panel.plot(_x(runs), norms, color=colours[i], linewidth=1.2, label=f"{i + 1}: {layer}" if named else None)
        panel.set(title=f"Norm per layer: {row['name']}", xlabel="epoch", yscale="log")
        panel.legend(title="layer, input side dark", fontsize="small")
    panels[0].set_ylabel("gradient norm at w")


def front(points: Sequence[tuple[float, float]], higher: bool = True) -> list[tuple[float, float]]:
    """The points (cost, value) than which no other is cheaper and at least as good, or as cheap and better."""
    sign = 1 if higher else -1
    kept: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda p: (p[0], -sign * p[1])):
        if not kept or sign * value > sign * kept[-1][1]:
            kept.append((cost, value))
    return kept


def _cost(panel: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Time where one row is SGD, else operations."""
    timed = all(row["time_relative_to_sgd"] is not None for row in rows)
    metric = METRICS[rows[0]["metric"]]
    points = [(row["time_relative_to_sgd" if timed else "cost"], row[metric.name]) for row in rows]
    for row, point in zip(rows, points, strict=True):
        panel.errorbar(*point, yerr=row[f"{metric.name}_deviation"], fmt="o", capsize=3, label=row["name"])
    panel.plot(
        *zip(*front(points, metric.higher), strict=True), color="0.6", linewidth=1, zorder=0, label="Pareto front"
    )
    what = "time of a step" if timed else "operations of a step"
    title = f"Test {metric.words} and what it costs"
    panel.set(title=title, xlabel=f"{what}, SGD = 1", ylabel=f"{metric.words}, ± over seeds")
    panel.legend(**BELOW)


def _counts(panel: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Of the methods that choose between layers, if there are some."""
    layers = rows[0]["layers"]
    rows = [row for row in rows if len(set(row["perturbation_counts"].values())) > 1] or rows
    place = np.arange(1, len(layers) + 1)
    width = 0.8 / len(rows)
    for i, row in enumerate(rows):
        offset = (i - (len(rows) - 1) / 2) * width
        panel.bar(
            place + offset, [row["perturbation_counts"].get(layer, 0) for layer in layers], width, label=row["name"]
        )
    panel.set(title="Perturbations per layer, mean over seeds", xlabel="layer, in forward order", ylabel="steps")
    panel.set_xticks(place[:: 1 + len(layers) // 12])
    panel.legend(**BELOW)


def _x(runs: Sequence[Sequence[EpochRecord]]) -> list[int]:
    return [epoch.epoch + 1 for epoch in runs[0]]
