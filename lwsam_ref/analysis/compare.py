"""Methods, seeds and hyper-parameters side by side: every cell is a run of its own, in a process of its own.

A cell is a folder with the files of ``lwsam train``; ``comparison.json`` has the table, ``comparison.png`` the
picture. Cells that run at the same time each have their own BLAS threads, and a cell's figure is its mean step, so
times are compared within one comparison only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import sha256
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from lwsam_ref.errors import UserError
from lwsam_ref.files import new_directory, write_atomically
from lwsam_ref.training.config import Config
from lwsam_ref.training.losses import METRICS
from lwsam_ref.training.records import EpochRecord, Summary, parsed

Cell = tuple[tuple[str, Any], ...]
"""The values that set one row of the table apart from the others, seeds left out."""


ALONE = ("ascent_from", "bn_batch")
"""The options that tell ranks apart: here every run is one."""


def grid(lists: dict[str, list[Any]], common: dict[str, Any]) -> list[tuple[Cell, Config]]:
    """One config for each combination of the values in ``lists``, each different run once.

    Values that have no effect with the others (k with SGD) set no two runs apart.
    """
    cells: dict[tuple[Cell, int], Config] = {}
    for values in product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        config = Config.of(common | chosen)
        used = config.used().keys() - set(ALONE)
        varied = tuple((n, v) for n, v in chosen.items() if n != "seed" and n in used)
        cells.setdefault((varied, config.seed), config)
    # seed by seed: the methods run side by side, should the machine's speed drift
    by_seed = sorted(cells.items(), key=lambda item: item[1].seed)
    return [(cell, config) for (cell, _), config in by_seed]


def require_used(given: Sequence[str], cells: Sequence[tuple[Cell, Config]]) -> None:
    """Refuse options that were ``given`` by hand and have an effect in no cell."""
    used = set().union(*(config.used() for _, config in cells)) - set(ALONE)
    for name in given:
        if name not in used:
            cells[0][1].require_used([name])
            raise UserError(f"asked for {name} in a comparison, but every run is one process: leave it out")


def name(cell: Cell) -> str:
    """``layerwise-sam k=4``."""
    first = sorted(cell, key=lambda item: item[0] != "method")
    return " ".join(str(v) if n == "method" else f"{n}={v}" for n, v in first) or "run"


def compare(
    cells: Sequence[tuple[Cell, Config]], out: Path, data_dir: Path | None, jobs: int, tick: Callable[[], None]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run every cell, ``jobs`` at a time, into ``out``; the rows of the table, and what was said where a run failed."""
    new_directory(out)
    folders = [out / _folder(cell, config) for cell, config in cells]
    for folder in folders:
        new_directory(folder)
    with ThreadPoolExecutor(jobs) as pool:
        running = [
            pool.submit(_run, config, folder, data_dir) for (_, config), folder in zip(cells, folders, strict=True)
        ]
        try:
            for _ in as_completed(running):
                tick()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    failures = [said for future in running if (said := future.result())]
    rows = _rows(cells, folders)
    write_atomically(out / "comparison.json", (json.dumps(rows, indent=2) + "\n").encode())
    return rows, failures


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as they are shown."""
    shown = Table(title="mean over seeds; time relative to SGD in the same comparison")
    for heading in (
        "method",
        _heading(rows),
        "images/s",
        "time / SGD",
        "operations / SGD",
        "captured",
        "ascent nodes",
    ):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        metric = METRICS[row["metric"]]
        spread = row[f"{metric.name}_deviation"]
        deviation = "" if spread is None else f" ± {metric.shown(spread)}"
        relative = "" if row["time_relative_to_sgd"] is None else f"{row['time_relative_to_sgd']:.2f}"
        visited = f"{row['ascent_nodes']:.1f} of {row['nodes']}"
        shown.add_row(
            row["name"],
            f"{metric.shown(row[metric.name])}{deviation}",
            f"{row['images_per_second']:.0f}",
            relative,
            f"{row['cost']:.3f}",
            "" if row["captured"] is None else f"{row['captured']:.1%}",
            visited,
        )
    return shown


def _heading(rows: Sequence[dict[str, Any]]) -> str:
    """What the test measured, if it is the same in all rows."""
    metrics = {METRICS[row["metric"]].words for row in rows}
    return f"test {metrics.pop()}" if len(metrics) == 1 else "test"


def epochs(folder: Path) -> list[EpochRecord]:
    """The epoch records of one run."""
    records = parsed((folder / "metrics.jsonl").read_bytes())
    return [record for record in records if isinstance(record, EpochRecord)]


def _folder(cell: Cell, config: Config) -> str:
    """The name of a cell's folder; long ones are cut and told apart by a hash."""
    full = f"{name(cell).replace(' ', '_')}_seed={config.seed}"
    if len(full) <= 120 and os.sep not in full:
        return full
    return f"{full[:100].replace(os.sep, '_')}_{sha256(full.encode()).hexdigest()[:12]}"


def _run(config: Config, folder: Path, data_dir: Path | None) -> str | None:
    """One cell, by the same command that a user would type; what it said if it failed."""
    asked = folder / "asked.toml"
    write_atomically(asked, config.toml().encode())
    command = [sys.executable, "-P", "-m", "lwsam_ref.cli", "train", "--config", str(asked), "--out", str(folder)]
    command += [] if data_dir is None else ["--data-dir", str(data_dir)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(config.threads), "OMP_NUM_THREADS": str(config.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    asked.unlink()
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"{folder}: {said[-1].removeprefix('lwsam: ')}"


def _rows(cells: Sequence[tuple[Cell, Config]], folders: Sequence[Path]) -> list[dict[str, Any]]:
    summaries: dict[Cell, list[Summary]] = {}
    where: dict[Cell, list[str]] = {}
    for (cell, _), folder in zip(cells, folders, strict=True):
        if not (folder / "summary.json").exists():
            continue
        summaries.setdefault(cell, []).append(Summary.of(json.loads((folder / "summary.json").read_text("utf-8"))))
        where.setdefault(cell, []).append(folder.name)
    seconds = {cell: mean(s.step_seconds for s in runs) for cell, runs in summaries.items()}
    sgd = [seconds[cell] for cell, runs in summaries.items() if runs[0].method == "sgd"]
    return [
        {
            "name": name(cell),
            "runs": where[cell],
            "metric": runs[0].metric,
            runs[0].metric: mean(_each(runs, "final")),
            f"{runs[0].metric}_deviation": stdev(_each(runs, "final")) if len(runs) > 1 else None,
            "images_per_second": mean(_each(runs, "images_per_second")),
            "time_relative_to_sgd": seconds[cell] / sgd[0] if len(sgd) == 1 else None,
            "cost": mean(_each(runs, "cost")),
            "captured": mean(_each(runs, "captured")) if runs[0].captured is not None else None,
            "ascent_nodes": mean(_each(runs, "ascent_nodes")),
            "nodes": runs[0].nodes,
            "layers": runs[0].layers,
            "perturbation_counts": {
                layer: mean(s.perturbation_counts[layer] for s in runs) for layer in runs[0].layers
            },
        }
        for cell, runs in summaries.items()
    ]


def _each(runs: Iterable[Summary], key: str) -> list[float]:
    return [float(getattr(s, key)) for s in runs]


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    console.print(table(rows))
