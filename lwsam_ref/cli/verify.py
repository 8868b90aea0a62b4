"""``lwsam verify``."""

from __future__ import annotations

import os
from pathlib import Path

import click
from rich.console import Console

from lwsam_ref.cli import options
from lwsam_ref.training.progress import bar


@click.command()
@click.option("--exhaustive", is_flag=True, help="10,000 random problems a statement, 1,000 in fractions")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="processes [default: one per core]")
@click.option("--picture", type=Path, help="also draw measured convergence beside the bounds (PNG; needs matplotlib)")
def verify(exhaustive: bool, jobs: int | None, picture: Path | None) -> int:
    """Check every statement of the paper's theory by the code that trains; status 1 if one is not as declared."""
    from lwsam_ref.analysis import drawing
    from proofs import convergence, table
    from proofs.verify import EXHAUSTIVE, QUICK, left_out, tasks
    from proofs.verify import verify as run

    effort = EXHAUSTIVE if exhaustive else QUICK
    if picture:
        drawing.available()
        convergence.draw(picture)
    with bar(Console(stderr=True), len(tasks(effort, exhaustive))) as tick:
        rows = run(effort, exhaustive, jobs or os.cpu_count() or 1, lambda: tick("statements"))
    options.console().print(table.table(rows))
    for line in left_out():
        click.echo(line)
    wrong = [f"{row.source} ({row.statement}; {row.method})" for row in rows if not row.as_declared]
    click.echo(f"{len(rows)} rows, {len(wrong)} not as declared{': ' + '; '.join(wrong) if wrong else ''}")
    return 1 if wrong else 0
