"""What every picture shares: refused before anything is computed, drawn without a display, written whole."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lwsam_ref.errors import UserError
from lwsam_ref.files import write_atomically

BLUE, VERMILLION = "#0072b2", "#d55e00"
COLOURS = (BLUE, VERMILLION, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of Okabe and Ito: told apart by all eyes."""
FORMATS = ("png", "svg", "pdf")
NO_DATE: dict[str, dict[str, Any]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What to leave out of a file, so that the same picture is the same bytes."""


def available() -> None:
    """Say before anything is computed whether a picture can be drawn."""
    if find_spec("matplotlib") is None:
        raise UserError(
            "asked for a picture, but matplotlib is not installed: pip install 'lwsam-ref[plots]', or ask for none"
        )


def writable(path: Path) -> None:
    """Say before anything is computed whether a picture can be drawn, and written to ``path``."""
    available()
    if _format(path) not in FORMATS:
        raise UserError(f"asked for the picture {path}, but its format is not known: name a .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise UserError(f"asked for the picture {path}, but {path.parent} is no folder: make it, or name another")
    if path.is_dir():
        raise UserError(f"asked for the picture {path}, but that is a folder: name a file")


def figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Any:
    """An empty figure, so many inches large."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)


def by_depth(count: int) -> Any:
    """A colour a layer, the darker the nearer to the input, in grey too."""
    from matplotlib import colormaps

    return colormaps["viridis"]([0.93 * i / max(1, count - 1) for i in range(count)])


def save(drawn: Any, path: Path, dpi: int = 110) -> None:
    """Write the figure in the format of the file's name. Text in an SVG stays text."""
    from matplotlib import rc_context

    buffer, kind = io.BytesIO(), _format(path)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lwsam-ref"}):
        drawn.savefig(buffer, dpi=dpi, format=kind, metadata=NO_DATE[kind])
    write_atomically(path, buffer.getvalue())


def _format(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
