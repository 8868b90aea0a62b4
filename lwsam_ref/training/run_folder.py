"""Runs on disk, opened again: to look at, or to continue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lwsam_ref.data import Dataset
from lwsam_ref.errors import UserError
from lwsam_ref.training import checkpoint
from lwsam_ref.training.config import Config, parse, read
from lwsam_ref.training.records import Position
from lwsam_ref.training.trainer import Saved, Trainer

Load = Callable[[Config], Dataset]


def folders(asked: Sequence[Path]) -> list[Path]:
    """The runs in ``asked``: a run stands for itself, a comparison for its runs."""
    found: list[Path] = []
    for folder in asked:
        if (folder / "config.toml").exists():
            found.append(folder)
        elif inside := sorted(p.parent for p in folder.glob("*/config.toml")):
            found += inside
        else:
            raise UserError(f"asked for the run {folder}, but it has no config.toml: name the --out of a run")
    return found


def reopen(folder: Path, load: Load, dtype: str | None = None) -> Trainer:
    """The run, at the weights and statistics of its checkpoint; computing in ``dtype`` if one is given."""
    config = Config.of(read(folder / "config.toml"))
    again = Trainer.of(replace(config, dtype=dtype or config.dtype), load(config), begins=False)
    again.restore(checkpoint.read(folder))
    return again


def newest(folder: Path) -> Saved | None:
    """The newest checkpoint of the run in ``folder``; none if it ended before the first."""
    if checkpoint.find(folder).exists():
        return checkpoint.read(folder)
    metrics = folder / "metrics.jsonl"
    if metrics.exists() and metrics.stat().st_size:
        raise UserError(f"asked to resume {folder}, but its checkpoints are gone: restore one, or train anew")
    return None


def resumable(asked: Path) -> tuple[Config, Path, Saved | None]:
    """The config, the folder and the checkpoint of the run that ``asked`` (its folder, or a checkpoint there) names.

    There is no checkpoint where the run ended before the first.
    """
    folder = asked if asked.is_dir() else asked.parent
    if not (folder / "config.toml").exists():
        raise UserError(f"asked to resume {asked}, but there is no run: name the --out of one, or a checkpoint in it")
    config = Config.of(read(folder / "config.toml"))
    path = checkpoint.find(asked)
    saved = newest(folder) if asked.is_dir() else checkpoint.read(path)
    if saved is None:
        return config, folder, None
    position = Position.of(saved)
    if position is None or Config.of(parse(position.config, str(path))).used() != config.used():
        raise UserError(f"asked to resume {folder}, but {path} is the checkpoint of another run: name this run's own")
    return config, folder, saved
