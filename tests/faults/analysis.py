"""Faults in comparisons, costs, sharpness."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "a Fisher mask paid at every step",
        "lwsam_ref/analysis/cost_table.py",
        "(c.refresh * c.batch_size)",
        "c.batch_size",
        "ledger",
    ),
]
