"""The picture of a run: losses, accuracy, gradient norms, what was captured and what it cost, which layers were chosen.

Of several runs, each panel has a colour and a kind of line for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.analysis import drawing
from lwsam_ref.analysis.history import History, smoothed
from lwsam_ref.training.losses import METRICS

LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
PALE = "#666666"
PROBE: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 8}


def draw(runs: Sequence[History], out: Path) -> None:
    """Write the picture of the runs."""
    drawing.save(picture(runs), out, dpi=150)


def picture(runs: Sequence[History]) -> Any:
    """The figure: six panels, and the counts along the names of the layers."""
    layers, steps = runs[0].layers, window(runs)
    figure = drawing.figure(12, max(8.5, 2 + 0.2 * len(layers)), layout="constrained")
    grid = figure.add_gridspec(3, 3, width_ratios=(1, 1, 0.7))
    panels = [figure.add_subplot(grid[row, column]) for row in range(3) for column in (0, 1)]
    loss, accuracy, norms, full, captured, cost = panels
    counts = figure.add_subplot(grid[:, 2])
    looks = [
        {"color": drawing.COLOURS[i % len(drawing.COLOURS)], "linestyle": LINES[i % len(LINES)]}
        for i in range(len(runs))
    ]
    for run, look in zip(runs, looks, strict=True):
        _loss(loss, run, look, alone=len(runs) == 1)
        _accuracy(accuracy, run, look)
        _full_norm(full, run, steps, look)
        _along(captured, run, "captured", steps, look)
        _along(cost, run, "cost", steps, look)
    accuracy.set(xlabel="epoch", xlim=(0.5, max(run.config.epochs for run in runs) + 0.5))
    accuracy.xaxis.get_major_locator().set_params(integer=True)
    cost.axhline(1, color=PALE, linewidth=0.8, linestyle=":")
    if len(runs) == 1:
        _layer_norms(figure, norms, runs[0], steps)
    else:
        _mean_norms(norms, runs, looks)
    _counts(counts, runs, looks)
    titles = {
        loss: "Training loss",
        accuracy: f"Test {METRICS[runs[0].metric].words}",
        norms: "Gradient norm per layer" + (", mean over the steps" if len(runs) > 1 else ""),
        full: "Gradient norm, all layers",
        captured: "Share of the squared norm captured",
        cost: "Operations of a step, SGD = 1",
        counts: "Perturbations per layer",
    }
    for panel, text in titles.items():
        panel.set_title(text, fontsize=10, weight="bold", loc="left")
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
        panel.set(xlabel=panel.get_xlabel() or "step")
        if not panel.has_data():
            empty = "no epoch is over" if panel is accuracy else "no layer was perturbed"
            panel.text(0.5, 0.5, empty, color=PALE, transform=panel.transAxes, ha="center")
    figure.suptitle("\n".join(title(run) for run in runs), fontsize=11, x=0.01, ha="left")
    _legend(figure, runs, looks)
    return figure


def title(run: History) -> str:
    """What was run, and how far it is."""
    c = run.config
    what = f"{run.name}: {c.method} on {c.dataset} with {c.model}, seed {c.seed}"
    if run.finished:
        return (
            f"{what}, {run.steps} steps, {METRICS[run.metric].words} {METRICS[run.metric].shown(run.epochs[-1].value)}"
        )
    return f"{what}, unfinished: {run.steps} steps, {len(run.epochs)} of {c.epochs} epochs are over"


def window(runs: Sequence[History]) -> int:
    """How many steps a smooth line is the mean of."""
    return max(1, max(run.steps for run in runs) // 40)


def _loss(panel: Any, run: History, look: dict[str, Any], alone: bool) -> None:
    """Each step thin, the means of epochs thick; at w + e in a colour of its own, or, beside other runs, less thick."""
    x = np.arange(1, run.steps + 1)
    for name, marker in (("loss", "o"), ("loss_perturbed", "^")):
        perturbed = name == "loss_perturbed"
        if perturbed and np.isnan(run.values[name]).all():
            continue
        own = look | ({"color": drawing.VERMILLION, "linestyle": LINES[1]} if perturbed and alone else {})
        if not perturbed or alone:
            panel.plot(x, run.values[name], color=own["color"], linewidth=0.5, alpha=0.5, gid=f"{run.name}.{name}")
        width = 0.8 if perturbed and not alone else 1.8
        panel.plot(*run.by_epoch(name), marker=marker, markersize=4, linewidth=width, **own)


def _accuracy(panel: Any, run: History, look: dict[str, Any]) -> None:
    if run.epochs:
        x, y = zip(*((record.epoch + 1, record.value) for record in run.epochs), strict=True)
        panel.plot(x, y, marker="o", markersize=4, linewidth=1.8, gid=f"{run.name}.accuracy", **look)


def _full_norm(panel: Any, run: History, steps: int, look: dict[str, Any]) -> None:
    """Of the gradient that the steps descend by; where there was a probe, also at w on fixed images."""
    panel.plot(*smoothed(np.sqrt((run.norms**2).sum(axis=1)), steps), linewidth=1.4, **look)
    panel.set(yscale="log")
    probed = [record for record in run.epochs if record.gradient_norm is not None]
    over = [np.flatnonzero(run.epoch_of == record.epoch)[-1] + 1 for record in probed]
    found = [record.gradient_norm for record in probed]
    if found:
        panel.plot(over, found, color=look["color"], gid=f"{run.name}.probe", **PROBE)


def _along(panel: Any, run: History, name: str, steps: int, look: dict[str, Any]) -> None:
    """Each step thin, smoothed thick."""
    if np.isfinite(run.values[name]).any():
        x = np.arange(1, run.steps + 1)
        panel.plot(x, run.values[name], color=look["color"], linewidth=0.4, alpha=0.4, gid=f"{run.name}.{name}")
        panel.plot(*smoothed(run.values[name], steps), linewidth=1.6, **look)


def _layer_norms(figure: Any, panel: Any, run: History, steps: int) -> None:
    """A line a layer, dark on the input side."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    count = len(run.layers)
    colours = drawing.by_depth(count)
    for i, layer in enumerate(run.layers):
        panel.plot(*smoothed(run.norms[:, i], steps), color=colours[i], linewidth=1.1, gid=f"norm.{layer}")
    panel.set(yscale="log")
    ends = [0.5 / count, 1 - 0.5 / count]
    bar = figure.colorbar(ScalarMappable(cmap=ListedColormap(colours)), ax=panel, ticks=ends)
    bar.ax.set_yticklabels([run.layers[0], run.layers[-1]], fontsize=8)


