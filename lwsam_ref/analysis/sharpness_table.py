"""How sharp the loss is where runs ended, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table
from threadpoolctl import threadpool_limits

from lwsam_ref.analysis.sharpness import Eigenvalue, Rise, rise, top_eigenvalue
from lwsam_ref.training.config import Config
from lwsam_ref.training.objective import NetworkObjective
from lwsam_ref.training.probe import fixed_batches, full_gradient
from lwsam_ref.training.run_folder import Load, reopen


@dataclass(frozen=True)
class Sharpness:
    """One run's."""

    folder: Path
    config: Config
    eigenvalue: Eigenvalue
    rise: Rise


def sharpness(folder: Path, load: Load, *, images: int, rho: float, products: int) -> Sharpness:
    """In float64, on fixed training images, batch statistics as in training, weight decay left out of the loss."""
    run = reopen(folder, load, dtype="float64")
    f = NetworkObjective(run.network, loss=run.f.loss, seed=run.config.seed)
    batches = fixed_batches(f, run.data, images)

    def gradient() -> tuple[Any, Any]:
        loss, g = full_gradient(f, batches)
        return f.network.device.number(loss), g

    with threadpool_limits(run.config.threads):
        return Sharpness(
            folder,
            run.config,
            top_eigenvalue(f.weights, gradient, products=products),
            rise(f.weights, gradient, rho),
        )


def table(found: Sequence[Sharpness], rho: float) -> Table:
    """A line a run; where several seeds of several methods were asked for, the means and the pairs with SGD follow."""
    shown = Table(
        title=f"sharpness on training images; rise: largest loss found at distance {rho}, above the loss at w"
    )
    for heading in ("run", "loss", "top eigenvalue", "residual", "rise", "sharper than SGD"):
        shown.add_column(heading, justify="left" if heading == "run" else "right")
    for s in found:
        value, residual = f"{s.eigenvalue.value:.4g}", f"{s.eigenvalue.residual:.1e}"
        shown.add_row(s.folder.name, f"{s.rise.loss:.4g}", value, residual, f"{s.rise.value:.4g}", "")
    groups = _groups(found)
    if len(groups) > 1 and len(groups) < len(found):
        shown.add_section()
        sgd = [runs for runs in groups.values() if runs[0].config.method == "sgd"]
        for name, runs in groups.items():
            shown.add_row(name, *_means(runs), _pairs(runs, sgd[0]) if len(sgd) == 1 and runs is not sgd[0] else "")
    return shown


def _groups(found: Iterable[Sharpness]) -> dict[str, list[Sharpness]]:
    """Runs that differ in the seed alone, named by the method and by what sets the group apart."""
    keys: dict[tuple[Any, ...], list[Sharpness]] = {}
    for s in found:
        keys.setdefault(tuple(sorted(replace(s.config, seed=0).used().items())), []).append(s)
    methods = [runs[0].config.method for runs in keys.values()]
    return {
        f"{m}, mean of {len(runs)}" if methods.count(m) == 1 else f"{runs[0].folder.name}, mean of {len(runs)}": runs
        for m, runs in zip(methods, keys.values(), strict=True)
    }


def _means(runs: Sequence[Sharpness]) -> tuple[str, str, str, str]:
    loss, value = mean(s.rise.loss for s in runs), mean(s.eigenvalue.value for s in runs)
    return f"{loss:.4g}", f"{value:.4g}", "", f"{mean(s.rise.value for s in runs):.4g}"


def _pairs(runs: Sequence[Sharpness], sgd: Sequence[Sharpness]) -> str:
    """In how many seeds the eigenvalue is above that of SGD with the same seed."""
    by_seed = {s.config.seed: s.eigenvalue.value for s in sgd}
    pairs = [(s.eigenvalue.value, by_seed[s.config.seed]) for s in runs if s.config.seed in by_seed]
    return f"{sum(a > b for a, b in pairs)} of {len(pairs)} seeds" if pairs else ""
