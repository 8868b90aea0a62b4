"""A run that is cut short, by a signal, by a kill at any moment, and gone on with, ends with the same bits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tomli_w

import nets
from lwsam_ref import data
from lwsam_ref.cli import main as cli
from lwsam_ref.cli import options as cli_options
from lwsam_ref.data import Split
from lwsam_ref.training import checkpoint
from lwsam_ref.training import loop as train
from lwsam_ref.training.config import OPTIONS, RENAMED, Config
from lwsam_ref.training.interrupt import listening
from lwsam_ref.training.methods import METHODS
from lwsam_ref.training.trainer import Trainer
from support import launch
from support.cifar_files import lwsam
from support.tables import use_data, use_models

TIMES = {"seconds", "images_per_second", "step_seconds"}
"""What differs from run to run."""

MLP = ("--model", "mlp", "--lr", "0.05")
SHORT = (*MLP, "--k", "2", "--epochs", "2", "--batch-size", "712")
"""Two epochs of two steps."""
LONG = (*MLP, "--k", "2", "--epochs", "60", "--batch-size", "712")

# -- what a run comes to -------------------------------------------------------------------------------------


def untimed(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in TIMES}


def bits(arrays: Any) -> dict[str, Any]:
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def outcome(out: Path) -> dict[str, Any]:
    """All that a run leaves but its times: weights, statistics and state bit for bit, records, summary, files."""
    saved = checkpoint.read(out)
    assert int(saved.pop("metrics")) == (out / "metrics.jsonl").stat().st_size
    return {
        "saved": bits(saved),
        "lines": [untimed(json.loads(line)) for line in (out / "metrics.jsonl").read_text().splitlines()],
        "summary": untimed(json.loads((out / "summary.json").read_text())),
        "files": sorted(path.name for path in out.iterdir()),
    }


def steps(out: Path) -> list[int]:
    """How far each checkpoint in the folder is, the newest first."""
    found = [out / name for name in (checkpoint.NEWEST, checkpoint.BEFORE)]
    return [int(checkpoint.read(path)["step"]) for path in found if path.exists()]


def finished(out: Path, *options: str) -> Path:
    """A run that nothing cuts short."""
    said = lwsam("train", *options, "--out", out)
    assert said.status == 0, said
    return out


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcome(finished(tmp_path_factory.mktemp("short") / "run", *SHORT))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return outcome(finished(tmp_path_factory.mktemp("long") / "run", *LONG))


def small(patch: pytest.MonkeyPatch) -> None:
    """Few digits, and networks of the same kinds with few weights: a run takes no time."""
    digits = data.load("digits")
    train_part, test_part = (Split(s.inputs[:n], s.targets[:n]) for s, n in ((digits.train, 64), (digits.test, 32)))
    few = replace(digits, train=train_part, test=test_part)
    use_data(patch, "digits", lambda *_: few)
    networks: dict[str, Any] = {
        "mlp": partial(nets.mlp, hidden=(16, 16)),
        "wrn16-2": partial(nets.wide_resnet, depth=10, width=1),
        "resnet20": nets.resnet20,
    }
    use_models(patch, networks)


@contextmanager
def asked_after(step: int) -> Iterator[None]:
    """A run in this process hears SIGTERM behind its step of this number, counted from 1."""

    @contextmanager
    def heard(wanted: bool) -> Iterator[Callable[[], int]]:
        numbers = count(1)
        yield lambda: signal.SIGTERM if wanted and next(numbers) >= step else 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "listening", heard)
        yield


def cut(step: int, asked: Path, *options: str) -> None:
    """Start the run, or with no options go on with it, up to so many steps from there."""
    with asked_after(step):
        said = lwsam("train", *options, "--out", asked) if options else lwsam("train", "--resume", asked)
    out = asked.parent if asked.suffix else asked
    assert said.status == 128 + signal.SIGTERM, said
    assert re.fullmatch(rf"lwsam: interrupted after \d+ steps: go on with lwsam train --resume {out}\n", said.err)


def resumed(asked: Path) -> dict[str, Any]:
    """What the run comes to that is gone on with, in this process."""
    said = lwsam("train", "--resume", asked)
    assert (said.status, said.err) == (0, ""), said
    return outcome(asked if asked.is_dir() else asked.parent)


# -- at every step -------------------------------------------------------------------------------------------

EIGHT = ("--epochs", "2", "--batch-size", "16")
"""Two epochs of four steps of the small digits."""

RUNS = {
    "sgd": ("--method", "sgd"),
    "sam": ("--method", "sam"),
    "generalized": ("--method", "generalized-sam", "--rho", "0.05"),
    "looksam": ("--method", "looksam", "--looksam-interval", "3"),
    "looksam by layer": ("--method", "looksam", "--looksam-interval", "2", "--look-per-layer"),
    "layerwise": ("--method", "layerwise-sam", "--k", "2"),
    "layerwise at random": ("--criterion", "random", "--k", "2"),
    "layerwise, lowest": ("--criterion", "low", "--k", "1"),
    "budget": ("--budget", "0.3"),
    "adaptive": ("--k", "2", "--adaptive", "--rho", "0.5", "--perturb", "all"),
    "esam": ("--method", "esam"),
    "esam by tensor": ("--method", "esam", "--esam-by", "tensor", "--esam-gamma", "0.25"),
    "sparse": ("--method", "sparse-sam", "--sparse-refresh", "3", "--fisher-samples", "8"),
    "friendly": ("--method", "friendly-sam", "--friendly-lambda", "0.9"),
    "decay in the loss, probed": ("--k", "2", "--decay-in", "loss", "--probe", "--lr-drops", "0.5"),
}
WITH_STATISTICS = {
    "batch norm and dropout": ("--model", "wrn16-2", "--dropout", "0.3", "--bn-momentum", "0.9"),
    "twice moved, float64": ("--model", "wrn16-2", "--bn-update", "twice", "--method", "sam", "--dtype", "float64"),
}
EVERY = {name: (*MLP, *options) for name, options in RUNS.items()} | WITH_STATISTICS


def test_every_method_is_among_those_cut() -> None:
    named = {options[i + 1] for options in RUNS.values() for i, word in enumerate(options) if word == "--method"}
    assert named == set(METHODS)


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY)
def test_cut_at_any_step_a_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    small(monkeypatch)
    options = (*options, *EIGHT)
    expected = outcome(finished(tmp_path / "whole", *options))
    for step in range(1, 9):
        out = tmp_path / f"{step}"
        cut(step, out, *options)
        assert steps(out)[0] == step
        assert not (out / "summary.json").exists()
        assert resumed(out) == expected


@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY)
def test_cut_at_every_step_a_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    small(monkeypatch)
    options = (*options, *EIGHT)
    expected = outcome(finished(tmp_path / "whole", *options))
    out = tmp_path / "run"
    cut(1, out, *options)
    for step in range(2, 8):
        cut(1, out)
        assert steps(out)[0] == step
    assert resumed(out) == expected


@pytest.mark.parametrize(("step", "kept"), [(3, [3, 0]), (4, [4, 0]), (5, [5, 4])])
def test_cut_at_or_beside_the_end_of_an_epoch_the_checkpoint_before_is_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, kept: list[int]
) -> None:
    small(monkeypatch)
    cut(step, tmp_path / "run", *MLP, "--k", "2", *EIGHT)
    assert steps(tmp_path / "run") == kept


def test_resnet20_cut_at_every_step_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = ("--model", "resnet20", "--epochs", "1", "--batch-size", "359")
    expected = outcome(finished(tmp_path / "whole", *options))
    out = tmp_path / "run"
    cut(1, out, *options)
    cut(1, out)
    cut(1, out)
    assert resumed(out) == expected


def test_a_run_of_version_0_1_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files had no format, other names, and every option, used or not."""
    small(monkeypatch)
    options = (*MLP, "--method", "looksam", "--looksam-interval", "2", "--bn-update", "twice", *EIGHT)
    expected = outcome(finished(tmp_path / "whole", *options))
    cut(5, tmp_path / "run", *options)
    old = {new: name for name, new in RENAMED.items()}
    values = config_of(*options).values()
    written = {old.get(n, n): list(v) if isinstance(v, tuple) else v for n, v in values.items()}
    for new in ("engine", "start", "folder", *(n for n in values if n.startswith("friendly"))):
        written.pop(new)
    text = tomli_w.dumps(written).encode()
    (tmp_path / "run" / "config.toml").write_bytes(text)
    saved = checkpoint.read(tmp_path / "run")
    checkpoint.replace(tmp_path / "run", saved | {"config": np.frombuffer(text, np.uint8)})
    found = resumed(tmp_path / "run")
    assert {"lines": found["lines"], "summary": found["summary"]} == {
        "lines": expected["lines"],
        "summary": expected["summary"],
    }


