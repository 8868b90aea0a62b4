"""Data sets, how they are fetched, deterministic epochs, augmentation."""

from lwsam_ref.data.augment import crop_and_flip
from lwsam_ref.data.cifar10 import SOURCE as CIFAR10
from lwsam_ref.data.dataset import DATASETS, SHAPES, Dataset, Split, load
from lwsam_ref.data.epochs import batches, batches_per_epoch
from lwsam_ref.data.source import VARIABLE, Source, data_directory

SOURCES: dict[str, Source] = {CIFAR10.name: CIFAR10}
"""What is downloaded; the other data sets come with the package."""

__all__ = [
    "DATASETS",
    "SHAPES",
    "SOURCES",
    "VARIABLE",
    "Dataset",
    "Source",
    "Split",
    "batches",
    "batches_per_epoch",
    "crop_and_flip",
    "data_directory",
    "load",
]
