"""Faults in comparisons, costs, sharpness."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "a Fisher mask paid at every step",
        "lwsam_ref/training/methods.py",
        "(o.sparse_refresh * o.batch_size)",
        "o.batch_size",
        "ledger",
    ),
]