def config_of(*options: str) -> Config:
    given = cli.train.make_context("train", list(options)).params
    return Config.of(cli_options.given(None, None, {name: given[name] for name in OPTIONS}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", EVERY.values(), ids=EVERY)
def test_a_restored_trainer_is_the_one_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], dtype: str
) -> None:
    """At once, every array bit for bit and in its type; and after the next steps."""
    small(monkeypatch)
    config, digits = config_of(*options, *EIGHT, "--dtype", dtype), data.load("digits")
    one, other = (Trainer.of(config, digits) for _ in range(2))
    for _ in range(5):
        one.step(np.arange(16))
    checkpoint.write(tmp_path, one.snapshot())
    other.restore(checkpoint.read(tmp_path))
    assert one.number == other.number == 5
    for _ in range(3):
        assert bits(one.snapshot()) == bits(other.snapshot())
        assert one.digest() == other.digest()
        lines = [each.step(np.arange(16, 32))[0].json() for each in (one, other)]
        assert untimed(lines[0]) == untimed(lines[1])


# -- at any moment -------------------------------------------------------------------------------------------

DRIVER = """
import json, os, resource, signal, sys, time, traceback
from itertools import count
from pathlib import Path

import lwsam_ref.training.run_folder, lwsam_ref.training.loop
from lwsam_ref.cli import main as cli
from lwsam_ref.comm import world


def watch(kind, names, number, what):
    # run the statement at the given line of the files named, or call of the functions named
    hits, names = count(1), tuple(names)

    def hit():
        if next(hits) == number:
            exec(what)

    def line(frame, event, arg):
        if event == "line":
            hit()
        return line

    def call(frame, event, arg):
        if kind == "call" and frame.f_code.co_qualname in names:
            hit()
        return line if kind == "line" and frame.f_code.co_filename.endswith(names) else None

    sys.settrace(call)
    return lambda: next(hits) - 1


def attempt(arguments, moment):
    sys.argv = ["lwsam", *arguments]
    hits = watch(*moment) if moment else lambda: 0
    try:
        cli.main()
    finally:
        sys.settrace(None)
        if moment and not moment[2]:
            print(hits())


def apart(arguments, moment):
    # in a process of its own that need not import anything: its status, and all that it says
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        status = 70
        try:
            attempt(arguments, moment)
        except SystemExit as done:
            status = done.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with open(reading) as file:
        said = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def job(options, out, moments):
    found = []
    for moment in moments:
        there = (Path(out) / "config.toml").exists()
        found.append(apart(["train", "--resume", out] if there else ["train", *options, "--out", out], moment))
    return found


signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started in the background ignores it
match json.loads(sys.argv[1]):
    case {"rank": rank, "arguments": arguments, "moment": moment}:
        attempt(arguments, moment if world().rank == rank else None)
    case jobs:
        print(json.dumps([job(*each) for each in jobs]))
"""
"""The command, in which something happens at a given line or call: on its own, as ranks, or attempt after attempt."""

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
DISK = ("lwsam_ref/files.py", "lwsam_ref/training/journal.py", "lwsam_ref/training/checkpoint.py")
LOOP = (
    *DISK,
    "lwsam_ref/training/loop.py",
    "lwsam_ref/training/trainer.py",
    "lwsam_ref/training/run_folder.py",
    "lwsam_ref/training/interrupt.py",
    "lwsam_ref/cli/main.py",
    "lwsam_ref/cli/train.py",
)
Moment = tuple[str, tuple[str, ...], int, str]
"""``line`` or ``call``; of which files or functions; which one, 0 to have them counted; the statement."""


