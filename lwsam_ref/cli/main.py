"""The command ``lwsam``: the composition root, the one file that names the networks."""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console

from lwsam_ref import __version__
from lwsam_ref import config as configs
from lwsam_ref.autodiff.network import Network
from lwsam_ref.comm import launched, same, world
from lwsam_ref.config import Config
from lwsam_ref.errors import UserError, unknown
from lwsam_ref.training.methods import check_k, radius
from lwsam_ref.training.progress import bar, download_bar

if TYPE_CHECKING:
    from lwsam_ref.data import Source

Command = Callable[..., Any]


def main() -> None:
    """Run the command; what the user can mend is one sentence on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table's lines on a terminal that has no such letters
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except (UserError, click.ClickException) as error:
        _stop(error.format_message() if isinstance(error, click.ClickException) else str(error), 2)
    except OSError as error:
        _stop(f"asked to read or write {error.filename or 'a file'}, but {error.strerror}: mend that", 2)
    except (KeyboardInterrupt, click.Abort):
        _stop("interrupted", 130)
    except Exception:
        if not launched():
            raise
        _stop(traceback.format_exc(), 1)
    sys.exit(status if isinstance(status, int) else 0)


def _stop(text: str, status: int) -> NoReturn:
    """Say it and end; as one of several ranks, end them all: the others wait for this one."""
    if not launched():
        print(f"lwsam: {text}", file=sys.stderr)
        sys.exit(status)
    try:
        comm = world()
    except UserError as error:  # no MPI: then that is what there is to say
        print(f"lwsam: {error}", file=sys.stderr)
        sys.exit(2)
    if comm.rank:
        time.sleep(0.5)  # what every rank has to say, the first one says for all
    try:
        print(f"lwsam, rank {comm.rank}: {text}", file=sys.stderr, flush=True)
    finally:  # where nobody can be told, too
        comm.abort(status)
    sys.exit(status)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Layer-wise sharpness-aware minimisation: train, compare, look inside."""
    if launched() and context.invoked_subcommand != "train" and world().size > 1:
        raise UserError(
            f"asked {world().size} ranks for lwsam {context.invoked_subcommand}, but only lwsam train shares its work:"
            " start it without mpirun"
        )


def _run_options(*, lists: bool = False) -> Callable[[Command], Command]:
    """The options that make up a config, from its fields; with ``lists`` every value may be a comma-separated list."""

    def decorate(command: Command) -> Command:
        for f in reversed(fields(Config)):
            kind, choices = type(f.default), f.metadata["choices"]
            name = f.name.replace("_", "-")
            text = f"{f.metadata['help']}" + (f": {', '.join(choices)}" if choices else "")
            flags = [f"--{name}/--no-{name}" if kind is bool else f"--{name}"]
            flags += ["--methods"] if lists and name == "method" else []
            shown: Any = (
                {}
                if kind is bool
                else {"type": str, "metavar": "LIST" if kind is tuple or lists else kind.__name__.upper()}
            )
            default = ",".join(f"{v:.4g}" for v in f.default) if kind is tuple else f.default
            command = click.option(*flags, f.name, default=None, help=f"{text} [default: {default}]", **shown)(command)
        command = click.option("--config", "config_file", type=Path, help="TOML file with any of these options")(
            command
        )
        return click.option("--preset", help="options that come with the package; others override them")(command)

    return decorate


def _given(
    preset: str | None, config_file: Path | None, options: dict[str, Any], lists: bool = False
) -> dict[str, Any]:
    """Preset, file and command line, each over the one before; text from the command line is read as its type."""
    values = configs.preset(preset) if preset is not None else {}
    if config_file is not None:
        values |= configs.read(config_file)
    kinds = {f.name: type(f.default) for f in fields(Config)}
    read = _read_list if lists else _read
    return values | {n: read(n, v, kinds[n]) for n, v in options.items() if v is not None}


