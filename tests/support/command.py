"""The command ``lwsam`` in a process of its own, and what it says where it refuses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

QUICK = ("--model", "mlp", "--epochs", "2", "--lr", "0.05")


def lwsam(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lwsam_ref.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def refused(*arguments: object) -> str:
    """The one sentence on standard error."""
    done = lwsam(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("lwsam: ")
    assert "Traceback" not in done.stderr
    return done.stderr
