"""Synthetic CIFAR-10 files of the binary version, a source that no network has, the command ``lwsam`` in-process."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lwsam_ref import data
from lwsam_ref.cli import main as cli
from lwsam_ref.data import cifar10
from lwsam_ref.data.source import Source

NAMES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
FOLDER = "cifar-10-batches-bin"
RECORD = 3073


def batch(records: int, seed: int = 0) -> bytes:
    """Records of random pixels, each class equally often, in random order."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (records, RECORD), np.uint8)
    table[:, 0] = rng.permutation(np.arange(records) % 10)
    return table.tobytes()


def place(folder: Path, files: Mapping[str, Path]) -> Path:
    """The files under their names in the folder, as hard links: a name costs no space."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        os.link(file, folder / name)
    return folder


def overwrite(path: Path, content: bytes) -> None:
    """New content under a name that may be a link: the other names keep theirs."""
    path.unlink()
    path.write_bytes(content)


def tree(folder: Path) -> dict[str, tuple[str, int | bytes]]:
    """Everything below the folder: kind, and content or size where that is big."""
    found: dict[str, tuple[str, int | bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = "link", os.fsencode(path.readlink())
        elif path.is_file():
            size = path.stat().st_size
            found[str(path)] = "file", path.read_bytes() if size < 1 << 20 else size
        else:
            found[str(path)] = "folder", b""
    return found


@contextmanager
def unreachable() -> Iterator[str]:
    """The address of the archive at a port that is taken, so that nobody else listens there either."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/cifar-10-binary.tar.gz"


def use_source(patch: pytest.MonkeyPatch, source: Source) -> None:
    """``source`` in the place of CIFAR-10's own, for the command and for the reader."""
    patch.setitem(data.DATASETS, "cifar10", replace(data.DATASETS["cifar10"], source=source))
    patch.setattr(cifar10, "SOURCE", source)
    patch.setenv("no_proxy", "127.0.0.1")


def use_records(patch: pytest.MonkeyPatch, records: int, **changes: Any) -> Source:
    """CIFAR-10 with fewer records a file: the same code, quick enough for hundreds of examples."""
    source = replace(cifar10.SOURCE, sizes=dict.fromkeys(NAMES, records * RECORD), **changes)
    patch.setattr(cifar10, "RECORDS", records)
    use_source(patch, source)
    return source


class Said(NamedTuple):
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


def lwsam(*arguments: object) -> Said:
    """The command, in this process; whatever it raises but ``SystemExit`` comes through, as a traceback would."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    before, sys.argv = sys.argv, ["lwsam", *map(str, arguments)]
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            cli.main()
    except SystemExit as done:
        status = done.code
    finally:
        sys.argv = before
    assert isinstance(status, int)
    return Said(status, *(stream.buffer.getvalue().decode() for stream in streams))  # type: ignore[attr-defined]


def is_refusal(said: Said) -> bool:
    """Exit status 2, nothing on standard output, one line on standard error."""
    one_line = len(said.err.splitlines()) == 1 and said.err.endswith("\n")
    return said.status == 2 and said.out == "" and one_line and said.err.startswith("lwsam: ")


def refused(*arguments: object) -> str:
    """The one sentence with which the command refuses."""
    said = lwsam(*arguments)
    assert is_refusal(said), said
    return said.err
