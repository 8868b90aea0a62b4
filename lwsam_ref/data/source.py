"""A data set that is downloaded: where it comes from, where it lies, whether all of it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lwsam_ref.data import archive
from lwsam_ref.data.download import download, md5_of
from lwsam_ref.errors import UserError

VARIABLE = "LWSAM_DATA_DIR"


def data_directory(asked: Path | None) -> Path:
    """The folder asked for, else that of the environment variable, else the user's cache."""
    if asked is not None:
        return asked
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lwsam-ref"


@dataclass(frozen=True)
class Source:
    """An archive at ``url`` whose ``folder`` holds files of known ``sizes``."""

    name: str
    url: str
    md5: str
    folder: str
    sizes: Mapping[str, int]

    @property
    def archive(self) -> str:
        return self.url.rpartition("/")[2]

    def path(self, data_dir: Path | None) -> Path:
        """Where the files are, or would be: the data folder itself if all lie there, else ``folder`` in it."""
        base = data_directory(data_dir)
        return base if all((base / file).exists() for file in self.sizes) else base / self.folder

    def checked(self, data_dir: Path | None) -> Path:
        """The folder, once every file in it has its size."""
        folder = self.path(data_dir)
        for file, size in self.sizes.items():
            if not (folder / file).is_file():
                raise UserError(
                    f"asked for {self.name}, but there is no {folder / file}: run 'lwsam data fetch {self.name}', or"
                    f" name the folder that has it with --data-dir or {VARIABLE}"
                )
            found = (folder / file).stat().st_size
            if found != size:
                raise UserError(
                    f"asked for {self.name}, but {folder / file} has {found} bytes where {size} are right: remove it"
                    f" and run 'lwsam data fetch {self.name}'"
                )
        return folder

    def fetch(self, data_dir: Path | None, tick: Callable[[int, int], None]) -> Path:
        """Download what is missing, check it, unpack it; the folder. An archive that lies there already is used."""
        base = data_directory(data_dir)
        target = base / self.archive
        folder = self.path(data_dir)
        if all((folder / file).is_file() for file in self.sizes):
            return self.checked(data_dir)
        by_hand = f"{self.url} by another way and put it at {target}"
        base.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            download(self.url, target, by_hand, tick)
        if (found := md5_of(target)) != self.md5:
            raise UserError(
                f"asked for {self.name}, but {target} has md5 {found} where {self.md5} is right: remove it and run"
                f" 'lwsam data fetch {self.name}' again"
            )
        archive.extract(target, self.folder, self.sizes, base)
        return self.checked(data_dir)
