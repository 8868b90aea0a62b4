"""The emulator sees what it is there to see: faults planted in the sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.cuda import cases
from engines.cuda.emulator import FORWARD, REVERSED, Divergence, emulated
from lwsam_ref.engines.cuda.kernels import source_text

SHAPE = cases.CONVOLUTIONS["one tile"]
BARRIER = "__syncthreads();"


def without(text: str, number: int) -> str:
    """The text without its barrier of that number."""
    pieces = text.split(BARRIER)
    return BARRIER.join(pieces[: number + 1]) + BARRIER.join(["", *pieces[number + 1 :]])[len(BARRIER) :]


def bits(change: Any, order: int) -> list[Any]:
    x, w, gy = cases.convolution_arrays(SHAPE, "float64")
    return cases.own_convolution(emulated(order, change), SHAPE, x, w, gy)


def same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_barrier_gives_other_bits_in_another_order(number: int) -> None:
    change = lambda text: without(text, number)  # noqa: E731
    right = bits(lambda text: text, FORWARD)
    assert not all(same(right, bits(change, order)) for order in (FORWARD, REVERSED, 2))


def test_a_barrier_that_some_threads_miss_is_named() -> None:
    with pytest.raises(Divergence, match="forward"):
        bits(lambda text: text.replace(BARRIER, f"if (threadIdx.x < 32) {BARRIER}", 1), FORWARD)


def test_a_tile_fetched_short_is_seen() -> None:
    change = lambda text: text.replace("if (mine(n)) held[n]", "if (mine(n) && threadIdx.x != 5) held[n]")  # noqa: E731
    assert change(source_text(np.dtype("float64"), "product.cu")) != source_text(np.dtype("float64"), "product.cu")
    assert not same(bits(lambda text: text, FORWARD), bits(change, FORWARD))


@pytest.mark.parametrize("masked", [True, False])
def test_a_write_beyond_the_edge_is_seen(masked: bool) -> None:
    """The output lies in the middle of a guard; its 72 rows make one block and a part of another."""
    change = (lambda text: text) if masked else (lambda text: text.replace("m < rows ? out", "m < rows || true ? out"))
    x, w, _ = cases.draw(5, "float64", (2, 6, 6, 16), (3, 3, 16, 16), (1,))
    tile, guarded = cases.Tile(64, 16, 8, 4, 4), np.full(4 * 72 * 16, np.nan)
    constants = dict(K=3, S=1, H=6, W=6, C=16, Q=16, VX=4, VY=4, VW=4, **tile._asdict())
    run = emulated(FORWARD, change).program(x.dtype, "product.cu", "forward.cu", **constants)
    run("forward", (2, 1), tile.threads, x, w, guarded[72 * 16 :], np.int32(2))
    outside = np.concatenate([guarded[: 72 * 16], guarded[2 * 72 * 16 :]])
    assert np.isnan(outside).all() == masked
