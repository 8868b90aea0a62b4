"""A data set: two splits of images as they are stored, how they are standardised, how they may be augmented."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.data import cifar10, digits
from lwsam_ref.errors import unknown

HostArray = np.ndarray[Any, Any]


class Split(NamedTuple):
    """Images (N, H, W, C) as stored, uint8, and labels (N,), int64."""

    images: HostArray
    labels: HostArray


@dataclass(frozen=True)
class Dataset:
    """``pad`` and ``flip`` say which crops and flips leave the meaning of an image as it is."""

    name: str
    train: Split
    test: Split
    classes: int
    pad: int
    flip: bool

    def digest(self) -> str:
        """The bits of images and labels, in short."""
        total = hashlib.sha256()
        for array in (*self.train, *self.test):
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    @cached_property
    def moments(self) -> tuple[HostArray, HostArray]:
        """Mean and deviation of each pixel over the training images, from integer sums: no rounding before the end."""
        total = np.zeros(self.train.images.shape[1:], np.int64)
        squares = np.zeros_like(total)
        for start in range(0, len(self.train.images), 1000):
            piece = self.train.images[start : start + 1000].astype(np.int64)
            total += piece.sum(axis=0)
            squares += (piece * piece).sum(axis=0)
        n = len(self.train.images)
        return total / n, np.sqrt(n * squares - total * total) / n

    def standardised(self, images: HostArray) -> HostArray:
        """``(x - mean) / deviation`` per pixel, float64; a pixel that never varies becomes 0."""
        mean, deviation = self.moments
        return (images - mean) * np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The data set ``name``; ``data_dir`` is where downloaded ones lie."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name](data_dir)


def _digits(data_dir: Path | None) -> Dataset:
    images, labels = digits.read()
    is_test = np.arange(len(labels)) % 5 == 4
    train, test = (Split(images[m][..., None], labels[m].astype(np.int64)) for m in (~is_test, is_test))
    return Dataset("digits", train, test, classes=10, pad=1, flip=False)


def _cifar10(data_dir: Path | None) -> Dataset:
    train, test = (Split(images, labels.astype(np.int64)) for images, labels in cifar10.read(data_dir))
    return Dataset("cifar10", train, test, classes=10, pad=4, flip=True)


DATASETS: dict[str, Callable[[Path | None], Dataset]] = {"digits": _digits, "cifar10": _cifar10}

SHAPES: dict[str, tuple[tuple[int, int, int], int]] = {"digits": ((8, 8, 1), 10), "cifar10": ((32, 32, 3), 10)}
"""The shape of an image (H, W, C) and the number of classes, known without the data."""
