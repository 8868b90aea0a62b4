"""The data sets by name, how they are fetched, deterministic epochs. A new one is an entry here (docs/extending.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lwsam_ref.data import cifar10, digits, folder
from lwsam_ref.data.arrays import arrays
from lwsam_ref.data.augment import crop_and_flip
from lwsam_ref.data.dataset import Dataset, Images, Split
from lwsam_ref.data.epochs import batches, batches_per_epoch
from lwsam_ref.data.source import VARIABLE, Source, data_directory
from lwsam_ref.errors import unknown
from lwsam_ref.options import Option, Options, Values


@dataclass(frozen=True)
class DataKind:
    """``load`` reads it, from where downloads lie, with its options; ``source``: where it is downloaded from, if it is.

    ``size``: the shape of an input and the number of outputs, where these are known without the data.
    """

    load: Callable[[Path | None, Values], Dataset]
    size: tuple[tuple[int, ...], int] | None = None
    source: Source | None = None
    options: Options = field(default_factory=dict)


AUGMENT: Options = {"augment": Option(True, "pad, crop at random, and flip where a flip keeps the meaning (images)")}
FOLDER: Options = {"folder": Option("", "where PNG images are, a sub-folder a class (folder)")}

DATASETS: dict[str, DataKind] = {
    "digits": DataKind(lambda base, o: digits.load(), ((8, 8, 1), 10), None, AUGMENT),
    "cifar10": DataKind(lambda base, o: cifar10.load(base), ((32, 32, 3), 10), cifar10.SOURCE, AUGMENT),
    "folder": DataKind(lambda base, o: folder.load(o.folder), options={**FOLDER, **AUGMENT}),
}


@dataclass(frozen=True)
class Defaults:
    """The default of every option of every data set."""

    def __getattr__(self, name: str) -> object:
        for kind in DATASETS.values():
            if name in kind.options:
                return kind.options[name].default
        raise AttributeError(name)


def load(name: str, data_dir: Path | None = None, options: Values | None = None) -> Dataset:
    """The data set ``name``; ``data_dir``: where downloaded ones lie; ``options``: its options, if not the defaults."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name].load(data_dir, Defaults() if options is None else options)


__all__ = [
    "DATASETS",
    "VARIABLE",
    "DataKind",
    "Dataset",
    "Images",
    "Source",
    "Split",
    "arrays",
    "batches",
    "batches_per_epoch",
    "crop_and_flip",
    "data_directory",
    "load",
]
