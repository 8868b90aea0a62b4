"""Between the processes that share a batch: sums, means and gathers. The only file that imports mpi4py, when asked to.

One contract, :class:`Communicator`; as it stands it is a single process, for which every collective is the identity.
:class:`MPI` has the ranks that a launcher (``mpirun``, ``srun``) started. Every rank gets the same bits, as MPI
recommends and Open MPI and MPICH do; :func:`require_equal` finds out where they do not. Host arrays are sent as they
are. Arrays on a GPU are staged through pinned host memory, or handed to MPI as they are, if it is built for that
(``direct``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lwsam_ref.device import settle, staging
from lwsam_ref.errors import UserError
from lwsam_ref.vector import Array

SIZES, RANKS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"), ("PMIX_RANK", "PMI_RANK")
"""What the launchers of Open MPI, MPICH and Slurm leave in a rank's environment."""


class Communicator:
    """``rank`` of ``size``, ``local_rank`` of ``local_size`` on this machine; bytes sent and seconds spent so far.

    ``sharing``: how many ranks have the cores that this one has, itself counted.
    ``sent`` counts the bytes that this rank hands in, whatever way they then take.
    """

    rank, size, local_rank, local_size, sharing = 0, 1, 0, 1, 1

    def __init__(self) -> None:
        self.sent, self.seconds = 0, 0.0

    def sum(self, array: Array) -> Array:
        """The sum over the ranks."""
        return array

    def mean(self, array: Array) -> Array:
        """The mean over the ranks."""
        return array

    def gather(self, array: Array) -> Array:
        """The arrays of all ranks, of equal shape, stacked in the order of the ranks."""
        return array[None]

    def gather_text(self, text: str) -> list[str]:
        """The text of each rank."""
        return [text]

    def abort(self, status: int) -> None:
        """End all ranks."""


SERIAL = Communicator()


class MPI(Communicator):
    """The ranks of ``MPI.COMM_WORLD``."""

    def __init__(self, direct: bool = False) -> None:
        super().__init__()
        from mpi4py import MPI as mpi

        self._mpi, self._world, self.direct = mpi, mpi.COMM_WORLD, direct
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        here = self._world.Split_type(mpi.COMM_TYPE_SHARED, self.rank)
        self.local_rank, self.local_size = here.Get_rank(), here.Get_size()
        mine = f"{mpi.Get_processor_name()} {cores()}"
        self.sharing = self.gather_text(mine).count(mine)
        self.sent, self.seconds = 0, 0.0

    def sum(self, array: Array) -> Array:
        return self._collect(array, array.shape, lambda a, b: self._world.Allreduce(a, b, self._mpi.SUM))

    def mean(self, array: Array) -> Array:
        return self.sum(array) / self.size

    def gather(self, array: Array) -> Array:
        return self._collect(array, (self.size, *array.shape), self._world.Allgather)

    def gather_text(self, text: str) -> list[str]:
        here = np.frombuffer(text.encode(), np.uint8)
        lengths = [int(n) for n in self.gather(np.array(len(here)))]
        padded = np.zeros(max(lengths), np.uint8)
        padded[: len(here)] = here
        return [row[:n].tobytes().decode() for row, n in zip(self.gather(padded), lengths, strict=True)]

    def abort(self, status: int) -> None:
        self._world.Abort(status)

    def _collect(self, array: Array, shape: tuple[int, ...], call: Callable[[Any, Any], None]) -> Array:
        """One collective from ``array`` into a new one of ``shape``."""
        start = time.perf_counter()
        self.sent += array.nbytes
        result = np.empty_like(array, order="C", shape=shape)
        array = array if array.flags.c_contiguous else array.copy()
        if isinstance(array, np.ndarray) or self.direct:
            settle(array)
            call(array, result)
        else:
            here, there = staging(array, array.shape), staging(array, shape)
            array.get(out=here)
            call(here, there)
            result.set(there)
        self.seconds += time.perf_counter() - start
        return result


_world: Communicator | None = None


def launched() -> bool:
    """Whether a launcher started this process as one of several ranks."""
    sizes = [os.environ[name] for name in SIZES if name in os.environ]
    return any(size != "1" for size in sizes) if sizes else any(name in os.environ for name in RANKS)


def cores() -> list[int]:
    """The cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def world(direct: bool = False) -> Communicator:
    """All ranks of this job; the serial one where no launcher is at work. The same one at every call."""
    global _world
    if _world is None:
        try:
            _world = MPI(direct) if launched() else SERIAL
        except (ImportError, RuntimeError) as error:  # mpi4py is not there, or finds no MPI
            raise UserError(
                f"asked to run as one of several ranks, but mpi4py cannot be used ({error}): pip install"
                " 'lwsam-ref[mpi]', or mpi4py alone where the cluster has an MPI"
            ) from None
    return _world


def require_equal(comm: Communicator, what: Mapping[str, Callable[[], str]]) -> None:
    """Refuse to go on where the ranks have different things; the sentence says which, and who has what."""
    for name, text in what.items() if comm.size > 1 else ():
        texts = comm.gather_text(text())
        for rank, other in enumerate(texts):
            if other != texts[0]:
                lines = [set(one.splitlines()) for one in (texts[0], other)]
                zero, mine = (", ".join(sorted(here - lines[1 - i])) for i, here in enumerate(lines))
                raise UserError(
                    f"asked {comm.size} ranks to train together, but {name} is not the same: {zero} of rank 0, {mine}"
                    f" of rank {rank}: start all ranks with the same files and options"
                )
