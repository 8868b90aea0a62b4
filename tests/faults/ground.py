"""Faults in vector, device, ranks, files, config."""

from __future__ import annotations

from faults.fault import Fault

FAULTS = [
    Fault(
        "squared norms summed in float32",
        "lwsam_ref/vector.py",
        "wide = _wide(x)",
        "wide = x",
        "vector",
    ),
    Fault(
        "a mean over ranks that is a sum",
        "lwsam_ref/comm.py",
        "return self.sum(array) / self.size",
        "return self.sum(array)",
        "comm",
    ),
    Fault(
        "ranks that differ go on",
        "lwsam_ref/comm.py",
        "if other != texts[0]:",
        "if False:",
        "parallel",
    ),
    Fault(
        "a write that failed leaves its part",
        "lwsam_ref/files.py",
        "temporary.unlink(missing_ok=True)",
        "pass",
        "checkpoint",
    ),
    Fault(
        "two processes in a folder",
        "lwsam_ref/files.py",
        "fcntl.LOCK_EX |",
        "fcntl.LOCK_SH |",
        "checkpoint",
    ),
]
