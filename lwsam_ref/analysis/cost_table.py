"""The costs of a network as tables: what each layer costs to perturb, and what a step of each method costs."""

from __future__ import annotations

from rich.table import Table

from lwsam_ref.autodiff.cost import Costs
from lwsam_ref.training.config import Config
from lwsam_ref.training.methods import METHODS


def methods_table(costs: Costs, config: Config) -> Table:
    """A line a method."""
    shown = Table(title="a step of each method, floating-point operations")
    for heading in ("method", "MFLOP an image", "relative to SGD"):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for kind in METHODS.values():
        for name, flops in kind.costs(config, costs):
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
    for layer in costs.layout.layers:
        only, own = (layer,), [costs.work[True][i] for i in costs.readers(layer)]
        products = sum(w.forward for w in own), sum(sum(w.inputs) for w in own), costs.gradients(layer)
        shown.add_row(
            layer,
            *(f"{n / 1e6:.3f}" for n in products),
            str(len(costs.network.cone(costs.layout.only(only)))),
            f"{1 + costs.extra(only) / costs.sgd:.3f}",
            f"{1 + costs.extra(only, afresh=True) / costs.sgd:.3f}",
        )
    return shown
