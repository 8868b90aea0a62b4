"""A data set: two splits of inputs with targets, how inputs are prepared, what is minimised and what is reported."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lwsam_ref.data.augment import crop_and_flip
from lwsam_ref.errors import UserError

HostArray = np.ndarray[Any, Any]


class Split(NamedTuple):
    """Inputs (N, ...) as they are stored, and targets: one a sample (N,), or one a position (N, T)."""

    inputs: HostArray
    targets: HostArray


@dataclass(frozen=True)
class Dataset:
    """Inputs that a network takes as they are: vectors, tokens. ``outputs`` is how many numbers it gives (classes).

    ``loss`` and ``metric`` are names in ``training/losses.py``.
    """

    name: str
    train: Split
    test: Split
    outputs: int
    loss: str = "cross-entropy"
    metric: str = "accuracy"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.train.inputs.shape[1:])

    def digest(self) -> str:
        """All of it, in short: the bits, shapes and types of inputs and targets, and what is done with them."""
        rest = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if f.name not in ("train", "test")]
        total = hashlib.sha256("\n".join(rest).encode())
        for array in (*self.train, *self.test):
            total.update(f"\n{array.dtype.str} {array.shape}\n".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def prepared(self, inputs: HostArray) -> HostArray:
        """Stored inputs as the network takes them."""
        return inputs

    def augmented(self, x: HostArray, key: tuple[int, ...], rank: int = 0, ranks: int = 1) -> HostArray:
        """Prepared inputs (those of one rank of several), changed at random in ways that keep their meaning."""
        return x


@dataclass(frozen=True)
class Images(Dataset):
    """Images (N, H, W, C), uint8; ``pad`` and ``flip`` say which crops and flips leave the meaning as it is."""

    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        for split in (self.train, self.test):
            if split.inputs.dtype != np.uint8:
                raise UserError(
                    f"asked for images of {split.inputs.dtype}, but images are bytes from 0 to 255: convert them, or"
                    " use a Dataset, whose inputs are taken as they are"
                )

    @cached_property
    def moments(self) -> tuple[HostArray, HostArray]:
        """Mean and deviation of each pixel over the training images, from integer sums: no rounding before the end."""
        images = self.train.inputs
        total = np.zeros(self.shape, np.int64)
        squares = np.zeros_like(total)
        for start in range(0, len(images), 1000):
            piece = images[start : start + 1000].astype(np.int64)
            total += piece.sum(axis=0)
            squares += (piece * piece).sum(axis=0)
        n = len(images)
        return total / n, np.sqrt(n * squares - total * total) / n

    def prepared(self, inputs: HostArray) -> HostArray:
        """``(x - mean) / deviation`` per pixel, float64; a pixel that never varies becomes 0."""
        mean, deviation = self.moments
        return (inputs - mean) * np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)

    def augmented(self, x: HostArray, key: tuple[int, ...], rank: int = 0, ranks: int = 1) -> HostArray:
        """Moved by up to ``pad`` pixels each way, and half of them mirrored if ``flip``."""
        return crop_and_flip(x, self.pad, self.flip, key, rank, ranks)
