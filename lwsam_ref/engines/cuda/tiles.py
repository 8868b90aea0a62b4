"""Which tile each matrix product is computed by: measured where it was measured, else by a rule.

A tile is five numbers, ``BM BN BK TM TN`` (product.cu), and for kernel gradients the number of ``parts`` that the
pixels are split into. They decide the order of the sums, and so the last bits: the tables are part of the source,
and a tile never depends on the card that is found.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import NamedTuple

PARTIAL_SUMS = 264
"""So many blocks share a sum over pixels: two for each of an H100's multiprocessors, on every card."""


class Tile(NamedTuple):
    """``BM x BN`` entries a block, ``TM x TN`` a thread, ``BK`` of the depth at a time."""

    BM: int
    BN: int
    BK: int
    TM: int
    TN: int

    @property
    def threads(self) -> int:
        return (self.BM // self.TM) * (self.BN // self.TN)

    def shared_bytes(self, itemsize: int) -> int:
        return 2 * self.BK * (self.BM + self.BN + 8) * itemsize


class Problem(NamedTuple):
    """One of a convolution's three products (``forward``, ``input_gradient``, ``kernel_gradient``) of one dtype."""

    product: str
    dtype: str
    size: int
    stride: int
    height: int
    width: int
    channels: int
    filters: int

    @property
    def name(self) -> str:
        """As the tables have it: ``forward float32 3x3/1 32x32 16-16``."""
        p, d, k, s, h, w, c, q = self
        return f"{p} {d} {k}x{k}/{s} {h}x{w} {c}-{q}"

    @property
    def columns(self) -> int:
        return self.channels if self.product == "input_gradient" else self.filters

    @property
    def rows(self) -> int:
        """Of the kernel gradient: (i, j, c)."""
        return self.size * self.size * self.channels


class Choice(NamedTuple):
    """What a problem is computed by; ``parts`` is 0 but for kernel gradients."""

    tile: Tile
    parts: int = 0


def chosen(problem: Problem) -> Choice:
    """From the table if it is there."""
    if found := table().get(problem.name):
        *tile, parts = found
        return Choice(Tile(*tile), parts)
    return by_rule(problem)


def by_rule(problem: Problem) -> Choice:
    """As wide as there are columns, up to 128; a thread has 8 x 4 or 8 x 8 entries, in float64 4 x 4."""
    columns = problem.columns
    if problem.dtype == "float64":
        tile = Tile(64, 16 if columns <= 16 else 32, 8, 4, 4)
    elif columns <= 32:
        tile = Tile(128, 16 if columns <= 16 else 32, 16, 8, 4)
    else:
        tile = Tile(64, 64 if columns <= 64 else 128, 16, 8, 8)
    if problem.product != "kernel_gradient":
        return Choice(tile)
    blocks = -(-problem.rows // tile.BM) * -(-columns // tile.BN)
    return Choice(tile, max(1, PARTIAL_SUMS // blocks))


@cache
def table() -> dict[str, list[int]]:
    """Problem's name -> BM BN BK TM TN parts, as the sweep found them on the card that ``tiles.json`` names."""
    text = resources.files(__package__).joinpath("tiles.json").read_text()
    tiles: dict[str, list[int]] = json.loads(text)["tiles"]
    return tiles