def _mean_norms(panel: Any, runs: Sequence[History], looks: Sequence[dict[str, Any]]) -> None:
    """A line a run."""
    x = np.arange(1, len(runs[0].layers) + 1)
    for run, look in zip(runs, looks, strict=True):
        panel.plot(x, run.norms.mean(axis=0), marker="o", markersize=3, linewidth=1.4, **look)
    panel.set(xlabel="layer, in forward order", yscale="log")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _counts(panel: Any, runs: Sequence[History], looks: Sequence[dict[str, Any]]) -> None:
    """How often each layer was perturbed, the input side on top."""
    layers = runs[0].layers
    places, height = np.arange(len(layers)), 0.8 / len(runs)
    for i, (run, look) in enumerate(zip(runs, looks, strict=True)):
        if any(run.counts.values()):
            offset = (i - (len(runs) - 1) / 2) * height
            bars = panel.barh(places + offset, [run.counts[layer] for layer in layers], height, color=look["color"])
            for layer, bar in zip(layers, bars, strict=True):
                bar.set_gid(f"{run.name}.count.{layer}")
    panel.set(xlabel="steps", ylim=(len(layers) - 0.4, -0.6))
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.set_yticks(places, layers, fontsize=8)


def _legend(figure: Any, runs: Sequence[History], looks: Sequence[dict[str, Any]]) -> None:
    """Below all panels, where it hides nothing."""
    from matplotlib.lines import Line2D

    if len(runs) > 1:
        handles = [Line2D([], [], label=run.name, linewidth=1.8, **look) for run, look in zip(runs, looks, strict=True)]
    else:
        handles = [Line2D([], [], label="loss at w", marker="o", markersize=4, linewidth=1.8, **looks[0])]
    if any(np.isfinite(run.values["loss_perturbed"]).any() for run in runs):
        own = (
            {"color": drawing.VERMILLION, "linestyle": LINES[1]} if len(runs) == 1 else {"color": PALE, "linestyle": ""}
        )
        handles.append(Line2D([], [], label="loss at w + e", marker="^", markersize=4, linewidth=1.8, **own))
    steps = window(runs)
    means = f"mean of an epoch (loss), of {steps} {'steps' if steps > 1 else 'step'} (others)"
    handles.append(Line2D([], [], color=PALE, linewidth=0.5, label="each step"))
    handles.append(Line2D([], [], color=PALE, linewidth=1.8, label=means))
    if any(record.gradient_norm is not None for run in runs for record in run.epochs):
        handles.append(Line2D([], [], color=PALE, label="full gradient at w, probed", **PROBE))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), fontsize=9, frameon=False)
