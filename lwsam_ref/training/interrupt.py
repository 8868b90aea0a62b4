"""Signals that ask a run to end: heard between two steps, so that a checkpoint can be written.

SIGTERM and SIGINT do; and SIGUSR1, since it is what ``mpirun`` hands on to its ranks without killing them at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The run ended before its end because a signal asked it to; the text says how to go on."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


@contextmanager
def listening(wanted: bool) -> Iterator[Callable[[], int]]:
    """A function that tells the number of the signal that came, 0 if none did. A second one ends the process.

    If it is not ``wanted``, or this is not the main thread, signals do what they always do.
    """
    came: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for each in heard:
            signal.signal(each, before[each])

    here = wanted and threading.current_thread() is threading.main_thread()
    heard = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1) if here else ()
    before = {number: signal.getsignal(number) for number in heard}
    try:
        for number in heard:
            signal.signal(number, hear)
        yield lambda: came[0] if came else 0
    finally:
        for number in heard:
            signal.signal(number, before[number])
