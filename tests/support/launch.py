"""Start the command, or a script, as several ranks; nothing that is started here can hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

BIN = Path(os.environ.get("LWSAM_TEST_MPI", Path(sys.executable).parent))
"""Where ``mpirun``, and the ``python`` that goes with it, are."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Open MPI: as root, and more ranks than cores; others do not know the names
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


def ranks(n: int, *command: Any) -> list[str]:
    """The command line that starts ``command``, the arguments of ``python``, as n ranks (1: without a launcher)."""
    launcher = [] if n == 1 else [BIN / "mpirun", "-n", n]
    return [str(word) for word in (*launcher, BIN / "python", *command)]


def start(n: int, *command: Any, **environment: str) -> subprocess.Popen[str]:
    """The same, started, in a process group of its own."""
    return subprocess.Popen(
        ranks(n, *command),
        env=os.environ | ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(n: int, *command: Any, limit: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same, ended; what is not over after ``limit`` seconds is killed, with all its ranks, and fails the test."""
    process = start(n, *command, **environment)
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        kill(process)
        out, err = process.communicate()
        raise AssertionError(f"{command} was not over after {limit} s\n{out}\n{err}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def lwsam(n: int, *arguments: Any, limit: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command ``lwsam`` as n ranks."""
    return run(n, "-m", "lwsam_ref.cli", *arguments, limit=limit, **environment)


def members(process: subprocess.Popen[str]) -> list[int]:
    """The processes of its session: the launcher, and the ranks, which may be in groups of their own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(int(entry.name)) == process.pid:
                    found.append(int(entry.name))
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the launcher and all that it started."""
    for member in members(process):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
