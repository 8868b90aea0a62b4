"""Start ranks once for all tests of a session, whichever process of it asks first; bring back what they found."""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import launch

TESTS = Path(__file__).parent.parent
ENVIRONMENT: dict[str, Any] = {
    "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
}

SEVERAL = (2, 3, pytest.param(4, marks=pytest.mark.slow))
ANY = (1, *SEVERAL)
"""How many ranks."""

Arrays = dict[str, np.ndarray[Any, Any]]


def shared(factory: pytest.TempPathFactory) -> Path:
    """The folder of this session, which its processes have in common."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@cache
def found(folder: Path, n: int) -> list[Arrays]:
    """By each of n ranks."""
    out = folder / f"ranks-{n}"
    out.mkdir(exist_ok=True)
    said = out / "said.txt"
    with (folder / "ranks.lock").open("w") as lock:  # one job at a time: together they would wait for each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text("nothing: they never ended")
            done = launch.run(n, "-m", "parallel.worker", out, limit=220, **ENVIRONMENT)
            said.write_text(done.stdout + done.stderr)
    files = [out / f"{rank}.npz" for rank in range(n)]
    assert all(file.exists() for file in files), said.read_text()
    return [dict(np.load(file)) for file in files]