def _read_list(name: str, value: Any, kind: type) -> Any:
    """A comma-separated list, each entry read by itself; what is a list anyway, or a flag, is one value."""
    if kind is tuple or not isinstance(value, str):
        return _read(name, value, kind)
    return [_read(name, v, kind) for v in value.split(",")]


def _read(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, str) or kind is str:
        return value
    try:
        return tuple(float(v) for v in value.split(",") if v) if kind is tuple else kind(value)
    except ValueError:
        raise configs.mistyped(name, value, kind) from None


_data_dir = click.option(
    "--data-dir",
    type=Path,
    help="where downloaded data sets lie [default: $LWSAM_DATA_DIR, else ~/.cache/lwsam-ref]",
)


def _console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 140))


def _models() -> dict[str, Callable[..., Network]]:
    import nets

    return {name: getattr(nets, name.replace("-", "_")) for name in configs.MODELS}


@cli.command()
@_run_options()
@_data_dir
@click.option("--out", type=Path, help="folder for config.toml, metrics.jsonl, summary.json, checkpoint.npz")
@click.option("--resume", type=Path, help="go on with the run in this folder, or from this checkpoint of it")
@click.option("--cuda-aware", is_flag=True, help="the MPI takes arrays on a GPU as they are")
def train(
    preset: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    out: Path | None,
    resume: Path | None,
    cuda_aware: bool,
    **options: Any,
) -> int:
    """Train one network by one method; under mpirun, with the ranks sharing every batch.

    lwsam train --preset digits --out runs/one

    mpirun -n 2 lwsam train --preset digits --out runs/two

    lwsam train --resume runs/two
    """
    from lwsam_ref.analysis.runs import resumable
    from lwsam_ref.data import load
    from lwsam_ref.training.interrupt import Interrupted
    from lwsam_ref.training.loop import run
    from lwsam_ref.training.trainer import Trainer

    comm, saved, given = world(cuda_aware), None, _given(preset, config_file, options)
    if resume is None:
        config = Config.of(given)
    else:
        if given or out:
            raise UserError(
                f"asked to resume {resume} with other options besides, but a run goes on as it began: give none"
            )
        config, out, saved = resumable(resume)
        finished = (out / "summary.json").exists()
        same(comm, {"whether the run is finished": lambda: str(finished)})
        if finished:
            if comm.rank == 0:
                click.echo(f"{out} is finished: nothing is left to do")
            return 0
    trainer = Trainer.of(config, _models(), load(config.dataset, data_dir), comm)
    try:
        summary = run(trainer, out, Console(stderr=True), saved, begun=resume is not None)
    except Interrupted as signal:
        if comm.rank == 0:
            where = f" --data-dir {data_dir}" if data_dir else ""
            click.echo(f"lwsam: {signal}{where}", err=True)
        return 128 + signal.number
    if comm.rank > 0:
        return 0
    click.echo(
        f"{config.method} on {config.dataset} with {config.model}: accuracy {summary['final_accuracy']:.2%}"
        f" (best {summary['best_accuracy']:.2%}), {summary['images_per_second']:.0f} images/s,"
        f" {summary['cost']:.2f} times the operations of SGD, ascent {summary['ascent_nodes']:.1f} of"
        f" {summary['nodes']} nodes"
    )
    return 0


