"""The files of a run: what it was asked, what it saw, what it came to. Whole files are written atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType

from lwsam_ref.errors import UserError
from lwsam_ref.files import lock, new_directory, write_atomically
from lwsam_ref.training.records import Record, Summary, parsed


class Journal:
    """Writes ``config.toml`` at once, ``metrics.jsonl`` by the record, ``summary.json`` last; without ``out``, nothing.

    One process at a time has the folder.

    ``resumed``: how many bytes of ``metrics.jsonl`` are to be kept of a run that continues; ``before`` has
    their records.
    """

    def __init__(self, out: Path | None, config: str, resumed: int | None = None) -> None:
        self.out = out
        self.before: list[Record] = []
        self._metrics = None
        if out is None:
            return
        metrics = out / "metrics.jsonl"
        if resumed is None:
            new_directory(out)
        self._held = lock(out)
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
        """On continuing, drop the lines written after the checkpoint."""
        if self._metrics is not None:
            self._metrics.truncate()

    def write(self, record: Record) -> None:
        if self._metrics is not None:
            self._metrics.write((json.dumps(record.json(), allow_nan=False) + "\n").encode())

    def mark(self) -> int:
        """How many bytes of lines there are, all of them on the disk."""
        if self._metrics is None:
            return 0
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return self._metrics.tell()

    def summary(self, summary: Summary) -> None:
        if self.out is not None:
            write_atomically(self.out / "summary.json", (json.dumps(summary.json(), indent=2) + "\n").encode())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()
            os.close(self._held)


def _lines(metrics: Path, size: int) -> list[Record]:
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
