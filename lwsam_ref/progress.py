"""A progress bar on a terminal; nothing at all elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def bar(console: Console | None, total: int) -> Iterator[Callable[[str], None]]:
    """A function to call, with a text, whenever one of ``total`` things is done; the bar vanishes at the end."""
    if console is None or not console.is_terminal:
        yield lambda text: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda text: progress.update(task, advance=1, description=text)
