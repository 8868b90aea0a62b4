"""The files of a run: what it was asked, what it saw, what it came to. Whole files are written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lwsam_ref.errors import UserError
from lwsam_ref.files import hold, new_directory, write_atomically
from lwsam_ref.training.tally import Line

NEEDED = {"step": {"loss", "seconds", "ascent_nodes", "cost", "captured", "selected"}, "epoch": {"accuracy"}}
"""What a summary needs of each kind of line."""


class Record:
    """``config.toml`` at once, ``metrics.jsonl`` line by line, ``summary.json`` last; without ``out``, nothing.

    One process at a time has the folder.

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
        self._held = hold(out)
        try:
            if resumed is None:
                write_atomically(out / "config.toml", config.encode())
            else:
                self.before = _lines(metrics, resumed)
            metrics.touch()
            self._metrics = metrics.open("r+b")
            self._metrics.seek(resumed or 0)
        except BaseException:
            os.close(self._held)
            raise

    def begin(self) -> None:
        """Cut off what a run that goes on had written behind its checkpoint."""
        if self._metrics is not None:
            self._metrics.truncate()

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
            os.close(self._held)


def _lines(metrics: Path, size: int) -> list[Line]:
    """The records in the first ``size`` bytes."""
    kept = metrics.read_bytes()[:size] if metrics.exists() else b""
    if len(kept) < size:
        raise UserError(
            f"asked to resume {metrics.parent}, but its metrics.jsonl is shorter than its checkpoint says ({size}"
            " bytes): restore it, or train anew"
        )
    try:
        return parsed(kept)
    except ValueError as error:
        raise UserError(
            f"asked to resume {metrics.parent}, but its metrics.jsonl is damaged ({error}): restore it, or train anew"
        ) from None


def parsed(content: bytes, needed: Mapping[str, set[str]] = NEEDED) -> list[Line]:
    """The records in ``content``, each with what its kind needs; ``ValueError`` says which line is none."""
    found = []
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = json.loads(text)
            if not (isinstance(line, dict) and needed.get(str(line.get("kind")), {""}) <= line.keys()):
                raise ValueError("without its values")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from None
        found.append(line)
    return found