class Attempt(NamedTuple):
    """What one attempt left: its status, negative if a signal ended it, and all that it said."""

    status: int
    said: str


Job = tuple[tuple[str, ...], Path, list[Moment | None]]
"""The options of a run, its folder, and what happens in each attempt at it; each but the first resumes."""


def drive(jobs: list[Job]) -> list[list[Attempt]]:
    """Every attempt of every job, started by ``--resume`` where there is a run, by ``--out`` where there is none."""
    done = launch.run(1, "-c", DRIVER, json.dumps(jobs, default=str), limit=240)
    assert done.returncode == 0, done.stderr
    return [[Attempt(*each) for each in job] for job in json.loads(done.stdout)]


def happening(rank: int, moment: Moment, *arguments: object) -> tuple[str, ...]:
    """The arguments of ``python`` for the command in which something happens to one rank."""
    asked = {"rank": rank, "arguments": [str(word) for word in arguments], "moment": moment}
    return "-c", DRIVER, json.dumps(asked)


def struck(n: int, rank: int, moment: Moment, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as n ranks, to one of which something happens; ended."""
    return launch.run(n, *happening(rank, moment, *arguments))


def command(out: Path, *options: str) -> tuple[object, ...]:
    """What starts the run, or goes on with it if there is one."""
    return ("train", "--resume", out) if (out / "config.toml").exists() else ("train", *options, "--out", out)


def counted(kind: str, names: tuple[str, ...], folder: Path, options: tuple[str, ...] = SHORT) -> int:
    ((attempt,),) = drive([(options, folder, [(kind, names, 0, "")])])
    assert attempt.status == 0, attempt
    return int(attempt.said.split()[-1])


def check(jobs: list[Job], expected: dict[str, Any], status: int = -signal.SIGKILL) -> None:
    """Every attempt but the last ends with this status, or finds nothing left to do; the last gets to the end."""
    for (_, out, _), attempts in zip(jobs, drive(jobs), strict=True):
        assert attempts[0].status == status, attempts
        assert {each.status for each in attempts[1:-1]} <= {status, 0}, attempts
        assert attempts[-1].status == 0, attempts
        assert outcome(out) == expected, attempts


def test_killed_at_twenty_random_moments_and_once_more_a_run_ends_the_same(
    tmp_path: Path, short: dict[str, Any]
) -> None:
    """The second kill comes while the run is gone on with."""
    lines, draw = counted("line", LOOP, tmp_path / "counted"), np.random.default_rng(1)
    moments: list[list[Moment | None]] = [
        [
            ("line", LOOP, int(draw.integers(1, lines, endpoint=True)), KILL),
            ("line", LOOP, int(draw.integers(1, lines // 2, endpoint=True)), KILL),
            None,
        ]
        for _ in range(20)
    ]
    check([(SHORT, tmp_path / f"{i}", each) for i, each in enumerate(moments)], short)


def test_killed_while_it_writes_files_a_run_ends_the_same(tmp_path: Path, short: dict[str, Any]) -> None:
    files = DISK[:1]
    chosen = range(1, counted("line", files, tmp_path / "counted") + 1, 5)
    check([(SHORT, tmp_path / f"{i}", [("line", files, i, KILL), None]) for i in chosen], short)


@pytest.mark.slow
def test_killed_at_any_line_that_has_to_do_with_the_disk_a_run_ends_the_same(
    tmp_path: Path, short: dict[str, Any]
) -> None:
    chosen = range(1, counted("line", DISK, tmp_path / "counted") + 1)
    check([(SHORT, tmp_path / f"{i}", [("line", DISK, i, KILL), None]) for i in chosen], short)


TORN = (
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); signal.signal(signal.SIGXFSZ, signal.SIG_DFL);"
    " resource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY))"
)
"""The system lets a file grow to so many bytes, and then ends the process."""


@pytest.mark.parametrize("write", range(2, 7), ids=["config", "first", "second", "last", "summary"])
def test_killed_with_half_a_file_written_a_run_ends_the_same(tmp_path: Path, short: dict[str, Any], write: int) -> None:
    sizes = (1, 100) if write in (2, 6) else (1, 100, 30_000)
    moments: list[Moment] = [("call", ("write_atomically",), write, TORN.format(size)) for size in sizes]
    check([(SHORT, tmp_path / f"{i}", [each, None]) for i, each in enumerate(moments)], short, -signal.SIGXFSZ)


def test_killed_in_the_first_step_a_run_has_its_first_checkpoint(tmp_path: Path, short: dict[str, Any]) -> None:
    out = tmp_path / "run"
    done = struck(1, 0, ("call", ("Trainer.step",), 1, KILL), "train", *SHORT, "--out", out)
    assert done.returncode == -signal.SIGKILL
    assert steps(out) == [0]
    assert (out / "metrics.jsonl").read_bytes() == b""
    assert resumed(out) == short


def test_a_record_that_is_half_written_is_dropped(tmp_path: Path, short: dict[str, Any]) -> None:
    out = tmp_path / "run"
    cut(3, out, *SHORT)
    with (out / "metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "step": 3, "epo')
    assert resumed(out) == short


def killed_from_outside(n: int, kills: int, out: Path, delay: tuple[float, float], *options: str) -> None:
    """Kills with everything that was started, each after a random delay; then to the end."""
    draw = np.random.default_rng(n)
    for _ in range(kills):
        process = launch.start(n, "-m", "lwsam_ref.cli", *command(out, *options))
        time.sleep(draw.uniform(*delay))
        launch.kill(process)
        process.communicate(timeout=60)
    done = launch.lwsam(n, *command(out, *options))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_from_outside_again_and_again_a_run_ends_the_same(
    tmp_path: Path, long: dict[str, Any], kills: int
) -> None:
    killed_from_outside(1, kills, tmp_path / "run", (0.3, 1.0), *LONG)
    assert outcome(tmp_path / "run") == long


# -- by a signal ---------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]


def interrupted(said: str, out: Path) -> int:
    """How far the run got that says how to go on with it."""
    found = re.search(rf"^lwsam: interrupted after (\d+) steps: go on with lwsam train --resume {out}$", said, re.M)
    assert found, said
    return int(found[1])


def signalled(process: subprocess.Popen[str], number: int, here: Path, sent: Path) -> tuple[str, str]:
    """The signal, when there is the first file; then the second file, and what the process said up to its end."""
    until = time.monotonic() + 60
    while not here.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    time.sleep(0.1)
    sent.touch()
    try:
        return process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        launch.kill(process)
        raise


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path: Path, short: dict[str, Any], number: signal.Signals) -> None:
    """The first step waits until the signal has been sent."""
    out, here, sent = (tmp_path / name for name in ("run", "here", "sent"))
    what = f"Path({str(here)!r}).touch()\nwhile not Path({str(sent)!r}).exists(): time.sleep(0.01)"
    process = launch.start(1, *happening(0, ("call", ("Trainer.step",), 1, what), "train", *SHORT, "--out", out))
    said, err = signalled(process, number, here, sent)
    assert (process.returncode, said, err.count("\n")) == (128 + number, "", 1), err
    assert interrupted(err, out) == steps(out)[0] > 0
    assert resumed(out) == short


@pytest.mark.parametrize("step", [2, 4])
def test_a_signal_does_not_wait_for_an_evaluation(tmp_path: Path, short: dict[str, Any], step: int) -> None:
    """After the last step of an epoch, or of all, it is due: the run that goes on makes up for it."""
    out, what = tmp_path / "run", f"os.kill(os.getpid(), {int(signal.SIGTERM)})"
    done = struck(1, 0, ("call", ("Trainer.step",), step, what), "train", *SHORT, "--out", out)
    assert done.returncode == 128 + signal.SIGTERM, done
    kinds = [json.loads(line)["kind"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert kinds == ["step", "step", "epoch", "step", "step"][: step + (step > 2)]
    assert resumed(out) == short


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_heard_behind_the_step_in_which_it_comes(
    tmp_path: Path, short: dict[str, Any], number: signal.Signals
) -> None:
    """Every step of the run."""
    what = f"os.kill(os.getpid(), {int(number)})"
    jobs: list[Job] = [
        (SHORT, tmp_path / f"{step}", [("call", ("Trainer.step",), step, what), None]) for step in range(1, 5)
    ]
    for step, (first, last) in enumerate(drive(jobs), 1):
        assert last.status == 0, last
        assert outcome(tmp_path / f"{step}") == short
        assert first.status == 128 + number
        assert interrupted(first.said, tmp_path / f"{step}") == step


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_a_run_at_once(tmp_path: Path, short: dict[str, Any], number: signal.Signals) -> None:
    out, what = tmp_path / "run", f"os.kill(os.getpid(), {int(number)});" * 2 + "time.sleep(60)"
    before = time.monotonic()
    done = struck(1, 0, ("call", ("Trainer.step",), 4, what), "train", *SHORT, "--out", out)
    assert time.monotonic() - before < 55
    assert done.returncode == (128 + number if number == signal.SIGINT else -number)
    assert "go on with" not in done.stderr
    assert steps(out) == [2, 0]
    assert resumed(out) == short


@pytest.mark.parametrize("number", SIGNALS)
def test_without_a_folder_signals_do_what_they_always_do(number: signal.Signals) -> None:
    what = f"os.kill(os.getpid(), {int(number)}); time.sleep(60)"
    done = struck(1, 0, ("call", ("Trainer.step",), 2, what), "train", *SHORT)
    assert done.returncode == (128 + number if number == signal.SIGINT else -number)
    assert done.stderr.strip() == ("lwsam: interrupted" if number == signal.SIGINT else "")


def test_behind_a_run_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with listening(True) as asked:
        assert asked() == 0
        during = [signal.getsignal(number) for number in SIGNALS]
        assert not set(during) & set(before)
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked() == signal.SIGTERM
        assert [signal.getsignal(number) for number in SIGNALS] == before  # for the second one
    with listening(False) as asked:
        assert [signal.getsignal(number) for number in SIGNALS] == before
    with listening(True) as asked:
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_in_another_thread_nothing_listens() -> None:
    """Only the main thread may."""
    before, seen = [signal.getsignal(number) for number in SIGNALS], []

    def body() -> None:
        with listening(True) as asked:
            seen.append((asked(), [signal.getsignal(number) for number in SIGNALS]))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [(0, before)]


# -- on ranks ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_on_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("two") / "run"
    done = launch.lwsam(2, "train", *SHORT, "--out", out)
    assert done.returncode == 0, done.stderr
    return outcome(out)


def resumed_on(n: int, out: Path, *options: str) -> dict[str, Any]:
    """What the run comes to that is gone on with, or started if there is none, on n ranks."""
    done = launch.lwsam(n, *command(out, *options))
    assert done.returncode == 0, done.stderr
    return outcome(out)


@pytest.mark.parametrize(
    "kills", [range(1), pytest.param(range(1, 21), marks=pytest.mark.slow)], ids=["once", "twenty times"]
)
def test_ranks_of_which_one_is_killed_end_the_same(tmp_path: Path, short_on_two: dict[str, Any], kills: range) -> None:
    lines = counted("line", LOOP, tmp_path / "counted")
    for i in kills:
        draw, out = np.random.default_rng(i), tmp_path / f"{i}"
        rank = int(draw.integers(2))
        least, most = (lines // 3, lines) if rank == 0 else (lines // 4, lines // 2)  # a rank apart writes nothing
        moment: Moment = ("line", LOOP, int(draw.integers(least, most, endpoint=True)), KILL)
        assert struck(2, rank, moment, "train", *SHORT, "--out", out).returncode != 0
        assert resumed_on(2, out, *SHORT) == short_on_two, (rank, moment)


@pytest.mark.parametrize(
    "function", ["Journal.summary", "write_atomically"], ids=["before the summary", "at the last checkpoint"]
)
def test_ranks_that_are_killed_at_the_end_end_the_same(
    tmp_path: Path, short_on_two: dict[str, Any], function: str
) -> None:
    out = tmp_path / "run"
    moment: Moment = ("call", (function,), 1 if function == "Journal.summary" else 5, KILL)
    assert struck(2, 0, moment, "train", *SHORT, "--out", out).returncode != 0
    assert not (out / "summary.json").exists()
    assert resumed_on(2, out) == short_on_two


@pytest.mark.slow
def test_ranks_killed_from_outside_again_and_again_end_the_same(tmp_path: Path) -> None:
    expected = resumed_on(2, tmp_path / "whole", *LONG)
    killed_from_outside(2, 20, tmp_path / "run", (0.8, 3.0), *LONG)
    assert outcome(tmp_path / "run") == expected


@pytest.mark.parametrize(("number", "rank"), [(signal.SIGTERM, 1), (signal.SIGINT, 0)])
def test_a_signal_to_one_rank_ends_both(
    tmp_path: Path, short_on_two: dict[str, Any], number: signal.Signals, rank: int
) -> None:
    out, what = tmp_path / "run", f"os.kill(os.getpid(), {int(number)})"
    done = struck(2, rank, ("call", ("Trainer.step",), 1, what), "train", *SHORT, "--out", out)
    assert done.returncode in (128 + number, 128 + signal.SIGTERM), done  # the other rank knows no number
    assert done.stdout == ""
    assert done.stderr.count("go on with") == 1
    assert interrupted(done.stderr, out) == steps(out)[0] > 0
    assert resumed_on(2, out) == short_on_two


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_launcher_leaves_a_run_that_goes_on(
    tmp_path: Path, short_on_two: dict[str, Any], number: signal.Signals
) -> None:
    """It hands the first one on, and kills the ranks at the other; the first rank waits, and listens, by then."""
    out, here, sent = (tmp_path / name for name in ("run", "here", "sent"))
    what = f"Path({str(here)!r}).touch()\nwhile not Path({str(sent)!r}).exists(): time.sleep(0.01)"
    process = launch.start(2, *happening(0, ("call", ("Trainer.step",), 1, what), "train", *SHORT, "--out", out))
    _, err = signalled(process, number, here, sent)
    assert process.returncode != 0
    if number == signal.SIGUSR1:
        assert interrupted(err, out) == steps(out)[0] > 0
    assert resumed_on(2, out) == short_on_two


def test_two_ranks_write_what_one_and_four_go_on_with(tmp_path: Path) -> None:
    """Sums are made in another order: to rounding, the same run."""
    options = (*SHORT, "--dtype", "float64")
    whole = outcome(finished(tmp_path / "whole", *options))
    what, out = f"os.kill(os.getpid(), {int(signal.SIGTERM)})", tmp_path / "1"
    done = struck(2, 0, ("call", ("Trainer.step",), 1, what), "train", *options, "--out", out)
    assert done.returncode == 128 + signal.SIGTERM, done
    shutil.copytree(out, tmp_path / "4")
    for n in (1, 4):
        found = resumed_on(n, tmp_path / f"{n}")
        assert found["summary"]["ranks"] == n
        assert found["saved"].keys() == whole["saved"].keys()
        for name in found["saved"].keys() - {"config"}:
            here, there = (np.frombuffer(each["saved"][name][2], each["saved"][name][0]) for each in (found, whole))
            np.testing.assert_allclose(here, there, rtol=1e-12, atol=1e-12)
        for here, there in zip(found["lines"], whole["lines"], strict=True):
            assert here.get("selected") == there.get("selected")
            assert here["loss"] == pytest.approx(there["loss"], rel=1e-12)
