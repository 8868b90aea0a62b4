"""The files of a run: what it was asked, what it saw, what it came to. Whole files are written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from lwsam_ref.files import new_directory, write_atomically


class Record:
    """``config.toml`` at once, ``metrics.jsonl`` line by line, ``summary.json`` last; without ``out``, nothing."""

    def __init__(self, out: Path | None, config: str) -> None:
        self.out = out
        self._metrics = None
        if out is not None:
            new_directory(out)
            write_atomically(out / "config.toml", config.encode())
            self._metrics = (out / "metrics.jsonl").open("w", encoding="utf-8")

    def line(self, kind: str, **values: Any) -> None:
        if self._metrics is not None:
            self._metrics.write(json.dumps({"kind": kind, **values}, allow_nan=False) + "\n")

    def flush(self) -> None:
        if self._metrics is not None:
            self._metrics.flush()

    def summary(self, values: dict[str, Any]) -> None:
        if self.out is not None:
            write_atomically(self.out / "summary.json", (json.dumps(values, indent=2) + "\n").encode())

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()