@cli.command()
@_run_options(lists=True)
@_data_dir
@click.option("--out", type=Path, required=True, help="folder for the runs, comparison.json and comparison.png")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="runs at a time [default: one per core]")
@click.option("--picture/--no-picture", default=True, help="draw comparison.png (needs matplotlib)")
def compare(
    preset: str | None,
    config_file: Path | None,
    data_dir: Path | None,
    out: Path,
    jobs: int | None,
    picture: bool,
    **options: Any,
) -> None:
    """Train every combination of the values given (comma-separated lists), and compare.

    lwsam compare --method sgd,sam,layerwise-sam --k 1,4 --seed 0,1,2 --out runs/first

    lwsam compare --methods all --out runs/all
    """
    from lwsam_ref.analysis import figures as pictures
    from lwsam_ref.analysis.compare import compare as run_all
    from lwsam_ref.analysis.compare import grid, show
    from lwsam_ref.data import load
    from lwsam_ref.training.trainer import Trainer

    if picture:
        pictures.available()
    given = _given(preset, config_file, options, lists=True)
    if given.get("method") == ["all"]:
        given["method"] = list(configs.METHODS)
    lists = {name: v for name, v in given.items() if isinstance(v, list) and v and name != "lr_drops"}
    common = given | {name: v[0] for name, v in lists.items()}
    cells = grid({name: v for name, v in lists.items() if len(v) > 1 or name == "method"}, common)
    if picture and len({config.model for _, config in cells}) > 1:
        raise UserError("asked for a picture of several models, but its panels compare layers: use --no-picture")
    data = {name: load(name, data_dir) for name in {config.dataset for _, config in cells}}
    for _, config in cells:
        Trainer.of(config, _models(), data[config.dataset])  # whatever cannot run is said before anything runs
    console = Console(stderr=True)
    with bar(console, len(cells)) as tick:
        rows, failures = run_all(cells, out, data_dir, jobs or os.cpu_count() or 1, lambda: tick("runs"))
    show(rows, _console())
    click.echo(f"table: {out / 'comparison.json'}")
    if picture and rows:
        click.echo(f"picture: {pictures.draw(rows, out)}")
    if failures:
        raise UserError(f"{len(failures)} of {len(cells)} runs failed and are not in the table; {failures[0]}")


@cli.command()
@_run_options()
@_data_dir
@click.option("--select", multiple=True, help="a layer to perturb (may be given again) [default: the last k]")
def trace(
    preset: str | None, config_file: Path | None, data_dir: Path | None, select: tuple[str, ...], **options: Any
) -> None:
    """Make one step of layer-wise SAM visible: nodes, cone, frontier, what was reused, bytes, norms.

    lwsam trace --model resnet20 --select stage3.block3.conv2 --select fc
    """
    from lwsam_ref.analysis.trace import show
    from lwsam_ref.analysis.trace import trace as run
    from lwsam_ref.data import load
    from lwsam_ref.training.trainer import Trainer

    config = Config.of(_given(preset, config_file, options))
    t = Trainer.of(config, _models(), load(config.dataset, data_dir))
    layers = t.network.layers
    if config.budget >= 0:
        raise UserError(
            "asked to trace a step within a budget, but before the first step there are no norms to choose by: use"
            " --select or --k"
        )
    check_k(config, layers)
    selected = select or layers[len(layers) - config.k :]
    found = run(t.f, t.batch(range(config.batch_size), 0), selected, radius(config), config.alpha)
    show(found, t.f, _console())


@cli.command()
@_run_options()
def cost(preset: str | None, config_file: Path | None, **options: Any) -> None:
    """What a step of every method costs, and each layer, in floating-point operations; nothing is trained.

    lwsam cost --model resnet20 --k 4
    """
    from lwsam_ref.analysis.cost_table import layers_table, methods_table
    from lwsam_ref.autodiff.cost import Costs
    from lwsam_ref.data import SHAPES
    from lwsam_ref.training.objective import NetworkObjective
    from lwsam_ref.training.trainer import build

    config = Config.of(_given(preset, config_file, options))
    network = build(config, _models(), *SHAPES[config.dataset])
    costs = Costs(network, NetworkObjective(network, perturb=config.perturb).weights.layout)
    console = _console()
    console.print(layers_table(costs))
    console.print(methods_table(costs, config))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=Path)
