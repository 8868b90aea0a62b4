"""CIFAR-10 (Krizhevsky 2009), binary version: six files of 10,000 records, a label and 3 planes of 32 x 32 pixels.

The binary version, not the one for Python: that one is a pickle, and to read a pickle from the network is to run
whatever it says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.data.dataset import Images, Split
from lwsam_ref.data.source import Source
from lwsam_ref.errors import UserError

RECORDS, RECORD, CLASSES = 10_000, 1 + 3 * 32 * 32, 10
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)

SOURCE = Source(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    sizes=dict.fromkeys((*TRAIN, *TEST), RECORDS * RECORD),
)

HostArray = np.ndarray[Any, Any]


def load(data_dir: Path | None = None) -> Images:
    """CIFAR-10 with its own split."""
    train, test = (Split(images, labels.astype(np.int64)) for images, labels in read(data_dir))
    return Images("cifar10", train, test, outputs=CLASSES, pad=4, flip=True)


def read(data_dir: Path | None = None) -> tuple[tuple[HostArray, HostArray], tuple[HostArray, HostArray]]:
    """(images (N, 32, 32, 3), labels (N,)) for training and for the test, uint8; all is checked before any is read."""
    folder = SOURCE.checked(data_dir)
    labels = _labels(folder, TRAIN), _labels(folder, TEST)
    return (_images(folder, TRAIN), labels[0]), (_images(folder, TEST), labels[1])


def _labels(folder: Path, names: tuple[str, ...]) -> HostArray:
    """The labels, each in its range, and each class as often as CIFAR-10 has it."""
    labels = np.concatenate([_records(folder / name)[:, 0] for name in names])
    if (wrong := np.flatnonzero(labels >= CLASSES)).size:
        file, record = divmod(int(wrong[0]), RECORDS)
        raise UserError(
            f"asked for cifar10, but in {folder / names[file]} record {record} has label {labels[wrong[0]]}, and labels"
            f" are 0 to {CLASSES - 1}: this is no CIFAR-10 file of the binary version; fetch it again"
        )
    counts, expected = np.bincount(labels, minlength=CLASSES), len(labels) // CLASSES
    if (off := np.flatnonzero(counts != expected)).size:
        raise UserError(
            f"asked for cifar10, but {', '.join(names)} in {folder} have {counts[off[0]]} images of class {off[0]},"
            f" where CIFAR-10 has {expected}: fetch them again"
        )
    return labels


def _images(folder: Path, names: tuple[str, ...]) -> HostArray:
    images = np.empty((RECORDS * len(names), 32, 32, 3), np.uint8)
    for i, name in enumerate(names):
        planes = _records(folder / name)[:, 1:].reshape(RECORDS, 3, 32, 32)
        images[i * RECORDS : (i + 1) * RECORDS] = planes.transpose(0, 2, 3, 1)
    return images


def _records(path: Path) -> HostArray:
    """The file as a table, read as far as it is looked at."""
    return np.memmap(path, np.uint8, "r", shape=(RECORDS, RECORD))
