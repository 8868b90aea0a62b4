"""The handwritten digits that come with the package: 1,797 real images of 8 x 8 pixels (see ``digits.txt``).

Every fifth image, the 5th, 10th, ..., is for the test: 359 of them; 1,438 are for training.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

from lwsam_ref.data.dataset import Images, Split


def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (1797, 8, 8) with pixels 0 to 16, and labels (1797,); uint8."""
    with (
        (files("lwsam_ref.data") / "digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return arrays["images"], arrays["labels"]


def load() -> Images:
    """The digits, split."""
    images, labels = read()
    is_test = np.arange(len(labels)) % 5 == 4
    train, test = (Split(images[m][..., None], labels[m].astype(np.int64)) for m in (~is_test, is_test))
    return Images("digits", train, test, outputs=10, pad=1, flip=False)