@_data_dir
@click.option("--images", type=click.IntRange(min=2), default=512, show_default=True, help="training images to use")
@click.option("--rho", type=click.FloatRange(min=0, min_open=True), default=0.05, show_default=True, help="radius")
@click.option("--products", type=click.IntRange(min=1), default=40, show_default=True, help="at most so many with H")
def sharpness(runs: tuple[Path, ...], data_dir: Path | None, images: int, rho: float, products: int) -> None:
    """The Hessian's top eigenvalue, and the rise of the loss in a ball, at the end of RUNS (or of comparisons)."""
    from lwsam_ref.analysis import runs as on_disk
    from lwsam_ref.data import load

    folders, console, found = on_disk.folders(runs), Console(stderr=True), []
    with bar(console, len(folders)) as tick:
        for folder in folders:
            found.append(
                on_disk.sharpness(
                    folder, _models(), lambda name: load(name, data_dir), images=images, rho=rho, products=products
                )
            )
            tick(folder.name)
    _console().print(on_disk.table(found, rho))


@cli.command()
@click.option("--exhaustive", is_flag=True, help="10,000 random problems a statement, 1,000 in fractions")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="processes [default: one per core]")
@click.option("--picture", type=Path, help="also draw measured convergence beside the bounds (PNG; needs matplotlib)")
def verify(exhaustive: bool, jobs: int | None, picture: Path | None) -> int:
    """Check every statement of the paper's theory by the code that trains; status 1 if one is not as declared."""
    from lwsam_ref.analysis import figures as pictures
    from proofs import convergence, table
    from proofs.verify import EXHAUSTIVE, QUICK, left_out, tasks
    from proofs.verify import verify as run

    effort = EXHAUSTIVE if exhaustive else QUICK
    if picture:
        pictures.available()
        convergence.draw(picture)
    with bar(Console(stderr=True), len(tasks(effort, exhaustive))) as tick:
        rows = run(effort, exhaustive, jobs or os.cpu_count() or 1, lambda: tick("statements"))
    _console().print(table.table(rows))
    for line in left_out():
        click.echo(line)
    wrong = [f"{row.source} ({row.statement}; {row.method})" for row in rows if not row.as_declared]
    click.echo(f"{len(rows)} rows, {len(wrong)} not as declared{': ' + '; '.join(wrong) if wrong else ''}")
    return 1 if wrong else 0


@cli.group("data")
def data_group() -> None:
    """Data sets: fetch one, verify it, tell where it lies."""


_name = click.argument("name")


@data_group.command()
@_name
@_data_dir
def fetch(name: str, data_dir: Path | None) -> None:
    """Download the data set NAME, check it and unpack it; what broke off goes on where it was."""
    if (source := _source(name)) is not None:
        with download_bar(Console(stderr=True), source.archive) as tick:
            source.fetch(data_dir, tick)
    _verified(name, data_dir)


@data_group.command("verify")
@_name
@_data_dir
def verify_data(name: str, data_dir: Path | None) -> None:
    """Check every file of the data set NAME, and count its images."""
    _source(name)
    _verified(name, data_dir)


@data_group.command()
@_name
@_data_dir
def path(name: str, data_dir: Path | None) -> None:
    """Print the folder of the data set NAME, whether it has its files or not."""
    source = _source(name)
    click.echo(files("lwsam_ref.data") if source is None else source.path(data_dir))


def _source(name: str) -> Source | None:
    """Where NAME is downloaded from; None for what comes with the package."""
    from lwsam_ref.data import SOURCES

    if name not in configs.DATASETS:
        raise unknown("dataset", name, configs.DATASETS)
    return SOURCES.get(name)


def _verified(name: str, data_dir: Path | None) -> None:
    from lwsam_ref.data import load

    data = load(name, data_dir)
    source = _source(name)
    where = "in the package" if source is None else f"in {source.path(data_dir)}"
    size = " x ".join(map(str, data.train.images.shape[1:]))
    click.echo(
        f"{name}: {len(data.train.labels)} images to train on and {len(data.test.labels)} to test with, {size},"
        f" {data.classes} classes, {where}"
    )


if __name__ == "__main__":
    main()
