"""All that the next step depends on, as named arrays in one ``.npz`` file: written whole, checksummed, no pickle.

A run's folder keeps the last two: the newest, and the one before. Each is a temporary file, synchronised, before it
gets its name, so at every moment one of them is whole.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.errors import UserError
from lwsam_ref.files import write_atomically

HostArray = np.ndarray[Any, Any]
NEWEST, BEFORE = "checkpoint.npz", "checkpoint.before.npz"
DIGEST = "sha256"


def write(folder: Path, arrays: Mapping[str, HostArray]) -> None:
    """The newest one of ``folder``; what was the newest is the one before."""
    write_atomically(folder / NEWEST, _packed(arrays), keep=folder / BEFORE)


def replace(folder: Path, arrays: Mapping[str, HostArray]) -> None:
    """In the place of the newest one, which is damaged, or from which the run does not continue."""
    write_atomically(folder / NEWEST, _packed(arrays))


def _packed(arrays: Mapping[str, HostArray]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {**arrays, DIGEST: _digest(arrays)}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def find(asked: Path) -> Path:
    """The checkpoint that ``asked`` names: a file, or the newest one in a folder."""
    if asked.is_dir():
        newest, before = asked / NEWEST, asked / BEFORE
        return before if before.exists() and not newest.exists() else newest  # the end came between two renames
    return asked


def read(asked: Path) -> dict[str, HostArray]:
    """What :func:`write` wrote, every bit of it."""
    path = find(asked)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        digest = arrays.pop(DIGEST, None)
        if digest is None or not np.array_equal(digest, _digest(arrays)):
            raise ValueError("its checksum is wrong")
    except FileNotFoundError:
        raise UserError(f"asked for {path}, which is not there: name a run that wrote one") from None
    except Exception as error:  # a damaged header can make the reader raise anything
        before = path.with_name(BEFORE)
        other = f"the one before it, {before}" if before.exists() and before != path else "another run"
        raise UserError(f"asked for {path}, which is no checkpoint or is damaged ({error}): name {other}") from None
    return arrays


def _digest(arrays: Mapping[str, HostArray]) -> HostArray:
    """Of names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(total.digest(), np.uint8)
