"""``lwsam compare``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.errors import UserError
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.progress import bar


@click.command()
@options.run_options(lists=True)
@options.data_dir
@click.option("--out", type=Path, required=True, help="folder for the runs, comparison.json and comparison.png")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="runs at a time [default: one per core]")
@click.option("--picture/--no-picture", default=True, help="draw comparison.png (needs matplotlib)")
def compare(
    preset: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    out: Path,
    jobs: int | None,
    picture: bool,
    **asked: Any,
) -> None:
    """Train every combination of the values given (comma-separated lists), and compare.

    lwsam compare --method sgd,sam,layerwise-sam --k 1,4 --seed 0,1,2 --out runs/first

    lwsam compare --methods all --out runs/all
    """
    from lwsam_ref.analysis import drawing, figures
    from lwsam_ref.analysis.compare import compare as run_all
    from lwsam_ref.analysis.compare import grid, require_used, show
    from lwsam_ref.data import DATASETS, load
    from lwsam_ref.training.trainer import Trainer

    if picture:
        drawing.available()
    given = options.given(preset, config_file, asked, lists=True)
    if given.get("method") == ["all"]:
        given["method"] = list(METHODS)
    lists = {name: v for name, v in given.items() if isinstance(v, list) and v and name != "lr_drops"}
    common = given | {name: v[0] for name, v in lists.items()}
    cells = grid({name: v for name, v in lists.items() if len(v) > 1 or name == "method"}, common)
    if picture and len({config.model for _, config in cells}) > 1:
        raise UserError("asked for a picture of several models, but its panels compare layers: use --no-picture")
    require_used(options.by_hand(asked), cells)
    loaded = {}
    for _, config in cells:
        key = tuple(config.values()[name] for name in ("dataset", *DATASETS[config.dataset].options))
        if key not in loaded:
            loaded[key] = load(config.dataset, data_dir, config)
        Trainer.of(config, loaded[key])  # whatever cannot run is said before anything runs
    console = Console(stderr=True)
    with bar(console, len(cells)) as tick:
        rows, failures = run_all(cells, out, data_dir, jobs or os.cpu_count() or 1, lambda: tick("runs"))
    show(rows, options.console())
    click.echo(f"table: {out / 'comparison.json'}")
    if picture and rows:
        click.echo(f"picture: {figures.draw(rows, out)}")
    if failures:
        raise UserError(f"{len(failures)} of {len(cells)} runs failed and are not in the table; {failures[0]}")
