"""CUDA C++ sources and the constants that they are compiled with, as functions to call.

The sources know their shapes at compile time: a division by a constant is a multiplication, a loop over a tile is
unrolled. So there is a program for each kind of layer, compiled when it is first called and kept.

What compiles is a parameter. On a GPU it is :func:`on_gpu` (CuPy and NVRTC). The tests have one for the host, which
runs the same sources behind the same launch code; nothing in this package knows which of them is at work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, Protocol

import numpy as np

from lwsam_ref.vector import Array


class Program(Protocol):
    """Compiled sources: launches kernel ``name`` on a grid of blocks of so many threads.

    Arguments are arrays (C-contiguous; their address is passed), ``None`` (a null pointer), or the NumPy scalars
    ``np.int32`` and ``np.float64``.
    """

    def __call__(self, name: str, grid: tuple[int, ...], threads: int, *arguments: Any) -> None: ...


Compile = Callable[[str], Program]
"""From a whole source text."""

C_TYPES = {"float32": "float", "float64": "double"}


class Kernels:
    """The programs that one compiler made, by their sources and constants."""

    def __init__(self, compiler: Compile) -> None:
        self.compiler = compiler
        self._programs: dict[tuple[Any, ...], Program] = {}

    def program(self, dtype: np.dtype[Any], *sources: str, **constants: int) -> Program:
        """The files ``sources``, one after the other, with ``T`` of ``dtype`` and these integers."""
        key = dtype, sources, *constants.items()
        if key not in self._programs:
            self._programs[key] = self.compiler(source_text(dtype, *sources, **constants))
        return self._programs[key]


def source_text(dtype: np.dtype[Any], *sources: str, **constants: int) -> str:
    """Constants are declared, not defined as macros: a macro ``T`` breaks the compiler's own headers."""
    declared = "".join(f"constexpr int {name} = {value};\n" for name, value in constants.items())
    return f"using T = {C_TYPES[dtype.name]};\n{declared}" + "\n".join(map(_read, sources))


@cache
def _read(source: str) -> str:
    return resources.files(__package__).joinpath(source).read_text()


def on_gpu(text: str) -> Program:
    """Compiled by NVRTC for the present GPU; CuPy keeps the result on disk."""
    import cupy

    module = cupy.RawModule(code=text, options=("--std=c++17",))
    module.compile()
    functions: dict[str, Any] = {}

    def launch(name: str, grid: tuple[int, ...], threads: int, *arguments: Any) -> None:
        if name not in functions:
            functions[name] = module.get_function(name)
        functions[name](grid, (threads,), [np.uintp(0) if a is None else a for a in arguments])

    return launch


@cache
def gpu_kernels() -> Kernels:
    """Those of this process."""
    return Kernels(on_gpu)


def whole(count: int, size: int) -> int:
    """How many pieces of ``size`` cover ``count``."""
    return -(-count // size)


def width(*arrays: Array) -> int:
    """How many entries along the last axis may be read at once from all of them: 4 or 1.

    A tensor lies where its layout has it, so its address need not be a multiple of 16 bytes.
    """
    wide = all(a.shape[-1] % 4 == 0 and address(a) % 16 == 0 for a in arrays)
    return 4 if wide else 1


def address(array: Array) -> int:
    """Where the array begins in memory."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def dense(array: Array) -> Array:
    """The array with its entries side by side: itself, if they are; refused if an ``int`` cannot count them."""
    if array.size >= 2**31:
        raise ValueError(f"an array of {array.size} entries: the kernels count to 2**31 - 1; use a smaller batch")
    return array if array.flags.c_contiguous else array.copy()
