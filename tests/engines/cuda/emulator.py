"""The kernels without a GPU: the same sources, compiled by g++ with ``emulate.h``, behind the same launch code.

Arrays are NumPy's, so whatever an engine does between two kernels runs as well. Libraries are kept by the text that
they were made from, in ``build/`` of the checkout.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lwsam_ref.engines.cuda.kernels import Kernels, Program

HEADER = Path(__file__).with_name("emulate.h")
BUILD = Path(__file__).parents[3] / "build" / "emulated"
FLAGS = ("-std=c++17", "-O1", "-w", "-fno-strict-aliasing", "-fno-gnu-unique", "-fPIC", "-shared")
"""``-fno-gnu-unique``: without it two libraries in one process would share the arrays of a block."""

KERNEL = re.compile(r"__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(")

FORWARD, REVERSED = 0, 1
"""Orders of the threads; any larger number is the seed of a shuffle."""


class Divergence(RuntimeError):
    """Some threads of a block ended while others waited at a barrier."""


class _Dim3(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


def emulated(
    order: int = FORWARD, change: Callable[[str], str] = lambda text: text, flags: tuple[str, ...] = ()
) -> Kernels:
    """Kernels that run on the host; ``change`` may plant a fault in a source."""
    return Kernels(lambda text: _program(change(text), order, flags))


def _program(text: str, order: int, flags: tuple[str, ...]) -> Program:
    library = ctypes.CDLL(str(_library(text, flags)))

    def launch(name: str, grid: tuple[int, ...], threads: int, *arguments: Any) -> None:
        held = [_argument(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(held))(*[ctypes.addressof(h) for h in held])
        kernel = library[f"emulate_{name}"]
        kernel.argtypes, kernel.restype = (ctypes.c_void_p, _Dim3, _Dim3, ctypes.c_uint), ctypes.c_bool
        blocks = _Dim3(*grid, *(1,) * (3 - len(grid)))
        if not kernel(ctypes.addressof(pointers), blocks, _Dim3(threads, 1, 1), order):
            raise Divergence(f"{name}: a barrier was not reached by all threads of a block")

    return launch


def _argument(a: Any) -> Any:
    if a is None:
        return ctypes.c_void_p(None)
    if isinstance(a, np.ndarray):
        assert a.flags.c_contiguous, "a kernel takes arrays whose entries lie side by side"
        return ctypes.c_void_p(a.ctypes.data)
    return {np.int32: ctypes.c_int, np.float64: ctypes.c_double}[type(a)](a)


@cache
def _library(text: str, flags: tuple[str, ...]) -> Path:
    kernels = "".join(f"EMULATE({name})\n" for name in KERNEL.findall(text))
    whole = f'#include "{HEADER}"\n{text}\n{kernels}'
    key = hashlib.sha256("\0".join((whole, HEADER.read_text(), *FLAGS, *flags)).encode()).hexdigest()[:16]
    path = BUILD / f"{key}.so"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{id(text)}.new")  # a test beside this one may be making the same
        command = ["g++", *FLAGS, *flags, "-x", "c++", "-", "-o", str(new)]
        subprocess.run(command, input=whole, text=True, check=True)
        new.replace(path)
    return path
