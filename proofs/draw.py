"""Where random problems take their numbers from: a generator, in floats or fractions, or a vector that is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Draw(Protocol):
    """The three things that are drawn."""

    exact: bool

    def number(self, low: Any, high: Any) -> Any:
        """Between ``low`` and ``high``, both included."""

    def choice(self, values: Sequence[T]) -> T: ...

    def seed(self) -> int: ...


@dataclass
class Random:
    """Numbers at random; fractions with denominator 64 of the interval if ``exact``. The ends come more often."""

    rng: np.random.Generator
    exact: bool = False

    def number(self, low: Any, high: Any) -> Any:
        share = Fraction(min(max(int(self.rng.integers(-6, 71)), 0), 64), 64)
        return low + (high - low) * (share if self.exact else float(share))

    def choice(self, values: Sequence[T]) -> T:
        return values[int(self.rng.integers(len(values)))]

    def seed(self) -> int:
        return int(self.rng.integers(2**32))


@dataclass
class Searched:
    """Numbers from a vector, one entry each in turn: what a search moves. A sine folds the line into the interval."""

    vector: np.ndarray[Any, Any]
    exact: bool = False
    used: int = 0

    def number(self, low: Any, high: Any) -> Any:
        entry = float(self.vector[self.used % len(self.vector)])
        self.used += 1
        return low + (high - low) * (0.5 + 0.5 * float(np.sin(entry)))

    def choice(self, values: Sequence[T]) -> T:
        return values[min(int(self.number(0, len(values))), len(values) - 1)]

    def seed(self) -> int:
        return 0
