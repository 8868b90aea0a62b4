"""Faults in data sets."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "epochs ignore the seed",
        "lwsam_ref/data/epochs.py",
        '"epoch", seed, epoch',
        '"epoch", 0, epoch',
        "data",
    ),
    Fault(
        "epochs are all alike",
        "lwsam_ref/data/epochs.py",
        '"epoch", seed, epoch',
        '"epoch", seed, 0',
        "data",
    ),
    Fault(
        "the last partial batch is kept",
        "lwsam_ref/data/epochs.py",
        "return n // batch_size",
        "return -(-n // batch_size)",
        "data",
    ),
    Fault(
        "crops to one side",
        "lwsam_ref/data/augment.py",
        "0, 2 * pad + 1, (2, n",
        "0, pad + 1, (2, n",
        "holes",
    ),
    Fault(
        "every image flipped",
        "lwsam_ref/data/augment.py",
        "< 0.5",
        "< 1.5",
        "data",
    ),
]
