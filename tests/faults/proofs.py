"""Faults in the theory."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "Theorem A with 3/8 for 1/4",
        "proofs/appendix.py",
        ("e.x * e.x * e.sp2)\n    left = e.loss - e.eta * e.g2 / 4 + allowed"),
        ("e.x * e.x * e.sp2)\n    left = e.loss - 3 * e.eta * e.g2 / 8 + allowed"),
        "verify",
    ),
    Fault(
        "Theorem A without the ascent's noise",
        "proofs/appendix.py",
        "allowed = e.eta * (e.z * e.s2 + e.x * e.x * e.sp2)",
        "allowed = e.eta * e.z * e.s2",
        "verify",
    ),
    Fault(
        "Theorem B without 1 in 1 + z",
        "proofs/appendix.py",
        "(1 + e.z) * climbed",
        "e.z * climbed",
        "verify",
    ),
    Fault(
        "Theorem C with 2 + z q",
        "proofs/appendix.py",
        "promised = e.z * q * (2 - e.z * q)",
        "promised = e.z * q * (2 + e.z * q)",
        "verify",
    ),
    Fault(
        "Lemma A.2 with kappa for its root",
        "proofs/appendix.py",
        "left = e.x * e.x * e.pg2 * e.g2",
        "left = e.x * e.x * e.pg2 * e.pg2",
        "verify",
    ),
    Fault(
        "Lemma A.3 without the noise",
        "proofs/appendix.py",
        "right = e.g2 / 2 - e.x * e.pg2 - e.x * e.x * e.s2 / 2",
        "right = e.g2 / 2 - e.x * e.pg2",
        "verify",
    ),
    Fault(
        "a false statement declared true",
        "proofs/appendix.py",
        '"as printed, beyond x = 2", "false"',
        '"as printed, beyond x = 2", "true"',
        "verify",
    ),
    Fault(
        "the penalty on the other layers",
        "proofs/section3.py",
        "d = 1 - (1 - alpha) * self.p",
        "d = alpha + (1 - alpha) * self.p",
        "verify",
    ),
    Fault(
        "Theorem D with x for its square",
        "proofs/worst_case.py",
        "- z * mu * x**2 * kappa / 2",
        "- z * mu * x * kappa / 2",
        "proofs/worst_case.py",
    ),
    Fault(
        "a path left out",
        "proofs/trajectory.py",
        ("for batch in self.batches:\n            step"),
        ("for batch in self.batches[:1]:\n            step"),
        "proofs",
    ),
    Fault(
        "beta of ridges the mean, not the largest",
        "proofs/problems.py",
        "(a * a).sum(axis=1).max()",
        "(a * a).sum(axis=1).mean()",
        "proofs",
    ),
    Fault(
        "beta of a quadratic half of what it is",
        "proofs/problems.py",
        ("/ (u @ u)\n    return q @ (d[:, None] * q) / 4"),
        ("/ (u @ u)\n    return q @ (d[:, None] * q) / 2"),
        "proofs",
    ),
    Fault(
        "beta of the small network without its slope",
        "proofs/problems.py",
        "hidden * (1 + length**2) + block,",
        "block,",
        "holes",
    ),
]
