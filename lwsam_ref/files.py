"""Folders and files on disk: made once, written whole."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from lwsam_ref.errors import UserError


def write_atomically(path: Path, content: bytes, keep: Path | None = None) -> None:
    """Replace atomically: a reader sees the old or the new content. By a temporary file, fsync, rename.

    What was there goes to ``keep`` if that is given, and is lost if not.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
        _synchronise(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _synchronise(folder: Path) -> None:
    """The names too, not only what they stand for."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(folder: Path) -> int:
    """Lock ``folder`` for this process, until it ends or closes the descriptor; refuse where another has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"asked to train in {folder}, but another process does so now: wait for its end, or stop it"
        ) from None
    except OSError:  # a file system without locks
        pass
    return descriptor


RUN_FILES = (
    "config.toml",
    "metrics.jsonl",
    "summary.json",
    "checkpoint.npz",
    "checkpoint.before.npz",
    "comparison.json",
)
"""What a folder with a run, or a comparison, holds."""


def new_directory(out: Path) -> Path:
    """Make ``out``; refuse one that holds a run already, or cannot be written."""
    try:
        if any((out / name).exists() for name in RUN_FILES):
            raise UserError(f"asked to write to {out}, which already holds a run: name another --out, or remove it")
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"asked to write to {out}, which cannot be written ({error.strerror}): name another --out"
        ) from None
    return out
