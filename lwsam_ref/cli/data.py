"""``lwsam data``: fetch, verify, path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.errors import unknown
from lwsam_ref.training.progress import download_bar

if TYPE_CHECKING:
    from lwsam_ref.data import Source


@click.group()
def data() -> None:
    """Data sets: fetch one, verify it, tell where it lies."""


_name = click.argument("name")


@data.command()
@_name
@options.data_dir
def fetch(name: str, data_dir: Path | None) -> None:
    """Download the data set NAME, check it and unpack it; what broke off continues where it was."""
    if (source := _source(name)) is not None:
        with download_bar(Console(stderr=True), source.archive) as tick:
            source.fetch(data_dir, tick)
    _verified(name, data_dir)


@data.command("verify")
@_name
@options.data_dir
def verify_data(name: str, data_dir: Path | None) -> None:
    """Check every file of the data set NAME, and count its images."""
    _source(name)
    _verified(name, data_dir)


@data.command()
@_name
@options.data_dir
def path(name: str, data_dir: Path | None) -> None:
    """Print the folder of the data set NAME, whether it has its files or not."""
    source = _source(name)
    click.echo(files("lwsam_ref.data") if source is None else source.path(data_dir))


def _source(name: str) -> Source | None:
    """Where NAME is downloaded from; None for what comes with the package."""
    from lwsam_ref.data import DATASETS

    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name].source


def _verified(name: str, data_dir: Path | None) -> None:
    from lwsam_ref.data import load

    found = load(name, data_dir)
    source = _source(name)
    where = "in the package" if source is None else f"in {source.path(data_dir)}"
    size = " x ".join(map(str, found.train.inputs.shape[1:]))
    click.echo(
        f"{name}: {len(found.train.targets)} images to train on and {len(found.test.targets)} to test with, {size},"
        f" {found.outputs} classes, {where}"
    )
