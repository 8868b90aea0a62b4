"""All that the next step depends on, as named arrays in one ``.npz`` file: written atomically, read without pickle."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.errors import UserError
from lwsam_ref.files import write_atomically

HostArray = np.ndarray[Any, Any]


def write(path: Path, arrays: Mapping[str, HostArray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def read(path: Path) -> dict[str, HostArray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f"asked for {path}, which is not there: name a run that wrote one") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"asked for {path}, which is no checkpoint or is damaged ({error}): name another run") from None
