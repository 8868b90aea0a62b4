"""Faults put into the code on purpose, a list a wing; `scripts/mutate.py` puts them in and sees a test fail."""

from __future__ import annotations

from faults import algorithms, analysis, autodiff, data, ground, proofs, training
from faults.fault import Fault

FAULTS: list[Fault] = [
    *algorithms.FAULTS,
    *analysis.FAULTS,
    *autodiff.FAULTS,
    *data.FAULTS,
    *ground.FAULTS,
    *proofs.FAULTS,
    *training.FAULTS,
]
