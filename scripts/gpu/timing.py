"""How long a kernel takes, without its launch from Python."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import cupy

LAUNCHES, REPLAYS = 10, 5


def milliseconds(function: Callable[[], Any]) -> float:
    """Of one call: the median over replays of a graph of ten. What it reads lies in the cache, if it fits there."""
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        function()
        stream.begin_capture()
        for _ in range(LAUNCHES):
            function()
        graph = stream.end_capture()
        found = []
        for _ in range(REPLAYS + 1):
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record(stream)
            graph.launch(stream)
            end.record(stream)
            end.synchronize()
            found.append(cupy.cuda.get_elapsed_time(start, end) / LAUNCHES)
    return statistics.median(found[1:])


def card() -> str:
    """The GPU's name."""
    return str(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a copy of 512 MiB."""
    a = cupy.ones(1 << 27, cupy.float32)
    b = cupy.empty_like(a)
    return 2e3 * float(a.nbytes) / milliseconds(lambda: cupy.copyto(b, a))
