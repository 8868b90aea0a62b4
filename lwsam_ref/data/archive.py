"""Files out of a tar archive: exactly those that are expected, to places that we name; nothing else is written."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lwsam_ref.errors import UserError
from lwsam_ref.files import write_atomically

DAMAGED = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, ArithmeticError, MemoryError)
"""What reading an archive raises that is none: a size in it may be any number, beyond memory or beyond an integer."""


def extract(path: Path, folder: str, sizes: Mapping[str, int], into: Path) -> None:
    """The files named in ``sizes`` from ``folder`` of the archive, to ``into / folder``.

    A member outside ``folder``, or an expected one that is no plain file of its size, is refused, and then nothing is
    written.
    """
    wanted = {f"{folder}/{name}": size for name, size in sizes.items()}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                inside = PurePosixPath(member.name)
                if inside.is_absolute() or ".." in inside.parts or inside.parts[:1] != (folder,):
                    raise _refused(path, f"its member {member.name!r} lies outside {folder}/")
                if member.size < 0:  # the next one would be looked for before it, for ever
                    raise _refused(path, f"its member {member.name!r} has {member.size} bytes")
                if member.name not in wanted:
                    continue
                size = wanted[member.name]
                if not member.isfile() or member.size != size:
                    raise _refused(path, f"its member {member.name!r} is no plain file of {size} bytes")
                file = archive.extractfile(member)
                found[member.name] = file.read() if file is not None else b""
            while archive.fileobj is not None and archive.fileobj.read(1 << 20):
                pass  # to the very end, where a compressed archive has its check sum
    except DAMAGED as error:
        raise _refused(
            path, f"it cannot be unpacked ({' '.join(str(error).split()) or type(error).__name__})"
        ) from None
    if missing := sorted(wanted.keys() - found.keys()):
        raise _refused(path, f"it has no {missing[0]!r}")
    (into / folder).mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        write_atomically(into / name, content)


def _refused(path: Path, why: str) -> UserError:
    return UserError(f"asked to unpack {path}, but {why}: remove it and fetch it again")
