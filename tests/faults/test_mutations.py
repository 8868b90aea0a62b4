"""Faults put in on purpose: each is seen by a test or by a statement (`scripts/mutate.py`)."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import mutate


def test_every_fault_can_be_put_in() -> None:
    """Its text is in its file exactly once, what comes out is Python and something else; names tell faults apart."""
    assert len({fault.name for fault in mutate.FAULTS}) == len(mutate.FAULTS) >= 24
    for fault in mutate.FAULTS:
        assert fault.mutated(mutate.ROOT) != (mutate.ROOT / fault.file).read_text("utf-8")
        files = [file for files, _ in mutate.tries(fault) for file in files if file != mutate.VERIFY]
        assert all((mutate.ROOT / file).exists() for file in files), fault.name


@pytest.mark.slow
def test_every_fault_is_seen() -> None:
    command = [sys.executable, str(mutate.ROOT / "scripts" / "mutate.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"^(\d+) faults, all caught", done.stdout, re.MULTILINE)
    assert tried is not None
    assert int(tried[1]) >= 20
