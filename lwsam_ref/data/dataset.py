"""A data set: two splits of standardised images, and how its images may be augmented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.data import digits
from lwsam_ref.errors import unknown

HostArray = np.ndarray[Any, Any]


class Split(NamedTuple):
    """Images (N, H, W, C), float64, and labels (N,), int64."""

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


def load(name: str) -> Dataset:
    """The data set ``name``, standardised: per pixel, by mean and deviation of the training images."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]()


def standardised(train: Split, test: Split) -> tuple[Split, Split]:
    """``(x - mean) / deviation`` per pixel of the training images; a pixel that never varies becomes 0."""
    mean, deviation = train.images.mean(axis=0), train.images.std(axis=0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return Split((train.images - mean) * scale, train.labels), Split((test.images - mean) * scale, test.labels)


def _digits() -> Dataset:
    images, labels = digits.read()
    is_test = np.arange(len(labels)) % 5 == 4
    parts = (Split(images[m][..., None].astype(np.float64), labels[m].astype(np.int64)) for m in (~is_test, is_test))
    train, test = standardised(*parts)
    return Dataset("digits", train, test, classes=10, pad=1, flip=False)


DATASETS: dict[str, Callable[[], Dataset]] = {"digits": _digits}
