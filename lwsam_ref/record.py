"""The files of a run: what it was asked, what it saw, what it came to. Whole files are written atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from lwsam_ref.errors import UserError
from lwsam_ref.files import new_directory, write_atomically

Line = dict[str, Any]


class Record:
    """``config.toml`` at once, ``metrics.jsonl`` line by line, ``summary.json`` last; without ``out``, nothing.

    ``resumed``: how many bytes of ``metrics.jsonl`` are to be kept of a run that goes on; ``before`` has their lines.
    """

    def __init__(self, out: Path | None, config: str, resumed: int | None = None) -> None:
        self.out = out
        self.before: list[Line] = []
        self._metrics = None
        if out is None:
            return
        metrics = out / "metrics.jsonl"
        if resumed is None:
            new_directory(out)
            write_atomically(out / "config.toml", config.encode())
        elif (metrics.stat().st_size if metrics.exists() else 0) < resumed:
            raise UserError(
                f"asked to resume {out}, but its metrics.jsonl is shorter than its checkpoint says ({resumed} bytes):"
                " restore it, or train anew"
            )
        metrics.touch()
        self._metrics = metrics.open("r+b")
        self._metrics.truncate(resumed or 0)
        try:
            self.before = [json.loads(line) for line in self._metrics]
        except ValueError as error:
            raise UserError(
                f"asked to resume {out}, but its metrics.jsonl is damaged ({error}): restore it, or train anew"
            ) from None

    def line(self, kind: str, **values: Any) -> None:
        if self._metrics is not None:
            self._metrics.write((json.dumps({"kind": kind, **values}, allow_nan=False) + "\n").encode())

    def mark(self) -> int:
        """How many bytes of lines there are, all of them on the disk."""
        if self._metrics is None:
            return 0
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return self._metrics.tell()

    def summary(self, values: Line) -> None:
        if self.out is not None:
            write_atomically(self.out / "summary.json", (json.dumps(values, indent=2) + "\n").encode())

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()
