"""A progress bar on a terminal; nothing at all elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


@contextmanager
def bar(console: Console | None, total: int) -> Iterator[Callable[[str], None]]:
    """A function to call, with a text, whenever one of ``total`` things is done; the bar vanishes at the end."""
    if console is None or not console.is_terminal:
        yield lambda text: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda text: progress.update(task, advance=1, description=text)


@contextmanager
def download_bar(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with the bytes that are there and the bytes that there will be (0 if nobody knows)."""
    if not console.is_terminal:
        yield lambda there, total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda there, total: progress.update(task, completed=there, total=total or None)
