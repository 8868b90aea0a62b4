"""Options made from the config's fields, what was given for them, and what every command shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref.options import mistyped
from lwsam_ref.training import config as configs
from lwsam_ref.training.config import OPTIONS, Config

Command = Callable[..., Any]


def run_options(*, lists: bool = False) -> Callable[[Command], Command]:
    """The options that make up a config; with ``lists`` every value may be a comma-separated list."""

    def decorate(command: Command) -> Command:
        for name, o in reversed(list(OPTIONS.items())):
            flag = name.replace("_", "-")
            text = o.help + (f": {', '.join(o.choices)}" if o.choices else "")
            flags = [f"--{flag}/--no-{flag}" if o.kind is bool else f"--{flag}"]
            flags += ["--from"] if name == "start" else []
            flags += ["--methods"] if lists and name == "method" else []
            metavar = "LIST" if o.kind is tuple or lists else o.kind.__name__.upper()
            shown: Any = {} if o.kind is bool else {"type": str, "metavar": metavar}
            default = ",".join(f"{v:.4g}" for v in o.default) if o.kind is tuple else o.default
            command = click.option(*flags, name, default=None, help=f"{text} [default: {default}]", **shown)(command)
        command = click.option("--config", "config_file", type=Path, help="TOML file with any of these options")(
            command
        )
        return click.option("--preset", help="options that come with the package; others override them")(command)

    return decorate


def given(preset: str | None, config_file: Path | None, options: dict[str, Any], lists: bool = False) -> dict[str, Any]:
    """Preset, file and command line, each over the one before; text from the command line is read as its type."""
    values = configs.preset(preset) if preset is not None else {}
    if config_file is not None:
        values |= configs.read(config_file)
    read = _read_list if lists else _read
    return values | {name: read(name, options[name], OPTIONS[name].kind) for name in by_hand(options)}


def by_hand(options: dict[str, Any]) -> list[str]:
    """The options that stand on the command line itself."""
    return [name for name, value in options.items() if value is not None]


def resolved(preset: str | None, config_file: Path | None, options: dict[str, Any]) -> Config:
    """The config; an option given by hand that has no effect is refused, one in a preset or a file is left aside."""
    config = Config.of(given(preset, config_file, options))
    if config.start:
        config = config.but(start=str(Path(config.start).resolve()))
    config.require_used(by_hand(options))
    return config


def _read_list(name: str, value: Any, kind: type) -> Any:
    """A comma-separated list, each entry read by itself; what is a list anyway, or a flag, is one value."""
    if kind is tuple or not isinstance(value, str):
        return _read(name, value, kind)
    return [_read(name, v, kind) for v in value.split(",")]


def _read(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return tuple(float(v) for v in value.split(",") if v) if kind is tuple else kind(value)
    except ValueError:
        raise mistyped(name, value, kind) from None


data_dir = click.option(
    "--data-dir",
    type=Path,
    help="where downloaded data sets lie [default: $LWSAM_DATA_DIR, else ~/.cache/lwsam-ref]",
)


def console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 140))
