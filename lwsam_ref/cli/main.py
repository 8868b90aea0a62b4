"""The command ``lwsam``: its commands put together, and how it ends."""

from __future__ import annotations

import io
import sys
import time
import traceback
from typing import NoReturn

import click

from lwsam_ref import __version__
from lwsam_ref.cli.compare import compare
from lwsam_ref.cli.data import data
from lwsam_ref.cli.look import cost, plot, sharpness, trace
from lwsam_ref.cli.train import train
from lwsam_ref.cli.verify import verify
from lwsam_ref.comm import launched, world
from lwsam_ref.errors import UserError


def main() -> None:
    """Run the command; what the user can mend is one sentence on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table's lines on a terminal that has no such letters
    try:
        status = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except (UserError, click.ClickException) as error:
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        _stop(" ".join(said.splitlines()), 2)  # one line, whatever was in a name
    except OSError as error:
        _stop(f"cannot read or write {error.filename or 'a file'}: {error.strerror}", 2)
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


for command in (train, compare, trace, cost, sharpness, plot, verify, data):
    cli.add_command(command)
