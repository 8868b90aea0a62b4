"""Options made from the config's fields, what was given for them, and what every command shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from lwsam_ref import config as configs
from lwsam_ref.autodiff.network import Network
from lwsam_ref.config import Config

Command = Callable[..., Any]


def run_options(*, lists: bool = False) -> Callable[[Command], Command]:
    """The options that make up a config, from its fields; with ``lists`` every value may be a comma-separated list."""

    def decorate(command: Command) -> Command:
        for f in reversed(fields(Config)):
            kind, choices = type(f.default), f.metadata["choices"]
            name = f.name.replace("_", "-")
            text = f"{f.metadata['help']}" + (f": {', '.join(choices)}" if choices else "")
            flags = [f"--{name}/--no-{name}" if kind is bool else f"--{name}"]
            flags += ["--methods"] if lists and name == "method" else []
            shown: Any = (
                {}
                if kind is bool
                else {"type": str, "metavar": "LIST" if kind is tuple or lists else kind.__name__.upper()}
            )
            default = ",".join(f"{v:.4g}" for v in f.default) if kind is tuple else f.default
            command = click.option(*flags, f.name, default=None, help=f"{text} [default: {default}]", **shown)(command)
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
    kinds = {f.name: type(f.default) for f in fields(Config)}
    read = _read_list if lists else _read
    return values | {n: read(n, v, kinds[n]) for n, v in options.items() if v is not None}


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
        raise configs.mistyped(name, value, kind) from None


data_dir = click.option(
    "--data-dir",
    type=Path,
    help="where downloaded data sets lie [default: $LWSAM_DATA_DIR, else ~/.cache/lwsam-ref]",
)


def console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 140))


def models() -> dict[str, Callable[..., Network]]:
    """The networks that ``--model`` names."""
    import nets

    return {name: getattr(nets, name.replace("-", "_")) for name in configs.MODELS}
