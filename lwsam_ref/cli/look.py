"""``lwsam trace``, ``cost``, ``sharpness``, ``plot``: a look at one step, at a network, at runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.errors import UserError
from lwsam_ref.training.config import Config
from lwsam_ref.training.methods import radius
from lwsam_ref.training.progress import bar


@click.command()
@options.run_options()
@options.data_dir
@click.option("--select", multiple=True, help="a layer to perturb (may be given again) [default: the last k]")
@click.option("--picture", type=Path, help="also draw the network and the step (PNG, SVG or PDF; needs matplotlib)")
def trace(
    preset: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    select: tuple[str, ...],
    picture: Path | None,
    **asked: Any,
) -> None:
    """Make one step of layer-wise SAM visible: nodes, cone, frontier, what was reused, bytes, norms.

    lwsam trace --model resnet20 --select stage3.block3.conv2 --select fc --picture trace.png
    """
    from lwsam_ref.analysis import drawing, trace_picture
    from lwsam_ref.analysis.trace import show
    from lwsam_ref.analysis.trace import trace as run
    from lwsam_ref.data import load
    from lwsam_ref.training.trainer import Trainer

    if picture:
        drawing.writable(picture)
    config = options.resolved(preset, config_file, asked)
    if config.method != "layerwise-sam":
        raise UserError(f"asked to trace a step of {config.method}, but the step is one of layerwise-sam: leave it out")
    if select and not {"k", "criterion", "budget"}.isdisjoint(options.by_hand(asked)):
        raise UserError("asked to trace a step with --select and with what selects in its place: give one")
    if select:
        config = config.but(k=0, budget=-1.0)  # --select takes their place
    t = Trainer.of(config, load(config.dataset, data_dir, config))
    layers = t.f.weights.layers
    if config.budget >= 0:
        raise UserError(
            "asked to trace a step within a budget, but before the first step there are no norms to choose by: use"
            " --select or --k"
        )
    selected = select or layers[len(layers) - config.k :]
    found = run(t.f, t.batch(range(config.batch_size), 0), selected, radius(config), config.alpha)
    show(found, t.f, options.console())
    if picture:
        trace_picture.draw(found, f"One step of layer-wise SAM: {config.model}, batch of {config.batch_size}", picture)
        click.echo(f"picture: {picture}")


@click.command()
@options.run_options()
@options.data_dir
def cost(preset: str | None, config_file: Path | None, data_dir: Path | None, **asked: Any) -> None:
    """What a step of every method costs, and each layer, in floating-point operations; nothing is trained.

    lwsam cost --model resnet20 --k 4
    """
    from lwsam_ref.analysis.cost_table import layers_table, methods_table
    from lwsam_ref.autodiff.cost import Costs
    from lwsam_ref.data import DATASETS, load
    from lwsam_ref.training.objective import NetworkObjective
    from lwsam_ref.training.trainer import build

    config = Config.of(options.given(preset, config_file, asked))  # options of every method have an effect
    size = DATASETS[config.dataset].size
    if size is None:
        data = load(config.dataset, data_dir, config)
        size = data.shape, data.outputs
    network = build(config, *size)
    costs = Costs(network, NetworkObjective(network, perturb=config.perturb).weights.layout)
    console = options.console()
    console.print(layers_table(costs))
    console.print(methods_table(costs, config))


@click.command()
@click.argument("runs", nargs=-1, required=True, type=Path)
@options.data_dir
@click.option("--images", type=click.IntRange(min=2), default=512, show_default=True, help="training images to use")
@click.option("--rho", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True, help="radius")
@click.option("--products", type=click.IntRange(min=1), default=40, show_default=True, help="at most so many with H")
def sharpness(runs: tuple[Path, ...], data_dir: Path | None, images: int, rho: float, products: int) -> None:
    """The Hessian's top eigenvalue, and the rise of the loss in a ball, at the end of RUNS (or of comparisons)."""
    from lwsam_ref.analysis import sharpness_table as table
    from lwsam_ref.data import load
    from lwsam_ref.training.run_folder import folders

    asked, console, found = folders(runs), Console(stderr=True), []
    with bar(console, len(asked)) as tick:
        for folder in asked:
            found.append(
                table.sharpness(
                    folder,
                    lambda config: load(config.dataset, data_dir, config),
                    images=images,
                    rho=rho,
                    products=products,
                )
            )
            tick(folder.name)
    options.console().print(table.table(found, rho))


@click.command()
@click.argument("runs", nargs=-1, required=True, type=Path)
@click.option("--out", type=Path, help="the picture: PNG, SVG or PDF [default: run.png in the folder of the one run]")
def plot(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw RUNS: losses, accuracy, gradient norms per layer, cost, and which layers were perturbed (needs matplotlib).

    lwsam plot runs/one

    lwsam plot runs/one runs/two --out both.svg
    """
    from lwsam_ref.analysis import drawing, run_picture
    from lwsam_ref.analysis.history import histories

    if out is None:
        if len(runs) > 1:
            raise UserError(f"asked to plot {len(runs)} runs, but not where to: give --out FILE")
        out = runs[0] / "run.png"
    found = histories(runs)
    drawing.writable(out)
    run_picture.draw(found, out)
    click.echo(f"picture: {out}")
