"""The costs of a network as tables: what each layer costs to perturb, and what a step of each method costs."""

from __future__ import annotations

from typing import NamedTuple

from rich.table import Table

from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.config import Config
from lwsam_ref.training.objective import share_of


class Line(NamedTuple):
    """A method with its mean FLOPs per sample and step."""

    name: str
    flops: float


def lines(costs: Costs, config: Config) -> list[Line]:
    """Every method, with the options of ``config``; layer-wise SAM with the last k layers, resuming and not."""
    layers, sgd, c = costs.layout.layers, costs.sgd, config
    sam = sgd + costs.above(layers)
    samples = min(c.fisher_samples, c.batch_size)
    masked = costs.fisher() * samples / (c.refresh * c.batch_size)
    found = [
        Line("sgd", sgd),
        Line("sam, generalized-sam", sam),
        Line(f"looksam, interval {c.interval} (Eq. 9)", sgd + costs.looksam(c.interval)),
        Line(f"esam, {esam_share(c):.4g} of the samples", sgd + costs.esam(esam_share(c))),
        Line(f"sparse-sam, {samples} samples in {c.refresh} steps", sam + masked),
    ]
    for k in sorted({k for k in (1, 2, 4, 8, c.k) if k <= len(layers)}):
        last = layers[len(layers) - k :]
        found.append(Line(f"layerwise-sam, last {k}, second pass whole (Eq. 8)", sgd + costs.above(last, afresh=True)))
        found.append(Line(f"layerwise-sam, last {k}, resumed", sgd + costs.above(last)))
    return found


def esam_share(config: Config) -> float:
    """The share of a batch that is left when ``gamma`` of it, in whole samples, is taken."""
    return share_of(config.batch_size, config.gamma) / config.batch_size


def methods_table(costs: Costs, config: Config) -> Table:
    """A line a method."""
    shown = Table(title="a step of each method, floating-point operations")
    for heading in ("method", "MFLOP an image", "relative to SGD"):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for name, flops in lines(costs, config):
        shown.add_row(name, f"{flops / 1e6:.2f}", f"{flops / costs.sgd:.3f}")
    return shown


def layers_table(costs: Costs) -> Table:
    """A line a layer: its own three products, and what a step costs above one of SGD if it alone is perturbed."""
    shown = Table(title="each layer, and a step that perturbs it alone")
    for heading in (
        "layer",
        "forward, MFLOP",
        "data gradient",
        "weight gradient",
        "cone, nodes",
        "cost / SGD, resumed",
        "Eq. 8",
    ):
        shown.add_column(heading, justify="left" if heading == "layer" else "right")
    for node, work in zip(costs.network.nodes, costs.work[True], strict=True):
        if node.name in costs.layout.layers:
            only = (node.name,)
            shown.add_row(
                node.name,
                *(f"{n / 1e6:.3f}" for n in (work.forward, sum(work.inputs), work.parameters["kernel"])),
                str(len(costs.network.cone(costs.layout.only(only)))),
                f"{1 + costs.above(only) / costs.sgd:.3f}",
                f"{1 + costs.above(only, afresh=True) / costs.sgd:.3f}",
            )
    return shown
