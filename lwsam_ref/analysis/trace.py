"""One step of layer-wise SAM made visible: what each pass visited, what was reused, sizes and costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lwsam_ref.algorithms import layerwise_sam
from lwsam_ref.algorithms.perturbation import Radius
from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.errors import UserError, unknown
from lwsam_ref.training.objective import Batch, NetworkObjective

MARKS = {True: "x", False: "."}


def trace(f: NetworkObjective, batch: Batch, selected: tuple[str, ...], radius: Radius, alpha: float) -> dict[str, Any]:
    """Do the step (no weight is updated) and tell what it did."""
    network = f.network
    for layer in selected:
        if layer not in f.weights.layers:
            raise unknown("layer", layer, f.weights.layers)
    if not selected:
        raise UserError(f"asked to trace a step with no layer selected: name some of {', '.join(f.weights.layers)}")
    with np.errstate(all="ignore"), f.watched() as passes:
        step = layerwise_sam(f, batch, selected, radius, alpha)
    if not np.isfinite(network.device.number(step.loss_perturbed)):
        raise UserError("asked to trace a step whose perturbed loss is not finite: use a smaller radius")
    first, ascent, again, descent = passes[-4:]  # before them, once, what is constant
    costs, n = Costs(network, f.weights.layout), len(batch.x)
    sam = costs.sgd + costs.extra(f.weights.layers)
    operations = dict.fromkeys(range(len(network.nodes)), 0)
    for walk in passes:
        for visit, flops in zip(walk.visits, costs.visited(walk), strict=True):
            operations[visit.node] += flops * walk.samples
    part, order = f.weights.layout.only(step.selected), range(len(network.nodes))
    itemsize = f.weights.data.dtype.itemsize
    values = [int(np.prod(shape)) * n * itemsize for shape in network.shapes]
    recomputed = set(again.nodes)
    return {
        "nodes": tuple(node.name for node in network.nodes),
        "inputs": tuple(node.inputs for node in network.nodes),
        "made": [[layer for layer in f.weights.layers if network.makers[layer] == i] for i in order],
        "selected": step.selected,
        "frontier": network.nodes[network.frontier(part)].name,
        "forward": frozenset(first.nodes),
        "ascent": frozenset(ascent.nodes),
        "recomputed": frozenset(again.nodes),
        "descent": frozenset(descent.nodes),
        "operations": list(operations.values()),
        "cost": costs.executed(passes) / (costs.sgd * n),
        "cost_sam": sam / costs.sgd,
        "saved_ascent": (costs.ascent(f.weights.layers) - costs.executed([ascent]) / n) / sam,
        "saved_forward": (costs.resume(f.weights.layers) - costs.executed([again]) / n) / sam,
        "bytes": values,
        "bytes_reused": sum(b for i, b in enumerate(values) if i not in recomputed),
        "bytes_ascent_gradient": part.size * itemsize,
        "bytes_descent_gradient": f.weights.layout.size * itemsize,
        "loss": network.device.number(step.loss),
        "loss_perturbed": network.device.number(step.loss_perturbed),
        "r_effective": network.device.number(step.r_effective),
        "descent_norms": dict(
            zip(f.weights.layers, np.sqrt(network.device.get(step.descent_norms)).tolist(), strict=True)
        ),
    }


def show(found: dict[str, Any], f: NetworkObjective, console: Console) -> None:
    """A line a node, then the step in numbers."""
    network = f.network
    shown = Table(title=f"one step, selected: {', '.join(found['selected'])}")
    for heading in ("node", "output", "kB", "ascent", "reused", "recomputed", "descent", "MFLOP", "gradient norm"):
        shown.add_column(heading, justify="left" if heading in ("node", "output") else "right")
    for i, node in enumerate(network.nodes):
        norms = [found["descent_norms"][layer] for layer in found["made"][i]]
        shown.add_row(
            ("  " if set(found["made"][i]).isdisjoint(found["selected"]) else "* ") + node.name,
            " x ".join(map(str, network.shapes[i])),
            f"{found['bytes'][i] / 1000:.1f}",
            MARKS[i in found["ascent"]],
            MARKS[i not in found["recomputed"]],
            MARKS[i in found["recomputed"]],
            MARKS[i in found["descent"]],
            f"{found['operations'][i] / 1e6:.2f}",
            ", ".join(f"{norm:.4g}" for norm in norms),
        )
    console.print(shown)
    n = len(network.nodes)
    console.print(
        f"frontier {found['frontier']}: the ascent visited {len(found['ascent'])} of {n} nodes, the second forward pass"
        f" recomputed {len(found['recomputed'])} and reused {found['bytes_reused'] / 1e6:.2f} MB of values;"
        f" ascent gradient {found['bytes_ascent_gradient'] / 1000:.1f} kB, descent gradient"
        f" {found['bytes_descent_gradient'] / 1000:.1f} kB;"
        f" {found['cost']:.3f} times the operations of a step of SGD; loss {found['loss']:.4f} at w,"
        f" {found['loss_perturbed']:.4f} at w + e, r = {found['r_effective']:.4g}",
        soft_wrap=True,
    )
