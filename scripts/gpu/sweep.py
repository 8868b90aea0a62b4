"""Which tile computes each product of these networks fastest on this GPU: writes the table that the engine reads.

    python -m gpu.sweep --model resnet20,wrn16-2,wrn28-10          # from scripts/

Tries every tile that fits a multiprocessor and leaves little of a block without work, then for kernel gradients in
how many parts to sum. Compiles on all cores first, into CuPy's cache on disk.
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
from itertools import product
from pathlib import Path
from typing import Any

import click
import cupy

from gpu.cases import Case, problems
from gpu.timing import card, milliseconds
from lwsam_ref.engines.cuda import tiles
from lwsam_ref.engines.cuda.kernels import Kernels, gpu_kernels, on_gpu
from lwsam_ref.engines.cuda.tiles import Choice, Problem, Tile

THREAD_TILES = (4, 4), (8, 4), (8, 8)
SHARED_BYTES = 48 * 1024
BLOCKS = 132, 264, 528, 1056


def candidates(problem: Problem) -> list[Choice]:
    """The tiles to try; a block's edge may be empty by a fifth along the columns, by a third along the rows."""
    gradient = problem.product == "kernel_gradient"
    waste = {bn: -(-problem.columns // bn) * bn / problem.columns for bn in (16, 32, 64, 80, 128, 160)}
    widths = [bn for bn, w in waste.items() if w <= max(1.21, min(waste.values()))][-3:]
    heights = (16, 32, 48, 64, 96, 128, 144) if gradient else (32, 64, 128, 256)
    found = []
    for bm, bn, bk, (tm, tn) in product(heights, widths, (8, 16), THREAD_TILES):
        tile = Tile(bm, bn, bk, tm, tn)
        empty = -(-problem.rows // bm) * bm / problem.rows if gradient else 1
        fits = bm % tm == 0 and bn % tn == 0 and tile.shared_bytes(4) <= SHARED_BYTES
        if fits and 32 <= tile.threads <= 384 and empty <= 1.34:
            found.append(with_parts(problem, tile, tiles.PARTIAL_SUMS))
    return found or [tiles.by_rule(problem)]


def with_parts(problem: Problem, tile: Tile, blocks: int) -> Choice:
    """The tile; a kernel gradient's pixels split so that there are about so many blocks."""
    if problem.product != "kernel_gradient":
        return Choice(tile)
    each = -(-problem.rows // tile.BM) * -(-problem.columns // tile.BN)
    return Choice(tile, max(1, blocks // each))


def best(case: Case) -> tuple[float, Choice]:
    """Milliseconds, and the choice that took them."""
    problem = case.problem

    def timed(choices: list[Choice]) -> tuple[float, Choice]:
        return min((milliseconds(lambda c=c: case.run(gpu_kernels(), lambda _: c)), c) for c in choices)  # type: ignore[misc]

    fastest = timed(candidates(problem))
    if problem.product == "kernel_gradient":
        fastest = min(fastest, timed([with_parts(problem, fastest[1].tile, blocks) for blocks in BLOCKS]))
    return fastest


def compile_all(cases: list[Case]) -> None:
    """On all cores: the programs of every candidate."""
    texts: list[str] = []

    def note(text: str) -> Any:
        texts.append(text)
        return lambda *arguments: None

    noting = Kernels(note)
    for case in cases:
        for choice in candidates(case.problem):
            case.run(noting, lambda _, choice=choice: choice)  # type: ignore[misc]
    with multiprocessing.get_context("spawn").Pool(max(1, (os.cpu_count() or 1) - 1)) as pool:
        pool.map(_compile, texts, chunksize=4)


def _compile(text: str) -> None:
    on_gpu(text)


@click.command()
@click.option("--model", "models", default="resnet20")
@click.option("--batch-size", default=128)
@click.option("--image", default=32)
@click.option("--out", default=str(Path(tiles.__file__).with_name("tiles.json")), type=click.Path(dir_okay=False))
def main(models: str, batch_size: int, image: int, out: str) -> None:
    """Write the fastest tiles as JSON."""
    cases = [Case.of(p, batch_size) for p in dict.fromkeys(p for m in models.split(",") for p in problems(m, image))]
    compile_all(cases)
    found = {}
    for case in cases:
        ms, choice = best(case)
        found[case.problem.name] = [*choice.tile, choice.parts]
        print(
            f"{case.problem.name:48} {ms * 1e3:9.1f} us {case.flops / ms / 1e9:6.1f} TF/s  {found[case.problem.name]}"
        )
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(numbers)}" for name, numbers in sorted(found.items()))
    head = {"card": card(), "date": str(datetime.date.today()), "batch": batch_size, "cupy": cupy.__version__}
    text = json.dumps(head)[:-1] + ', "tiles": {\n' + lines + "\n}}\n"
    Path(out).write_text(text)


if __name__ == "__main__":
    main()
