"""The table of ``lwsam verify``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from proofs.row import Row


def table(rows: Sequence[Row]) -> Table:
    """A line a row; the margin is the smallest, relative to what the statement allows."""
    shown = Table(title="the statements of the paper's theory, each checked by the code that trains")
    for heading in ("source", "statement", "verdict", "method", "cases", "smallest margin", "", "note"):
        shown.add_column(heading, justify="right" if heading in ("cases", "smallest margin") else "left")
    for row in rows:
        margin = "" if row.margin is None or not np.isfinite(row.margin) else f"{row.margin:.2g}"
        fine = "as declared" if row.as_declared else "NOT AS DECLARED"
        shown.add_row(row.source, row.statement, row.verdict, row.method, str(row.cases), margin, fine, row.note)
    return shown
