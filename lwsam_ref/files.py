"""Folders and files on disk: made once, written whole."""

from __future__ import annotations

import os
from pathlib import Path

from lwsam_ref.errors import UserError


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content or the file of before, never a part: temporary file, fsync, rename."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


HELD = ("config.toml", "metrics.jsonl", "summary.json", "checkpoint.npz", "comparison.json")
"""What a folder with a run, or a comparison, holds."""


def new_directory(out: Path) -> Path:
    """Make ``out``; refuse one that holds a run already, or cannot be written."""
    try:
        if any((out / name).exists() for name in HELD):
            raise UserError(f"asked to write to {out}, which already holds a run: name another --out, or remove it")
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"asked to write to {out}, which cannot be written ({error.strerror}): name another --out"
        ) from None
    return out
