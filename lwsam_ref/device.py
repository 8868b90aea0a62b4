"""Where arrays live: NumPy on the CPU, CuPy on a GPU. The only file that imports CuPy, and only when asked to.

The kernels in ``ops/`` are written in NumPy's own vocabulary. CuPy arrays answer to it through NumPy's dispatch
protocols (NEP 13 and NEP 18), so the same source runs on both and no function takes an array module. Three verbs
cross the border between host and device, :meth:`Device.put`, :meth:`Device.exactly` and :meth:`Device.get`, and the
messages between processes (``comm.py``), through the buffers made here; nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lwsam_ref.errors import UserError, unknown
from lwsam_ref.vector import Array

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Device:
    """Arrays of module ``xp``, floating-point entries of type ``dtype``; both fixed for a whole run."""

    xp: ModuleType
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, name: str = "cpu", dtype: str = "float32", ordinal: int = 0) -> Device:
        """``name`` is ``cpu``, ``cuda``, or ``auto`` (``cuda`` where CuPy finds a GPU).

        Of several GPUs the one of number ``ordinal``, modulo their count, becomes this process's own.
        """
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        if name not in ("auto", "cpu", "cuda"):
            raise unknown("device", name, ("auto", "cpu", "cuda"))
        xp = np if name == "cpu" else _cupy(required=name == "cuda")
        if xp is not np and ordinal:
            xp.cuda.Device(ordinal % xp.cuda.runtime.getDeviceCount()).use()
        return cls(xp, np.dtype(dtype))

    @property
    def name(self) -> str:
        return "cpu" if self.xp is np else "cuda"

    def __str__(self) -> str:
        return "cpu" if self.xp is np else f"GPU {self.xp.cuda.runtime.getDevice()}"

    def put(self, host: np.ndarray[Any, Any]) -> Array:
        """The array on the device: floats in this device's dtype, integers as they are."""
        host = np.ascontiguousarray(host)
        return self.xp.asarray(host.astype(self.dtype, copy=False) if host.dtype.kind == "f" else host)

    def exactly(self, host: np.ndarray[Any, Any]) -> Array:
        """The array on the device, bit for bit: in the dtype that it has."""
        return self.xp.asarray(host)

    def get(self, array: Array) -> np.ndarray[Any, Any]:
        """The array on the host."""
        return np.asarray(array if self.xp is np else array.get())

    def number(self, scalar: Any) -> float:
        """A Python float from a number, or from an array without dimensions on the device."""
        return float(scalar if isinstance(scalar, (int, float)) else self.get(scalar))

    def zeros(self, size: int) -> Array:
        return self.xp.zeros(size, self.dtype)

    def synchronize(self) -> None:
        """Wait until all that was asked of the device is done (before a clock is read)."""
        if self.xp is not np:
            self.xp.cuda.get_current_stream().synchronize()


def settle(array: Array) -> None:
    """Wait until the array is what it will be, before another library reads it."""
    if not isinstance(array, np.ndarray):
        import cupy

        cupy.cuda.get_current_stream().synchronize()


def staging(array: Array, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A host array of ``shape`` and of the device array's dtype: pinned, if the device is a GPU."""
    import cupyx

    pinned: np.ndarray[Any, Any] = cupyx.empty_pinned(shape, array.dtype)
    return pinned


def _cupy(required: bool) -> ModuleType:
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() > 0:
            return cupy  # type: ignore[no-any-return]
        found = "CuPy finds no GPU"
    except ImportError:
        found = "CuPy is not installed"
    except Exception as error:  # the CUDA runtime has exception types of its own, unknown without CuPy
        found = f"CuPy cannot use the GPU ({error})"
    if required:
        raise UserError(
            f"asked for device 'cuda', but {found}: install 'lwsam-ref[cuda]' on a GPU machine, or use --device cpu"
        )
    return np
