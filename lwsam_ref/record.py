"""The files of a run: what it was asked, what it saw, what it came to. Whole files are written atomically."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from lwsam_ref.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content or the file of before, never a part: temporary file, fsync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def new_directory(out: Path) -> Path:
    """Make ``out``; refuse one that holds a run already, or cannot be written."""
    if (out / "config.toml").exists():
        raise UserError(f"asked to write to {out}, which already holds a run: name another --out, or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"asked to write to {out}, which cannot be written ({error.strerror}): name another --out"
        ) from None
    return out


class Record:
    """``config.toml`` at once, ``metrics.jsonl`` line by line, ``summary.json`` at the end; without ``out``, nothing."""

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


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
